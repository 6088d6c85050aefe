package incident

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWithdraw(t *testing.T) {
	open := func(w *fixture) string {
		_, objections, _ := w.inc.Missing()
		ids := ""
		for _, o := range objections {
			ids += o.ID
		}
		return ids
	}
	w := fixtureIn(t, InReview)
	d := w.inc.Submission.Digest
	for _, o := range []struct {
		by   PersonID
		team Department
		text string
	}{{"leg1", Legal, "a"}, {"leg2", Legal, "b"}, {"com1", Communications, "b"}, {"sec1", Security, "b"}} {
		w.must(o.by, Command{Verb: VerbObject, Department: o.team, Text: o.text, Expect: d})
	}
	w.mustFail("com1", Command{Verb: VerbWithdraw, Item: "O1"}, CodeForbidden)
	w.mustFail("com1", Command{Verb: VerbWithdraw, Item: "O9"}, CodeUnknown)
	w.mustFail("com1", Command{Verb: VerbWithdraw, Department: Legal}, CodeUnknown)
	w.must("leg1", Command{Verb: VerbWithdraw, Item: "O2"})
	if open(w) != "O1O3O4" {
		t.Errorf("got open objections %s, want O1O3O4", open(w))
	}
	w.mustFail("leg1", Command{Verb: VerbWithdraw, Item: "O2"}, CodeUnknown)
	w.must("leg1", Command{Verb: VerbObject, Department: Legal, Text: "b", Expect: d}) // a withdrawn objection may be repeated
	w.must("leg1", Command{Verb: VerbWithdraw})
	if open(w) != "O3O4" {
		t.Errorf("got open objections %s, want O3O4", open(w))
	}
	w.must("leg1", Command{Verb: VerbSign, Department: Legal, Expect: d})
	w.must("eng2", Command{Verb: VerbSign, Department: Engineering, Expect: d})
	w.mustFail("leg2", Command{Verb: VerbSign, Department: Legal, Expect: d}, CodeConflict)
	w.mustFail("leg2", Command{Verb: VerbWithdraw}, CodeUnknown) // signed by leg1
	w.mustFail("leg1", Command{Verb: VerbWithdraw, Department: Security}, CodeUnknown)
	w.mustFail("leg1", Command{Verb: VerbWithdraw, Item: "legal"}, CodeUnknown)
	w.must("leg1", Command{Verb: VerbWithdraw})
	if w.inc.SignedBy(Legal) != nil || w.inc.SignedBy(Engineering) == nil {
		t.Error("want only the signature of legal withdrawn")
	}
	// Withdrawing an objection does not withdraw a signature.
	w.dir.Teams[3].Members = append(w.dir.Teams[3].Members, Membership{Person: "leg1"})
	w.must("leg1", Command{Verb: VerbSign, Department: Legal, Expect: d})
	w.must("leg1", Command{Verb: VerbWithdraw})
	if open(w) != "O4" || w.inc.SignedBy(Legal) == nil {
		t.Errorf("got open objections %s, want O4 and the signature of legal", open(w))
	}
	// Withdrawing the last open objection approves.
	w.must("sec1", Command{Verb: VerbWithdraw})
	w.must("eng1", Command{Verb: VerbConsult, Department: "payments"})
	w.must("pay1", Command{Verb: VerbObject, Department: "payments", Text: "wait", Expect: d})
	w.must("sec1", Command{Verb: VerbSign, Department: Security, Expect: d})
	w.must("com1", Command{Verb: VerbSign, Department: Communications, Expect: d[:19]}) // "sha256:" and 12 digits
	if w.inc.Status != InReview {
		t.Fatal("approved despite an open objection")
	}
	w.must("pay2", Command{Verb: VerbWithdraw})
	if w.inc.Status != Approved {
		t.Errorf("got status %s, want approved", w.inc.Status)
	}
}

