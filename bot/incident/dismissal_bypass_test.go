package incident

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// sev4Fixture returns a sev4 incident, which one person can dismiss.
func sev4Fixture(t *testing.T, s Status) *fixture {
	w := newFixture(t)
	w.must("", Command{Verb: VerbOpen, Title: "a port scan", Severity: Sev4, Alert: &AlertRef{Alert: 1, Kind: "scan", Title: "a port scan"}})
	w.must("eng1", Command{Verb: VerbAcknowledge})
	if s == Contained {
		w.must("eng1", Command{Verb: VerbContain, Text: "blocked"})
	}
	return w
}

// fixtureWithSeverities returns a sev4 incident whose severity was then changed in order.
func fixtureWithSeverities(t *testing.T, severities ...Severity) *fixture {
	w := sev4Fixture(t, Active)
	for _, s := range severities {
		w.must("eng1", Command{Verb: VerbSetSeverity, Severity: s})
	}
	return w
}

// mergeTarget returns a sev4 incident with another one merged into it.
func mergeTarget(t *testing.T, from *fixture) *fixture {
	into := sev4Fixture(t, Active)
	into.inc.ID = 8
	_, theirs, err := DecideMerge(Command{Verb: VerbMerge}, from.inc, into.inc, responderEnv(from))
	if err != nil {
		t.Fatal(err)
	}
	into.commit(theirs)
	if into.inc.Severity.MoreSevereThan(Sev4) {
		into.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev4})
	}
	return into
}

// splitTarget returns an incident with all alerts of another one split into it.
func splitTarget(t *testing.T, from *fixture) *fixture {
	into := newFixture(t)
	into.inc = New(9)
	cmd := Command{Verb: VerbSplit, Title: "nothing much", Severity: Sev4}
	_, theirs, err := DecideSplit(cmd, from.inc, into.inc, from.inc.Alerts, responderEnv(from))
	if err != nil {
		t.Fatal(err)
	}
	into.commit(theirs)
	return into
}

var dismissCommand = Command{Verb: VerbDismiss, Text: "a drill", NoPersonalData: true}

// TestDismiss_SecondPersonRequired tries to bypass the second person.
func TestDismiss_SecondPersonRequired(t *testing.T) {
	after := func(w *fixture, commands ...Command) *fixture {
		for _, c := range commands {
			w.must("eng1", c)
		}
		return w
	}
	again := Command{Verb: VerbReopen, Text: "again"}
	for name, w := range map[string]*fixture{
		"sev1":                                          fixtureWithSeverities(t, Sev1),
		"sev2":                                          fixtureWithSeverities(t, Sev2),
		"sev1 lowered to sev4":                          fixtureWithSeverities(t, Sev1, Sev4),
		"sev2 lowered to sev4":                          fixtureWithSeverities(t, Sev2, Sev4),
		"personal data ruled out":                       after(sev4Fixture(t, Active), factCommand(FactPersonalData, "suspected"), factCommand(FactPersonalData, "no")),
		"personal data unknown again":                   after(sev4Fixture(t, Active), factCommand(FactPersonalData, "confirmed"), factCommand(FactPersonalData, "unknown")),
		"merged from personal data":                     mergeTarget(t, after(sev4Fixture(t, Active), factCommand(FactPersonalData, "suspected"), factCommand(FactPersonalData, "no"))),
		"split from personal data":                      splitTarget(t, after(sev4Fixture(t, Active), factCommand(FactPersonalData, "suspected"), factCommand(FactPersonalData, "no"))),
		"an alert proposed sev1":                        after(fixtureWithProposal(t, Sev3, Sev4), Command{Verb: VerbKeepSeverity}),
		"contained":                                     sev4Fixture(t, Contained),
		"contained and reopened":                        after(sev4Fixture(t, Contained), again),
		"resolved and reopened":                         after(sev4Fixture(t, Active), Command{Verb: VerbResolve, Text: "done"}, again),
		"merged from a contained one":                   mergeTarget(t, sev4Fixture(t, Contained)),
		"merged from a sev2":                            mergeTarget(t, fixtureWithSeverities(t, Sev2)),
		"merged from a lowered sev1":                    mergeTarget(t, fixtureWithSeverities(t, Sev1, Sev4)),
		"split from a contained one":                    splitTarget(t, sev4Fixture(t, Contained)),
		"split from a sev1":                             splitTarget(t, fixtureWithSeverities(t, Sev1)),
		"split from a lowered sev2":                     splitTarget(t, fixtureWithSeverities(t, Sev2, Sev4)),
		"split from a lowered sev1, merged into a sev4": mergeTarget(t, splitTarget(t, fixtureWithSeverities(t, Sev1, Sev4))),
	} {
		w.must("eng2", dismissCommand)
		if w.inc.Status == Dismissed {
			t.Errorf("%s: dismissed by one person, want two", name)
			continue
		}
		w.mustFail("eng2", dismissCommand, CodeConflict)
		w.mustFail("eng3", dismissCommand, CodeForbidden)
		if len(w.inc.LoweredBy) > 0 {
			w.mustFail("eng1", dismissCommand, CodeConflict)
		}
		w.must("sec1", dismissCommand)
		if w.inc.Status != Dismissed {
			t.Errorf("%s: got status %s, want dismissed", name, w.inc.Status)
		}
	}
}

