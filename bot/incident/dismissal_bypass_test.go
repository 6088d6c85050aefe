package incident

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// mild is an incident that never was anything but mild.
func mild(t *testing.T, s Status) *world {
	w := newWorld(t)
	w.must("", Command{Verb: VerbOpen, Title: "a port scan", Severity: Sev4, Alert: &AlertRef{Alert: 1, Kind: "scan", Title: "a port scan"}})
	w.must("eng1", Command{Verb: VerbAcknowledge})
	w.must("eng1", fact(FactPersonalData, "no"))
	if s == Contained {
		w.must("eng1", Command{Verb: VerbContain, Text: "blocked"})
	}
	return w
}

// graded is a mild one that was given other severities, one after the other.
func graded(t *testing.T, severities ...Severity) *world {
	w := mild(t, Active)
	for _, s := range severities {
		w.must("eng1", Command{Verb: VerbSetSeverity, Severity: s})
	}
	return w
}

// mergedFrom is a mild one into which another went.
func mergedFrom(t *testing.T, from *world) *world {
	into := mild(t, Active)
	into.inc.ID = 8
	_, theirs, err := DecideMerge(Command{Verb: VerbMerge}, from.inc, into.inc, splitEnv(from))
	if err != nil {
		t.Fatal(err)
	}
	into.commit(theirs)
	if into.inc.Severity.MoreSevereThan(Sev4) {
		into.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev4})
	}
	return into
}

// splitFrom is one that was split from another, with all of its alerts.
func splitFrom(t *testing.T, from *world) *world {
	into := newWorld(t)
	into.inc = New(9)
	cmd := Command{Verb: VerbSplit, Title: "nothing much", Severity: Sev4}
	_, theirs, err := DecideSplit(cmd, from.inc, into.inc, from.inc.Alerts, splitEnv(from))
	if err != nil {
		t.Fatal(err)
	}
	into.commit(theirs)
	if into.inc.Facts.PersonalData != PersonalNo {
		into.must("eng1", fact(FactPersonalData, "no"))
	}
	return into
}

var dismissAlone = Command{Verb: VerbDismiss, Text: "a drill"}

// TestDismissalCannotBeTalkedRound tries the ways around the second person.
func TestDismissalCannotBeTalkedRound(t *testing.T) {
	after := func(w *world, commands ...Command) *world {
		for _, c := range commands {
			w.must("eng1", c)
		}
		return w
	}
	again := Command{Verb: VerbReopen, Text: "again"}
	for name, w := range map[string]*world{
		"sev1":                                   graded(t, Sev1),
		"sev2":                                   graded(t, Sev2),
		"sev1 graded lower":                      graded(t, Sev1, Sev4),
		"sev2 graded lower":                      graded(t, Sev2, Sev4),
		"personal data":                          after(mild(t, Active), fact(FactPersonalData, "unknown")),
		"contained":                              mild(t, Contained),
		"contained and reopened":                 after(mild(t, Contained), again),
		"resolved and reopened":                  after(mild(t, Active), Command{Verb: VerbResolve, Text: "done"}, again),
		"merged from one that is contained":      mergedFrom(t, mild(t, Contained)),
		"merged from one that is grave":          mergedFrom(t, graded(t, Sev2)),
		"merged from one that was grave":         mergedFrom(t, graded(t, Sev1, Sev4)),
		"split from one that is contained":       splitFrom(t, mild(t, Contained)),
		"split from one that is grave":           splitFrom(t, graded(t, Sev1)),
		"split from one that was grave":          splitFrom(t, graded(t, Sev2, Sev4)),
		"split, and merged into one that is not": mergedFrom(t, splitFrom(t, graded(t, Sev1, Sev4))),
	} {
		w.must("eng1", dismissAlone)
		if w.inc.Status == Dismissed {
			t.Errorf("%s: dismissed by one person", name)
			continue
		}
		w.refused("eng1", dismissAlone, CodeConflict)
		w.must("sec1", dismissAlone)
		if w.inc.Status != Dismissed {
			t.Errorf("%s: %s", name, w.inc.Status)
		}
	}
}

func TestWhatIsMildIsDismissedByOnePerson(t *testing.T) {
	for name, w := range map[string]*world{"mild": mild(t, Active), "merged": mergedFrom(t, mild(t, Active)), "split": splitFrom(t, mild(t, Active)), "sev3": graded(t, Sev3)} {
		if w.must("eng1", dismissAlone); w.inc.Status != Dismissed {
			t.Errorf("%s: it takes two people", name)
		}
	}
}

