package response

import (
	"context"
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
)

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