func TestAmend_ObjectionsCloseOnlyWithAnEdit(t *testing.T) {
	w := fixtureIn(t, InReview)
	w.must("eng1", Command{Verb: VerbConsult, Department: "payments"})
	w.must("pay1", Command{Verb: VerbObject, Department: "payments", Text: "wrong", Expect: w.inc.Submission.Digest})
	w.must("eng1", Command{Verb: VerbAmend, Text: "let us see"})
	w.must("eng1", Command{Verb: VerbSubmit})
	w.signAll()
	if w.inc.Status != InReview {
		t.Fatal("an unedited record closed the objection")
	}
	w.must("eng1", Command{Verb: VerbAmend, Text: "payments is right"})
	w.must("eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"impact": "12 people"}})
	w.must("eng1", Command{Verb: VerbSubmit})
	w.signAll()
	if w.inc.Status != Approved {
		t.Errorf("got status %s, want approved", w.inc.Status)
	}
	// A new submission after a reopening supersedes the old postmortem.
	w.must("", Command{Verb: VerbPostmortemWritten, Document: w.inc.Submission.Digest, Revision: 1})
	w.must("eng1", Command{Verb: VerbReopen, Text: "it is back"})
	w.must("eng1", Command{Verb: VerbResolve, Text: "gone"})
	w.must("eng1", Command{Verb: VerbScheduleReview, When: w.now.AddDate(0, 0, 1)})
	w.must("eng1", Command{Verb: VerbSubmit})
	if w.inc.Revision != 2 || !w.inc.Postmortems[0].Superseded || w.inc.Review.At.IsZero() {
		t.Errorf("got revision %d, %+v, %+v, want revision 2, superseded, with a review time", w.inc.Revision, w.inc.Postmortems, w.inc.Review)
	}
}

func TestDelegate_OneDepartmentOnePerson(t *testing.T) {
	w := fixtureIn(t, InReview)
	w.inc.Restricted = false
	d := w.inc.Submission.Digest
	w.must("leg1", Command{Verb: VerbDelegate, Department: "LEGAL", Person: "out1", Until: w.now.Add(time.Hour)})
	w.must("sec1", Command{Verb: VerbDelegate, Department: Security, Person: "out1", Until: w.now.Add(2 * time.Hour)})
	w.mustFail("pay1", Command{Verb: VerbSign, Department: Legal, Expect: d}, CodeForbidden)
	w.mustFail("out1", Command{Verb: VerbSign, Department: Communications, Expect: d}, CodeForbidden)
	if got := fmt.Sprint(w.inc.Representatives(w.dir, Legal, w.now)); got != "[leg1 leg2 out1]" {
		t.Errorf("got representatives %s, want leg1, leg2 and out1", got)
	}
	w.must("leg2", Command{Verb: VerbDelegate, Department: Legal, Person: "leg1", Until: w.now.Add(time.Hour)})
	w.must("leg1", Command{Verb: VerbDelegate, Department: Legal, Person: "out1", Until: w.now.Add(time.Minute)}) // shortened
	w.now = w.now.Add(10 * time.Minute)
	if got := fmt.Sprint(w.inc.Representatives(w.dir, Legal, w.now)); got != "[leg1 leg2]" {
		t.Errorf("got representatives %s, want leg1 and leg2", got)
	}
	w.mustFail("out1", Command{Verb: VerbSign, Department: Legal, Expect: d}, CodeForbidden)
	w.must("out1", Command{Verb: VerbSign, Department: Security, Expect: d})
	// Only the team can answer.
	w.must("eng1", Command{Verb: VerbConsult, Department: "payments"})
	w.mustFail("eng1", Command{Verb: VerbAnswer, Department: "payments", Text: "fine"}, CodeForbidden)
	w.mustFail("pay1", Command{Verb: VerbAnswer, Department: "payments"}, CodeInvalid)
}

func TestClose_GateCannotBeBypassed(t *testing.T) {
	w := fixtureIn(t, Approved)
	for n := range requiredActions {
		w.must("eng1", Command{Verb: VerbAddAction, Action: &requiredActions[n]})
	}
	if w.inc.Status != Approved {
		t.Fatal("closed without a review meeting")
	}
	w = fixtureIn(t, Approved)
	w.must("sec1", Command{Verb: VerbWaiveActions, Text: "a vendor's fault"})
	w.mustFail("sec1", Command{Verb: VerbWaiveActions}, CodeConflict) // same person, although of security
	w.must("eng1", Command{Verb: VerbConclude, Attendance: []PersonID{"eng1", "sec1"}, Text: "talked", Reason: "all are here", Waiver: "another"})
	if w.inc.Review.WaivedBy != "sec1" || w.inc.Status != Approved {
		t.Errorf("got %+v in %s, want the first waiver, approved", w.inc.Review, w.inc.Status)
	}
	w.must("sec2", Command{Verb: VerbWaiveActions})
	if w.inc.Status != Closed {
		t.Fatalf("got status %s, want closed", w.inc.Status)
	}
	w.must("eng1", Command{Verb: VerbReopen, Text: "it is back"})
	if w.inc.Review.EndorsedBy != "" {
		t.Error("reopened: got the old waiver endorsed, want none")
	}
	w = fixtureIn(t, Approved)
	w.must("eng1", Command{Verb: VerbWaiveActions, Text: "a vendor's fault"})
	w.must("sec1", Command{Verb: VerbWaiveActions})
	if events, err := w.decideAs("sec2", Command{Verb: VerbWaiveActions}); len(events) > 0 || err != nil || w.inc.Status != Approved {
		t.Errorf("second endorsement: got %v in %s, want no events, approved", err, w.inc.Status)
	}
}

func TestAcknowledge_AndTimeout(t *testing.T) {
	w := fixtureIn(t, Triage)
	w.inc.Restricted = false
	w.mustFail("pay1", Command{Verb: VerbAcknowledge}, CodeForbidden)
	w.must("eng1", Command{Verb: VerbAcknowledge})
	w.must("", Command{Verb: VerbPageFailed, Round: 1, EscalationStep: 0, Text: "500"})
	if e := w.events[len(w.events)-1]; e.Field("next") != "" {
		t.Error("failed page after an acknowledgement: got a next step, want none")
	}
	w.must("eng1", Command{Verb: VerbAssignRole, Role: Commander, Person: "eng2"})
	w.now = w.now.Add(29 * time.Minute)
	w.must("eng2", Command{Verb: VerbNote, Text: "on it"})
	w.now = w.now.Add(29 * time.Minute)
	if events, _ := w.decideAs("", Command{Verb: VerbAckTimeout}); len(events) > 0 {
		t.Error("acknowledgement timed out despite activity of the commander")
	}
	w.now = w.now.Add(2 * time.Minute)
	w.must("", Command{Verb: VerbAckTimeout})
	if len(w.inc.Roles) != 0 {
		t.Errorf("timed out: got roles %v, want none", w.inc.Roles)
	}
	w = fixtureIn(t, Resolved)
	w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev1})
	if w.inc.Paging.Round != 1 {
		t.Error("raised after resolving: got a page, want none")
	}
}

