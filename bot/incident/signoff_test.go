package incident

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSignOff(t *testing.T) {
	review := func(t *testing.T) (*fixture, string) {
		w := fixtureIn(t, InReview)
		return w, w.inc.Submission.Digest
	}
	sign := func(team Department, digest string) Command {
		return Command{Verb: VerbSign, Department: team, Expect: digest}
	}
	t.Run("four engineers cannot close an incident", func(t *testing.T) {
		w, d := review(t)
		w.must("eng2", sign(Engineering, d))
		w.mustFail("eng3", sign(Security, d), CodeForbidden)
		w.mustFail("eng3", sign(Legal, d), CodeForbidden)
		w.mustFail("eng4", sign(Communications, d), CodeForbidden)
		if w.inc.Status != InReview {
			t.Fatalf("got status %s, want in review", w.inc.Status)
		}
	})
	t.Run("submitter cannot sign", func(t *testing.T) {
		w, d := review(t)
		w.mustFail("eng1", sign(Engineering, d), CodeForbidden)
		w.policy.SubmitterMaySign = true
		w.must("eng1", sign(Engineering, d))
		if !w.inc.Signatures[0].Submitter {
			t.Error("got an unmarked signature of the submitter")
		}
	})
	t.Run("one person signs for one department", func(t *testing.T) {
		w, d := review(t)
		w.dir.Teams[2].Members = append(w.dir.Teams[2].Members, Membership{Person: "sec1"})
		w.must("sec1", sign(Security, d))
		w.mustFail("sec1", sign(Legal, d), CodeConflict)
	})
	t.Run("another digest", func(t *testing.T) {
		w, _ := review(t)
		w.mustFail("leg1", sign(Legal, "sha256:"+strings.Repeat("0", 64)), CodeStale)
		w.mustFail("leg1", sign(Legal, ""), CodeInvalid)
		w.mustFail("leg1", sign(Legal, "sha256:"), CodeStale)
	})
	t.Run("department that does not sign", func(t *testing.T) {
		w, d := review(t)
		w.mustFail("pay1", sign("payments", d), CodeUnknown) // restricted, and not consulted
		w.must("eng1", Command{Verb: VerbConsult, Department: "payments"})
		w.mustFail("pay1", sign("payments", d), CodeInvalid)
	})
	t.Run("deputy before, during and after the dates", func(t *testing.T) {
		w, d := review(t)
		w.inc.Restricted = false
		w.dir.Teams[2].Members = append(w.dir.Teams[2].Members, Membership{Person: "out1", Deputy: true, From: w.now.Add(time.Hour), Until: w.now.Add(2 * time.Hour)})
		w.mustFail("out1", sign(Legal, d), CodeForbidden)
		w.now = w.now.Add(90 * time.Minute)
		w.must("out1", sign(Legal, d))
		if !w.inc.Signatures[0].Deputy {
			t.Error("got an unmarked signature of a deputy")
		}
		w.must("out1", Command{Verb: VerbWithdraw, Department: Legal})
		w.now = w.now.Add(time.Hour)
		w.mustFail("out1", sign(Legal, d), CodeForbidden)
	})
	t.Run("delegation ends", func(t *testing.T) {
		w, d := review(t)
		w.mustFail("eng2", Command{Verb: VerbDelegate, Department: Legal, Person: "out1", Until: w.now.Add(time.Hour)}, CodeForbidden)
		w.must("leg1", Command{Verb: VerbDelegate, Department: Legal, Person: "out1", Until: w.now.Add(time.Hour)})
		w.mustFail("out1", Command{Verb: VerbDelegate, Department: Legal, Person: "pay1", Until: w.now.Add(time.Hour)}, CodeForbidden)
		w.must("out1", sign(Legal, d))
		w.must("out1", Command{Verb: VerbWithdraw})
		w.now = w.now.Add(2 * time.Hour)
		w.inc.Restricted = false
		w.mustFail("out1", sign(Legal, d), CodeForbidden)
	})
	t.Run("open objection blocks the approval", func(t *testing.T) {
		w, d := review(t)
		w.must("leg2", Command{Verb: VerbObject, Department: Legal, Text: "the impact is unproven", Expect: d})
		w.mustFail("leg1", sign(Legal, d), CodeConflict)
		w.must("eng2", sign(Engineering, d))
		w.must("sec1", sign(Security, d))
		w.must("com1", sign(Communications, d))
		w.mustFail("eng3", Command{Verb: VerbWithdraw, Item: "O1"}, CodeForbidden)
		w.must("leg1", Command{Verb: VerbWithdraw, Item: "O1"})
		w.must("leg1", sign(Legal, d))
		if w.inc.Status != Approved {
			t.Fatalf("got status %s, want approved", w.inc.Status)
		}
	})
	t.Run("objection withdraws the signature of its department", func(t *testing.T) {
		w, d := review(t)
		w.must("leg1", sign(Legal, d))
		w.must("leg2", Command{Verb: VerbObject, Department: Legal, Text: "wait", Expect: d})
		if w.inc.SignedBy(Legal) != nil {
			t.Error("got a signature of legal after its objection, want none")
		}
		w.mustFail("leg2", Command{Verb: VerbObject, Department: Legal, Expect: d}, CodeInvalid)
	})
	t.Run("amending voids signatures and closes objections", func(t *testing.T) {
		w, d := review(t)
		w.must("com1", sign(Communications, d))
		w.must("leg2", Command{Verb: VerbObject, Department: Legal, Text: "unproven", Expect: d})
		w.must("eng1", Command{Verb: VerbAmend, Text: "legal is right", Record: map[string]string{"impact": "12 people"}})
		w.must("eng1", Command{Verb: VerbSubmit})
		if w.inc.Submission.Digest == d || len(w.inc.Signatures) != 0 || w.inc.Objections[0].How != "amended" {
			t.Errorf("got %d signatures and objections %+v, want none and an amended one", len(w.inc.Signatures), w.inc.Objections)
		}
		w.mustFail("com1", sign(Communications, d), CodeStale)
		w.signAll()
		if w.inc.Status != Approved {
			t.Fatalf("got status %s, want approved", w.inc.Status)
		}
	})
	t.Run("only a blocking team blocks the approval", func(t *testing.T) {
		w, _ := review(t)
		w.must("eng1", Command{Verb: VerbConsult, Department: "payments", Blocking: true})
		w.signAll()
		if w.inc.Status != InReview {
			t.Fatal("approved without the answer of payments")
		}
		w.must("pay1", Command{Verb: VerbAnswer, Department: "payments", Text: "fine by us"})
		if w.inc.Status != Approved {
			t.Fatalf("got status %s, want approved", w.inc.Status)
		}
		w, _ = review(t)
		w.must("eng1", Command{Verb: VerbConsult, Department: "payments"})
		w.signAll()
		if w.inc.Status != Approved {
			t.Fatalf("got status %s, want approved", w.inc.Status)
		}
	})
	t.Run("facts, evidence and severity void signatures", func(t *testing.T) {
		for _, cmd := range []Command{
			{Verb: VerbSetFact, Text: "seen in the log", Fact: &FactChange{Name: FactOccurred, Value: "2026-11-24T01:00:00Z"}},
			{Verb: VerbEvidence, Evidence: &Evidence{Name: "disk.img"}},
			{Verb: VerbSetSeverity, Severity: Sev1},
		} {
			w, d := review(t)
			w.must("leg1", sign(Legal, d))
			w.must("eng1", cmd)
			if w.inc.Status != Resolved || w.inc.Submission != nil || len(w.inc.Signatures) != 0 {
				t.Errorf("%s: got %s with %d signatures, want resolved with none", cmd.Verb, w.inc.Status, len(w.inc.Signatures))
			}
		}
		w, d := review(t)
		w.must("leg1", sign(Legal, d))
		w.must("", Command{Verb: VerbAttach, Alert: &AlertRef{Alert: 2, Kind: "cloudtrail.StopLogging"}})
		if w.inc.SignedBy(Legal) == nil {
			t.Error("another alert of a known kind voided the signatures")
		}
	})
	t.Run("incomplete record cannot be submitted", func(t *testing.T) {
		for _, f := range RecordFields() {
			if !f.Required || f.Name == "audience" || f.Name == "language" {
				continue
			}
			w := fixtureIn(t, Resolved)
			record := maps.Clone(fullRecord)
			delete(record, f.Name)
			_, err := w.decideAs("eng1", Command{Verb: VerbSubmit, Record: record})
			var e *Error
			if !errors.As(err, &e) || e.Field != f.Name {
				t.Errorf("submit without %s: got %v, want an error in that field", f.Name, err)
			}
		}
	})
}

