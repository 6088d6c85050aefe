package response

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestAdministers(t *testing.T) {
	fx := newFixture(t, func(o *Options) { o.Administrators = []string{"ada", ""} })
	for who, want := range map[incident.Identity]bool{
		{Provider: incident.ProviderLocal, ID: "ada"}: true,
		{Provider: incident.ProviderLocal, ID: "ben"}: false,
		{Provider: incident.ProviderLocal}:            false,
		{Provider: incident.ProviderSlack, ID: "ada"}: false,
		{Provider: incident.ProviderSystem}:           false,
	} {
		if got := fx.Administers(who); got != want {
			t.Errorf("%s: got %t, want %t", who, got, want)
		}
	}
}

func TestAuditOperation(t *testing.T) {
	fx := newFixture(t, nil)
	who := incident.Identity{Provider: incident.ProviderLocal, ID: "p1"}
	if err := fx.AuditOperation(t.Context(), who, "rotate", "monthly", true); err != nil {
		t.Fatal(err)
	}
	want := Access{At: fx.now, Person: "p1", Handle: who, Action: "rotate", Reason: "monthly", Allowed: true}
	if len(fx.store.audit) != 1 || fx.store.audit[0] != want {
		t.Errorf("got %+v, want %+v", fx.store.audit, want)
	}
}

// TestExport_LeavesOutWhatThePersonMayNotRead exports deliveries of a restricted
// and a public incident as several people.
func TestExport_LeavesOutWhatThePersonMayNotRead(t *testing.T) {
	fx := newFixture(t, nil)
	alert := func(fingerprint string) incident.Alert {
		return incident.Alert{Source: "sentry", Fingerprint: fingerprint, At: fx.now.Add(-time.Minute)}
	}
	restricted, public := fx.open(t, incident.Sev2), fx.open(t, incident.Sev2)
	for id, isPublic := range map[incident.ID]bool{restricted: false, public: true} {
		inc := fx.store.incidents[id]
		inc.Restricted = !isPublic
		fx.store.incidents[id] = inc
	}
	fx.store.alerts = []AlertRow{{ID: 1, Incident: restricted, Alert: alert("a")}, {ID: 2, Incident: public, Alert: alert("b")}, {ID: 3, Alert: alert("c")}}
	batch := []ExportedDelivery{
		{Handled: true, Outcome: DeliveryOutcome{Incident: restricted}},
		{Handled: true, Outcome: DeliveryOutcome{Alert: 1}},
		{Handled: true, Alerts: []incident.Alert{alert("b")}},
		{Handled: true, Alerts: []incident.Alert{alert("b"), alert("a")}},
		{Handled: true, Outcome: DeliveryOutcome{Incident: public}},
		{Handled: true, Outcome: DeliveryOutcome{Incident: -1, Alert: 3}},
		{Handled: false},
		{Handled: false, Alerts: []incident.Alert{alert("b")}},
	}
	for person, want := range map[string]string{
		"p1":      "[true true true true true true true true]",      // a responder
		"p5":      "[false false true false true true true true]",   // legal, which reads all alerts
		"p7":      "[false false true false true true false false]", // communications
		"mallory": "[false false true false true true false false]", // an administrator who is not under people
	} {
		fx.store.audit = nil
		who := incident.Identity{Provider: incident.ProviderLocal, ID: person}
		x := fx.NewExport(who, "export", "an audit")
		for range 2 { // the second batch reads the answers of the first one
			got, err := x.Allowed(t.Context(), batch)
			if err != nil || fmt.Sprint(got) != want {
				t.Errorf("%s: got %v, %v, want %s", person, got, err, want)
			}
		}
		left := 0
		got, _ := x.Allowed(t.Context(), batch)
		for _, allowed := range got {
			if !allowed {
				left += 3
			}
		}
		if x.LeftOut != left {
			t.Errorf("%s: got %d deliveries left out, want %d", person, x.LeftOut, left)
		}
		allowed := got[0]
		if !slices.ContainsFunc(fx.store.audit, func(a Access) bool {
			return a.Incident == restricted && a.Allowed == allowed && a.Handle == who && a.Action == "export" && a.Reason == "an audit" && a.At.Equal(fx.now)
		}) || len(fx.store.audit) != 1 {
			t.Errorf("%s: got %+v, want one entry about the restricted incident, allowed %t", person, fx.store.audit, allowed)
		}
	}
}
