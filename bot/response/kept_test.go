package response

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bot/incident"
)

func (w *world) errand(t tester, person string, e incident.AlertRequest) incident.AlertResult {
	t.Helper()
	a, err := w.Alerts(context.Background(), slack(person), e)
	if err != nil {
		t.Fatalf("%s: %v", e.Query, err)
	}
	return a
}

// leveled is an alert of a level.
func leveled(level incident.Level, fingerprint, correlation string) incident.Alert {
	a := alert("StopLogging", fingerprint, correlation)
	a.Level = level
	return a
}

func TestWatchedAlertIsListedAndPromoted(t *testing.T) {
	w := routed(t, nil)
	quiet := leveled("informational", "f1", "AKIA1")
	w.report(t, reported(1, quiet), reported(2, quiet), reported(3, leveled("informational", "f2", "AKIA1")))
	listed := w.errand(t, "p1", incident.AlertRequest{Query: incident.QueryAlerts, Disposition: incident.DispositionWatched})
	if listed.Kinds != 2 || listed.Occurrences != 3 || len(listed.Alerts) != 2 {
		t.Fatalf("%+v", listed)
	}
	id := w.store.alerts[0].ID
	if _, err := w.Do(context.Background(), incident.Command{Verb: incident.VerbPromote, Alerts: []int64{id}, By: slack("p5")}); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("legal promoted it: %v", err)
	}
	result := w.say(t, "p1", incident.Command{Verb: incident.VerbPromote, Alerts: []int64{id}, Severity: incident.Sev2})
	inc := result.Incident
	if inc.Status != incident.Triage || inc.Severity != incident.Sev2 || len(inc.Alerts) != 1 || inc.OpenedBy != "p1" || inc.Title != "StopLogging by AKIA" {
		t.Errorf("%+v", inc)
	}
	if n := len(w.errand(t, "p1", incident.AlertRequest{Query: incident.QueryAlerts, Disposition: incident.DispositionWatched}).Alerts); n != 0 {
		t.Errorf("%d alerts of its correlation are still only watched", n)
	}
	again := w.say(t, "p1", incident.Command{Verb: incident.VerbPromote, Alerts: []int64{id}})
	if !again.Unchanged || again.Incident.ID != inc.ID {
		t.Errorf("promoted twice: %+v", again)
	}
	w.report(t, reported(4, leveled("medium", "f1", "AKIA1")))
	if got := w.outcomes(4); got[0] != "counted" {
		t.Errorf("a copy that came later is %v", got)
	}
	// Another one joins the live incident of its choice.
	w.report(t, reported(5, leveled("informational", "g", "other")))
	other := w.store.alerts[len(w.store.alerts)-1].ID
	joined := w.say(t, "p1", incident.Command{Verb: incident.VerbPromote, Alerts: []int64{other}, For: inc.ID})
	if joined.Incident.ID != inc.ID || len(joined.Incident.Alerts) != 2 {
		t.Errorf("%+v", joined.Incident)
	}
}

func TestDroppedAlertsAreKeptForTheMeeting(t *testing.T) {
	w := routed(t, nil)
	for n := range 3 {
		w.report(t, reported(int64(n+1), leveled("low", "f1", "AKIA1")))
	}
	dropped := w.errand(t, "p1", incident.AlertRequest{Query: incident.QueryAlerts, Disposition: incident.DispositionDropped})
	if dropped.Kinds != 1 || dropped.Occurrences != 3 || len(dropped.Alerts) != 1 || dropped.Alerts[0].Reason != "noise" {
		t.Fatalf("%+v", dropped)
	}
	var agenda incident.Brief
	w.Handlers[incident.EffectAgenda] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
		agenda = b
		return incident.Command{}, nil
	}
	if err := w.Sweep(context.Background(), ScheduleAgenda, w.now); err != nil {
		t.Fatal(err)
	}
	w.settle(t)
	if len(agenda.SuppressedAlerts.Alerts) != 1 || agenda.SuppressedAlerts.Occurrences != 3 || agenda.SuppressedAlerts.Alerts[0].Title != "" {
		t.Errorf("the agenda has %+v", agenda.SuppressedAlerts)
	}
}