func TestRevise_SupersedesOldRevision(t *testing.T) {
	w := fixtureIn(t, Closed)
	old := w.inc.Submission.Digest
	w.must("eng1", Command{Verb: VerbRevise, Text: "more people", Record: map[string]string{"impact": "40 people"}})
	if w.inc.Submission.Document.Revision != 2 || w.inc.Submission.Digest == old || !w.inc.Postmortems[0].Superseded || w.inc.NeedsPage() {
		t.Errorf("got %+v, want revision 2", w.inc.Submission)
	}
	w.signAll()
	w.must("", Command{Verb: VerbPostmortemWritten, Document: w.inc.Submission.Digest, Revision: 2})
	if _, err := w.decideAs("", Command{Verb: VerbPostmortemWritten, Document: old, Revision: 1}); CodeOf(err) != CodeStale {
		t.Errorf("old postmortem: got %v, want stale", err)
	}
	if len(w.inc.Postmortems) != 2 || w.inc.Postmortems[1].Superseded {
		t.Errorf("got %+v, want two, the second one not superseded", w.inc.Postmortems)
	}
}

func TestClose_NeedsActionItemsOrWaiver(t *testing.T) {
	conclude := Command{Verb: VerbConclude, Attendance: []PersonID{"eng1", "sec1"}, Text: "talked", Reason: "all are here"}
	w := fixtureIn(t, Approved)
	w.mustFail("sec1", Command{Verb: VerbConclude, Attendance: []PersonID{"eng1"}, Text: "alone", Actions: requiredActions}, CodeInvalid)
	w.mustFail("sec1", conclude, CodeInvalid)
	one := conclude
	one.Actions = requiredActions[:1]
	w.mustFail("sec1", one, CodeInvalid)
	except := conclude
	except.Waiver = "nothing to prevent: a vendor's fault"
	w.must("eng1", except)
	if w.inc.Status != Approved {
		t.Fatal("closed without an endorsed waiver")
	}
	w.mustFail("eng1", Command{Verb: VerbWaiveActions}, CodeConflict)
	w.mustFail("eng2", Command{Verb: VerbWaiveActions}, CodeConflict)
	w.must("sec1", Command{Verb: VerbWaiveActions})
	if w.inc.Status != Closed {
		t.Fatalf("got status %s, want closed", w.inc.Status)
	}
	w = fixtureIn(t, Approved)
	w.must("eng1", except)
	w.must("eng1", Command{Verb: VerbAddAction, Action: &requiredActions[0]})
	w.must("eng1", Command{Verb: VerbAddAction, Action: &requiredActions[1]})
	if w.inc.Status != Closed {
		t.Fatalf("both action items added later: got status %s, want closed", w.inc.Status)
	}
}

