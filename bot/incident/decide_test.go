package incident

import (
	"strings"
	"testing"
	"time"
)

// TestDecide_RepeatedCommandIsNoEvent gives each command twice. The second time
// must return neither events nor an error.
func TestDecide_RepeatedCommandIsNoEvent(t *testing.T) {
	until := start.AddDate(0, 0, 3)
	for _, c := range []struct {
		in  Status
		by  PersonID
		cmd Command
	}{
		{Active, "eng1", Command{Verb: VerbSetSeverity, Severity: "P1"}},
		{Active, "eng1", Command{Verb: VerbAcknowledge, Severity: Sev3}},
		{Active, "eng1", Command{Verb: VerbAssignRole, Role: Scribe, Person: "eng2"}},
		{Active, "eng1", Command{Verb: VerbGrant, Person: "out1", Text: "x"}},
		{Active, "eng1", Command{Verb: VerbRestrict, Public: true}},
		{Active, "eng1", factCommand(FactOccurred, "2026-11-24T01:00:00.0000001Z")},
		{Active, "eng1", factCommand(FactDetected, "2026-11-24T01:00:00Z")},
		{Active, "eng1", factCommand(FactClassified, "2026-11-24T02:00:00+01:00")},
		{Active, "eng1", factCommand(FactPersonalData, "suspected")},
		{Active, "eng1", factCommand(FactTimeZone, "Asia/Tokyo")},
		{Active, "eng1", factCommand(FactLanguage, "de")},
		{Active, "eng1", Command{Verb: VerbSetFact, Text: "x", Fact: &FactChange{Name: FactAware, Regime: "dora", Value: "2026-11-24T01:00:00Z"}}},
		{Active, "eng1", Command{Verb: VerbSetFact, Text: "x", Fact: &FactChange{Name: FactAffected, Affected: &Affected{Who: "us", Capacity: Controller, NotifiedAt: start}}}},
		{Active, "eng1", Command{Verb: VerbEvidence, Evidence: &Evidence{Name: "x", SHA256: strings.Repeat("ab", 32)}}},
		{Active, "eng1", Command{Verb: VerbInvolve, Department: Legal}},
		{Active, "eng1", Command{Verb: VerbConsult, Department: "payments", Blocking: true}},
		{Active, "sec1", Command{Verb: VerbDelegate, Department: Security, Person: "out1", Until: until}},
		{Active, "eng1", Command{Verb: VerbStepDone, Step: "look"}},
		{Active, "eng1", Command{Verb: VerbStepSkip, Step: "look", Text: "x"}},
		{Active, "", Command{Verb: VerbStartStep, Step: "look"}},
		{Active, "", Command{Verb: VerbStepLate, Step: "look"}},
		{Active, "", Command{Verb: VerbStartPlaybook, Runs: []Run{{Playbook: "p"}}}},
		{Active, "", Command{Verb: VerbAttach, Alert: &AlertRef{Alert: 2, Kind: "k"}}},
		{Active, "", Command{Verb: VerbLink, Links: map[string]string{"a": "b"}}},
		{Active, "", Command{Verb: VerbInvited, People: []PersonID{"out1"}}},
		{Triage, "", Command{Verb: VerbPage, Round: 1}},
		{Triage, "", Command{Verb: VerbPageTimeout, Round: 1}},
		{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"impact": "x", "audience": "all", "language": "fr"}}},
		{Resolved, "eng1", Command{Verb: VerbScheduleReview, When: until}},
		{InReview, "leg1", Command{Verb: VerbSign, Department: Legal, Expect: "current"}},
		{InReview, "leg1", Command{Verb: VerbObject, Department: Legal, Text: "x", Expect: "current"}},
		{Closed, "", Command{Verb: VerbPostmortemShared, Revision: 1, Item: "F1"}},
		{Closed, "eng1", Command{Verb: VerbFinishAction, Item: "A1"}},
	} {
		w := fixtureIn(t, c.in)
		if c.cmd.Expect == "current" {
			c.cmd.Expect = w.inc.Submission.Digest
		}
		w.must(c.by, c.cmd)
		if events, err := w.decideAs(c.by, c.cmd); len(events) > 0 || err != nil {
			t.Errorf("second %s: got %v, %v, want neither events nor an error", c.cmd.Verb, events, err)
		}
	}
	w := fixtureIn(t, InReview)
	w.must("eng1", Command{Verb: VerbConsult, Department: "payments"})
	answer := Command{Verb: VerbAnswer, Department: "payments", Text: "fine"}
	w.must("pay1", answer)
	if events, err := w.decideAs("pay1", answer); len(events) > 0 || err != nil {
		t.Errorf("second answer: got %v, %v, want neither events nor an error", events, err)
	}
	w.must("pay2", answer) // an answer of another person counts
	answer.Text = "not fine"
	w.must("pay2", answer)
	// Similar commands are not repeats.
	w = fixtureIn(t, Active)
	sum := strings.Repeat("ab", 32)
	for _, e := range []Evidence{{Name: "x", SHA256: sum}, {Name: "y", SHA256: sum}, {Name: "x", SHA256: strings.Repeat("cd", 32)}, {Name: "x"}, {Name: "x"}} {
		w.must("eng1", Command{Verb: VerbEvidence, Evidence: &e})
	}
	w.must("eng1", Command{Verb: VerbConsult, Department: "payments"})
	w.must("eng1", Command{Verb: VerbConsult, Department: "PAYMENTS", Blocking: true})
	if len(w.inc.Consultations) != 1 || !w.inc.Consultations[0].Blocking {
		t.Errorf("got %+v, want one blocking consultation", w.inc.Consultations)
	}
}