func TestTheSecondPersonOfADismissalMayReadAndDecide(t *testing.T) {
	w := given(t, Active) // security that does not respond is asked, so it may read
	w.dir.People[5].Responder = false
	w.refused("sec2", dismissAlone, CodeForbidden)
	w.must("eng1", dismissAlone)
	w.must("sec2", Command{Verb: VerbDismiss})
	if w.inc.Status != Dismissed || w.inc.Dismissal.Reason != "a drill" {
		t.Errorf("%s, %+v", w.inc.Status, w.inc.Dismissal)
	}
	w.must("eng1", Command{Verb: VerbReopen, Text: "it is not"})
	if w.inc.Dismissal != nil {
		t.Error("an old proposal is half a new one")
	}
}

func TestWhoDismissesAndWhy(t *testing.T) {
	w := mild(t, Active)
	w.refused("eng1", Command{Verb: VerbDismiss}, CodeInvalid)
	w.inc.Restricted = false
	w.refused("pay1", dismissAlone, CodeForbidden)
	w.dir.People[4].Responder = false
	w.must("sec1", dismissAlone)
}

func TestErasing(t *testing.T) {
	w := given(t, InReview)
	d := w.inc.Submission.Digest
	refs := []TextRef{{1, "title"}}
	w.must("com1", Command{Verb: VerbSign, Department: Communications, Expect: d})
	w.refused("com1", Command{Verb: VerbErase, Text: "x", Erase: refs}, CodeForbidden)
	w.must("leg1", Command{Verb: VerbErase, Text: "a request", Erase: refs})
	if w.inc.Status != InReview {
		t.Error("a proposal voids nothing")
	}
	w.refused("leg1", Command{Verb: VerbErase, Erase: refs}, CodeConflict)
	w.refused("leg2", Command{Verb: VerbErase, Erase: refs}, CodeConflict)
	w.refused("sec1", Command{Verb: VerbErase, Erase: []TextRef{{1, "text"}}}, CodeInvalid) // other texts, another proposal
	w.must("sec1", Command{Verb: VerbErase, Erase: refs})
	if w.inc.Status != Resolved || len(w.inc.Signatures) != 0 || w.inc.Erasure != nil {
		t.Errorf("a text that was read is gone, and %s has %d signatures", w.inc.Status, len(w.inc.Signatures))
	}
	// One human in both departments is still one.
	w = given(t, Active)
	w.dir.Teams[2].Members = append(w.dir.Teams[2].Members, Membership{Person: "sec1"})
	w.must("sec1", Command{Verb: VerbErase, Text: "a request", Erase: refs})
	w.refused("sec1", Command{Verb: VerbErase, Erase: refs}, CodeConflict)
	if !w.inc.MayRead(w.dir, "leg1", w.now) {
		t.Error("legal is asked and cannot read")
	}
	w.must("leg1", Command{Verb: VerbErase, Erase: refs})
}

func TestMergeKeepsTheWorst(t *testing.T) {
	env := Env{Now: start.AddDate(0, 0, 1), Actor: "eng1", Directory: people(), Policy: newWorld(t).policy}
	cmd := Command{Verb: VerbMerge, Text: "the same"}
	pair := func(s Status) (*world, *world) {
		a, b := given(t, Active), given(t, s)
		b.inc.ID = 8
		b.inc.Restricted = a.inc.Restricted
		return a, b
	}
	a, b := pair(InReview)
	a.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev1})
	a.must("eng1", fact(FactPersonalData, "suspected"))
	b.inc.Facts.PersonalData = PersonalNo
	mine, theirs, err := DecideMerge(cmd, a.inc, b.inc, env)
	if err != nil {
		t.Fatal(err)
	}
	a.commit(mine)
	b.commit(theirs)
	if b.inc.Severity != Sev1 || b.inc.Facts.PersonalData != PersonalSuspected || fmt.Sprint(b.inc.InvolvedDepartments) != "[legal communications dpo]" ||
		b.inc.Status != Resolved || fmt.Sprint(b.inc.MergedFrom) != "[INC-7]" {
		t.Errorf("%+v", b.inc)
	}
	if mine, theirs, err := DecideMerge(cmd, a.inc, b.inc, env); err != nil || len(mine)+len(theirs) > 0 {
		t.Errorf("merged again: %v", err)
	}
	other := b.inc
	other.ID = 9
	if _, _, err := DecideMerge(cmd, a.inc, other, env); CodeOf(err) != CodeConflict {
		t.Errorf("merged into a second one: %v", err)
	}
	// The milder source changes nothing of the target.
	a, b = pair(Active)
	a.inc.Severity, a.inc.Facts.PersonalData, b.inc.Facts.PersonalData = Sev4, PersonalNo, PersonalConfirmed
	if _, theirs, err = DecideMerge(cmd, a.inc, b.inc, env); err != nil || len(theirs) != 1 {
		t.Errorf("%v, %+v", err, theirs)
	}
	// What is restricted does not come into the open by a merge.
	b.inc.Restricted = false
	if _, _, err = DecideMerge(cmd, a.inc, b.inc, env); CodeOf(err) != CodeConflict {
		t.Errorf("a restricted one merged into an open one: %v", err)
	}
	a.inc.Restricted = false
	if _, _, err = DecideMerge(cmd, a.inc, b.inc, env); err != nil {
		t.Errorf("two open ones: %v", err)
	}
	b.inc.Restricted, env.Actor = true, "pay1"
	if _, _, err = DecideMerge(cmd, a.inc, b.inc, env); CodeOf(err) != CodeForbidden {
		t.Errorf("into one that the person cannot read: %v", err)
	}
	env.Actor = ""
	if _, _, err = DecideMerge(cmd, a.inc, b.inc, env); CodeOf(err) != CodeForbidden {
		t.Errorf("merged by nobody: %v", err)
	}
}