func TestMayRead(t *testing.T) {
	w := newFixture(t)
	w.must("out1", Command{Verb: VerbOpen, Title: "x"})
	if !w.inc.MayRead(w.dir, "out1", w.now) {
		t.Error("got no access for the opener, want some")
	}
	w.must("eng1", Command{Verb: VerbAssignRole, Role: Scribe, Person: "pay1"})
	w.must("eng1", Command{Verb: VerbAssignRole, Role: Communicator, Person: "pay1"})
	if !w.inc.MayRead(w.dir, "pay1", w.now) || w.inc.MayRead(w.dir, "pay2", w.now) || fmt.Sprint(w.inc.RolesOf("pay1")) != "[communicator scribe]" {
		t.Error("want access for the person with the role only")
	}
	for _, s := range Statuses() {
		w := fixtureIn(t, s)
		want := slices.Contains([]Status{Resolved, InReview, Approved, Closed}, s)
		if got := w.inc.MayRead(w.dir, "com1", w.now); got != want || s.Closing() != want {
			t.Errorf("access of communications in %s: got %v, want %v", s, got, want)
		}
		if s.Ended() != slices.Contains([]Status{Closed, Dismissed, Merged}, s) || w.inc.NeedsPage() != (s == Triage) {
			t.Errorf("%s: got ended %v and needs page %v", s, s.Ended(), w.inc.NeedsPage())
		}
	}
}

func TestDirectory(t *testing.T) {
	d := Directory{
		People: []Person{{ID: "a", Name: "Ann", Responder: true, Identities: []Identity{{ProviderMail, "Ann@Example.com"}, {ProviderSlack, "U1"}}}, {ID: "b", Name: "Bob"}},
		Teams: []Team{{Name: Legal, Members: []Membership{{Person: "a"}, {Person: "a"}, {Person: "b", Deputy: true, From: start, Until: start.Add(time.Hour)},
			{Person: "c", Deputy: true, Until: start}}}},
	}
	for h, want := range map[Identity]PersonID{{ProviderMail, "ann@example.COM"}: "a", {ProviderSlack, "U1"}: "a", {ProviderSlack, "u1"}: "", {ProviderPagerDuty, "U1"}: "", {ProviderSlack, "ann@example.com"}: "", {ProviderMail, "x"}: ""} {
		if p, ok := d.Resolve(h); p.ID != want || ok != (want != "") {
			t.Errorf("resolve %s: got %q, want %q", h, p.ID, want)
		}
	}
	if d.Name("") != "Tocsin" || d.Name("b") != "Bob" || d.Name("z") != "z" || d.People[0].IDAt(ProviderSlack) != "U1" || d.People[0].IDAt(ProviderOIDC) != "" {
		t.Error("want names with fallbacks, and the id at Slack only")
	}
	if fmt.Sprint(d.Representatives(Legal, start)) != "[a b]" || fmt.Sprint(d.Representatives(Legal, start.Add(time.Hour))) != "[a]" || fmt.Sprint(d.Responders()) != "[a]" {
		t.Errorf("got representatives %v, then %v, and responders %v", d.Representatives(Legal, start), d.Representatives(Legal, start.Add(time.Hour)), d.Responders())
	}
}

