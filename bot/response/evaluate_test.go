package response

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// endlessCondition would take hours to evaluate.
const endlessCondition = `let a = 1..900000; all(a, {let x = #; all(a, {# + x > 0})})`

// conditionCounter is an Observer that counts failed conditions.
type conditionCounter map[string]int

func (conditionCounter) EffectDone(EffectAttempt)    {}
func (conditionCounter) Ingested(string, int)        {}
func (c conditionCounter) ConditionFailed(of string) { c[of]++ }

func TestRoute_FailingRuleHidesNoAlert(t *testing.T) {
	number := `int(tags["n"]) > 1`
	for name, c := range map[string]struct {
		rules    []Rule
		position int
		want     string
	}{
		"open":               {[]Rule{{When: number, Open: "sev1"}, {When: "true", Open: "sev3"}}, 1, "open sev1"},
		"open without match": {[]Rule{{When: number, Open: "sev2"}}, 1, "open sev2"},
		"open below a match": {[]Rule{{When: number, Open: "sev4"}, {When: "true", Open: "sev2"}}, 2, "open sev2"},
		"drop":               {[]Rule{{When: number, Drop: "noise"}, {When: "true", Open: "sev2"}}, 2, "open sev2"},
		"drop without match": {[]Rule{{When: number, Drop: "noise"}}, 0, "watch"},
		"watch":              {[]Rule{{When: number, Watch: true}, {When: "true", Open: "sev4"}}, 2, "open sev4"},
		"attach":             {[]Rule{{When: number, Attach: true}, {When: "true", Watch: true}}, 1, "attach to the live incident, or watch"},
		"two failures":       {[]Rule{{When: number, Open: "sev3"}, {When: number, Open: "sev2"}, {When: "sample", Drop: "a drill"}}, 2, "open sev2"},
		"failure afterwards": {[]Rule{{When: "true", Watch: true}, {When: number, Open: "sev1"}}, 1, "watch"},
		"recurrence window":  {[]Rule{{When: number, Open: "sev1", RecurrenceWindow: time.Hour}}, 1, "open sev1"},
	} {
		t.Run(name, func(t *testing.T) {
			v := mustRouting(t, c.rules...).route(incident.Alert{Sample: true, Tags: map[string]string{"n": "many"}})
			if v.position != c.position || v.rule.describe() != c.want || v.rule.RecurrenceWindow != 0 {
				t.Errorf("got rule %d, %s, recurrence window %s; want rule %d, %s, none", v.position, v.rule.describe(), v.rule.RecurrenceWindow, c.position, c.want)
			}
		})
	}
}

func TestIngest_FailingConditionsAreShown(t *testing.T) {
	counter := conditionCounter{}
	fx := newFixture(t, func(o *Options) {
		o.Observer = counter
		o.Routing = mustRouting(t, Rule{When: `int(tags["users"]) > 100`, Open: "sev1"}, Rule{When: "true", Watch: true})
	})
	window := incident.MaintenanceWindow{When: `int(tags["users"]) < 5`, Reason: "planned work", From: fx.now, To: fx.now.Add(time.Hour)}
	fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryMaintenance, Add: &window})
	fx.ingest(t, delivery(1, testAlert("A", "x", "y")))
	if got := fx.outcomes(1); got[0] != "opened" {
		t.Fatalf("got outcome %v, want opened", got)
	}
	inc := fx.store.incidents[1]
	if inc.Severity != incident.Sev1 {
		t.Errorf("got %s, want sev1", inc.Severity)
	}
	opened := fmt.Sprint(fx.store.events[1][0].Texts)
	for _, want := range []string{"Routing rule 1 failed on this alert", "Its action applies, because a failing rule may not hide an alert: open sev1", "Maintenance window M1 failed on this alert and did not suppress it"} {
		if !strings.Contains(opened, want) {
			t.Errorf("got %s, want %q", opened, want)
		}
	}
	if counter["rule"] != 1 || counter["window"] != 1 {
		t.Errorf("got counts %v, want one rule and one window", counter)
	}
	windows := fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryMaintenance}).MaintenanceWindows
	if len(windows) != 1 || windows[0].Failing != "its condition failed on 1 alert, which it did not suppress" || windows[0].Suppressed != 0 {
		t.Errorf("got windows %+v", windows)
	}
	x := fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryExplain, Alert: 1}).Explanation
	if len(x.Rules) != 2 || !x.Rules[0].Applied || x.Rules[0].Failed == "" || !x.Rules[1].Matched {
		t.Errorf("got rules %+v, want rule 1 failed and applied", x.Rules)
	}
	if len(x.FailedWindows) != 1 || !strings.Contains(x.FailedWindows[0], "M1 failed") {
		t.Errorf("got failed windows %v", x.FailedWindows)
	}
}