// TestApproval_NeedsFourSignatures gives random commands of random people to Decide.
// It checks every approval against the events, without any code that Decide uses.
func TestApproval_NeedsFourSignatures(t *testing.T) {
	reached := map[Status]int{}
	runs, written := 0, 0
	checkUntil(t, func() bool { return written > 0 && written*20 >= runs }, func(rt *rapid.T) {
		w := newFixture(rt)
		w.open()
		if rapid.Bool().Draw(rt, "public") {
			w.must("eng1", Command{Verb: VerbRestrict, Public: true})
		}
		seen := map[Status]bool{Triage: true}
		for range rapid.IntRange(30, 120).Draw(rt, "commands") {
			by, cmd := randomCommand(rt, w)
			if err := w.applyRandom(rt, by, cmd); err != nil && CodeOf(err) == "" {
				rt.Fatalf("%s in %s: %v", cmd.Verb, w.inc.Status, err)
			} // domain errors are expected
			seen[w.inc.Status] = true
		}
		if len(w.inc.Postmortems) > 0 {
			written++
		}
		checkApprovals(rt, w)
		requireEqual(rt, w.inc, Fold(w.inc.ID, w.events))
		if errs := Verify(w.inc.ID, w.events, w.inc.Head); len(errs) > 0 {
			rt.Fatalf("got chain errors %v, want none", errs)
		}
		runs++
		for s := range seen {
			reached[s]++
		}
	})
	for _, s := range Statuses() {
		t.Logf("%-10s reached in %d of %d runs", s, reached[s], runs)
	}
	t.Logf("a postmortem in %d of %d runs", written, runs)
}