// fixtureWithProposal returns an incident whose severity a person lowered, and to
// which an alert of sev1 was attached then.
func fixtureWithProposal(t *testing.T, from, to Severity) *fixture {
	w := fixtureWithSeverities(t, from, to)
	w.must("", Command{Verb: VerbAttach, Alert: &AlertRef{Alert: 2, Kind: "root.login", Title: "root login"}, Severity: Sev1})
	return w
}

func TestDismiss_OnePersonSuffices(t *testing.T) {
	ruledOut := sev4Fixture(t, Active)
	ruledOut.must("eng1", factCommand(FactPersonalData, "no"))
	for name, w := range map[string]*fixture{"sev4": sev4Fixture(t, Active), "no personal data": ruledOut, "merged": mergeTarget(t, sev4Fixture(t, Active)), "split": splitTarget(t, sev4Fixture(t, Active)), "sev3": fixtureWithSeverities(t, Sev3)} {
		w.mustFail("eng1", Command{Verb: VerbDismiss, Text: "a drill"}, CodeInvalid)
		if _, err := w.decideAs("eng1", Command{Verb: VerbDismiss, Text: "a drill"}); !strings.Contains(err.Error(), "dismiss no-personal-data because WHY") {
			t.Errorf("%s without the statement: got %v, want how to state it", name, err)
		}
		if w.must("eng1", dismissCommand); w.inc.Status != Dismissed || w.inc.Facts.PersonalData != PersonalNo {
			t.Errorf("%s: got status %s and personal data %s after one person, want dismissed and no", name, w.inc.Status, w.inc.Facts.PersonalData)
		}
	}
}

func TestDismiss_SecurityMayReadAndConfirm(t *testing.T) {
	w := fixtureIn(t, Active) // a proposal gives non-responders of security access
	w.dir.People[5].Responder = false
	w.mustFail("sec2", dismissCommand, CodeUnknown)
	w.must("eng1", dismissCommand)
	w.must("sec2", Command{Verb: VerbDismiss})
	if w.inc.Status != Dismissed || w.inc.Dismissal.Reason != "a drill" {
		t.Errorf("got %s and %+v, want dismissed with the first reason", w.inc.Status, w.inc.Dismissal)
	}
	w.must("eng1", Command{Verb: VerbReopen, Text: "it is not"})
	if w.inc.Dismissal != nil {
		t.Error("reopened: got the old proposal, want none")
	}
}

func TestDismiss_ActorAndReason(t *testing.T) {
	w := sev4Fixture(t, Active)
	w.mustFail("eng1", Command{Verb: VerbDismiss}, CodeInvalid)
	w.inc.Restricted = false
	w.mustFail("pay1", dismissCommand, CodeForbidden)
	w.dir.People[4].Responder = false
	w.must("sec1", dismissCommand)
}