func TestOpen(t *testing.T) {
	w := newFixture(t)
	w.must("", Command{Verb: VerbOpen, Title: "x\xff", Public: true, HappenedAt: start.Add(-time.Hour)})
	if w.inc.Severity != Sev3 || w.inc.Restricted || len(w.inc.Alerts) != 0 || w.inc.Title != "x\uFFFD" || !w.events[0].HappenedAt.Equal(start.Add(-time.Hour)) {
		t.Errorf("got %+v, want a public sev3 without alerts", w.inc)
	}
	if !w.inc.MayRead(w.dir, "out1", w.now) || w.inc.MayRead(w.dir, "eve", w.now) {
		t.Error("public incident: want access for every known person and no unknown one")
	}
	w = newFixture(t) // unknown people may open incidents
	w.must("", Command{Verb: VerbOpen, Title: "x"})
	env := Env{Now: start, Directory: testDirectory()}
	if events, err := Decide(Command{Verb: VerbOpen, Title: "x", By: Identity{ProviderSlack, "U99"}}, New(9), env); err != nil || len(events) == 0 {
		t.Errorf("open by an unknown identity: got %d events, %v, want some", len(events), err)
	}
}

func TestContainAndResolve_AcknowledgeImplicitly(t *testing.T) {
	w := fixtureIn(t, Triage)
	w.inc.Restricted = false
	w.mustFail("pay1", Command{Verb: VerbContain, Text: "pulled the plug"}, CodeForbidden)
	w.must("eng2", Command{Verb: VerbContain, Text: "pulled the plug"})
	if w.inc.Paging.AcknowledgedBy != "eng2" || w.inc.Commander != "eng2" || w.inc.NeedsPage() {
		t.Errorf("contained by a responder: got %+v, want an acknowledgement", w.inc.Paging)
	}
	w.inc.Paging.AcknowledgedBy = ""
	w.must("eng2", Command{Verb: VerbResolve, Text: "restored"})
	if w.inc.Paging.AcknowledgedBy != "eng2" || w.inc.Commander != "eng2" || w.inc.Status != Resolved || w.inc.NeedsPage() {
		t.Errorf("resolved by a responder: got %+v in %s, want an acknowledgement", w.inc.Paging, w.inc.Status)
	}
	w = fixtureIn(t, Triage)
	w.must("eng3", Command{Verb: VerbContain, Text: "pulled the plug"})
	if w.inc.Paging.AcknowledgedBy != "eng3" || w.inc.Status != Contained || len(w.inc.Roles) != 1 {
		t.Errorf("contained by a responder: got %+v in %s, want an acknowledgement", w.inc.Paging, w.inc.Status)
	}
	w.must("eng1", Command{Verb: VerbResolve, Text: "restored"})
	if w.inc.Paging.AcknowledgedBy != "eng3" {
		t.Errorf("got acknowledgement by %q, want eng3", w.inc.Paging.AcknowledgedBy)
	}
}