// TestIngest_StoredConditionWithoutBound stores a window as an earlier version did.
func TestIngest_StoredConditionWithoutBound(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	err := fx.store.Tx(context.Background(), func(tx Tx) error {
		_, err := tx.PutMaintenance(incident.MaintenanceWindow{When: endlessCondition, Reason: "x", Owner: "p1", From: fx.now, To: fx.now.Add(time.Hour)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	fx.ingest(t, delivery(1, testAlert("A", "x", "y")))
	if got := fx.outcomes(1); got[0] != "opened" {
		t.Errorf("got outcome %v, want opened", got)
	}
	windows := fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryMaintenance}).MaintenanceWindows
	if len(windows) != 1 || !strings.Contains(windows[0].Failing, "the range operator .. is not allowed") {
		t.Errorf("got windows %+v, want a failing one", windows)
	}
}

// TestIngest_WindowsOfTheTransaction changes the windows between the evaluation of
// their conditions and the transaction.
func TestIngest_WindowsOfTheTransaction(t *testing.T) {
	for name, c := range map[string]struct {
		before, inside []incident.MaintenanceWindow
		want           string
	}{
		"added":         {nil, []incident.MaintenanceWindow{{ID: 2, When: "true", ConfirmedBy: "p3", To: startTime.Add(time.Hour)}}, "maintenance"},
		"added other":   {nil, []incident.MaintenanceWindow{{ID: 2, When: "sample", To: startTime.Add(time.Hour)}}, "opened"},
		"ended":         {[]incident.MaintenanceWindow{{ID: 2, When: "true", ConfirmedBy: "p3", To: startTime.Add(time.Hour)}}, nil, "opened"},
		"unchanged":     {[]incident.MaintenanceWindow{{ID: 2, When: "true", ConfirmedBy: "p3", To: startTime.Add(time.Hour)}}, []incident.MaintenanceWindow{{ID: 2, When: "true", ConfirmedBy: "p3", To: startTime.Add(time.Hour)}}, "maintenance"},
		"ended earlier": {[]incident.MaintenanceWindow{{ID: 2, When: "true", ConfirmedBy: "p3", To: startTime.Add(time.Hour)}}, []incident.MaintenanceWindow{{ID: 2, When: "true", ConfirmedBy: "p3", To: startTime}}, "opened"},
	} {
		t.Run(name, func(t *testing.T) {
			fx := newRoutedFixture(t, nil)
			fx.Store = changingWindows{fx.store, c.before, c.inside}
			fx.ingest(t, delivery(1, testAlert("A", "x", "y")))
			if got := fx.outcomes(1); !slices.Equal(got, []string{c.want}) {
				t.Errorf("got outcome %v, want %s", got, c.want)
			}
		})
	}
}

// changingWindows is a store whose windows differ inside a transaction.
type changingWindows struct {
	*memory
	before, inside []incident.MaintenanceWindow
}

func (s changingWindows) View(ctx context.Context, f func(Reader) error) error {
	return s.memory.View(ctx, func(r Reader) error { return f(windowReader{r, s.before}) })
}

func (s changingWindows) Tx(ctx context.Context, f func(Tx) error) error {
	return s.memory.Tx(ctx, func(tx Tx) error { return f(windowTx{tx, s.inside}) })
}

type windowReader struct {
	Reader
	windows []incident.MaintenanceWindow
}

func (r windowReader) MaintenanceWindows(time.Time) ([]incident.MaintenanceWindow, error) {
	return r.windows, nil
}

type windowTx struct {
	Tx
	windows []incident.MaintenanceWindow
}

func (t windowTx) MaintenanceWindows(time.Time) ([]incident.MaintenanceWindow, error) {
	return slices.Clone(t.windows), nil
}

func (windowTx) AddSuppressed(_, _, _ int64) error { return nil }

func TestMaintenanceWindow_AtMostFiftyOpen(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	add := func() error {
		m := incident.MaintenanceWindow{When: "sample", Reason: "planned work", From: fx.now, To: fx.now.Add(time.Hour)}
		_, err := fx.Alerts(context.Background(), slackIdentity("p1"), incident.AlertRequest{Query: incident.QueryMaintenance, Add: &m})
		return err
	}
	for range incident.MaxOpenWindows {
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
	if err := add(); incident.CodeOf(err) != incident.CodeConflict {
		t.Errorf("got %v, want a conflict", err)
	}
}
