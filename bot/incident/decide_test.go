package incident

import (
	"strings"
	"testing"
	"time"
)

// TestWhatIsAlreadyTrueIsNoEvent says everything twice: the second time
// nothing happens and nobody is told off.
func TestWhatIsAlreadyTrueIsNoEvent(t *testing.T) {
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
		{Active, "eng1", fact(FactOccurred, "2026-11-24T01:00:00.0000001Z")},
		{Active, "eng1", fact(FactDetected, "2026-11-24T01:00:00Z")},
		{Active, "eng1", fact(FactClassified, "2026-11-24T02:00:00+01:00")},
		{Active, "eng1", fact(FactPersonalData, "suspected")},
		{Active, "eng1", fact(FactTimeZone, "Asia/Tokyo")},
		{Active, "eng1", fact(FactLanguage, "de")},
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
		w := given(t, c.in)
		if c.cmd.Expect == "current" {
			c.cmd.Expect = w.inc.Submission.Digest
		}
		w.must(c.by, c.cmd)
		if events, err := w.as(c.by, c.cmd); len(events) > 0 || err != nil {
			t.Errorf("%s again: %v, %v", c.cmd.Verb, events, err)
		}
	}
	w := given(t, InReview)
	w.must("eng1", Command{Verb: VerbConsult, Department: "payments"})
	answer := Command{Verb: VerbAnswer, Department: "payments", Text: "fine"}
	w.must("pay1", answer)
	if events, err := w.as("pay1", answer); len(events) > 0 || err != nil {
		t.Errorf("answered again: %v, %v", events, err)
	}
	w.must("pay2", answer) // another person's word is another word
	answer.Text = "not fine"
	w.must("pay2", answer)
	// Almost the same is not the same.
	w = given(t, Active)
	sum := strings.Repeat("ab", 32)
	for _, e := range []Evidence{{Name: "x", SHA256: sum}, {Name: "y", SHA256: sum}, {Name: "x", SHA256: strings.Repeat("cd", 32)}, {Name: "x"}, {Name: "x"}} {
		w.must("eng1", Command{Verb: VerbEvidence, Evidence: &e})
	}
	w.must("eng1", Command{Verb: VerbConsult, Department: "payments"})
	w.must("eng1", Command{Verb: VerbConsult, Department: "PAYMENTS", Blocking: true})
	if len(w.inc.Consultations) != 1 || !w.inc.Consultations[0].Blocking {
		t.Errorf("%+v", w.inc.Consultations)
	}
}

func TestOpening(t *testing.T) {
	w := newWorld(t)
	w.must("", Command{Verb: VerbOpen, Title: "x\xff", Public: true, HappenedAt: start.Add(-time.Hour)})
	if w.inc.Severity != Sev3 || w.inc.Restricted || len(w.inc.Alerts) != 0 || w.inc.Title != "x\uFFFD" || !w.events[0].HappenedAt.Equal(start.Add(-time.Hour)) {
		t.Errorf("%+v", w.inc)
	}
	if !w.inc.MayRead(w.dir, "out1", w.now) || w.inc.MayRead(w.dir, "eve", w.now) {
		t.Error("an open incident is for everybody the configuration knows, and nobody else")
	}
	w = newWorld(t) // even somebody nobody knows may ring the bell
	w.must("", Command{Verb: VerbOpen, Title: "x"})
	env := Env{Now: start, Directory: people()}
	if events, err := Decide(Command{Verb: VerbOpen, Title: "x", By: Identity{ProviderSlack, "U99"}}, New(9), env); err != nil || len(events) == 0 {
		t.Errorf("%v", err)
	}
}

