package incident

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// slackDistrust is a distrust of Slack and of its issuer since a time.
func slackDistrust(since time.Time) Command {
	return Command{Verb: VerbDistrusted, Via: ViaSystem, Text: "stolen tokens",
		Distrust: &DistrustedProvider{Event: 1, Provider: "slack", Names: []string{"slack", "slack-login"}, Since: since}}
}

// onPages returns a command of a session on the pages that another provider vouches for.
func onPages(cmd Command) Command {
	cmd.Via, cmd.Through = ViaWeb, "okta"
	return cmd
}

// distrust undoes the acts through Slack since a time.
func (w *fixture) distrust(since time.Time) []Event {
	w.t.Helper()
	events := w.decided("", slackDistrust(since))
	if again, err := w.decideAs("", slackDistrust(since)); err != nil || len(again) > 0 {
		w.t.Fatalf("the same distrust again: got %d events, %v, want none", len(again), err)
	}
	return events
}

// sign lets a person sign the current record.
func (w *fixture) sign(by PersonID, team Department, cmd Command) {
	w.t.Helper()
	cmd.Verb, cmd.Department, cmd.Expect = VerbSign, team, w.inc.Submission.Digest
	w.must(by, cmd)
}

func TestDistrusted_UndoesTheResponse(t *testing.T) {
	open := func(t *testing.T) (*fixture, time.Time) {
		w := newFixture(t)
		w.must("eng1", onPages(Command{Verb: VerbOpen, Title: "Logins", Severity: Sev1}))
		w.must("eng1", onPages(Command{Verb: VerbAcknowledge}))
		w.now = w.now.Add(time.Hour)
		return w, w.now
	}
	t.Run("acknowledgement", func(t *testing.T) {
		w := newFixture(t)
		w.must("eng1", onPages(Command{Verb: VerbOpen, Title: "Logins", Severity: Sev1}))
		since := w.now
		w.must("eng2", Command{Verb: VerbAcknowledge})
		events := w.distrust(since)
		if w.inc.Status != Triage || w.inc.Paging.Acknowledged() || w.inc.Commander != "" || w.inc.Paging.Round != 2 {
			t.Errorf("got %s, acknowledged by %q, commander %q, round %d, want triage without any in round 2", w.inc.Status, w.inc.Paging.AcknowledgedBy, w.inc.Commander, w.inc.Paging.Round)
		}
		if got := kinds(events); !slices.Contains(got, EventRoundStarted) {
			t.Errorf("got events %v, want a new round", got)
		}
	})
	t.Run("an earlier acknowledgement stays", func(t *testing.T) {
		w, since := open(t)
		w.must("eng1", Command{Verb: VerbSetFact, Fact: &FactChange{Name: FactTimeZone, Value: "Europe/Rome"}})
		w.distrust(since)
		if w.inc.Paging.AcknowledgedBy != "eng1" || w.inc.Commander != "eng1" || w.inc.Paging.Round != 1 {
			t.Errorf("got acknowledged by %q in round %d, want eng1 in round 1", w.inc.Paging.AcknowledgedBy, w.inc.Paging.Round)
		}
		if c := w.inc.DistrustedChanges; len(c) != 1 || c[0].Kind != EventFactSet || c[0].By != "eng1" {
			t.Errorf("got changes %+v, want the fact", c)
		}
	})
	t.Run("severity", func(t *testing.T) {
		w, since := open(t)
		w.must("eng2", Command{Verb: VerbSetSeverity, Severity: Sev4, Text: "only a test"})
		w.distrust(since)
		if w.inc.Severity != Sev1 || len(w.inc.LoweredBy) > 0 || w.inc.LoweredFrom != "" {
			t.Errorf("got %s, lowered by %v from %q, want sev1", w.inc.Severity, w.inc.LoweredBy, w.inc.LoweredFrom)
		}
	})
	t.Run("severity set elsewhere afterwards", func(t *testing.T) {
		w, since := open(t)
		w.must("eng2", Command{Verb: VerbSetSeverity, Severity: Sev4, Text: "only a test"})
		w.must("eng1", onPages(Command{Verb: VerbSetSeverity, Severity: Sev3, Text: "measured"}))
		w.distrust(since)
		if w.inc.Severity != Sev3 {
			t.Errorf("got %s, want sev3 as set on the pages", w.inc.Severity)
		}
	})
	t.Run("dismissal by two", func(t *testing.T) {
		w, since := open(t)
		w.must("eng2", Command{Verb: VerbDismiss, Text: "a drill"})
		w.must("sec1", onPages(Command{Verb: VerbDismiss}))
		w.distrust(since)
		if w.inc.Status != Triage || w.inc.Dismissal != nil || w.inc.Paging.Acknowledged() {
			t.Errorf("got %s with dismissal %v, want triage: the first of the two was in Slack", w.inc.Status, w.inc.Dismissal)
		}
	})
	t.Run("merge", func(t *testing.T) {
		w, since := open(t)
		other := newFixture(t)
		other.inc = New(8)
		other.must("eng1", onPages(Command{Verb: VerbOpen, Title: "Else"}))
		env := Env{Now: w.now, Actor: "eng2", Directory: w.dir, Policy: w.policy}
		ofSource, ofTarget, err := DecideMerge(Command{Verb: VerbMerge, Via: ViaSlack, Text: "same"}, w.inc, other.inc, env)
		if err != nil {
			t.Fatal(err)
		}
		w.commit(ofSource)
		other.commit(ofTarget)
		w.distrust(since)
		if w.inc.Status != Triage || w.inc.MergedInto != 0 {
			t.Errorf("got %s, merged into %s, want triage", w.inc.Status, w.inc.MergedInto)
		}
		other.commit(DecideSeparate(slackDistrust(since), w.inc, other.inc, Env{Now: w.now, System: true, Directory: w.dir, Policy: w.policy}))
		other.distrust(since)
		if c := other.inc.DistrustedChanges; len(other.inc.MergedFrom) > 0 || len(c) != 1 || c[0].Kind != EventSeveritySet {
			t.Errorf("got merged from %v, changes %+v, want the raised severity to confirm", other.inc.MergedFrom, c)
		}
	})
	for name, ended := range map[string]func(*fixture){
		"dismissed": func(w *fixture) {
			w.must("eng1", onPages(Command{Verb: VerbDismiss, Text: "a drill"}))
			w.must("sec1", onPages(Command{Verb: VerbDismiss}))
		},
		"resolved": func(w *fixture) { w.must("eng1", onPages(Command{Verb: VerbResolve, Text: "fixed"})) },
	} {
		t.Run("merge of a reopened incident that was "+name, func(t *testing.T) {
			w, _ := open(t)
			ended(w)
			w.now = w.now.Add(time.Hour)
			since := w.now
			w.must("eng1", Command{Verb: VerbReopen, Text: "again"})
			other := newFixture(t)
			other.inc = New(8)
			other.must("eng1", onPages(Command{Verb: VerbOpen, Title: "Else"}))
			ofSource, _, err := DecideMerge(Command{Verb: VerbMerge, Via: ViaSlack, Text: "same"}, w.inc, other.inc, Env{Now: w.now, Actor: "eng2", Directory: w.dir, Policy: w.policy})
			if err != nil {
				t.Fatal(err)
			}
			w.commit(ofSource)
			w.distrust(since)
			if w.inc.Status != Triage || w.inc.MergedInto != 0 {
				t.Errorf("got %s, merged into %s, want triage", w.inc.Status, w.inc.MergedInto)
			}
		})
	}
	t.Run("dismissal of a reopened incident that was resolved", func(t *testing.T) {
		w, _ := open(t)
		w.must("eng1", onPages(Command{Verb: VerbResolve, Text: "fixed"}))
		w.now = w.now.Add(time.Hour)
		since := w.now
		w.must("eng1", Command{Verb: VerbReopen, Text: "again"})
		w.must("eng2", Command{Verb: VerbDismiss, Text: "a drill"})
		w.must("sec1", Command{Verb: VerbDismiss})
		w.distrust(since)
		if w.inc.Status != Triage {
			t.Errorf("got %s, want triage", w.inc.Status)
		}
	})
	t.Run("resolution", func(t *testing.T) {
		w, since := open(t)
		w.must("eng2", Command{Verb: VerbResolve, Text: "nothing there"})
		w.distrust(since)
		if w.inc.Status != Triage || !w.inc.NeedsPage() {
			t.Errorf("got %s, paged %v, want triage", w.inc.Status, w.inc.NeedsPage())
		}
	})
	t.Run("legal hold", func(t *testing.T) {
		w := newFixture(t)
		w.must("eng1", onPages(Command{Verb: VerbOpen, Title: "Logins"}))
		w.must("leg1", onPages(Command{Verb: VerbGrant, Person: "leg1", Text: "counsel"}).as(w, "eng1"))
		w.must("leg1", onPages(Command{Verb: VerbSetLegalHold, Text: "a lawsuit"}))
		w.must("leg1", Command{Verb: VerbReleaseLegalHold, Text: "over"})
		w.distrust(w.now.Add(-time.Second))
		if w.inc.LegalHold == nil || w.inc.LegalHold.Reason != "a lawsuit" {
			t.Errorf("got hold %+v, want it again", w.inc.LegalHold)
		}
	})
	t.Run("nothing through it", func(t *testing.T) {
		w, since := open(t)
		w.must("eng1", onPages(Command{Verb: VerbNote, Text: "x"}))
		w.must("eng1", Command{Verb: VerbNote, Text: "in Slack"})
		if events := w.decided("", slackDistrust(since)); len(events) > 0 {
			t.Errorf("got events %v, want none", kinds(events))
		}
	})
}