func TestErase(t *testing.T) {
	w := fixtureIn(t, InReview)
	d := w.inc.Submission.Digest
	refs := []TextRef{{1, "title"}}
	w.must("com1", Command{Verb: VerbSign, Department: Communications, Expect: d})
	w.mustFail("com1", Command{Verb: VerbErase, Text: "x", Erase: refs}, CodeForbidden)
	w.must("leg1", Command{Verb: VerbErase, Text: "a request", Erase: refs})
	if w.inc.Status != InReview {
		t.Error("a proposal voided the submission")
	}
	w.mustFail("leg1", Command{Verb: VerbErase, Erase: refs}, CodeConflict)
	w.mustFail("leg2", Command{Verb: VerbErase, Erase: refs}, CodeConflict)
	w.mustFail("sec1", Command{Verb: VerbErase, Erase: []TextRef{{1, "text"}}}, CodeInvalid) // other texts are a new proposal
	w.must("sec1", Command{Verb: VerbErase, Erase: refs})
	if w.inc.Status != Resolved || len(w.inc.Signatures) != 0 || w.inc.Erasure != nil {
		t.Errorf("erased a signed text: got status %s with %d signatures, want resolved without any", w.inc.Status, len(w.inc.Signatures))
	}
	// One person in both departments is not enough.
	w = fixtureIn(t, Active)
	w.dir.Teams[2].Members = append(w.dir.Teams[2].Members, Membership{Person: "sec1"})
	w.must("sec1", Command{Verb: VerbErase, Text: "a request", Erase: refs})
	w.mustFail("sec1", Command{Verb: VerbErase, Erase: refs}, CodeConflict)
	if !w.inc.MayRead(w.dir, "leg1", w.now) {
		t.Error("proposed erasure: got no access for legal, want some")
	}
	w.must("leg1", Command{Verb: VerbErase, Erase: refs})
}

func TestMerge_TargetTakesTheMoreSevere(t *testing.T) {
	env := Env{Now: start.AddDate(0, 0, 1), Actor: "eng1", Directory: testDirectory(), Policy: newFixture(t).policy}
	cmd := Command{Verb: VerbMerge, Text: "the same"}
	pair := func(s Status) (*fixture, *fixture) {
		a, b := fixtureIn(t, Active), fixtureIn(t, s)
		b.inc.ID = 8
		b.inc.Restricted = a.inc.Restricted
		return a, b
	}
	a, b := pair(InReview)
	a.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev1})
	a.must("eng1", factCommand(FactPersonalData, "suspected"))
	b.inc.Facts.PersonalData = PersonalNo
	mine, theirs, err := DecideMerge(cmd, a.inc, b.inc, env)
	if err != nil {
		t.Fatal(err)
	}
	a.commit(mine)
	b.commit(theirs)
	if b.inc.Severity != Sev1 || b.inc.Facts.PersonalData != PersonalSuspected || fmt.Sprint(b.inc.InvolvedDepartments) != "[legal communications dpo]" ||
		b.inc.Status != Resolved || fmt.Sprint(b.inc.MergedFrom) != "[INC-7]" {
		t.Errorf("got %+v, want sev1, suspected personal data, resolved, merged from INC-7", b.inc)
	}
	if mine, theirs, err := DecideMerge(cmd, a.inc, b.inc, env); err != nil || len(mine)+len(theirs) > 0 {
		t.Errorf("repeated merge: got %d events, %v, want none", len(mine)+len(theirs), err)
	}
	other := b.inc
	other.ID = 9
	if _, _, err := DecideMerge(cmd, a.inc, other, env); CodeOf(err) != CodeConflict {
		t.Errorf("merge into a second target: got %v, want a conflict", err)
	}
	// A less severe source does not change the target.
	a, b = pair(Active)
	a.inc.Severity, a.inc.Facts.PersonalData, b.inc.Facts.PersonalData = Sev4, PersonalNo, PersonalConfirmed
	if _, theirs, err = DecideMerge(cmd, a.inc, b.inc, env); err != nil || len(theirs) != 1 {
		t.Errorf("less severe source: got %v and %+v, want one event", err, theirs)
	}
	// A merge does not publish a restricted incident.
	b.inc.Restricted = false
	if _, _, err = DecideMerge(cmd, a.inc, b.inc, env); CodeOf(err) != CodeConflict {
		t.Errorf("restricted into public: got %v, want a conflict", err)
	}
	a.inc.Restricted = false
	if _, _, err = DecideMerge(cmd, a.inc, b.inc, env); err != nil {
		t.Errorf("public into public: got %v, want no error", err)
	}
	b.inc.Restricted, env.Actor = true, "pay1"
	if _, _, err = DecideMerge(cmd, a.inc, b.inc, env); CodeOf(err) != CodeForbidden {
		t.Errorf("target without access: got %v, want forbidden", err)
	}
	env.Actor = ""
	if _, _, err = DecideMerge(cmd, a.inc, b.inc, env); CodeOf(err) != CodeForbidden {
		t.Errorf("unknown actor: got %v, want forbidden", err)
	}
}

