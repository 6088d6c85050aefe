package response

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// announced returns a desk and the announcements of its maintenance windows, as
// "M1 started confirmed=false suppressed=0/0".
func announced(t *testing.T) (*fixture, *[]string) {
	var got []string
	fx := newSeverityFixture(t, func(o *Options) {
		o.Handlers[incident.EffectAnnounceMaintenance] = func(_ context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
			m := b.Maintenance
			if m.When != "" {
				t.Errorf("the announcement contains the condition %q", m.When)
			}
			got = append(got, fmt.Sprintf("M%d %s confirmed=%v suppressed=%d/%d", m.ID, e.Args["event"], m.ConfirmedBy != "", m.SuppressedSevere, m.Suppressed))
			return incident.Command{}, nil
		}
	})
	return fx, &got
}

func TestAnnounceMaintenance_StartAndEnd(t *testing.T) {
	fx, got := announced(t)
	expect := func(want ...string) {
		t.Helper()
		for range 2 { // as after a restart
			if err := fx.AnnounceMaintenance(context.Background()); err != nil {
				t.Fatal(err)
			}
			fx.runQueue(t)
		}
		if !slices.Equal(*got, want) {
			t.Errorf("got announcements %q, want %q", *got, want)
		}
		*got = nil
	}
	fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryMaintenance, Add: &incident.MaintenanceWindow{When: `title == "a secret title"`, Reason: "later",
		From: fx.now.Add(time.Hour), To: fx.now.Add(3 * time.Hour)}})
	cancelled := incident.MaintenanceWindow{When: "true", Reason: "x", From: fx.now.Add(30 * time.Minute), To: fx.now.Add(4 * time.Hour)}
	fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryMaintenance, Add: &cancelled})
	expect()
	fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryMaintenance, End: 2})
	if id := fx.addWindow(t, "p1", "true"); id != 3 {
		t.Fatalf("got window %d, want 3", id)
	}
	expect("M3 started confirmed=false suppressed=0/0")
	fx.ingest(t, delivery(1, alertWithLevel("low", "a", "a")), delivery(2, alertWithLevel("low", "a", "a")))
	if err := errors.Join(fx.confirm("p3", 3), fx.confirm("p4", 3)); err != nil {
		t.Fatal(err)
	}
	fx.ingest(t, delivery(3, alertWithLevel("high", "b", "b")))
	expect("M3 confirmed confirmed=true suppressed=1/3")
	fx.now = fx.now.Add(time.Hour)
	expect("M1 started confirmed=false suppressed=0/0")
	fx.alertRequest(t, "p2", incident.AlertRequest{Query: incident.QueryMaintenance, End: 3})
	expect("M3 ended confirmed=true suppressed=1/3")
	fx.now = fx.now.Add(5 * time.Hour)
	expect("M1 ended confirmed=false suppressed=0/0")
}

// TestAnnounceMaintenance_StoredByAnEarlierVersion has a window without announcements.
func TestAnnounceMaintenance_StoredByAnEarlierVersion(t *testing.T) {
	fx, got := announced(t)
	if _, err := fx.store.PutMaintenance(incident.MaintenanceWindow{When: "true", Reason: "x", Owner: "p1", From: fx.now.Add(-time.Hour), To: fx.now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := fx.AnnounceMaintenance(context.Background()); err != nil {
		t.Fatal(err)
	}
	fx.runQueue(t)
	fx.now = fx.now.Add(time.Hour)
	fx.runQueue(t)
	if want := []string{"M1 started confirmed=false suppressed=0/0", "M1 ended confirmed=false suppressed=0/0"}; !slices.Equal(*got, want) {
		t.Errorf("got announcements %q, want %q", *got, want)
	}
}

func TestAnnounceMaintenance_ReasonIsRedacted(t *testing.T) {
	var reason string
	fx := newSeverityFixture(t, func(o *Options) {
		o.Redact = redactEverything{}
		o.Handlers[incident.EffectAnnounceMaintenance] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
			reason = b.Maintenance.Reason
			return incident.Command{}, nil
		}
	})
	fx.addWindow(t, "p1", "true")
	fx.runQueue(t)
	if !strings.Contains(reason, "[gone]") || strings.Contains(reason, "planned") {
		t.Errorf("got reason %q, want it redacted", reason)
	}
}
