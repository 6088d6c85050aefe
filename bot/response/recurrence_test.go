package response

import (
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestLateCopiesOfAFalseAlarmWakeNobody(t *testing.T) {
	windowed := func(o *Options) {
		o.Routing = routing(t, Rule{When: `level == "critical"`, Open: "sev1", RecurrenceWindow: 24 * time.Hour}, Rule{When: `true`, Open: "sev3", RecurrenceWindow: 24 * time.Hour})
	}
	w := newWorld(t, windowed)
	a := leveled("high", "f1", "AKIA1")
	w.report(t, reported(1, a))
	first := w.store.handled[1].Incident
	w.say(t, "p1", incident.Command{Verb: incident.VerbSetFact, For: first, Text: "looked", Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "no"}})
	w.say(t, "p1", incident.Command{Verb: incident.VerbDismiss, For: first, Text: "a drill"})
	var rows []incident.DecodedDelivery
	for n := range 12 {
		rows = append(rows, reported(int64(n+2), a))
	}
	w.report(t, rows[0])
	w.report(t, rows[1:]...)
	if got := w.outcomes(2, 3, 13); !slices.Equal(got, []string{"recurred", "recurred", "recurred"}) || len(w.store.incidents) != 1 {
		t.Errorf("%v, %d incidents", got, len(w.store.incidents))
	}
	if n := count(w.kinds(first), incident.EventSourceNoted); n != 2 {
		t.Errorf("said %d times, want at the first and the 10th", n)
	}
	// A graver one, and another fingerprint, are news.
	w.report(t, reported(20, leveled("critical", "f1", "AKIA1")))
	next := w.store.handled[20].Incident
	if w.outcomes(20)[0] != "opened" || !slices.Contains(w.kinds(next), incident.EventSourceNoted) {
		t.Errorf("%v %v", w.outcomes(20), w.kinds(next))
	}
	// Beyond the window so is the same one.
	w = newWorld(t, windowed)
	w.report(t, reported(1, a))
	w.say(t, "p1", incident.Command{Verb: incident.VerbSetFact, For: 1, Text: "looked", Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "no"}})
	w.say(t, "p1", incident.Command{Verb: incident.VerbDismiss, For: 1, Text: "a drill"})
	w.now = w.now.Add(25 * time.Hour)
	w.report(t, reported(2, a))
	if got := w.outcomes(2); got[0] != "opened" {
		t.Errorf("after a day it is %v", got)
	}
}

// TestAStateToldAgainOpensNothing: what an incident dealt with and is merely
// told again stays with it, however long ago that ended and whatever came since.
func TestAStateToldAgainOpensNothing(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Routing = routing(t, Rule{When: `true`, Open: "sev3"}) })
	dismiss := func(id incident.ID) {
		w.say(t, "p1", incident.Command{Verb: incident.VerbSetFact, For: id, Text: "looked", Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "no"}})
		w.say(t, "p1", incident.Command{Verb: incident.VerbDismiss, For: id, Text: "a drill"})
	}
	lasting := func(fingerprint string) incident.Alert {
		a := leveled("high", fingerprint, "group")
		a.Ongoing = true
		return a
	}
	a, b := lasting("a since 1"), lasting("b since 1")
	w.report(t, reported(1, a))
	dismiss(1)
	w.now = w.now.Add(1000 * time.Hour)
	w.report(t, reported(2, a))
	if got := w.outcomes(2); got[0] != "recurred" || len(w.store.incidents) != 1 || !slices.Contains(w.kinds(1), incident.EventSourceNoted) {
		t.Fatalf("told again: %v, %d incidents", got, len(w.store.incidents))
	}
	w.report(t, reported(3, b))
	if got := w.outcomes(3); got[0] != "opened" || len(w.store.incidents) != 2 {
		t.Fatalf("another of the group: %v", got)
	}
	dismiss(2)
	w.report(t, reported(4, a), reported(5, b))
	if got := w.outcomes(4, 5); !slices.Equal(got, []string{"recurred", "recurred"}) || len(w.store.incidents) != 2 {
		t.Errorf("the group again: %v", got)
	}
	if n := count(w.kinds(2), incident.EventSourceNoted); n != 1 {
		t.Errorf("said %d times", n)
	}
	w.report(t, reported(6, lasting("a since 2")))
	if got := w.outcomes(6); got[0] != "opened" {
		t.Errorf("from a new start on: %v", got)
	}
	apart := lasting("apart since 1")
	apart.Correlation = "another group"
	beside := lasting("beside since 1")
	beside.Correlation = apart.Correlation
	w.report(t, reported(9, beside), reported(10, apart))
	w.say(t, "p1", incident.Command{Key: "k", Verb: incident.VerbSplit, For: w.store.handled[10].Incident, Alerts: []int64{w.store.handled[10].Alert}, Title: "another"})
	dismiss(w.store.handled[9].Incident)
	dismiss(w.store.handled[9].Incident + 1)
	w.report(t, reported(11, beside), reported(12, apart))
	if got := w.outcomes(11, 12); !slices.Equal(got, []string{"recurred", "recurred"}) {
		t.Errorf("split off, and told again after its end: %v", got)
	}
	plain := leveled("high", "p", "other")
	w.report(t, reported(7, plain))
	dismiss(w.store.handled[7].Incident)
	w.report(t, reported(8, plain))
	if got := w.outcomes(8); got[0] != "opened" {
		t.Errorf("what happened again, without a window: %v", got)
	}
}
