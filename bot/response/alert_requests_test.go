package response

import (
	"context"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

func (fx *fixture) alertRequest(t testingT, person string, e incident.AlertRequest) incident.AlertResult {
	t.Helper()
	a, err := fx.Alerts(context.Background(), slackIdentity(person), e)
	if err != nil {
		t.Fatalf("%s: %v", e.Query, err)
	}
	return a
}

func alertWithLevel(level incident.Level, fingerprint, correlation string) incident.Alert {
	a := testAlert("StopLogging", fingerprint, correlation)
	a.Level = level
	return a
}

func TestPromote_WatchedAlert(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	quiet := alertWithLevel("informational", "f1", "AKIA1")
	fx.ingest(t, delivery(1, quiet), delivery(2, quiet), delivery(3, alertWithLevel("informational", "f2", "AKIA1")))
	listed := fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryAlerts, Disposition: incident.DispositionWatched})
	if listed.Kinds != 2 || listed.Occurrences != 3 || len(listed.Alerts) != 2 {
		t.Fatalf("got %+v, want 2 alerts with 3 occurrences", listed)
	}
	id := fx.store.alerts[0].ID
	if _, err := fx.Do(context.Background(), incident.Command{Verb: incident.VerbPromote, Alerts: []int64{id}, By: slackIdentity("p5")}); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("promote by legal: got %v, want forbidden", err)
	}
	result := fx.do(t, "p1", incident.Command{Verb: incident.VerbPromote, Alerts: []int64{id}, Severity: incident.Sev2})
	inc := result.Incident
	if inc.Status != incident.Triage || inc.Severity != incident.Sev2 || len(inc.Alerts) != 1 || inc.OpenedBy != "p1" || inc.Title != "StopLogging by AKIA" {
		t.Errorf("got incident %+v", inc)
	}
	if n := len(fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryAlerts, Disposition: incident.DispositionWatched}).Alerts); n != 0 {
		t.Errorf("got %d watched alerts with the correlation key, want 0", n)
	}
	again := fx.do(t, "p1", incident.Command{Verb: incident.VerbPromote, Alerts: []int64{id}})
	if !again.Unchanged || again.Incident.ID != inc.ID || again.Earlier != "" {
		t.Errorf("second promote: got %+v, want unchanged", again)
	}
	late := incident.Command{Verb: incident.VerbPromote, Alerts: []int64{id}}
	const winner = "Person p1 was first: Alert StopLogging from "
	if lost := fx.do(t, "p2", late); !lost.Unchanged || lost.Incident.ID != inc.ID || !strings.HasPrefix(lost.Earlier, winner) {
		t.Errorf("promote after p1: got %q, want %q", lost.Earlier, winner)
	}
	late.For, late.By = fx.open(t, incident.Sev3), slackIdentity("p2")
	if _, err := fx.Do(t.Context(), late); incident.CodeOf(err) != incident.CodeConflict || !strings.Contains(err.Error(), winner) || !strings.Contains(err.Error(), "Split it from there first") {
		t.Errorf("promote into another incident after p1: got %v, want %q", err, winner)
	}
	fx.ingest(t, delivery(4, alertWithLevel("medium", "f1", "AKIA1")))
	if got := fx.outcomes(4); got[0] != "counted" {
		t.Errorf("later occurrence: got %v, want counted", got)
	}
	// An alert with another correlation key is attached to a named incident.
	fx.ingest(t, delivery(5, alertWithLevel("informational", "g", "other")))
	other := fx.store.alerts[len(fx.store.alerts)-1].ID
	attached := fx.do(t, "p1", incident.Command{Verb: incident.VerbPromote, Alerts: []int64{other}, For: inc.ID})
	if attached.Incident.ID != inc.ID || len(attached.Incident.Alerts) != 2 {
		t.Errorf("got incident %+v, want 2 alerts", attached.Incident)
	}
}

func TestDroppedAlerts_OnReviewAgenda(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	for n := range 3 {
		fx.ingest(t, delivery(int64(n+1), alertWithLevel("low", "f1", "AKIA1")))
	}
	dropped := fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryAlerts, Disposition: incident.DispositionDropped})
	if dropped.Kinds != 1 || dropped.Occurrences != 3 || len(dropped.Alerts) != 1 || dropped.Alerts[0].Reason != "noise" {
		t.Fatalf("got %+v, want 1 alert with 3 occurrences", dropped)
	}
	var agenda incident.Brief
	fx.Handlers[incident.EffectAgenda] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
		agenda = b
		return incident.Command{}, nil
	}
	if err := fx.Sweep(context.Background(), ScheduleAgenda, fx.now); err != nil {
		t.Fatal(err)
	}
	fx.runQueue(t)
	if len(agenda.SuppressedAlerts.Alerts) != 1 || agenda.SuppressedAlerts.Occurrences != 3 || agenda.SuppressedAlerts.Alerts[0].Title != "" {
		t.Errorf("got agenda %+v, want 1 alert without title", agenda.SuppressedAlerts)
	}
}

func TestAlerts_AuditNamesTheSubject(t *testing.T) {
	fx := newFixture(t, nil)
	who := incident.Identity{Provider: incident.ProviderLocal, ID: "p1"}
	for want, request := range map[string]incident.AlertRequest{
		"A17":     {Query: incident.QueryExplain, Alert: 17},
		"D2041":   {Query: incident.QueryExplain, Delivery: 2041},
		"dropped": {Query: incident.QueryAlerts, Disposition: incident.DispositionDropped},
	} {
		fx.store.audit = nil
		_, _ = fx.Alerts(t.Context(), who, request) // also what does not exist
		if len(fx.store.audit) == 0 || fx.store.audit[0].Reason != want || fx.store.audit[0].Action != request.Query {
			t.Errorf("%s: got %+v", want, fx.store.audit)
		}
	}
}
