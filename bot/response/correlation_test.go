package response

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"tocsin/bot/incident"
)

func TestSplit_RoutesLaterOccurrencesToNewIncident(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	fx.ingest(t, delivery(1, testAlert("A", "f1", "AKIA")), delivery(2, testAlert("B", "f2", "AKIA")), delivery(3, testAlert("C", "f3", "AKIA")))
	var moved []int64
	for _, row := range fx.store.alerts[1:] {
		moved = append(moved, row.ID)
	}
	fx.do(t, "p1", incident.Command{Key: "k", Verb: incident.VerbSplit, For: 1, Alerts: moved, Title: "another key", Text: "another account"})
	source, target := fx.store.incidents[1], fx.store.incidents[2]
	if len(source.Alerts) != 1 || len(target.Alerts) != 2 || target.SplitFrom != 1 || !slices.Contains(source.SplitInto, 2) || target.Severity != source.Severity {
		t.Fatalf("got alerts %+v and %+v, want 1 and 2", source.Alerts, target.Alerts)
	}
	fx.ingest(t, delivery(4, testAlert("B", "f2", "AKIA")), delivery(5, testAlert("A", "f1", "AKIA")), delivery(6, testAlert("D", "f4", "AKIA")))
	for row, want := range map[int64]incident.ID{4: 2, 5: 1, 6: 1} {
		if got := fx.store.handled[row].Incident; got != want {
			t.Errorf("delivery %d: got %s, want %s", row, got, want)
		}
	}
	if result := fx.do(t, "p1", incident.Command{Key: "k", Verb: incident.VerbSplit, For: 1, Alerts: moved, Title: "another key"}); !result.Unchanged || len(fx.store.incidents) != 2 {
		t.Errorf("repeated split: got %+v, want unchanged", result)
	}
	if _, err := fx.Do(context.Background(), incident.Command{Verb: incident.VerbSplit, For: 1, Alerts: moved, Title: "x", By: slackIdentity("p1")}); incident.CodeOf(err) != incident.CodeConflict {
		t.Errorf("split of another incident's alerts: got %v, want conflict", err)
	}
}

// dismiss dismisses an incident as a false alarm, with the required second
// person.
func (fx *fixture) dismiss(t testingT, id incident.ID) {
	t.Helper()
	fx.do(t, "p1", incident.Command{Verb: incident.VerbDismiss, For: id, Text: "a drill"})
	fx.do(t, "p3", incident.Command{Verb: incident.VerbDismiss, For: id, Text: "yes"})
}

// An incident that was split off has only its own alerts after it is reopened,
// whether or not the source incident is live.
func TestReopen_SplitIncidentKeepsOnlyItsAlerts(t *testing.T) {
	for name, sourceEnded := range map[string]bool{"source live": false, "source ended": true} {
		t.Run(name, func(t *testing.T) {
			fx := newRoutedFixture(t, nil)
			fx.ingest(t, delivery(1, testAlert("A", "f1", "AKIA")), delivery(2, testAlert("B", "f2", "AKIA")))
			fx.do(t, "p1", incident.Command{Key: "k", Verb: incident.VerbSplit, For: 1, Alerts: []int64{fx.store.alerts[1].ID}, Title: "another key", Text: "another account"})
			fx.dismiss(t, 2)
			if sourceEnded {
				fx.dismiss(t, 1)
			}
			fx.do(t, "p1", incident.Command{For: 2, Verb: incident.VerbReopen, Text: "not a false alarm"})
			fx.ingest(t, delivery(3, testAlert("B", "f2", "AKIA")))
			fx.ingest(t, delivery(4, testAlert("A", "f1", "AKIA")))
			if got := fx.store.handled[3].Incident; got != 2 {
				t.Errorf("own alert: got %s, want INC-2", got)
			}
			if got := fx.store.handled[4]; got.Incident == 2 || !sourceEnded && got.Incident != 1 {
				t.Errorf("alert of the source: got %+v", got)
			}
		})
	}
	t.Run("split took the whole correlation key", func(t *testing.T) {
		fx := newRoutedFixture(t, nil)
		fx.ingest(t, delivery(1, testAlert("A", "f1", "AKIA")))
		fx.store.alerts = append(fx.store.alerts, AlertRow{ID: 2, Incident: 1, Alert: testAlert("B", "f2", "ASIA"), Count: 1})
		fx.store.correlate["ASIA"] = 1
		fx.do(t, "p1", incident.Command{Key: "k", Verb: incident.VerbSplit, For: 1, Alerts: []int64{2}, Title: "another key", Text: "another account"})
		fx.dismiss(t, 2)
		fx.do(t, "p1", incident.Command{For: 2, Verb: incident.VerbReopen, Text: "not a false alarm"})
		fx.ingest(t, delivery(3, testAlert("C", "f3", "ASIA")))
		if got := fx.store.handled[3].Incident; got != 2 {
			t.Errorf("new alert with its correlation key: got %s, want INC-2", got)
		}
	})
}

func TestReopen_RestoresAllCorrelationKeys(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	fx.ingest(t, delivery(1, testAlert("A", "f1", "AKIA")))
	for n := range restoreBatch + 100 {
		fx.store.alerts = append(fx.store.alerts, AlertRow{ID: int64(n + 2), Incident: 1, Alert: testAlert("A", fmt.Sprint("g", n), fmt.Sprint("key", n)), Count: 1})
	}
	fx.dismiss(t, 1)
	fx.do(t, "p1", incident.Command{For: 1, Verb: incident.VerbReopen, Text: "not a false alarm"})
	fx.ingest(t, delivery(2, testAlert("B", "new", fmt.Sprint("key", restoreBatch+99))))
	if got := fx.store.handled[2].Incident; got != 1 {
		t.Errorf("alert with the last correlation key: got %s, want INC-1", got)
	}
}