// as gives the command as another person first and returns one without effect.
func (c Command) as(w *fixture, by PersonID) Command {
	w.must(by, c)
	return onPages(Command{Verb: VerbNote, Text: "here"})
}

func TestDistrusted_PeopleAndAccess(t *testing.T) {
	w := newFixture(t)
	w.must("eng1", onPages(Command{Verb: VerbOpen, Title: "Logins", Severity: Sev1}))
	w.must("eng1", onPages(Command{Verb: VerbAcknowledge}))
	w.must("eng1", onPages(Command{Verb: VerbGrant, Person: "pay1", Text: "knows it"}))
	w.must("eng1", onPages(Command{Verb: VerbInvolve, Department: Legal}))
	w.must("eng1", onPages(Command{Verb: VerbAssignRole, Role: Scribe, Person: "eng3"}))
	w.must("sec1", onPages(Command{Verb: VerbExclude, Person: "eng4", Text: "insider"}))
	since := w.now
	for _, s := range []step{
		{"eng2", Command{Verb: VerbGrant, Person: "out1", Text: "help"}},
		{"eng2", Command{Verb: VerbRevoke, Person: "pay1", Text: "no need"}},
		{"eng2", Command{Verb: VerbAssignRole, Role: Commander, Person: "eng2", Text: "mine"}},
		{"eng2", Command{Verb: VerbAssignRole, Role: Scribe, Person: "pay2"}},
		{"leg1", Command{Verb: VerbDelegate, Department: Legal, Person: "out1", Until: w.now.AddDate(0, 0, 5), Text: "away"}},
		{"sec1", Command{Verb: VerbReadmit, Person: "eng4", Text: "fine"}},
		{"sec1", Command{Verb: VerbExclude, Person: "eng3", Text: "bad"}},
		{"eng2", Command{Verb: VerbRestrict, Public: true, Text: "open"}},
	} {
		w.must(s.by, s.cmd)
	}
	w.distrust(since)
	if !slices.Equal(w.inc.Access, []PersonID{"pay1"}) || len(w.inc.Revoked) > 0 || len(w.inc.Delegations) > 0 || !w.inc.Restricted {
		t.Errorf("got access %v, revoked %v, delegations %v, restricted %v", w.inc.Access, w.inc.Revoked, w.inc.Delegations, w.inc.Restricted)
	}
	if w.inc.Commander != "eng1" || w.inc.Roles[Scribe] != "eng3" || !w.inc.Excludes("eng4") || w.inc.Excludes("eng3") {
		t.Errorf("got roles %v, exclusions %v", w.inc.Roles, w.inc.Exclusions)
	}
	if w.inc.MayRead(w.dir, "out1", w.now) || w.inc.MayRead(w.dir, "pay2", w.now) {
		t.Error("people read the incident only because of Slack")
	}
	removed := ""
	for _, e := range w.events {
		if e.Kind == EventDistrusted {
			removed = e.Field("removed")
		}
	}
	if removed != "" { // the incident was public just before
		t.Errorf("got removed %s, want none", removed)
	}
}