// TestTakingHold: whoever contains or resolves what nobody has, has it.
func TestTakingHold(t *testing.T) {
	w := given(t, Triage)
	w.inc.Restricted = false
	w.must("pay1", Command{Verb: VerbContain, Text: "pulled the plug"})
	if w.inc.Paging.Acknowledged() || w.inc.Commander != "" || !w.inc.NeedsPage() {
		t.Errorf("no responder has it: %+v", w.inc.Paging)
	}
	w.must("eng2", Command{Verb: VerbResolve, Text: "restored"})
	if w.inc.Paging.AcknowledgedBy != "eng2" || w.inc.Commander != "eng2" || w.inc.Status != Resolved || w.inc.NeedsPage() {
		t.Errorf("%+v in %s", w.inc.Paging, w.inc.Status)
	}
	w = given(t, Triage)
	w.must("eng3", Command{Verb: VerbContain, Text: "pulled the plug"})
	if w.inc.Paging.AcknowledgedBy != "eng3" || w.inc.Status != Contained || len(w.inc.Roles) != 1 {
		t.Errorf("%+v in %s", w.inc.Paging, w.inc.Status)
	}
	w.must("eng1", Command{Verb: VerbResolve, Text: "restored"})
	if w.inc.Paging.AcknowledgedBy != "eng3" {
		t.Error("what somebody has is not taken from them")
	}
}

func TestPagingCorners(t *testing.T) {
	w := given(t, Triage)
	w.refused("", Command{Verb: VerbPage, Round: 2}, CodeConflict)
	w.must("", Command{Verb: VerbPageFailed, Round: 1, EscalationStep: 1, Text: "early"})
	if w.inc.Paging.EscalationStep != 0 {
		t.Error("a route that is not tried now failed, and the next one goes")
	}
	for _, late := range []Command{{Verb: VerbPageTimeout, Round: 2}, {Verb: VerbPageTimeout, Round: 1, EscalationStep: 1}} {
		if events, err := w.as("", late); len(events) > 0 || err != nil {
			t.Errorf("%+v: %v, %v", late, events, err)
		}
	}
	w.must("", Command{Verb: VerbPageTimeout, Round: 1})
	w.must("", Command{Verb: VerbPageTimeout, Round: 1, EscalationStep: 1})
	w.must("", Command{Verb: VerbPageFailed, Round: 1, EscalationStep: 2, Text: "500"})
	if w.inc.Paging.EscalationStep != 2 || w.inc.Paging.Round != 1 {
		t.Errorf("past the last route: %+v", w.inc.Paging)
	}
	w.must("eng1", Command{Verb: VerbAcknowledge})
	w.must("", Command{Verb: VerbPageFailed, Round: 1, EscalationStep: 0, Text: "500"})
	if e := w.events[len(w.events)-1]; e.Field("next") != "" {
		t.Error("a page goes on though somebody has it")
	}
	// Raised while somebody has it: they have it no longer, the commander stays.
	w.must("eng2", Command{Verb: VerbSetSeverity, Severity: Sev1})
	w.must("eng2", Command{Verb: VerbAcknowledge})
	if w.inc.Commander != "eng1" || w.inc.Paging.AcknowledgedBy != "eng2" || w.inc.Paging.Round != 2 {
		t.Errorf("commander %s, %+v", w.inc.Commander, w.inc.Paging)
	}
	// Both of them keep it from lapsing; nobody else does.
	for _, who := range []PersonID{"eng1", "eng2"} {
		w.now = w.now.Add(20 * time.Minute)
		w.must(who, Command{Verb: VerbNote, Text: "on it"})
	}
	w.now = w.now.Add(29 * time.Minute)
	if events, _ := w.as("", Command{Verb: VerbAckTimeout}); len(events) > 0 {
		t.Error("lapsed too early")
	}
	w.must("eng1", Command{Verb: VerbResolve, Text: "restored"})
	w.now = w.now.AddDate(0, 0, 1)
	if _, ok := w.inc.AckTimeoutAt(w.policy); ok || w.inc.NeedsPage() {
		t.Error("what is resolved lapses, or pages")
	}
	w = given(t, Active)
	w.policy.AckTimeout = 0
	if _, ok := w.inc.AckTimeoutAt(w.policy); ok {
		t.Error("lapses though the company does not want it")
	}
}