func TestParseIDAndPageKey(t *testing.T) {
	for s, want := range map[string]ID{"INC-42": 42, " inc-42": 42, "#42": 42, "42": 42, "INC-0": 0, "INC--1": 0, "INC-x": 0, "": 0} {
		if id, err := ParseID(s); id != want || (err == nil) != (want > 0) {
			t.Errorf("ParseID(%q): got %v, %v, want %v", s, id, err, want)
		}
	}
	for s, want := range map[string]bool{"INC-42/3": true, "INC-42": false, "INC-x/3": false, "INC-42/x": false, "42/3": false} {
		if id, round, ok := ParsePageKey(s); ok != want || ok && (id != 42 || round != 3) {
			t.Errorf("ParsePageKey(%q): got %v %d %v, want ok %v", s, id, round, ok, want)
		}
	}
	if !errors.Is(Stale("x"), &Error{Code: CodeStale}) || errors.Is(Stale("x"), &Error{Code: CodeInvalid}) || errors.Is(Stale("x"), &Error{Code: CodeStale, Sentence: Say("y")}) || errors.Is(Stale("x"), errors.ErrUnsupported) {
		t.Error("errors.Is: want a match by code only")
	}
	if !Sev1.MoreSevereThan(Sev2) || Sev2.MoreSevereThan(Sev2) || Severity("").MoreSevereThan(Sev4) || !Sev4.MoreSevereThan("") {
		t.Error("MoreSevereThan: wrong order")
	}
	if got := string(canonical("\b\t\f\x01")); got != `"\b\t\f\u0001"` {
		t.Errorf("got %s, want short escapes", got)
	}
}

func TestDecide_ErrorsSuggestNextStep(t *testing.T) {
	for _, c := range []struct {
		in   Status
		cmd  Command
		text string
	}{
		{Approved, Command{Verb: VerbEvidence}, "Revise the record first"},
		{Closed, Command{Verb: VerbEditRecord}, "Revise the record first"},
		{InReview, Command{Verb: VerbEditRecord}, "Amend the record first"},
		{Merged, Command{Verb: VerbContain}, "merged into INC-8"},
		{Triage, Command{Verb: VerbResolve}, "so resolve is not possible. You can use ack, contain or dismiss"},
		{Active, Command{Verb: VerbSign}, "so sign is not possible. You can use contain, resolve or dismiss"},
		{Contained, Command{Verb: VerbContain}, "so contain is not possible. You can use resolve, dismiss or reopen"},
		{Resolved, Command{Verb: VerbContain}, "so contain is not possible. You can use submit, reopen or record"},
		{Dismissed, Command{Verb: VerbEditRecord}, "so record is not possible. You can use reopen, review or note"},
		{Approved, Command{Verb: VerbContain}, "so contain is not possible. You can use review conclude, revise or reopen"},
		{InReview, Command{Verb: VerbContain}, "so contain is not possible. You can use sign, amend or reopen"},
		{InReview, Command{Verb: VerbContain}, "INC-7 is in review"},
		{Active, Command{Verb: VerbAssignRole, Role: "comandr", Person: "eng1"}, `Did you mean "commander"?`},
		{Active, Command{Verb: VerbStepDone, Step: "rotat"}, `Did you mean "rotate"?`},
		{Active, Command{Verb: VerbAddAction, Action: &Action{Kind: ActionProcess, Title: "x", Owner: "eng1", Due: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)}}, "2020-01-01 has passed"},
		{Active, Command{Verb: VerbInvolve, Department: "x"}, "engineering, security, legal"},
		{Active, Command{Verb: VerbSetFact}, "occurred, detected, aware"},
		{Active, Command{Verb: VerbEditRecord}, "summary, impact, root_cause"},
	} {
		if _, err := fixtureIn(t, c.in).decideAs("eng1", c.cmd); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s in %s: got %v, want %q", c.cmd.Verb, c.in, err, c.text)
		}
	}
	for _, s := range Statuses() {
		for v := range verbs { // a tired person reads no list of all commands
			if _, err := fixtureIn(t, s).decideAs("eng1", Command{Verb: v}); err != nil && strings.Contains(err.Error(), "is not possible") && len(err.Error()) > 150 {
				t.Errorf("%s in %s: got %v, want at most %d commands", v, s, err, maxSuggestions)
			}
		}
		verbs := AllowedVerbs(s)
		if once := slices.Compact(slices.Sorted(slices.Values(verbs))); len(once) != len(verbs) || slices.Contains(verbs, VerbPaged) {
			t.Errorf("%s: got verbs %v, want no duplicates and no bot verbs", s, verbs)
		}
	}
}