func TestDistrusted_SignOff(t *testing.T) {
	submitted := func(t *testing.T) *fixture {
		w := newFixture(t)
		for _, s := range []step{{"eng1", Command{Verb: VerbOpen, Title: "Logins"}}, {"eng1", Command{Verb: VerbAcknowledge}}, {"eng1", Command{Verb: VerbResolve, Text: "done", Reason: "no more"}},
			{"eng1", Command{Verb: VerbSubmit, Record: fullRecord}}} {
			w.must(s.by, onPages(s.cmd))
		}
		return w
	}
	signers := map[Department]PersonID{Engineering: "eng2", Security: "sec1", Legal: "leg1", Communications: "com1"}
	t.Run("in review", func(t *testing.T) {
		w := submitted(t)
		since := w.now
		w.sign("eng2", Engineering, onPages(Command{}))
		w.sign("leg1", Legal, Command{})
		w.sign("sec1", Security, Command{Via: ViaWeb, Through: "slack-login"})
		w.distrust(since)
		if w.inc.Status != InReview || len(w.inc.Signatures) != 1 || w.inc.SignedBy(Engineering) == nil {
			t.Errorf("got %s with %+v, want in review with the signature of engineering", w.inc.Status, w.inc.Signatures)
		}
		w.sign("leg2", Legal, onPages(Command{}))
	})
	t.Run("submitted in Slack", func(t *testing.T) {
		w := submitted(t)
		w.must("eng1", onPages(Command{Verb: VerbAmend, Text: "more"}))
		since := w.now
		w.must("eng1", Command{Verb: VerbSubmit})
		w.sign("leg1", Legal, Command{})
		w.distrust(since)
		if w.inc.Status != Resolved || w.inc.Submission != nil || len(w.inc.Signatures) > 0 {
			t.Errorf("got %s, want resolved without a submission", w.inc.Status)
		}
	})
	t.Run("approved", func(t *testing.T) {
		for _, slack := range []Department{Engineering, Communications} {
			w := submitted(t)
			since := w.now
			for _, team := range RequiredDepartments() {
				cmd := onPages(Command{})
				if team == slack {
					cmd = Command{}
				}
				w.sign(signers[team], team, cmd)
			}
			w.must("", Command{Verb: VerbPostmortemWritten, Via: ViaSystem, Document: w.inc.Submission.Digest, Revision: 1, Count: 1})
			events := w.distrust(since)
			if w.inc.Status != InReview || w.inc.Revision != 2 || len(w.inc.Signatures) > 0 || !w.inc.Postmortems[0].Superseded {
				t.Errorf("%s in Slack: got %s, revision %d, %+v, want revision 2 in review", slack, w.inc.Status, w.inc.Revision, w.inc.Postmortems)
			}
			if got := kinds(events); !slices.Contains(got, EventPostmortemWithdrawn) {
				t.Errorf("got events %v, want the withdrawal of the postmortem", got)
			}
		}
	})
	t.Run("everything in Slack", func(t *testing.T) {
		w := newFixture(t)
		w.must("eng1", onPages(Command{Verb: VerbOpen, Title: "Logins", Severity: Sev2}))
		since := w.now
		for _, s := range []step{{"eng1", Command{Verb: VerbAcknowledge}}, {"eng1", Command{Verb: VerbResolve, Text: "done", Reason: "no more"}}, {"eng1", Command{Verb: VerbSubmit, Record: fullRecord}}} {
			w.must(s.by, s.cmd)
		}
		for _, team := range RequiredDepartments() {
			w.sign(signers[team], team, Command{})
		}
		w.must("eng1", Command{Verb: VerbConclude, Text: "ok", Reason: "short", Attendance: []PersonID{"eng1", "leg1"}, Waiver: "none", Actions: []Action{
			{Kind: "detection", Title: "a", Owner: "eng1", Due: w.now.AddDate(0, 0, 9)}, {Kind: "prevention", Title: "b", Owner: "eng1", Due: w.now.AddDate(0, 0, 9)}}})
		if w.inc.Status != Closed {
			t.Fatalf("got %s, want closed", w.inc.Status)
		}
		w.distrust(since)
		if w.inc.Status != Triage || w.inc.Submission != nil || len(w.inc.Signatures) > 0 || !w.inc.NeedsPage() || !w.inc.Review.Concluded.IsZero() {
			t.Errorf("got %s, want triage and a page", w.inc.Status)
		}
	})
	t.Run("only the conclusion in Slack", func(t *testing.T) {
		w := submitted(t)
		for _, team := range RequiredDepartments() {
			w.sign(signers[team], team, onPages(Command{}))
		}
		since := w.now
		w.must("eng1", Command{Verb: VerbConclude, Text: "ok", Reason: "short", Attendance: []PersonID{"eng1", "leg1"}, Actions: []Action{
			{Kind: "detection", Title: "a", Owner: "eng1", Due: w.now.AddDate(0, 0, 9)}, {Kind: "prevention", Title: "b", Owner: "eng1", Due: w.now.AddDate(0, 0, 9)}}})
		w.distrust(since)
		if w.inc.Status != Approved || len(w.inc.Signatures) != 4 || !w.inc.Review.Concluded.IsZero() {
			t.Errorf("got %s with %d signatures, want approved with 4", w.inc.Status, len(w.inc.Signatures))
		}
		if len(w.inc.DistrustedChanges) != 2 {
			t.Errorf("got changes %+v, want the two action items", w.inc.DistrustedChanges)
		}
	})
	t.Run("an objection withdrawn in Slack", func(t *testing.T) {
		w := submitted(t)
		w.must("leg2", onPages(Command{Verb: VerbObject, Department: Legal, Text: "wrong", Expect: w.inc.Submission.Digest}))
		since := w.now
		w.must("leg1", Command{Verb: VerbWithdraw, Item: "O1"})
		for _, team := range RequiredDepartments() {
			w.sign(signers[team], team, onPages(Command{}))
		}
		w.distrust(since)
		if w.inc.Status != InReview || !w.inc.Objections[0].Open() {
			t.Errorf("got %s with %+v, want in review with the objection", w.inc.Status, w.inc.Objections)
		}
	})
}