func TestLateCopiesOfAFalseAlarmWakeNobody(t *testing.T) {
	windowed := func(o *Options) {
		o.Routing = routing(t, Rule{When: `level == "critical"`, Open: "sev1", RecurrenceWindow: 24 * time.Hour}, Rule{When: `true`, Open: "sev3", RecurrenceWindow: 24 * time.Hour})
	}
	w := newWorld(t, windowed)
	a := leveled("high", "f1", "AKIA1")
	w.report(t, reported(1, a))
	first := w.store.handled[1].Incident
	w.say(t, "p1", incident.Command{Verb: incident.VerbSetFact, For: first, Text: "looked", Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "no"}})
	w.say(t, "p1", incident.Command{Verb: incident.VerbDismiss, For: first, Text: "a drill"})
	var rows []incident.DecodedDelivery
	for n := range 12 {
		rows = append(rows, reported(int64(n+2), a))
	}
	w.report(t, rows[0])
	w.report(t, rows[1:]...)
	if got := w.outcomes(2, 3, 13); !slices.Equal(got, []string{"recurred", "recurred", "recurred"}) || len(w.store.incidents) != 1 {
		t.Errorf("%v, %d incidents", got, len(w.store.incidents))
	}
	if n := count(w.kinds(first), incident.EventSourceNoted); n != 2 {
		t.Errorf("said %d times, want at the first and the 10th", n)
	}
	// A graver one, and another fingerprint, are news.
	w.report(t, reported(20, leveled("critical", "f1", "AKIA1")))
	next := w.store.handled[20].Incident
	if w.outcomes(20)[0] != "opened" || !slices.Contains(w.kinds(next), incident.EventSourceNoted) {
		t.Errorf("%v %v", w.outcomes(20), w.kinds(next))
	}
	// Beyond the window so is the same one.
	w = newWorld(t, windowed)
	w.report(t, reported(1, a))
	w.say(t, "p1", incident.Command{Verb: incident.VerbSetFact, For: 1, Text: "looked", Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "no"}})
	w.say(t, "p1", incident.Command{Verb: incident.VerbDismiss, For: 1, Text: "a drill"})
	w.now = w.now.Add(25 * time.Hour)
	w.report(t, reported(2, a))
	if got := w.outcomes(2); got[0] != "opened" {
		t.Errorf("after a day it is %v", got)
	}
}

