package incident

import (
	"testing"
	"time"
)

func TestReportingClock(t *testing.T) {
	w := fixtureIn(t, Active)
	clock := func() (ReportingClock, bool) { return w.inc.ReportingClock() }
	if c, ok := clock(); ok {
		t.Fatalf("nothing suspected: got %+v, want no deadline", c)
	}
	w.must("eng1", Command{Verb: VerbSetFact, Fact: &FactChange{Name: FactPersonalData, Value: "suspected"}, Text: "the dump"})
	if c, ok := clock(); !ok || !c.Due.IsZero() {
		t.Errorf("suspected: got %+v, %t, want no date", c, ok)
	}
	// Across the change of the clocks: 72 hours are 72 hours.
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	aware := time.Date(2026, 3, 27, 18, 0, 0, 0, zone)
	w.must("leg1", Command{Verb: VerbSetFact, Fact: &FactChange{Name: FactAware, Regime: RegimeGDPR, Value: aware.Format(time.RFC3339)}, Text: "counsel decided"})
	if c, _ := clock(); !c.Due.Equal(time.Date(2026, 3, 30, 19, 0, 0, 0, zone)) || !c.Overdue(w.now) || c.Overdue(aware) {
		t.Errorf("aware: got %+v, want 72 hours", c)
	}
	w.inc.Facts.Affected = []Affected{{Who: "Example SA", Capacity: Processor}}
	if c, _ := clock(); !c.Processor || !c.Due.IsZero() || c.Aware.IsZero() {
		t.Errorf("processor: got %+v, want no number of hours", c)
	}
	w.inc.Facts.Affected = append(w.inc.Facts.Affected, Affected{Who: "us", Capacity: Controller})
	if c, _ := clock(); c.Processor || c.Due.IsZero() {
		t.Errorf("controller too: got %+v, want 72 hours", c)
	}
	w.inc.Facts.PersonalData = PersonalNo
	if _, ok := clock(); ok {
		t.Error("ruled out: got a deadline, want none")
	}
}