func TestDistrusted_VoidKeys(t *testing.T) {
	w := newFixture(t)
	w.must("eng1", onPages(Command{Verb: VerbOpen, Title: "Logins", Severity: Sev1}))
	cmd := slackDistrust(w.now)
	cmd.Distrust.Keys = []Passkey{{Person: "eng2", Fingerprint: "sha256:aa", RegisteredAt: w.now}}
	w.must("eng2", Command{Verb: VerbAcknowledge, Via: ViaWeb, Through: ThroughPasskey})
	w.must("", cmd)
	if w.inc.Paging.Acknowledged() {
		t.Error("an acknowledgement with a passkey that was obtained through Slack is in force")
	}
}

// TestDistrusted_LongerDistrust distrusts from a time, and then from an earlier one.
func TestDistrusted_LongerDistrust(t *testing.T) {
	w := newFixture(t)
	w.must("eng1", onPages(Command{Verb: VerbOpen, Title: "Logins", Severity: Sev1}))
	first := w.now
	w.must("eng1", Command{Verb: VerbGrant, Person: "pay1", Text: "x"})
	second := w.now
	w.must("eng1", Command{Verb: VerbGrant, Person: "pay2", Text: "x"})
	w.distrust(second)
	if !slices.Equal(w.inc.Access, []PersonID{"pay1"}) {
		t.Fatalf("got access %v, want pay1", w.inc.Access)
	}
	w.distrust(first)
	if len(w.inc.Access) > 0 {
		t.Errorf("got access %v, want none", w.inc.Access)
	}
}