// TestAStateToldAgainOpensNothing: what an incident dealt with and is merely
// told again stays with it, however long ago that ended and whatever came since.
func TestAStateToldAgainOpensNothing(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Routing = routing(t, Rule{When: `true`, Open: "sev3"}) })
	dismiss := func(id incident.ID) {
		w.say(t, "p1", incident.Command{Verb: incident.VerbSetFact, For: id, Text: "looked", Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "no"}})
		w.say(t, "p1", incident.Command{Verb: incident.VerbDismiss, For: id, Text: "a drill"})
	}
	lasting := func(fingerprint string) incident.Alert {
		a := leveled("high", fingerprint, "group")
		a.Ongoing = true
		return a
	}
	a, b := lasting("a since 1"), lasting("b since 1")
	w.report(t, reported(1, a))
	dismiss(1)
	w.now = w.now.Add(1000 * time.Hour)
	w.report(t, reported(2, a))
	if got := w.outcomes(2); got[0] != "recurred" || len(w.store.incidents) != 1 || !slices.Contains(w.kinds(1), incident.EventSourceNoted) {
		t.Fatalf("told again: %v, %d incidents", got, len(w.store.incidents))
	}
	w.report(t, reported(3, b))
	if got := w.outcomes(3); got[0] != "opened" || len(w.store.incidents) != 2 {
		t.Fatalf("another of the group: %v", got)
	}
	dismiss(2)
	w.report(t, reported(4, a), reported(5, b))
	if got := w.outcomes(4, 5); !slices.Equal(got, []string{"recurred", "recurred"}) || len(w.store.incidents) != 2 {
		t.Errorf("the group again: %v", got)
	}
	if n := count(w.kinds(2), incident.EventSourceNoted); n != 1 {
		t.Errorf("said %d times", n)
	}
	w.report(t, reported(6, lasting("a since 2")))
	if got := w.outcomes(6); got[0] != "opened" {
		t.Errorf("from a new start on: %v", got)
	}
	apart := lasting("apart since 1")
	apart.Correlation = "another group"
	beside := lasting("beside since 1")
	beside.Correlation = apart.Correlation
	w.report(t, reported(9, beside), reported(10, apart))
	w.say(t, "p1", incident.Command{Key: "k", Verb: incident.VerbSplit, For: w.store.handled[10].Incident, Alerts: []int64{w.store.handled[10].Alert}, Title: "another"})
	dismiss(w.store.handled[9].Incident)
	dismiss(w.store.handled[9].Incident + 1)
	w.report(t, reported(11, beside), reported(12, apart))
	if got := w.outcomes(11, 12); !slices.Equal(got, []string{"recurred", "recurred"}) {
		t.Errorf("split off, and told again after its end: %v", got)
	}
	plain := leveled("high", "p", "other")
	w.report(t, reported(7, plain))
	dismiss(w.store.handled[7].Incident)
	w.report(t, reported(8, plain))
	if got := w.outcomes(8); got[0] != "opened" {
		t.Errorf("what happened again, without a window: %v", got)
	}
}

func TestStormGathersIntoOneIncidentAndPasses(t *testing.T) {
	w := routed(t, func(o *Options) { o.Storm = StormLimit{Incidents: 3, Per: 5 * time.Minute} })
	row := int64(0)
	come := func(n int) {
		var batch []incident.DecodedDelivery
		for range n {
			row++
			batch = append(batch, reported(row, alert(fmt.Sprint("kind", row), fmt.Sprint("f", row), fmt.Sprint("c", row))))
		}
		w.report(t, batch...)
	}
	come(150)
	w.settle(t)
	if len(w.store.incidents) != 4 {
		t.Fatalf("%d incidents", len(w.store.incidents))
	}
	storm := w.store.incidents[4]
	alerts, _ := w.store.Alerts(4, 0)
	if len(alerts) != 147 || w.store.storms[4].Grouped != 147 || storm.Title != "Storm of alerts: more than 3 incidents within 5m" {
		t.Errorf("%d alerts, %+v, %q", len(alerts), w.store.storms[4], storm.Title)
	}
	pages := 0
	for _, call := range w.calls {
		if strings.HasPrefix(call, "page ") {
			pages++
		}
	}
	if pages != 4 {
		t.Errorf("%d pages for 150 incidents' worth of alerts", pages)
	}
	// It is said at the 10th and 100th, and again when it is over.
	if n := count(w.kinds(4), incident.EventSourceNoted); n != 2 {
		t.Errorf("said %d times", n)
	}
	w.now = w.now.Add(6 * time.Minute)
	w.settle(t)
	if n := count(w.kinds(4), incident.EventSourceNoted); n != 3 || !w.store.storms[4].Ended {
		t.Errorf("its end was said: %d notes, %+v", n, w.store.storms[4])
	}
	come(2)
	if len(w.store.incidents) != 6 {
		t.Errorf("%d incidents after the storm", len(w.store.incidents))
	}
	w.report(t, reported(9000, alert("kind100", "f100", "c100")))
	if got := w.store.handled[9000]; got.Outcome != "counted" || got.Incident != 4 {
		t.Errorf("a copy of what the storm brought: %+v", got)
	}
	come(5)
	if s := w.store.storms[4]; s.Ended || s.Round != 2 || len(w.store.incidents) != 7 {
		t.Errorf("a second storm: %+v, %d incidents", s, len(w.store.incidents))
	}
}