func TestPaging_EdgeCases(t *testing.T) {
	w := fixtureIn(t, Triage)
	w.mustFail("", Command{Verb: VerbPage, Round: 2}, CodeConflict)
	w.must("", Command{Verb: VerbPageFailed, Round: 1, EscalationStep: 1, Text: "early"})
	if w.inc.Paging.EscalationStep != 0 {
		t.Error("failure of another step: current step changed")
	}
	for _, late := range []Command{{Verb: VerbPageTimeout, Round: 2}, {Verb: VerbPageTimeout, Round: 1, EscalationStep: 1}} {
		if events, err := w.decideAs("", late); len(events) > 0 || err != nil {
			t.Errorf("late %+v: got %v, %v, want neither events nor an error", late, events, err)
		}
	}
	w.must("", Command{Verb: VerbPageTimeout, Round: 1})
	w.must("", Command{Verb: VerbPageTimeout, Round: 1, EscalationStep: 1})
	w.must("", Command{Verb: VerbPageFailed, Round: 1, EscalationStep: 2, Text: "500"})
	if w.inc.Paging.EscalationStep != 2 || w.inc.Paging.Round != 1 {
		t.Errorf("failure of the last step: got %+v, want step 2 of round 1", w.inc.Paging)
	}
	w.must("eng1", Command{Verb: VerbAcknowledge})
	w.must("", Command{Verb: VerbPageFailed, Round: 1, EscalationStep: 0, Text: "500"})
	if e := w.events[len(w.events)-1]; e.Field("next") != "" {
		t.Error("failed page after an acknowledgement: got a next step, want none")
	}
	// Raising the severity ends the acknowledgement and leaves the commander.
	w.must("eng2", Command{Verb: VerbSetSeverity, Severity: Sev1})
	w.must("eng2", Command{Verb: VerbAcknowledge})
	if w.inc.Commander != "eng1" || w.inc.Paging.AcknowledgedBy != "eng2" || w.inc.Paging.Round != 2 {
		t.Errorf("got commander %s and %+v, want eng1, and eng2 in round 2", w.inc.Commander, w.inc.Paging)
	}
	// Activity of either of them delays the timeout.
	for _, who := range []PersonID{"eng1", "eng2"} {
		w.now = w.now.Add(20 * time.Minute)
		w.must(who, Command{Verb: VerbNote, Text: "on it"})
	}
	w.now = w.now.Add(29 * time.Minute)
	if events, _ := w.decideAs("", Command{Verb: VerbAckTimeout}); len(events) > 0 {
		t.Error("acknowledgement timed out too early")
	}
	w.must("eng1", Command{Verb: VerbResolve, Text: "restored"})
	w.now = w.now.AddDate(0, 0, 1)
	if _, ok := w.inc.ackTimeoutAt(w.policy); ok || w.inc.NeedsPage() {
		t.Error("resolved incident: got a timeout or a page, want neither")
	}
	w = fixtureIn(t, Active)
	w.policy.AckTimeout = 0
	if _, ok := w.inc.ackTimeoutAt(w.policy); ok {
		t.Error("AckTimeout 0: got a timeout, want none")
	}
}

// TestNote_OnePersonCannotFillTheTimeline writes notes as a person who was granted
// access, and as a responder, until they are refused.
func TestNote_OnePersonCannotFillTheTimeline(t *testing.T) {
	w := fixtureIn(t, Active)
	w.must("eng1", Command{Verb: VerbGrant, Person: "out1", Text: "x"})
	for p, limit := range map[PersonID]int{"out1": MaxReaderTexts, "eng2": MaxTexts} {
		for range limit {
			w.must(p, Command{Verb: VerbNote, Text: "x"})
		}
		w.mustFail(p, Command{Verb: VerbNote, Text: "x"}, CodeConflict)
	}
	w.must("eng1", Command{Verb: VerbNote, Text: "another person"})
	w.must("eng2", Command{Verb: VerbSetSeverity, Severity: Sev1, Text: "x"})
	w.must("eng2", Command{Verb: VerbContain, Text: "x"})
	w.must("eng2", Command{Verb: VerbResolve, Text: "x", Reason: "y"})
	requireEqual(t, w.inc, Fold(w.inc.ID, w.events))
}

// TestDelegate_OnePersonCannotFillTheTimeline repeats the commands about access, which
// may also carry a long reason.
func TestDelegate_OnePersonCannotFillTheTimeline(t *testing.T) {
	w := fixtureIn(t, InReview)
	for n := range MaxTexts {
		w.must("leg1", Command{Verb: VerbDelegate, Department: Legal, Person: "leg2", Until: w.now.Add(time.Hour + time.Duration(n)*time.Minute), Text: "x"})
	}
	w.mustFail("leg1", Command{Verb: VerbDelegate, Department: Legal, Person: "leg2", Until: w.now.Add(time.Hour), Text: "x"}, CodeConflict)
	w.must("leg1", Command{Verb: VerbSign, Department: Legal, Expect: w.inc.Submission.Digest})
}