func TestConfirmChange(t *testing.T) {
	w := newFixture(t)
	w.must("eng1", onPages(Command{Verb: VerbOpen, Title: "Logins", Severity: Sev1}))
	w.mustFail("eng1", onPages(Command{Verb: VerbConfirmChange, Item: "all"}), CodeConflict)
	since := w.now
	for range 3 {
		w.must("eng1", Command{Verb: VerbEvidence, Evidence: &Evidence{Name: "disk"}})
	}
	w.distrust(since)
	c := w.inc.DistrustedChanges
	if len(c) != 3 {
		t.Fatalf("got %+v, want 3 changes", c)
	}
	w.mustFail("eng1", onPages(Command{Verb: VerbConfirmChange, Item: "1"}), CodeUnknown)
	w.mustFail("eng1", onPages(Command{Verb: VerbConfirmChange, Item: num(c[0].Seq), Undone: true}), CodeInvalid)
	w.must("eng1", onPages(Command{Verb: VerbConfirmChange, Item: num(c[0].Seq)}))
	w.must("eng1", onPages(Command{Verb: VerbConfirmChange, Item: num(c[1].Seq) + "-" + num(c[2].Seq), Undone: true, Text: "removed them"}))
	if len(w.inc.DistrustedChanges) > 0 {
		t.Errorf("got %+v, want none", w.inc.DistrustedChanges)
	}
}

