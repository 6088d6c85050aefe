package response

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"tocsin/bot/incident"
)

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
