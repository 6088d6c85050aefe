package response

import (
	"context"
	"testing"

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