func TestAdmit_RefusesDistrustedProviders(t *testing.T) {
	env := Env{Now: start, Actor: "eng1", Directory: testDirectory(), Distrusts: []Distrust{{Provider: "slack", Since: start}, {Provider: "slack-login", Since: start}}}
	slack, web := Identity{ProviderSlack, "Ueng1"}, Identity{ProviderWeb, "eng1"}
	for name, c := range map[string]struct {
		cmd     Command
		refused bool
	}{
		"in Slack":               {Command{By: slack, Via: ViaSlack}, true},
		"a Slack account":        {Command{By: slack, Via: ViaSource}, true},
		"Slack, another account": {Command{By: Identity{ProviderLocal, "x"}, Via: ViaSlack}, true},
		"a session of its login": {Command{By: web, Via: ViaWeb, Through: "slack-login"}, true},
		"another session":        {Command{By: web, Via: ViaWeb, Through: "okta"}, false},
		"a passkey":              {Command{By: web, Via: ViaWeb, Through: ThroughPasskey}, false},
		"the command line":       {Command{By: Identity{ProviderLocal, "eng1"}, Via: ViaCLI}, false},
		"the pager":              {Command{By: Identity{ProviderPagerDuty, "P"}, Via: ViaPager}, false},
	} {
		for _, verb := range []Verb{VerbOpen, VerbAcknowledge, VerbNote, VerbRequestAccess} {
			cmd := c.cmd
			cmd.Verb = verb
			err := Admit(cmd, env)
			if IsDistrusted(err) != c.refused || c.refused && (CodeOf(err) != CodeForbidden || !strings.Contains(err.Error(), "Open the pages")) {
				t.Errorf("%s, %s: got %v, want refused %v", name, verb, err, c.refused)
			}
		}
	}
	system := env
	system.System, system.Actor = true, ""
	if err := Admit(Command{Verb: VerbPaged, By: System, Via: ViaSlack}, system); err != nil {
		t.Errorf("the bot: got %v, want allowed", err)
	}
}