func TestSteps(t *testing.T) {
	w := given(t, Active)
	w.must("", Command{Verb: VerbStartPlaybook, Runs: []Run{{Playbook: "second", Plan: []Step{{ID: "look"}, {ID: "more"}}}}})
	w.refused("eng1", Command{Verb: VerbStepDone, Step: "look"}, CodeInvalid)
	w.must("eng1", Command{Verb: VerbStepDone, Step: "second/look"})
	w.must("eng1", Command{Verb: VerbStepDone, Step: "more"})
	if _, s := w.inc.Step("leaked/look"); s.Finished() {
		t.Error("the other run's step is done as well")
	}
	if events, err := w.as("", Command{Verb: VerbStartStep, Step: "more"}); len(events) > 0 || err != nil {
		t.Errorf("a settled step starts: %v", err)
	}
	if _, err := w.as("eng1", Command{Verb: VerbStepDone, Step: "dance"}); !strings.Contains(err.Error(), "still open: rotate, look") {
		t.Errorf("%v", err)
	}
	w.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C1"}})
	w.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C2"}})
	if e := w.events[len(w.events)-1]; e.Kind != EventLinked {
		t.Errorf("the channel opened twice: %s", e.Kind)
	}
}

func TestWhoMaySay(t *testing.T) {
	w := given(t, Active)
	w.inc.Restricted = false
	bots := []Verb{VerbAttach, VerbCount, VerbSourceNote, VerbStartPlaybook, VerbStartStep, VerbStepLate, VerbPage, VerbPaged, VerbPageFailed,
		VerbPageTimeout, VerbAckTimeout, VerbLink, VerbInvited, VerbPostmortemWritten, VerbPostmortemShared, VerbEffectFailed}
	for _, v := range bots {
		w.refused("eng1", Command{Verb: v, Text: "x", Links: map[string]string{"a": "b"}, People: []PersonID{"out1"}, Step: "look", Item: "F", Effect: "e"}, CodeForbidden)
	}
	shared := []Verb{VerbNote, VerbUpdate, VerbConsult, VerbInvolve, VerbStepDone}
	for v := range matrix {
		_, err := w.as("", Command{Verb: v, Text: "x", Step: "look", Department: Legal})
		if allowed := slices.Contains(shared, v) || slices.Contains(bots, v); (CodeOf(err) == CodeForbidden) == allowed {
			t.Errorf("%s said by the bot: %v", v, err)
		}
	}
	if _, err := Decide(Command{Verb: VerbMerge}, w.inc, Env{Now: w.now, Actor: "eng1", Directory: w.dir}); CodeOf(err) != CodeInvalid {
		t.Errorf("merge without a second incident: %v", err)
	}
}

// Whoever was let in to read does not open the door for everybody.
func TestReadersDoNotPublish(t *testing.T) {
	w := given(t, Active)
	public := Command{Verb: VerbRestrict, Public: true}
	w.must("eng1", Command{Verb: VerbGrant, Person: "pay1", Text: "owns the table"})
	w.refused("pay1", public, CodeForbidden)
	for _, p := range []PersonID{"eng1", "sec2", "leg1"} {
		w := given(t, Active)
		w.must("eng1", Command{Verb: VerbInvolve, Department: Legal})
		w.must(p, public)
		w.must(p, Command{Verb: VerbRestrict})
	}
}
