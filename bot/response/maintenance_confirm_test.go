package response

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bot/incident"
)

// addWindow adds a maintenance window of a person that is active for two hours.
func (fx *fixture) addWindow(t testingT, owner, when string) int64 {
	t.Helper()
	windows := fx.alertRequest(t, owner, incident.AlertRequest{Query: incident.QueryMaintenance,
		Add: &incident.MaintenanceWindow{When: when, Reason: "planned work", From: fx.now, To: fx.now.Add(2 * time.Hour)}}).MaintenanceWindows
	var last int64
	for _, m := range windows {
		last = max(last, m.ID)
	}
	return last
}

func (fx *fixture) confirm(person string, window int64) error {
	_, err := fx.Alerts(context.Background(), slackIdentity(person), incident.AlertRequest{Query: incident.QueryMaintenance, Confirm: window})
	return err
}

// newSeverityFixture returns a desk that opens critical, high, medium and low alerts
// at sev1 to sev4. Rule 1 fails on an alert whose tag "users" is not a number.
func newSeverityFixture(t testingT, change func(*Options)) *fixture {
	return newFixture(t, func(o *Options) {
		r, err := NewRouting([]Rule{{When: `"users" in tags && int(tags["users"]) > 100`, Open: "sev2"}, {When: `level == "critical"`, Open: "sev1"},
			{When: `level == "high"`, Open: "sev2", RecurrenceWindow: time.Hour}, {When: `level == "medium"`, Open: "sev3", RecurrenceWindow: time.Hour},
			{When: `level == "low"`, Open: "sev4"}, {When: `kind == "attached"`, Attach: true}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		o.Routing = r
		if change != nil {
			change(o)
		}
	})
}

func TestMaintenanceWindow_UnconfirmedDecidesPerAlert(t *testing.T) {
	tagged := alertWithLevel("low", "tagged", "t")
	tagged.Tags = map[string]string{"users": "many"}
	for name, c := range map[string]struct {
		batch                  []incident.DecodedDelivery
		unconfirmed, confirmed string // outcomes
	}{
		"sev1":           {[]incident.DecodedDelivery{delivery(1, alertWithLevel("critical", "a", "a"))}, "opened", "maintenance"},
		"sev2":           {[]incident.DecodedDelivery{delivery(1, alertWithLevel("high", "a", "a"))}, "opened", "maintenance"},
		"sev3":           {[]incident.DecodedDelivery{delivery(1, alertWithLevel("medium", "a", "a"))}, "maintenance", "maintenance"},
		"sev4":           {[]incident.DecodedDelivery{delivery(1, alertWithLevel("low", "a", "a"))}, "maintenance", "maintenance"},
		"watched":        {[]incident.DecodedDelivery{delivery(1, alertWithLevel("informational", "a", "a"))}, "watched", "maintenance"},
		"routing failed": {[]incident.DecodedDelivery{delivery(1, tagged)}, "opened", "maintenance"},
		"undecodable":    {[]incident.DecodedDelivery{undecodableDelivery(1)}, "undecodable", "undecodable"},
		"two alerts in one delivery": {[]incident.DecodedDelivery{delivery(1, alertWithLevel("low", "a", "a")), delivery(2, alertWithLevel("high", "b", "b"))},
			"maintenance opened", "maintenance maintenance"},
		"severe repeat in a batch": {[]incident.DecodedDelivery{delivery(1, alertWithLevel("low", "a", "a")), delivery(2, alertWithLevel("critical", "a", "a"))},
			"opened counted", "maintenance maintenance"},
		"attached": {[]incident.DecodedDelivery{delivery(1, alertWithLevel("low", "a", "live"))}, "attached", "attached"},
	} {
		for _, confirmed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s confirmed %v", name, confirmed), func(t *testing.T) {
				fx := newSeverityFixture(t, nil)
				fx.ingest(t, delivery(100, alertWithLevel("medium", "first", "live")))
				id, want := fx.addWindow(t, "p1", "true"), c.unconfirmed
				if confirmed {
					want = c.confirmed
					if err := fx.confirm("p3", id); err != nil {
						t.Fatal(err)
					}
				}
				fx.ingest(t, c.batch...)
				rows := make([]int64, len(c.batch))
				for n, d := range c.batch {
					rows[n] = d.Row
				}
				if got := strings.Join(fx.outcomes(rows...), " "); got != want {
					t.Errorf("got outcomes %s, want %s", got, want)
				}
			})
		}
	}
}

