package response

import (
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestRecurrence_FalseAlarmIsSuppressed(t *testing.T) {
	withWindow := func(o *Options) {
		o.Routing = mustRouting(t, Rule{When: `level == "critical"`, Open: "sev1", RecurrenceWindow: 24 * time.Hour}, Rule{When: `true`, Open: "sev3", RecurrenceWindow: 24 * time.Hour})
	}
	fx := newFixture(t, withWindow)
	a := alertWithLevel("high", "f1", "AKIA1")
	fx.ingest(t, delivery(1, a))
	first := fx.store.handled[1].Incident
	fx.do(t, "p1", incident.Command{Verb: incident.VerbDismiss, For: first, Text: "a drill", NoPersonalData: true})
	var rows []incident.DecodedDelivery
	for n := range 12 {
		rows = append(rows, delivery(int64(n+2), a))
	}
	fx.ingest(t, rows[0])
	fx.ingest(t, rows[1:]...)
	if got := fx.outcomes(2, 3, 13); !slices.Equal(got, []string{"recurred", "recurred", "recurred"}) || len(fx.store.incidents) != 1 {
		t.Errorf("got outcomes %v, %d incidents", got, len(fx.store.incidents))
	}
	if n := countOf(fx.eventKinds(first), incident.EventSourceNoted); n != 2 {
		t.Errorf("got %d notes, want 2: for the first and the 10th occurrence", n)
	}
	// A more severe occurrence opens an incident.
	fx.ingest(t, delivery(20, alertWithLevel("critical", "f1", "AKIA1")))
	next := fx.store.handled[20].Incident
	if fx.outcomes(20)[0] != "opened" || !slices.Contains(fx.eventKinds(next), incident.EventSourceNoted) {
		t.Errorf("got outcomes %v, events %v", fx.outcomes(20), fx.eventKinds(next))
	}
	// So does an occurrence after the recurrence window.
	fx = newFixture(t, withWindow)
	fx.ingest(t, delivery(1, a))
	fx.do(t, "p1", incident.Command{Verb: incident.VerbDismiss, For: 1, Text: "a drill", NoPersonalData: true})
	fx.now = fx.now.Add(25 * time.Hour)
	fx.ingest(t, delivery(2, a))
	if got := fx.outcomes(2); got[0] != "opened" {
		t.Errorf("after 25 h: got %v, want opened", got)
	}
}

// An ongoing condition stays with the incident that dealt with it, regardless of
// the time since its end and of later alerts.
func TestRecurrence_OngoingConditionOpensNothing(t *testing.T) {
	fx := newFixture(t, func(o *Options) { o.Routing = mustRouting(t, Rule{When: `true`, Open: "sev3"}) })
	dismiss := func(id incident.ID) {
		fx.do(t, "p1", incident.Command{Verb: incident.VerbDismiss, For: id, Text: "a drill", NoPersonalData: true})
	}
	ongoing := func(fingerprint string) incident.Alert {
		a := alertWithLevel("high", fingerprint, "group")
		a.Ongoing = true
		return a
	}
	a, b := ongoing("a since 1"), ongoing("b since 1")
	fx.ingest(t, delivery(1, a))
	dismiss(1)
	fx.now = fx.now.Add(1000 * time.Hour)
	fx.ingest(t, delivery(2, a))
	if got := fx.outcomes(2); got[0] != "recurred" || len(fx.store.incidents) != 1 || !slices.Contains(fx.eventKinds(1), incident.EventSourceNoted) {
		t.Fatalf("reported again: got %v, %d incidents", got, len(fx.store.incidents))
	}
	fx.ingest(t, delivery(3, b))
	if got := fx.outcomes(3); got[0] != "opened" || len(fx.store.incidents) != 2 {
		t.Fatalf("another condition of the group: got %v, want opened", got)
	}
	dismiss(2)
	fx.ingest(t, delivery(4, a), delivery(5, b))
	if got := fx.outcomes(4, 5); !slices.Equal(got, []string{"recurred", "recurred"}) || len(fx.store.incidents) != 2 {
		t.Errorf("both reported again: got %v", got)
	}
	if n := countOf(fx.eventKinds(2), incident.EventSourceNoted); n != 1 {
		t.Errorf("got %d notes, want 1", n)
	}
	fx.ingest(t, delivery(6, ongoing("a since 2")))
	if got := fx.outcomes(6); got[0] != "opened" {
		t.Errorf("new start: got %v, want opened", got)
	}
	moved := ongoing("moved since 1")
	moved.Correlation = "another group"
	remaining := ongoing("remaining since 1")
	remaining.Correlation = moved.Correlation
	fx.ingest(t, delivery(9, remaining), delivery(10, moved))
	fx.do(t, "p1", incident.Command{Key: "k", Verb: incident.VerbSplit, For: fx.store.handled[10].Incident, Alerts: []int64{fx.store.handled[10].Alert}, Title: "another"})
	dismiss(fx.store.handled[9].Incident)
	dismiss(fx.store.handled[9].Incident + 1)
	fx.ingest(t, delivery(11, remaining), delivery(12, moved))
	if got := fx.outcomes(11, 12); !slices.Equal(got, []string{"recurred", "recurred"}) {
		t.Errorf("reported again after split and end: got %v", got)
	}
	plain := alertWithLevel("high", "p", "other")
	fx.ingest(t, delivery(7, plain))
	dismiss(fx.store.handled[7].Incident)
	fx.ingest(t, delivery(8, plain))
	if got := fx.outcomes(8); got[0] != "opened" {
		t.Errorf("recurrence without a window: got %v, want opened", got)
	}
}