// applyRandom gives a command, or merges with a second incident in either direction.
func (w *fixture) applyRandom(rt *rapid.T, by PersonID, cmd Command) error {
	if cmd.Verb != VerbMerge {
		_, err := w.decideAs(by, cmd)
		return err
	}
	other := newFixture(rt)
	other.inc = New(8)
	other.open()
	env := Env{Now: w.now, Actor: by, System: by == "", Directory: w.dir, Policy: w.policy}
	if rapid.IntRange(0, 9).Draw(rt, "into another") == 0 {
		events, _, err := DecideMerge(cmd, w.inc, other.inc, env)
		w.commit(events)
		return err
	}
	_, events, err := DecideMerge(cmd, other.inc, w.inc, env)
	w.commit(events)
	return err
}

// randomCommand prefers verbs that advance the incident, to reach late statuses, and
// also returns invalid commands.
func randomCommand(rt *rapid.T, w *fixture) (PersonID, Command) {
	by := rapid.SampledFrom(w.dir.People).Draw(rt, "by").ID
	digest := ""
	if w.inc.Submission != nil {
		digest = w.inc.Submission.Digest
	}
	if rapid.IntRange(0, 9).Draw(rt, "stale") == 0 {
		digest = "sha256:" + strings.Repeat("0", 64)
	}
	onward := map[Status][]Verb{Triage: {VerbAcknowledge, VerbDismiss}, Active: {VerbResolve, VerbContain, VerbDismiss, VerbMerge}, Contained: {VerbResolve}, Resolved: {VerbSubmit},
		InReview: {VerbSign, VerbSign, VerbSign, VerbSign, VerbWithdraw}, Approved: {VerbConclude, VerbPostmortemWritten}, Closed: {VerbNote, VerbPostmortemWritten}, Dismissed: {VerbReopen}}
	verb := rapid.SampledFrom(slices.Sorted(maps.Keys(verbs))).Draw(rt, "verb")
	if ahead := onward[w.inc.Status]; len(ahead) > 0 && rapid.IntRange(0, 9).Draw(rt, "onward") < 8 {
		verb = rapid.SampledFrom(ahead).Draw(rt, "ahead")
	}
	cmd := Command{Verb: verb, Text: "because", Expect: digest, Department: rapid.SampledFrom(w.dir.Teams).Draw(rt, "department").Name,
		Severity: rapid.SampledFrom(Severities()).Draw(rt, "severity"), Person: rapid.SampledFrom(w.dir.People).Draw(rt, "person").ID,
		Until: w.now.Add(time.Minute), Role: Scribe, Round: w.inc.Paging.Round, Record: maps.Clone(fullRecord), Step: "look"}
	switch verb {
	case VerbSign, VerbObject:
		if rapid.IntRange(0, 4).Draw(rt, "own") > 0 {
			for _, team := range w.dir.Teams {
				if w.dir.Member(by, team.Name) {
					cmd.Department = team.Name
				}
			}
		}
	case VerbWithdraw:
		cmd.Department = ""
	case VerbConclude:
		cmd.Attendance, cmd.Reason, cmd.Actions = []PersonID{"eng1", "sec1"}, "all are here", requiredActions
	case VerbDismiss:
		by = rapid.SampledFrom([]PersonID{"eng1", "sec1", "sec2", "leg1"}).Draw(rt, "dismisses")
	case VerbErase:
		cmd.Erase = []TextRef{{1, "title"}}
	case VerbPostmortemWritten:
		if cmd.Document, cmd.Revision = digest, w.inc.Approved; rapid.Bool().Draw(rt, "old") {
			cmd.Revision--
		}
	case VerbSetFact:
		cmd.Fact = &FactChange{Name: FactPersonalData, Value: rapid.SampledFrom([]string{"no", "suspected", "confirmed"}).Draw(rt, "data")}
	case VerbEvidence:
		cmd.Evidence = &Evidence{Name: "disk"}
	case VerbAttach:
		cmd.Alert = &AlertRef{Alert: int64(rapid.IntRange(2, 9).Draw(rt, "alert")), Kind: "sentry.issue"}
	}
	if verb.who() == TheBot && rapid.Bool().Draw(rt, "bot") {
		by = ""
	}
	return by, cmd
}