func TestSteps(t *testing.T) {
	w := fixtureIn(t, Active)
	w.must("", Command{Verb: VerbStartPlaybook, Runs: []Run{{Playbook: "second", Plan: []Step{{ID: "look"}, {ID: "more"}}}}})
	w.mustFail("eng1", Command{Verb: VerbStepDone, Step: "look"}, CodeInvalid)
	w.must("eng1", Command{Verb: VerbStepDone, Step: "second/look"})
	w.must("eng1", Command{Verb: VerbStepDone, Step: "more"})
	if _, s := w.inc.Step("leaked/look"); s.Finished() {
		t.Error("got the step of the other playbook finished, want it open")
	}
	if events, err := w.decideAs("", Command{Verb: VerbStartStep, Step: "more"}); len(events) > 0 || err != nil {
		t.Errorf("start of a finished step: got %d events, %v, want none", len(events), err)
	}
	if _, err := w.decideAs("eng1", Command{Verb: VerbStepDone, Step: "dance"}); !strings.Contains(err.Error(), "Open steps: rotate, look") {
		t.Errorf("unknown step: got %v, want the open steps", err)
	}
	w.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C1"}})
	w.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C2"}})
	if e := w.events[len(w.events)-1]; e.Kind != EventChannelReplaced {
		t.Errorf("second channel: got event %s, want channel_replaced", e.Kind)
	}
}

func TestDecide_BotVerbs(t *testing.T) {
	w := fixtureIn(t, Active)
	w.inc.Restricted = false
	bots := []Verb{VerbAttach, VerbCount, VerbSourceNote, VerbStartStep, VerbStepLate, VerbPage, VerbPaged, VerbPersonPaged, VerbPageFailed,
		VerbPageTimeout, VerbAckTimeout, VerbSeverityTimeout, VerbAbsenceTimeout, VerbEvidenceHashed, VerbEvidenceChanged, VerbStormTimeout, VerbRemindSigners, VerbLink, VerbInvited, VerbChannelFound, VerbChannelLost, VerbPostmortemWritten, VerbPostmortemShared, VerbReviewInvited, VerbEffectFailed, VerbEffectDropped, VerbPersonLeft, VerbAccessTimeout, VerbUpdateSent, VerbUpdateTimeout, VerbPageRestored, VerbRestored, VerbRepeatErasure, VerbDistrusted}
	for _, v := range bots {
		w.mustFail("eng1", Command{Verb: v, Text: "x", Links: map[string]string{"a": "b"}, People: []PersonID{"out1"}, Step: "look", Item: "F", Effect: "e"}, CodeForbidden)
	}
	apart := VerbRemindSigners // only in review
	shared := []Verb{VerbNote, VerbUpdate, VerbConsult, VerbInvolve, VerbStepDone, VerbStartPlaybook}
	for v := range statusMatrix {
		_, err := w.decideAs("", Command{Verb: v, Text: "x", Step: "look", Department: Legal})
		if allowed := slices.Contains(shared, v) || slices.Contains(bots, v); v != apart && (CodeOf(err) == CodeForbidden) == allowed {
			t.Errorf("%s by the bot: got %v, want allowed %t", v, err, allowed)
		}
	}
	if _, err := Decide(Command{Verb: VerbMerge}, w.inc, Env{Now: w.now, Actor: "eng1", Directory: w.dir}); CodeOf(err) != CodeInvalid {
		t.Errorf("merge by Decide: got %v, want invalid", err)
	}
}

func TestRestrict_ReadersCannotPublish(t *testing.T) {
	w := fixtureIn(t, Active)
	public := Command{Verb: VerbRestrict, Public: true}
	w.must("eng1", Command{Verb: VerbGrant, Person: "pay1", Text: "owns the table"})
	w.mustFail("pay1", public, CodeForbidden)
	for _, p := range []PersonID{"eng1", "sec2", "leg1"} {
		w := fixtureIn(t, Active)
		w.must("eng1", Command{Verb: VerbInvolve, Department: Legal})
		w.must(p, public)
		w.must(p, Command{Verb: VerbRestrict})
	}
}

