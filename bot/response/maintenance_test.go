package response

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestMaintenanceWindow_SuppressesAlerts(t *testing.T) {
	fx := newRoutedFixture(t, func(o *Options) { o.Sources = []string{"cloudtrail", "sentry"} })
	fx.ingest(t, delivery(1, testAlert("A", "before", "live")))
	add := incident.MaintenanceWindow{When: `source == "cloudtrail"`, Reason: "planned work", From: fx.now, To: fx.now.Add(2 * time.Hour)}
	for name, c := range map[string]func(*incident.MaintenanceWindow){
		"too long":          func(m *incident.MaintenanceWindow) { m.To = m.From.Add(8 * 24 * time.Hour) },
		"no reason":         func(m *incident.MaintenanceWindow) { m.Reason = "" },
		"unknown source":    func(m *incident.MaintenanceWindow) { m.When = `source == "eventbridge"` },
		"invalid condition": func(m *incident.MaintenanceWindow) { m.When = "sauce" },
		"over":              func(m *incident.MaintenanceWindow) { m.From, m.To = fx.now.Add(-2*time.Hour), fx.now.Add(-time.Hour) },
	} {
		m := add
		c(&m)
		if _, err := fx.Alerts(context.Background(), slackIdentity("p1"), incident.AlertRequest{Query: incident.QueryMaintenance, Add: &m}); incident.CodeOf(err) != incident.CodeInvalid {
			t.Errorf("%s: got %v, want invalid", name, err)
		}
	}
	if _, err := fx.Alerts(context.Background(), slackIdentity("p7"), incident.AlertRequest{Query: incident.QueryMaintenance, Add: &add}); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("add by communications: got %v, want forbidden", err)
	}
	for range 2 { // the second has a known key
		fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryMaintenance, Add: &add, Key: "k"})
	}
	if err := fx.confirm("p3", 1); err != nil {
		t.Fatal(err)
	}
	fx.ingest(t, delivery(2, testAlert("B", "new", "other")), delivery(3, testAlert("C", "more", "live")), delivery(4, alertWithLevel("low", "x", "y")))
	if got := fx.outcomes(2, 3, 4); !slices.Equal(got, []string{"maintenance", "attached", "dropped"}) {
		t.Errorf("got outcomes %v", got)
	}
	windows := fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryMaintenance}).MaintenanceWindows
	if len(windows) != 1 || windows[0].Suppressed != 1 || windows[0].Owner != "p1" {
		t.Errorf("got windows %+v", windows)
	}
	fx.alertRequest(t, "p2", incident.AlertRequest{Query: incident.QueryMaintenance, End: windows[0].ID})
	fx.ingest(t, delivery(5, testAlert("B", "newer", "another")))
	if got := fx.outcomes(5); got[0] != "opened" {
		t.Errorf("after the end of the window: got %v, want opened", got)
	}
	if audited := slices.ContainsFunc(fx.store.audit, func(a Access) bool { return a.Action == "maintenance end" && a.Person == "p2" }); !audited {
		t.Error("end of the window is not in the audit log")
	}
}

// The answer repeats the times of a window in the zone in which a person typed them.
func TestMaintenanceWindow_AnswersInTheTypedZone(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	est := time.FixedZone("EST", -5*3600)
	from := time.Date(fx.now.Year(), fx.now.Month(), fx.now.Day()+1, 10, 0, 0, 0, est)
	for want, m := range map[string]incident.MaintenanceWindow{
		"suppressed from " + incident.TimeText(from) + " until " + incident.TimeText(from.Add(time.Hour)) + ". ": {From: from, To: from.Add(time.Hour)},
		"suppressed until " + incident.TimeText(from) + ". ":                                                     {From: fx.now, To: from},
	} {
		m.When, m.Reason = `source == "cloudtrail"`, "planned work"
		got := fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryMaintenance, Add: &m}).Done
		if !strings.Contains(got, want) || !strings.Contains(got, "10:00 EST (15:00 UTC)") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