func TestNamesThatAreNoSourceAreFound(t *testing.T) {
	for when, want := range map[string]string{
		`source == "a"`: "", `source == "x"`: "x", `"x" != source and level == "low"`: "x", `source in ["a", "x", "y"] || source == "x"`: "x y", `!(source in ["b"])`: "",
		`level == "x"`: "", `tags["source"] == "x"`: "", `source == level`: "", `title in ["x"]`: "", `"x" in source`: "", `source ==`: "", `any([1], source == "z")`: "z",
	} {
		if got := strings.Join(UnknownSources(when, []string{"a", "b"}), " "); got != want {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
}

func TestMaintenanceWindowKeepsAlertsBack(t *testing.T) {
	w := routed(t, func(o *Options) { o.Sources = []string{"cloudtrail", "sentry"} })
	w.report(t, reported(1, alert("A", "before", "live")))
	add := incident.MaintenanceWindow{When: `source == "cloudtrail"`, Reason: "planned work", From: w.now, To: w.now.Add(2 * time.Hour)}
	for name, c := range map[string]func(*incident.MaintenanceWindow){
		"too long":       func(m *incident.MaintenanceWindow) { m.To = m.From.Add(8 * 24 * time.Hour) },
		"without reason": func(m *incident.MaintenanceWindow) { m.Reason = "" },
		"no source":      func(m *incident.MaintenanceWindow) { m.When = `source == "eventbridge"` },
		"no condition":   func(m *incident.MaintenanceWindow) { m.When = "sauce" },
		"passed":         func(m *incident.MaintenanceWindow) { m.From, m.To = w.now.Add(-2*time.Hour), w.now.Add(-time.Hour) },
	} {
		m := add
		c(&m)
		if _, err := w.Alerts(context.Background(), slack("p1"), incident.AlertRequest{Query: incident.QueryMaintenance, Add: &m}); incident.CodeOf(err) != incident.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.Alerts(context.Background(), slack("p7"), incident.AlertRequest{Query: incident.QueryMaintenance, Add: &add}); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("by communications: %v", err)
	}
	for range 2 { // the second time is the same click
		w.errand(t, "p1", incident.AlertRequest{Query: incident.QueryMaintenance, Add: &add, Key: "k"})
	}
	w.report(t, reported(2, alert("B", "new", "other")), reported(3, alert("C", "more", "live")), reported(4, leveled("low", "x", "y")))
	if got := w.outcomes(2, 3, 4); !slices.Equal(got, []string{"maintenance", "attached", "dropped"}) {
		t.Errorf("%v", got)
	}
	windows := w.errand(t, "p1", incident.AlertRequest{Query: incident.QueryMaintenance}).MaintenanceWindows
	if len(windows) != 1 || windows[0].Suppressed != 1 || windows[0].Owner != "p1" {
		t.Errorf("%+v", windows)
	}
	w.errand(t, "p2", incident.AlertRequest{Query: incident.QueryMaintenance, End: windows[0].ID})
	w.report(t, reported(5, alert("B", "newer", "another")))
	if got := w.outcomes(5); got[0] != "opened" {
		t.Errorf("after its end: %v", got)
	}
	if audited := slices.ContainsFunc(w.store.audit, func(a Access) bool { return a.Action == "maintenance end" && a.Person == "p2" }); !audited {
		t.Error("its end is not in the audit log")
	}
}

func TestSplitSendsLaterCopiesToTheNewIncident(t *testing.T) {
	w := routed(t, nil)
	w.report(t, reported(1, alert("A", "f1", "AKIA")), reported(2, alert("B", "f2", "AKIA")), reported(3, alert("C", "f3", "AKIA")))
	var moved []int64
	for _, row := range w.store.alerts[1:] {
		moved = append(moved, row.ID)
	}
	w.say(t, "p1", incident.Command{Key: "k", Verb: incident.VerbSplit, For: 1, Alerts: moved, Title: "another key", Text: "another account"})
	source, target := w.store.incidents[1], w.store.incidents[2]
	if len(source.Alerts) != 1 || len(target.Alerts) != 2 || target.SplitFrom != 1 || !slices.Contains(source.SplitInto, 2) || target.Severity != source.Severity {
		t.Fatalf("%+v\n%+v", source.Alerts, target.Alerts)
	}
	w.report(t, reported(4, alert("B", "f2", "AKIA")), reported(5, alert("A", "f1", "AKIA")), reported(6, alert("D", "f4", "AKIA")))
	for row, want := range map[int64]incident.ID{4: 2, 5: 1, 6: 1} {
		if got := w.store.handled[row].Incident; got != want {
			t.Errorf("delivery %d went to %s, not %s", row, got, want)
		}
	}
	if result := w.say(t, "p1", incident.Command{Key: "k", Verb: incident.VerbSplit, For: 1, Alerts: moved, Title: "another key"}); !result.Unchanged || len(w.store.incidents) != 2 {
		t.Errorf("said twice: %+v", result)
	}
	if _, err := w.Do(context.Background(), incident.Command{Verb: incident.VerbSplit, For: 1, Alerts: moved, Title: "x", By: slack("p1")}); incident.CodeOf(err) != incident.CodeConflict {
		t.Errorf("alerts of another incident: %v", err)
	}
}

// dismissed ends an incident as a false alarm.
func (w *world) dismissed(t tester, id incident.ID) {
	t.Helper()
	w.say(t, "p1", incident.Command{Verb: incident.VerbDismiss, For: id, Text: "a drill"})
	w.say(t, "p3", incident.Command{Verb: incident.VerbDismiss, For: id, Text: "yes"})
}

// TestReopenedSplitOffHasItsOwnAlertsAlone: what was split off is not the whole
// group's incident when it is opened again, whether or not the other one lives.
func TestReopenedSplitOffHasItsOwnAlertsAlone(t *testing.T) {
	for name, endedToo := range map[string]bool{"the other one lives": false, "the other one has ended": true} {
		t.Run(name, func(t *testing.T) {
			w := routed(t, nil)
			w.report(t, reported(1, alert("A", "f1", "AKIA")), reported(2, alert("B", "f2", "AKIA")))
			w.say(t, "p1", incident.Command{Key: "k", Verb: incident.VerbSplit, For: 1, Alerts: []int64{w.store.alerts[1].ID}, Title: "another key", Text: "another account"})
			w.dismissed(t, 2)
			if endedToo {
				w.dismissed(t, 1)
			}
			w.say(t, "p1", incident.Command{For: 2, Verb: incident.VerbReopen, Text: "it was none"})
			w.report(t, reported(3, alert("B", "f2", "AKIA")))
			w.report(t, reported(4, alert("A", "f1", "AKIA")))
			if got := w.store.handled[3].Incident; got != 2 {
				t.Errorf("a copy of its own went to %s", got)
			}
			if got := w.store.handled[4]; got.Incident == 2 || !endedToo && got.Incident != 1 {
				t.Errorf("a copy of what stayed: %+v", got)
			}
		})
	}
	t.Run("it took all of the correlation", func(t *testing.T) {
		w := routed(t, nil)
		w.report(t, reported(1, alert("A", "f1", "AKIA")))
		w.store.alerts = append(w.store.alerts, AlertRow{ID: 2, Incident: 1, Alert: alert("B", "f2", "ASIA"), Count: 1})
		w.store.correlate["ASIA"] = 1
		w.say(t, "p1", incident.Command{Key: "k", Verb: incident.VerbSplit, For: 1, Alerts: []int64{2}, Title: "another key", Text: "another account"})
		w.dismissed(t, 2)
		w.say(t, "p1", incident.Command{For: 2, Verb: incident.VerbReopen, Text: "it was none"})
		w.report(t, reported(3, alert("C", "f3", "ASIA")))
		if got := w.store.handled[3].Incident; got != 2 {
			t.Errorf("what is new of its correlation went to %s", got)
		}
	})
}

// TestReopenedIncidentHasAllItsKeys, however many they are.
func TestReopenedIncidentHasAllItsKeys(t *testing.T) {
	w := routed(t, nil)
	w.report(t, reported(1, alert("A", "f1", "AKIA")))
	for n := range restoreBatch + 100 {
		w.store.alerts = append(w.store.alerts, AlertRow{ID: int64(n + 2), Incident: 1, Alert: alert("A", fmt.Sprint("g", n), fmt.Sprint("key", n)), Count: 1})
	}
	w.dismissed(t, 1)
	w.say(t, "p1", incident.Command{For: 1, Verb: incident.VerbReopen, Text: "it was none"})
	w.report(t, reported(2, alert("B", "new", fmt.Sprint("key", restoreBatch+99))))
	if got := w.store.handled[2].Incident; got != 1 {
		t.Errorf("an alert of its last correlation went to %s", got)
	}
}

func TestExplainNamesTheValuesThatDidNotFit(t *testing.T) {
	rules := []Rule{{When: `source == "cloudtrail" && level in ["high", "critical"] && tags["team"] == "web"`, Open: "sev2"},
		{When: `level == "low"`, Drop: "noise"}, {When: "true", Watch: true}}
	w := newWorld(t, func(o *Options) { o.Routing = routing(t, rules...) })
	a := leveled("medium", "f1", "AKIA")
	a.Tags = map[string]string{"team": "pay"}
	w.report(t, reported(1, a))
	then := w.Routing.Digest()
	x := w.errand(t, "p1", incident.AlertRequest{Query: incident.QueryExplain, Alert: 1}).Explanation
	if len(x.Rules) != 3 || !x.Rules[2].Matched || x.Digest != then || x.CurrentDigest != then || x.CurrentRules != nil || !strings.HasPrefix(x.Outcome, "watched") {
		t.Fatalf("%+v", x)
	}
	why := strings.Join(x.Rules[0].Why, "\n")
	if strings.Contains(why, "source ==") || !strings.Contains(why, `level = "medium"`) || !strings.Contains(why, `tags["team"] = "pay"`) {
		t.Errorf("why not:\n%s", why)
	}
	// The configuration changes: the old rules still explain it, the new ones say what would be.
	w.Routing = routing(t, Rule{When: `level == "medium"`, Open: "sev3"})
	w.Desk.routing.Store(0)
	x = w.errand(t, "p1", incident.AlertRequest{Query: incident.QueryExplain, Delivery: 1}).Explanation
	if x.Digest != then || x.CurrentDigest == then || len(x.Rules) != 3 || len(x.CurrentRules) != 1 || !x.CurrentRules[0].Matched || x.Delivery == nil {
		t.Errorf("%+v", x)
	}
}

// TestEvaluatedAnew has deliveries routed again by other rules: what was counted is not counted twice.
func TestEvaluatedAnew(t *testing.T) {
	w := routed(t, nil)
	quiet := leveled("informational", "f1", "AKIA1")
	w.report(t, reported(1, quiet), reported(2, quiet), reported(3, leveled("low", "f2", "AKIA2")))
	anew := func(rows ...incident.DecodedDelivery) {
		for n := range rows {
			rows[n].Reprocessed = true
			delete(w.store.handled, rows[n].Row)
		}
		w.report(t, rows...)
	}
	anew(reported(1, quiet), reported(2, quiet))
	if row := w.store.alerts[0]; row.Count != 2 || row.Incident != WatchedAlerts {
		t.Errorf("by the same rules: %+v", row)
	}
	w.Routing = routing(t, Rule{When: "true", Open: "sev3"})
	w.Desk.routing.Store(0)
	anew(reported(1, quiet))
	anew(reported(2, quiet), reported(3, leveled("low", "f2", "AKIA2")))
	if row := w.store.alerts[0]; row.Count != 2 || row.Incident != 1 {
		t.Errorf("by other rules: %+v", row)
	}
	if row := w.store.alerts[1]; row.Count != 1 || row.Incident != 2 {
		t.Errorf("what was dropped: %+v", row)
	}
	if got := w.outcomes(1, 2, 3); !slices.Equal(got, []string{"opened", "counted", "opened"}) {
		t.Errorf("%v", got)
	}
}

// TestNothingIsLostWhateverIsConfigured throws alerts at storms, windows of maintenance and false alarms: every delivery
// is settled once, and every copy is counted once, somewhere.
func TestNothingIsLostWhateverIsConfigured(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, func(o *Options) {
			o.Storm = StormLimit{Incidents: rapid.IntRange(0, 3).Draw(t, "storm"), Per: 5 * time.Minute}
			o.Routing = routing(t, Rule{When: `level == "critical"`, Open: "sev1"}, Rule{When: `level == "high"`, Open: "sev3", RecurrenceWindow: time.Hour},
				Rule{When: `level == "medium"`, Attach: true}, Rule{When: `level == "low"`, Drop: "noise"})
		})
		row := int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 10).Draw(t, "step") {
			case 0:
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "minutes")) * time.Minute)
			case 1:
				_, _ = w.Alerts(context.Background(), slack("p1"), incident.AlertRequest{Query: incident.QueryMaintenance, Add: &incident.MaintenanceWindow{When: `level == "high"`, Reason: "x",
					From: w.now, To: w.now.Add(10 * time.Minute)}})
			case 2:
				for id, inc := range w.store.incidents {
					if inc.Status.Responding() {
						_, _ = w.Do(context.Background(), incident.Command{Verb: incident.VerbSetFact, For: id, By: slack("p1"), Text: "looked", Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "no"}})
						_, _ = w.Do(context.Background(), incident.Command{Verb: incident.VerbDismiss, For: id, By: slack("p1"), Text: "a drill"})
					}
				}
			case 3:
				for _, a := range slices.Clone(w.store.alerts) {
					_, _ = w.Do(context.Background(), incident.Command{Verb: incident.VerbPromote, Alerts: []int64{a.ID}, By: slack("p1")})
				}
			case 4:
				w.settle(t)
			case 10:
				if rows := slices.DeleteFunc(slices.Clone(w.store.alerts), func(a AlertRow) bool { return a.Incident <= 0 }); len(rows) > 0 {
					moved := rapid.SampledFrom(rows).Draw(t, "moved")
					_, _ = w.Do(context.Background(), incident.Command{Verb: incident.VerbSplit, For: moved.Incident, Alerts: []int64{moved.ID}, Title: "another", By: slack("p1")})
				}
			default:
				var batch []incident.DecodedDelivery
				for range rapid.IntRange(1, 8).Draw(t, "batch") {
					row++
					level := rapid.SampledFrom([]incident.Level{"critical", "high", "high", "medium", "low", "informational"}).Draw(t, "level")
					n := rapid.IntRange(0, 6).Draw(t, "which")
					batch = append(batch, reported(row, leveled(level, fmt.Sprint("f", n), fmt.Sprint("c", n/2))))
				}
				if err := w.Ingest(context.Background(), batch); err != nil {
					t.Fatal(err)
				}
			}
		}
		copies := int64(0)
		for _, a := range w.store.alerts {
			if a.Incident != -9 { // added up
				copies += a.Count
			}
		}
		if copies != row || len(w.store.handled) != int(row) {
			t.Fatalf("%d deliveries came, %d are settled, %d copies are counted", row, len(w.store.handled), copies)
		}
		for key, id := range w.store.correlate {
			if !w.store.incidents[id].Status.Live() {
				t.Fatalf("%s still leads to %s, which is %s", key, id, w.store.incidents[id].Status)
			}
		}
		for n, s := range w.store.handled {
			if s.Outcome == "" || s.Routing == 0 {
				t.Fatalf("delivery %d: %+v", n, s)
			}
		}
	})
}