// TestMaintenanceWindow_CoversEachOccurrence has an alert whose repeat in the same
// batch does not match the window.
func TestMaintenanceWindow_CoversEachOccurrence(t *testing.T) {
	low, medium, failing := alertWithLevel("low", "a", "a"), alertWithLevel("medium", "a", "a"), alertWithLevel("low", "a", "a")
	failing.Tags = map[string]string{"level": "many"}
	for name, c := range map[string]struct {
		first, second incident.Alert
		want          []string
	}{
		"second differs": {low, medium, []string{"opened", "counted"}},
		"first differs":  {medium, low, []string{"opened", "counted"}},
		"second fails":   {low, failing, []string{"opened", "counted"}},
		"first fails":    {failing, low, []string{"opened", "counted"}},
		"both match":     {low, low, []string{"maintenance", "maintenance"}},
		"second watched": {low, alertWithLevel("informational", "a", "a"), []string{"maintenance", "maintenance"}},
	} {
		t.Run(name, func(t *testing.T) {
			fx := newSeverityFixture(t, nil)
			fx.addWindow(t, "p1", `level != "medium" && ("level" in tags ? int(tags["level"]) > 0 : true)`)
			fx.ingest(t, delivery(1, c.first), delivery(2, c.second))
			if got := fx.outcomes(1, 2); !slices.Equal(got, c.want) {
				t.Fatalf("got outcomes %v, want %v", got, c.want)
			}
			failed := len(fx.store.incidents) > 0 && strings.Contains(fmt.Sprint(fx.store.events[1][0].Texts), "Maintenance window M1 failed on this alert")
			if failed != strings.Contains(name, "fails") {
				t.Errorf("the incident names a failing window: %v", failed)
			}
		})
	}
}

func TestMaintenanceWindow_CorrelationRulesAndReports(t *testing.T) {
	fx := newSeverityFixture(t, func(o *Options) { o.Correlate = everyThird{} })
	fx.addWindow(t, "p1", "true")
	fx.ingest(t, observedIn(1, "a"), observedIn(2, "a"), observedIn(3, "a")) // the rule fires at high
	if got := fx.outcomes(1, 2, 3); !slices.Equal(got, []string{"maintenance", "maintenance", "opened"}) {
		t.Errorf("got outcomes %v", got)
	}
	report := alertWithLevel("high", "report", "report")
	report.Report = &incident.VulnReport{}
	fx.ingest(t, delivery(4, report))
	if got := fx.outcomes(4); got[0] != "opened" {
		t.Errorf("report: got %v", got)
	}
}

func TestMaintenanceWindow_UnconfirmedIsExplained(t *testing.T) {
	fx := newSeverityFixture(t, nil)
	fx.addWindow(t, "p1", "true")
	fx.ingest(t, delivery(1, alertWithLevel("high", "a", "a")))
	const want = "Maintenance window M1 matches this alert but did not suppress it, because it is not confirmed for sev1 and sev2."
	if texts := fmt.Sprint(fx.store.events[1][0].Texts); !strings.Contains(texts, want) {
		t.Errorf("got %s, want %q", texts, want)
	}
	explain := func() []string {
		return fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryExplain, Alert: 1}).Explanation.UnconfirmedWindows
	}
	if got := explain(); len(got) != 1 || !strings.HasPrefix(got[0], want) {
		t.Errorf("got %v", got)
	}
	fx.ingest(t, delivery(2, alertWithLevel("informational", "b", "b")))
	watched := fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryExplain, Alert: 2}).Explanation
	if len(watched.UnconfirmedWindows) != 0 {
		t.Errorf("watched alert: got %v", watched.UnconfirmedWindows)
	}
	fx.now = fx.now.Add(time.Minute)
	if err := fx.confirm("p3", 1); err != nil {
		t.Fatal(err)
	}
	if got := explain(); len(got) != 1 { // it was not confirmed at the time
		t.Errorf("after the confirmation: got %v", got)
	}
}