// TestApplyPersonalData_PeakAndLowering covers states stored before
// PeakPersonalData existed.
func TestApplyPersonalData_PeakAndLowering(t *testing.T) {
	for _, c := range []struct {
		was, now      PersonalData
		lowers, alone bool
	}{
		{PersonalUnknown, PersonalNo, false, true},
		{PersonalUnknown, PersonalSuspected, false, false},
		{PersonalSuspected, PersonalConfirmed, false, false},
		{PersonalSuspected, PersonalNo, true, false},
		{PersonalConfirmed, PersonalSuspected, true, false},
		{PersonalConfirmed, PersonalNo, true, false},
	} {
		inc := Incident{Severity: Sev4, PeakSeverity: Sev4, Facts: Facts{PersonalData: c.was}}
		if suspect := c.was == PersonalSuspected || c.was == PersonalConfirmed; inc.OneMayDismiss() == suspect {
			t.Errorf("%s: got one may dismiss %t", c.was, suspect)
		}
		inc.applyPersonalData(c.now, "eng1")
		if lowered := len(inc.LoweredBy) > 0; lowered != c.lowers || inc.OneMayDismiss() != c.alone {
			t.Errorf("%s to %s: got lowered %t and one may dismiss %t, want %t and %t", c.was, c.now, lowered, inc.OneMayDismiss(), c.lowers, c.alone)
		}
	}
}

// TestDismiss_StatementOfTwo gives the statement about personal data in a dismissal
// by two people.
func TestDismiss_StatementOfTwo(t *testing.T) {
	statements := func(w *fixture) (n int) {
		for _, e := range w.events {
			if e.Kind == EventFactSet {
				n++
			}
		}
		return n
	}
	w := fixtureWithSeverities(t, Sev2)
	w.must("eng2", Command{Verb: VerbDismiss, Text: "a drill"})
	if statements(w) != 0 || w.inc.Facts.PersonalData == PersonalNo {
		t.Errorf("got personal data %s, want it unchanged without the statement", w.inc.Facts.PersonalData)
	}
	w.must("sec1", dismissCommand)
	if statements(w) != 1 || w.inc.Facts.PersonalData != PersonalNo {
		t.Errorf("got personal data %s, want no as stated", w.inc.Facts.PersonalData)
	}
	w = fixtureWithSeverities(t, Sev2)
	w.must("eng2", dismissCommand)
	if w.must("sec1", dismissCommand); statements(w) != 1 {
		t.Errorf("got %d statements, want one", statements(w))
	}
	for _, suspicion := range []string{"suspected", "confirmed"} {
		w = fixtureWithSeverities(t, Sev2)
		w.must("eng1", factCommand(FactPersonalData, suspicion))
		w.mustFail("eng2", dismissCommand, CodeConflict)
		w.must("eng2", Command{Verb: VerbDismiss, Text: "a drill"})
	}
}

// TestInheritOrigin_NeverLowers merges an origin that was less severe.
func TestInheritOrigin_NeverLowers(t *testing.T) {
	inc := Incident{Severity: Sev3, PeakSeverity: Sev1, PeakPersonalData: PersonalConfirmed, LoweredFrom: Sev1, Delegations: []Delegation{{From: "eng3", To: "eng4"}}}
	origin := Event{RecordedAt: start, Fields: map[string]string{"peak_severity": "sev3", "peak_personal_data": "suspected", "lowered_from": "sev2", "named": "eng1>eng2"}}
	inc.inherit(origin)
	inc.inherit(origin)
	if inc.PeakSeverity != Sev1 || inc.PeakPersonalData != PersonalConfirmed || inc.LoweredFrom != Sev1 || len(inc.Delegations) != 2 {
		t.Errorf("got %+v, want what was more severe, and each deputy once", inc)
	}
	inc = Incident{Severity: Sev1}
	if inc.inherit(origin); inc.LoweredFrom != "" {
		t.Errorf("got lowered from %s, want nothing for an incident that is more severe", inc.LoweredFrom)
	}
}