func TestContain_BackdatedAcknowledgesNow(t *testing.T) {
	w := fixtureIn(t, Triage)
	then := w.now.Add(-time.Hour)
	events, err := w.decideAs("eng1", Command{Verb: VerbContain, Text: "the key is off", HappenedAt: then})
	for _, e := range events {
		if past := e.HappenedAt.Equal(stamp(then)); past != (e.Kind == EventContained) {
			t.Errorf("%s: got time %s, want only contained backdated", e.Kind, e.HappenedAt)
		}
	}
	if len(events) != 3 || err != nil {
		t.Errorf("got %d events, %v, want 3", len(events), err)
	}
}

func TestDecide_PicksTheNamedItem(t *testing.T) {
	w := newFixture(t)
	w.open()
	if f := w.inc.Facts; f.PersonalData != PersonalUnknown || f.TimeZone != "Europe/Paris" || f.Language != "en" || w.inc.Record.Language != "en" || w.inc.Record.Audience != AudienceResponders {
		t.Errorf("got %+v and %+v, want the defaults of the policy", f, w.inc.Record)
	}
	w.must("", Command{Verb: VerbStartPlaybook, Runs: []Run{{Playbook: "p", Consult: []ConsultRequest{{Team: "Payments"}, {Team: "payments"}, {Team: Security}}}}})
	if len(w.inc.Consultations) != 2 {
		t.Errorf("got %+v, want two consultations", w.inc.Consultations)
	}
	w.must("pay1", Command{Verb: VerbAnswer, Department: "PAYMENTS", Text: "fine"})
	if w.inc.Consultations[1].Answered() {
		t.Error("an answer of payments counted for security")
	}
	w = fixtureIn(t, InReview)
	w.must("leg1", Command{Verb: VerbObject, Department: Legal, Text: "a", Expect: w.inc.Submission.Digest})
	w.must("eng1", Command{Verb: VerbConsult, Department: "payments"})
	w.must("leg1", Command{Verb: VerbWithdraw, Department: Legal})
	w = fixtureIn(t, Closed)
	if r := w.inc.Review; fmt.Sprint(r.Attendance) != "[eng1 sec1]" || r.Decisions != "we learned" {
		t.Errorf("got %+v, want the attendance and decisions", r)
	}
	w.must("eng1", Command{Verb: VerbFinishAction, Item: "A2"})
	if !w.inc.Actions[0].Done.IsZero() || w.inc.Actions[1].Done.IsZero() {
		t.Errorf("got %+v, want only A2 done", w.inc.Actions)
	}
	w.must("eng1", Command{Verb: VerbRevise, Text: "more"})
	w.signAll()
	w.must("", Command{Verb: VerbPostmortemWritten, Document: w.inc.Submission.Digest, Revision: 2})
	w.must("", Command{Verb: VerbPostmortemShared, Revision: 2, Item: "F2"})
	if w.inc.Postmortems[0].Shared || w.inc.Postmortems[1].FileID != "F2" {
		t.Errorf("got %+v, want only the second one shared", w.inc.Postmortems)
	}
	a, b := New(1), New(1)
	a.Evidence, b.Evidence = []Evidence{{SHA256: "b"}, {SHA256: "a"}}, []Evidence{{SHA256: "a"}, {SHA256: "b"}, {}}
	if a.document(1).Digest() != b.document(1).Digest() {
		t.Error("got different digests for another order of evidence, want equal ones")
	}
}