// TestMaintenanceWindow_ConfirmedOneAmongSeveral has an unconfirmed window that ends
// first.
func TestMaintenanceWindow_ConfirmedOneAmongSeveral(t *testing.T) {
	fx := newSeverityFixture(t, nil)
	fx.addWindow(t, "p1", "true")
	second := fx.addWindow(t, "p1", "true")
	if err := fx.confirm("p3", second); err != nil {
		t.Fatal(err)
	}
	fx.ingest(t, delivery(1, alertWithLevel("high", "a", "a")), delivery(2, alertWithLevel("low", "b", "b")))
	if got := fx.outcomes(1, 2); !slices.Equal(got, []string{"maintenance", "maintenance"}) {
		t.Errorf("got outcomes %v", got)
	}
	first, confirmed := fx.store.maintenance[0], fx.store.maintenance[1]
	if first.Suppressed != 1 || first.SuppressedSevere != 0 || confirmed.Suppressed != 1 || confirmed.SuppressedSevere != 1 {
		t.Errorf("got windows %+v, %+v", first, confirmed)
	}
}

func TestConfirmMaintenance_SecondPersonFromSecurity(t *testing.T) {
	fx := newSeverityFixture(t, nil)
	again := incident.Person{ID: "p3b", Name: "Person p3", Identities: []incident.Identity{{Provider: incident.ProviderSlack, ID: "Up3b"}}}
	fx.store.directory.People = append(fx.store.directory.People, again)
	for n, team := range fx.store.directory.Teams {
		if team.Name == incident.Security {
			fx.store.directory.Teams[n].Members = append(team.Members, incident.Membership{Person: "p3b"})
		}
	}
	own := fx.addWindow(t, "p3", "true")
	gone := fx.addWindow(t, "p1", "true")
	fx.store.maintenance[gone-1].Owner = "p-left"
	for name, c := range map[string]struct {
		person string
		window int64
		want   incident.Code
	}{
		"owner":                 {"p3", own, incident.CodeConflict},
		"owner by another name": {"p3b", own, incident.CodeConflict},
		"engineering":           {"p2", own, incident.CodeForbidden},
		"legal":                 {"p5", own, incident.CodeForbidden},
		"unknown owner":         {"p4", gone, incident.CodeConflict},
		"unknown window":        {"p4", 99, incident.CodeUnknown},
	} {
		if err := fx.confirm(c.person, c.window); incident.CodeOf(err) != c.want {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	for _, m := range fx.store.maintenance {
		if m.ConfirmedBy != "" {
			t.Fatalf("got window %+v, want it unconfirmed", m)
		}
	}
	for _, want := range []string{"M1 is confirmed", "No change: M1 is already confirmed"} {
		a := fx.alertRequest(t, "p4", incident.AlertRequest{Query: incident.QueryMaintenance, Confirm: own})
		if !strings.Contains(a.Done, want) || a.MaintenanceWindows[0].ConfirmedBy != "p4" {
			t.Errorf("got %q, %+v, want %q", a.Done, a.MaintenanceWindows, want)
		}
	}
	if !slices.ContainsFunc(fx.store.audit, func(a Access) bool { return a.Action == "maintenance confirm" && a.Person == "p4" }) {
		t.Error("the confirmation is not in the audit log")
	}
	if err := fx.confirm("p3", own); err != nil {
		t.Errorf("repeat by the owner: got %v, want no change", err)
	}
	over := fx.addWindow(t, "p1", "true")
	fx.now = fx.now.Add(2 * time.Hour)
	if err := fx.confirm("p4", over); incident.CodeOf(err) != incident.CodeConflict || !strings.Contains(err.Error(), " ended at ") {
		t.Errorf("after the end: got %v, want a conflict", err)
	}
}

// TestAddMaintenance_IsUnconfirmed has a caller that sets the confirmation itself.
func TestAddMaintenance_IsUnconfirmed(t *testing.T) {
	fx := newSeverityFixture(t, nil)
	fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryMaintenance, Add: &incident.MaintenanceWindow{When: "true", Reason: "x",
		From: fx.now, To: fx.now.Add(time.Hour), ConfirmedBy: "p3", Suppressed: 4, SuppressedSevere: 4}})
	if m := fx.store.maintenance[0]; m.ConfirmedBy != "" || m.Suppressed != 0 || m.SuppressedSevere != 0 {
		t.Errorf("got window %+v", m)
	}
}