func TestRanges(t *testing.T) {
	for in, want := range map[string]string{"3": "3", "3,4,5": "3-5", "1-2, 7 ,9-10": "1-2,7,9-10", "x": "", "5-3": "", "0": "", "1-999999999": ""} {
		if got := formatRanges(parseRanges(in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestDistrusted_LeavesNoEffect gives random commands of people through Slack, its issuer and another issuer, and distrusts Slack
// since a random time.
func TestDistrusted_LeavesNoEffect(t *testing.T) {
	seen := map[string]int{}
	checkUntil(t, func() bool { return len(seen) == 9 }, func(rt *rapid.T) {
		w := newFixture(rt)
		w.must("eng1", onPages(Command{Verb: VerbOpen, Title: "Logins", Severity: Sev2, Runs: []Run{testRun}, Public: rapid.Bool().Draw(rt, "public")}))
		since := w.now
		for n := range rapid.IntRange(10, 60).Draw(rt, "commands") {
			by, cmd := randomCommand(rt, w)
			switch rapid.IntRange(0, 3).Draw(rt, "through") {
			case 0:
				cmd = onPages(cmd)
			case 1:
				cmd.Via, cmd.Through = ViaWeb, "slack-login"
			default:
				cmd.Via = ViaSlack
			}
			if rapid.IntRange(0, 9).Draw(rt, "since") == 0 && n < 10 {
				since = w.now
			}
			if _, bot := slices.BinarySearch(slices.Sorted(slices.Values(botMatrix)), cmd.Verb); bot {
				by, cmd.Via, cmd.Through = "", ViaSystem, ""
			}
			_ = w.applyRandom(rt, by, cmd)
		}
		if _, err := w.decideAs("", slackDistrust(since)); err != nil {
			rt.Fatalf("distrust: %v", err)
		}
		requireNoEffect(rt, w, *slackDistrust(since).Distrust, seen)
		if again, err := w.decideAs("", slackDistrust(since)); err != nil || len(again) > 0 {
			rt.Fatalf("again: got %v, %v, want nothing", kinds(again), err)
		}
	})
}

// requireNoEffect fails if an event through the provider has an effect on the state that a distrust undoes. It counts in seen what
// was undone.
func requireNoEffect(rt *rapid.T, w *fixture, x DistrustedProvider, seen map[string]int) {
	last := map[string]Event{} // the last event about a part of the state
	note := func(part string, e Event) {
		last[part] = e
		if x.obtained(e) {
			seen[strings.Split(part, "/")[0]]++
		}
	}
	for _, e := range w.events {
		switch e.Kind {
		case EventAcknowledged:
			note("acknowledgement", e)
		case EventSeveritySet:
			note("severity", e)
		case EventSigned:
			note("signature/"+e.Field("department"), e)
		case EventAccessGranted:
			note("access/"+e.Field("person"), e)
		case EventDelegated, EventReplacementNamed:
			note("delegation/"+e.Field("department")+"/"+e.Field("person"), e)
		case EventRoleAssigned:
			note("role/"+e.Field("role"), e)
		case EventDismissed, EventMergedInto:
			note("ended", e)
		case EventLegalHoldSet, EventLegalHoldReleased:
			note("hold", e)
		case EventExcluded, EventReadmitted:
			note("exclusion/"+e.Field("person"), e)
		}
	}
	through := func(part string) bool { e, ok := last[part]; return ok && x.obtained(e) }
	i := w.inc
	for _, s := range i.Signatures {
		if through("signature/" + string(s.Department)) {
			rt.Fatalf("the signature of %s came through the provider", s.Department)
		}
	}
	if i.Status.Signed() {
		if unsigned, _, _ := i.Missing(); len(unsigned) > 0 {
			rt.Fatalf("got %s without the signature of %v", i.Status, unsigned)
		}
	}
	if i.Paging.Acknowledged() && through("acknowledgement") {
		rt.Fatal("the acknowledgement came through the provider")
	}
	if e := last["severity"]; x.obtained(e) && e.severity("from").MoreSevereThan(i.Severity) {
		rt.Fatalf("the severity is %s, and was lowered from %s through the provider", i.Severity, e.Field("from"))
	}
	for _, p := range i.Access {
		if e, ok := last["access/"+string(p)]; ok && x.obtained(e) && !slices.Contains(withoutEvents(i.ID, w.events, x.undone(w.events)).Access, p) {
			rt.Fatalf("%s has access through the provider", p)
		}
	}
	for _, g := range i.Delegations {
		if through("delegation/"+string(g.Department)+"/"+string(g.To)) && w.now.Before(g.Until) && g.From != "" {
			e := last["delegation/"+string(g.Department)+"/"+string(g.To)]
			if e.By == g.From && parseInstant(e.Field("until")).Equal(g.Until) {
				rt.Fatalf("%s acts for %s through the provider", g.To, g.Department)
			}
		}
	}
	for role, p := range i.Roles {
		if e := last["role/"+string(role)]; x.obtained(e) && e.person("person") == p && withoutEvents(i.ID, w.events, x.undone(w.events)).Roles[role] != p {
			rt.Fatalf("%s has the role %s through the provider", p, role)
		}
	}
	if (i.Status == Dismissed || i.Status == Merged) && through("ended") {
		rt.Fatalf("the incident is %s through the provider", i.Status)
	}
	if e := last["hold"]; e.Kind == EventLegalHoldReleased && x.obtained(e) && i.LegalHold == nil && withoutEvents(i.ID, w.events, x.undone(w.events)).LegalHold != nil {
		rt.Fatal("the legal hold was released through the provider")
	}
	for part, e := range last {
		if p, ok := strings.CutPrefix(part, "exclusion/"); ok && x.obtained(e) && i.Excludes(PersonID(p)) == (e.Kind == EventExcluded) &&
			withoutEvents(i.ID, w.events, x.undone(w.events)).Excludes(PersonID(p)) != i.Excludes(PersonID(p)) {
			rt.Fatalf("the exclusion of %s was decided through the provider", p)
		}
	}
}