// checkApprovals verifies every approval from the events alone.
func checkApprovals(rt *rapid.T, w *fixture) {
	type signature struct {
		by     PersonID
		digest string
		at     time.Time
	}
	var submitter PersonID
	digest := ""
	signatures, objections := map[string]signature{}, map[string]bool{}
	deputies := map[string]time.Time{}
	members := map[string][]PersonID{"engineering": {"eng1", "eng2", "eng3", "eng4"}, "security": {"sec1", "sec2"}, "legal": {"leg1", "leg2"}, "communications": {"com1", "com2"}}
	for _, e := range w.events {
		switch e.Kind {
		case EventSubmitted, EventRevised:
			submitter, digest, signatures = e.By, e.Field("digest"), map[string]signature{}
		case EventSigned:
			signatures[e.Field("department")] = signature{e.By, e.Field("digest"), e.RecordedAt}
		case EventSignatureWithdrawn:
			delete(signatures, e.Field("department"))
		case EventSignaturesVoided, EventAmended, EventReopened:
			signatures, digest = map[string]signature{}, ""
		case EventObjected:
			objections[e.Field("objection")] = true
		case EventObjectionClosed:
			delete(objections, e.Field("objection"))
		case EventDelegated:
			deputies[e.Field("department")+"/"+e.Field("person")] = parseInstant(e.Field("until"))
		case EventApproved:
			signers := map[PersonID]bool{}
			for _, team := range []string{"engineering", "security", "legal", "communications"} {
				s, ok := signatures[team]
				valid := slices.Contains(members[team], s.by) || s.at.Before(deputies[team+"/"+string(s.by)])
				if !ok || s.digest != digest || digest == "" || !valid || s.by == submitter {
					rt.Fatalf("event %d approves without a valid signature of %s: %+v", e.Seq, team, s)
				}
				signers[s.by] = true
			}
			if len(signers) != 4 || len(objections) > 0 {
				rt.Fatalf("event %d approves with %d signers and %d open objections", e.Seq, len(signers), len(objections))
			}
		case EventPostmortemWritten:
			if digest != e.Field("digest") {
				rt.Fatalf("event %d: a postmortem for another digest", e.Seq)
			}
		}
	}
	if s := w.inc.Submission; s != nil && s.Document.Digest() != s.Digest {
		rt.Fatalf("got a submission whose digest is not of its document")
	}
}