// TestMaintenanceWindow_PropertyNeverHidesSevereAlerts compares a desk with an
// unconfirmed window for every alert with one without: no alert is suppressed that
// routing opens at sev1 or sev2, or that opens or raises an incident to that without
// the window.
func TestMaintenanceWindow_PropertyNeverHidesSevereAlerts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		change := func(o *Options) {
			o.Storm = StormLimit{Incidents: 3, Per: 5 * time.Minute}
			o.Correlate = everyThird{}
		}
		with, without := newSeverityFixture(t, change), newSeverityFixture(t, change)
		for _, when := range rapid.SliceOfN(rapid.SampledFrom([]string{"true", `level != "critical"`, `int(tags["users"]) > 0`, `kind == "StopLogging"`}), 1, 3).Draw(t, "windows") {
			with.addWindow(t, "p1", when)
		}
		row := int64(0)
		for range rapid.IntRange(1, 15).Draw(t, "batches") {
			var batch []incident.DecodedDelivery
			severe := map[int64]bool{}
			for range rapid.IntRange(1, 4).Draw(t, "size") {
				row++
				d := delivery(row, randomAlert(t))
				if rapid.IntRange(0, 3).Draw(t, "observed") == 0 {
					d.Signals[0].Observations = []incident.Observation{{Window: "a", Event: fmt.Sprint(row)}}
				}
				batch = append(batch, d)
				a := d.Signals[0].Alert
				severe[row] = slices.Contains([]incident.Level{"critical", "high"}, a.Level) || a.Tags["users"] == "500" || a.Tags["users"] == "many"
			}
			before := severities(without)
			for _, fx := range []*fixture{with, without} {
				if err := fx.Ingest(context.Background(), batch); err != nil {
					t.Fatal(err)
				}
			}
			raised := !maps.Equal(before, severities(without))
			for _, d := range batch {
				if with.store.handled[d.Row].Outcome != outcomeMaintenance {
					continue
				}
				if severe[d.Row] || raised && len(batch) == 1 {
					t.Fatalf("suppressed %+v: severe %v, without the window %s", d.Signals[0].Alert, severe[d.Row], without.store.handled[d.Row].Outcome)
				}
			}
		}
	})
}

// randomAlert draws an alert of few fingerprints and correlation keys. The routing of
// an alert whose tag is not a number fails.
func randomAlert(t *rapid.T) incident.Alert {
	a := alertWithLevel(rapid.SampledFrom([]incident.Level{"critical", "high", "medium", "low", "informational"}).Draw(t, "level"),
		rapid.SampledFrom([]string{"f1", "f2", "f3"}).Draw(t, "fingerprint"), rapid.SampledFrom([]string{"c1", "c2"}).Draw(t, "correlation"))
	a.Kind = rapid.SampledFrom([]string{"StopLogging", "attached"}).Draw(t, "kind")
	if users := rapid.SampledFrom([]string{"", "1", "500", "many"}).Draw(t, "users"); users != "" {
		a.Tags = map[string]string{"users": users}
	}
	return a
}

// severities returns the incidents at sev1 or sev2.
func severities(fx *fixture) map[incident.ID]incident.Severity {
	out := map[incident.ID]incident.Severity{}
	for id, inc := range fx.store.incidents {
		if isSevere(inc.Severity) {
			out[id] = inc.Severity
		}
	}
	return out
}
