package incident

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// levelFixture is an incident in review whose signatures need a level, with a passkey of each person.
type levelFixture struct {
	*fixture
	keys map[PersonID][]Passkey
	made map[PersonID]authenticator
}

func newLevelFixture(t tester, w *fixture, level AuthLevel) *levelFixture {
	w.policy.SignLevel, w.policy.SensitiveLevel, w.policy.RelyingParty = level, level, testSite
	f := &levelFixture{fixture: w, keys: map[PersonID][]Passkey{}, made: map[PersonID]authenticator{}}
	for _, p := range w.dir.People {
		f.made[p.ID] = ecAuthenticator(t, string(p.ID))
		f.keys[p.ID] = []Passkey{f.passkey(p.ID, f.made[p.ID])}
	}
	return f
}

func (f *levelFixture) passkey(p PersonID, a authenticator) Passkey {
	return Passkey{Person: p, Fingerprint: KeyFingerprint(a.spki), Credential: a.credential, PublicKey: a.spki, RegisteredAt: f.now.Add(-time.Hour)}
}

// web returns a command of the pages.
func web(cmd Command, secondFactor bool) Command {
	cmd.Via, cmd.Through, cmd.SecondFactor = ViaWeb, "company", secondFactor
	return cmd
}

func cli(p PersonID, cmd Command) Command {
	cmd.Via, cmd.By = ViaCLI, Identity{ProviderLocal, string(p)}
	return cmd
}

func (f *levelFixture) env(p PersonID) Env {
	return Env{Now: f.now, Actor: p, Directory: f.dir, Policy: f.policy, Passkeys: f.keys[p], Timeline: f.events}
}

func (f *levelFixture) do(p PersonID, cmd Command) ([]Event, error) {
	cmd.For = f.inc.ID
	events, err := Decide(cmd, f.inc, f.env(p))
	f.commit(events)
	return events, err
}

// signCommand returns the command of a department's signature, with the proof of a person.
func (f *levelFixture) signCommand(p PersonID, team Department, change func(*signature)) Command {
	cmd := web(Command{For: f.inc.ID, Verb: VerbSign, Department: team, Expect: f.inc.Submission.Digest}, false)
	s := honest(testStatement(VerbSign, f.fixture, p, team))
	if change != nil {
		change(&s)
	}
	proof := f.made[p].sign(f.t, s)
	cmd.Proof = &proof
	return cmd
}

// prove adds the proof of a person to a command.
func (f *levelFixture) prove(p PersonID, cmd Command) Command {
	cmd.For = f.inc.ID
	statement := testStatement(cmd.Verb, f.fixture, p, cmd.Department)
	want, _ := StatementOf(cmd, f.inc, f.env(p))
	statement.Digest, statement.Attestation = want.Digest, want.Attestation
	proof := f.made[p].sign(f.t, honest(statement))
	cmd.Proof = &proof
	return cmd
}

func (f *levelFixture) refused(t *testing.T, p PersonID, cmd Command, want string) {
	t.Helper()
	if events, err := f.do(p, cmd); CodeOf(err) != CodeForbidden || !strings.Contains(err.Error(), want) {
		t.Errorf("%s by %s: got %d events and %v, want Forbidden with %q", cmd.Verb, p, len(events), err, want)
	}
}

func TestSign_Levels(t *testing.T) {
	for _, c := range []struct {
		level AuthLevel
		how   string
		cmd   func(*levelFixture) Command
		want  string // in the refusal, or "" for a signature
	}{
		{AuthAny, "Slack", func(*levelFixture) Command { return Command{Via: ViaSlack} }, ""},
		{AuthAny, "command line", func(*levelFixture) Command { return cli("leg1", Command{}) }, ""},
		{AuthMFA, "Slack", func(*levelFixture) Command { return Command{Via: ViaSlack} }, "https://tocsin.example.com/incidents/INC-7/sign/legal"},
		{AuthMFA, "command line", func(*levelFixture) Command { return cli("leg1", Command{}) }, "by the command line is not possible"},
		{AuthMFA, "pages", func(*levelFixture) Command { return web(Command{}, false) }, "second factor"},
		{AuthMFA, "pages with a second factor", func(*levelFixture) Command { return web(Command{}, true) }, ""},
		{AuthMFA, "second factor in Slack", func(*levelFixture) Command { return Command{Via: ViaSlack, SecondFactor: true} }, "second factor"},
		{AuthMFA, "passkey", func(f *levelFixture) Command { return f.signCommand("leg1", Legal, nil) }, ""},
		{AuthPasskey, "pages with a second factor", func(*levelFixture) Command { return web(Command{}, true) }, "your passkey"},
		{AuthPasskey, "mail", func(*levelFixture) Command { return Command{Via: ViaMail} }, "your passkey"},
		{AuthPasskey, "passkey", func(f *levelFixture) Command { return f.signCommand("leg1", Legal, nil) }, ""},
		{AuthPasskey, "passkey by the command line", func(f *levelFixture) Command { return cli("leg1", f.signCommand("leg1", Legal, nil)) }, "by the command line"},
	} {
		f := newLevelFixture(t, fixtureIn(t, InReview), c.level)
		cmd := c.cmd(f)
		cmd.Verb, cmd.Department, cmd.Expect = VerbSign, Legal, f.inc.Submission.Digest
		if c.want != "" {
			f.refused(t, "leg1", cmd, c.want)
			continue
		}
		if _, err := f.do("leg1", cmd); err != nil || f.inc.SignedBy(Legal) == nil || !f.inc.SignedBy(Legal).Meets(c.level) {
			t.Errorf("%s through %s: got %v and %+v, want a signature", c.level, c.how, err, f.inc.SignedBy(Legal))
		}
	}
}

// TestSign_ForgedProofs has one proof for each check of Decide, which is right in everything else. Any level refuses it.
func TestSign_ForgedProofs(t *testing.T) {
	for name, c := range map[string]struct {
		cmd  func(*levelFixture) Command
		want string
	}{
		"another act": {func(f *levelFixture) Command {
			return f.signCommand("leg1", Legal, func(s *signature) { s.statement.Act = "object" })
		}, "another act"},
		"another incident": {func(f *levelFixture) Command {
			return f.signCommand("leg1", Legal, func(s *signature) { s.statement.Incident = "INC-8" })
		}, "another incident"},
		"another revision": {func(f *levelFixture) Command {
			return f.signCommand("leg1", Legal, func(s *signature) { s.statement.Digest = "sha256:0" })
		}, "another text"},
		"another statement": {func(f *levelFixture) Command {
			return f.signCommand("leg1", Legal, func(s *signature) { s.statement.Attestation = "I read it." })
		}, "another statement"},
		"another department": {func(f *levelFixture) Command {
			return f.signCommand("leg1", Legal, func(s *signature) {
				s.statement.Department = Security
				s.statement.Attestation = f.policy.Attestation(Legal).Text
			})
		}, "another department"},
		"another person": {func(f *levelFixture) Command {
			return f.signCommand("leg1", Legal, func(s *signature) { s.statement.Person = "leg2" })
		}, "another person"},
		"an old one": {func(f *levelFixture) Command {
			return f.signCommand("leg1", Legal, func(s *signature) { s.statement.Time = StatementTime(f.now.Add(-ProofWindow - time.Second)) })
		}, "10 minutes old"},
		"one from the future": {func(f *levelFixture) Command {
			return f.signCommand("leg1", Legal, func(s *signature) { s.statement.Time = StatementTime(f.now.Add(ProofWindow + 2*time.Second)) })
		}, "from the future"},
		"another site": {func(f *levelFixture) Command {
			return f.signCommand("leg1", Legal, otherSite("evil.example", "https://evil.example"))
		}, "another website"},
		"a site below": {func(f *levelFixture) Command {
			return f.signCommand("leg1", Legal, otherSite(testSite.ID, "https://x.tocsin.example.com"))
		}, "another website"},
		"another relying part": {func(f *levelFixture) Command {
			return f.signCommand("leg1", Legal, otherSite("example.com", testSite.Origin))
		}, "another website"},
		"not valid": {func(f *levelFixture) Command {
			return f.signCommand("leg1", Legal, func(s *signature) { s.flags = flagUserPresent })
		}, "did not verify"},
		"another's key": {func(f *levelFixture) Command {
			f.made["leg1"] = f.made["leg2"]
			return f.signCommand("leg1", Legal, nil)
		}, "not a passkey of yours"},
		"another's key among one's own": {func(f *levelFixture) Command {
			f.keys["leg1"] = append(f.keys["leg1"], f.keys["leg2"]...)
			f.made["leg1"] = f.made["leg2"]
			return f.signCommand("leg1", Legal, nil)
		}, "not a passkey of yours"},
		"own credential with another key": {func(f *levelFixture) Command {
			a := f.made["leg2"]
			a.credential = f.made["leg1"].credential
			f.made["leg1"] = a
			return f.signCommand("leg1", Legal, nil)
		}, "not a passkey of yours"},
		"own key with another credential": {func(f *levelFixture) Command {
			a := f.made["leg1"]
			a.credential = []byte("other")
			f.made["leg1"] = a
			return f.signCommand("leg1", Legal, nil)
		}, "not a passkey of yours"},
		"revoked key": {func(f *levelFixture) Command {
			f.keys["leg1"][0].RevokedAt = f.now
			return f.signCommand("leg1", Legal, nil)
		}, "revoked"},
		"replay after a withdrawal": {func(f *levelFixture) Command {
			cmd := f.signCommand("leg1", Legal, nil)
			if _, err := f.do("leg1", cmd); err != nil {
				f.t.Fatal(err)
			}
			if _, err := f.do("leg1", f.prove("leg1", web(Command{Verb: VerbWithdraw, Department: Legal}, false))); err != nil {
				f.t.Fatal(err)
			}
			return cmd
		}, "used before"},
	} {
		for _, level := range AuthLevels() {
			f := newLevelFixture(t, fixtureIn(t, InReview), level)
			cmd := c.cmd(f)
			f.refused(t, "leg1", cmd, c.want)
			if f.inc.SignedBy(Legal) != nil {
				t.Errorf("%s at %s: got a signature", name, level)
			}
		}
	}
}

// otherSite makes a valid signature for another site.
func otherSite(id, origin string) func(*signature) {
	return func(s *signature) {
		s.rp, s.rpID, s.origin, s.client = id, id, origin, strings.Replace(honestClient, testSite.Origin, origin, 1)
	}
}

func TestSensitiveActs_Levels(t *testing.T) {
	object := Command{Verb: VerbObject, Department: Legal, Text: "the impact is wrong"}
	hold := Command{Verb: VerbSetLegalHold, Text: "a court asked"}
	for _, cmd := range []Command{object, hold} {
		f := newLevelFixture(t, fixtureIn(t, InReview), AuthPasskey)
		cmd.Expect = f.inc.Submission.Digest
		slack := cmd
		slack.Via = ViaSlack
		f.refused(t, "leg1", slack, "Open https://tocsin.example.com/incidents/INC-7/")
		f.refused(t, "leg1", web(cmd, true), "your passkey")
		changed := f.prove("leg1", web(cmd, false))
		changed.Text = "another reason"
		f.refused(t, "leg1", changed, "another text")
		events, err := f.do("leg1", f.prove("leg1", web(cmd, false)))
		if err != nil || len(events) == 0 || events[0].Proof() == nil {
			t.Errorf("%s: got %v, want an event with the proof", cmd.Verb, err)
		}
	}
	f := newLevelFixture(t, fixtureIn(t, Approved), AuthMFA)
	f.refused(t, "eng1", web(Command{Verb: VerbConclude, Text: "x", Waiver: "nothing to do", Attendance: []PersonID{"eng1"}}, true), "review waive")
	if _, err := f.do("eng1", f.prove("eng1", web(Command{Verb: VerbNote, Text: "x"}, true))); CodeOf(err) != CodeInvalid {
		t.Errorf("note with a proof: got %v, want Invalid", err)
	}
}

// TestLocalActs_TakeTwo gives sensitive acts by the command line.
func TestLocalActs_TakeTwo(t *testing.T) {
	hold := Command{Verb: VerbSetLegalHold, Text: "a court asked"}
	f := newLevelFixture(t, fixtureIn(t, Resolved), AuthPasskey)
	events, err := f.do("leg1", cli("leg1", hold))
	if err != nil || len(events) != 1 || events[0].Kind != EventActProposed || f.inc.LegalHold != nil {
		t.Fatalf("got %v and %v, want a proposal", events, err)
	}
	if _, err := f.do("leg1", cli("leg1", hold)); CodeOf(err) != CodeConflict {
		t.Errorf("the same person: got %v, want Conflict", err)
	}
	other := hold
	other.Text = "another reason"
	if _, err := f.do("sec1", cli("sec1", other)); err != nil || f.inc.LegalHold != nil {
		t.Errorf("another command: got %v and a hold %v, want a proposal", err, f.inc.LegalHold)
	}
	events, err = f.do("sec1", cli("sec1", hold))
	if err != nil || f.inc.LegalHold == nil || events[0].Field("local") != "true" || events[0].Field("local_first") != "leg1" {
		t.Errorf("the second person: got %v and %v, want the hold, marked local", events, err)
	}
	if slices.ContainsFunc(f.inc.LocalProposals, func(p LocalProposal) bool { return p.By == "leg1" }) {
		t.Errorf("got %v, want the proposal used up", f.inc.LocalProposals)
	}

	late := newLevelFixture(t, fixtureIn(t, Resolved), AuthMFA)
	_, _ = late.do("leg1", cli("leg1", hold))
	late.now = late.now.Add(time.Hour)
	if _, err := late.do("sec1", cli("sec1", hold)); err != nil || late.inc.LegalHold != nil {
		t.Errorf("after an hour: got %v and a hold, want another proposal", err)
	}

	secret := newLevelFixture(t, fixtureIn(t, Resolved), AuthPasskey)
	events, err = secret.do("leg1", cli("leg1", Command{Verb: VerbExclude, Person: "eng4", Text: "a suspect"}))
	if err != nil || events[0].Audience != AudienceLegalSecurity || len(secret.inc.WithoutExclusions().LocalProposals) != 0 {
		t.Errorf("exclude: got %v and %v, want a secret proposal", events, err)
	}

	two := newLevelFixture(t, fixtureIn(t, Active), AuthPasskey)
	_, _ = two.do("eng1", cli("eng1", Command{Verb: VerbDismiss, Text: "a test"}))
	if _, err := two.do("sec1", cli("sec1", Command{Verb: VerbDismiss})); err != nil || two.inc.Status != Dismissed {
		t.Errorf("dismiss: got %v in %s, want two people to be enough", err, two.inc.Status)
	}
}

// TestSign_RaisedLevel raises the level after two signatures.
func TestSign_RaisedLevel(t *testing.T) {
	f := newLevelFixture(t, fixtureIn(t, InReview), AuthAny)
	signers := map[Department]PersonID{Engineering: "eng3", Security: "sec1", Legal: "leg1", Communications: "com1"}
	for _, team := range []Department{Engineering, Security} {
		if _, err := f.do(signers[team], Command{Verb: VerbSign, Department: team, Expect: f.inc.Submission.Digest, Via: ViaSlack}); err != nil {
			t.Fatal(err)
		}
	}
	f.policy.SignLevel = AuthPasskey
	for _, team := range []Department{Legal, Communications, Engineering, Security} {
		if f.inc.Status == Approved {
			t.Fatalf("got an approval before %s signed again", team)
		}
		if _, err := f.do(signers[team], f.signCommand(signers[team], team, nil)); err != nil {
			t.Fatalf("%s: %v", team, err)
		}
	}
	if f.inc.Status != Approved || len(f.inc.Signatures) != 4 {
		t.Errorf("got %s with %d signatures, want an approval with 4", f.inc.Status, len(f.inc.Signatures))
	}
}

// TestSign_PasskeyProperty gives random commands at the level passkey: signatures with and without proofs, by people of any
// department through any channel, replays, withdrawals, objections, amendments, and keys that are registered and revoked. An
// approval always has four valid proofs by four people of the departments, with keys that were theirs and active.
func TestSign_PasskeyProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newLevelFixture(t, fixtureIn(t, InReview), AuthPasskey)
		people := []PersonID{"eng2", "eng3", "sec1", "sec2", "leg1", "leg2", "com1", "com2", "pay1", "out1"}
		person := rapid.SampledFrom(people)
		var sent []Command
		vias := rapid.SampledFrom([]Via{ViaSlack, ViaWeb, ViaCLI, ViaMail, ViaPager})
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			p, team := person.Draw(t, "person"), rapid.SampledFrom(RequiredDepartments()).Draw(t, "department")
			switch what := rapid.IntRange(-4, 8).Draw(t, "what"); {
			case what <= 2 && f.inc.Submission != nil:
				signer := p
				if what < 0 { // a member signs, which leads to an approval
					p = rapid.SampledFrom(f.dir.Representatives(team, f.now)).Draw(t, "member")
					signer = p
				}
				if what == 2 {
					signer = person.Draw(t, "signer")
				}
				cmd := f.signCommand(signer, team, nil)
				sent = append(sent, cmd)
				_, _ = f.do(p, cmd)
			case what == 3 && f.inc.Submission != nil:
				_, _ = f.do(p, Command{Verb: VerbSign, Department: team, Expect: f.inc.Submission.Digest, Via: vias.Draw(t, "via"), By: Identity{ProviderLocal, string(p)}, SecondFactor: true})
			case what == 4 && len(sent) > 0:
				cmd := rapid.SampledFrom(sent).Draw(t, "replay")
				if f.inc.Submission != nil {
					cmd.Expect = f.inc.Submission.Digest
				}
				_, _ = f.do(p, cmd)
			case what == 5:
				f.keys[p][0].RevokedAt = f.now
			case what == 6:
				f.keys[p] = append(f.keys[p], f.passkey(p, f.made[p]))
			case what == 7:
				_, _ = f.do(p, f.prove(p, web(Command{Verb: VerbWithdraw, Department: team}, true)))
			case what == 8:
				_, _ = f.do(p, Command{Verb: VerbAmend, Text: "x", Via: ViaWeb, Record: map[string]string{"impact": fmt.Sprint("impact ", f.salts)}})
				_, _ = f.do("eng1", Command{Verb: VerbSubmit, Via: ViaWeb})
			}
			if f.inc.Status == Approved || f.inc.Approved > 0 {
				f.requireFourProofs(t)
				return
			}
		}
	})
}

func (f *levelFixture) requireFourProofs(t *rapid.T) {
	signers := map[PersonID]bool{}
	for _, team := range RequiredDepartments() {
		s := f.inc.SignedBy(team)
		if s == nil || s.Proof == nil || s.Proof.Verify() != nil {
			t.Fatalf("%s: got %+v, want a valid proof", team, s)
		}
		st := s.Proof.Statement
		if st.Digest != f.inc.Submission.Digest || st.Department != team || st.Person != s.By || !f.dir.Member(s.By, team) ||
			!slices.ContainsFunc(f.keys[s.By], func(k Passkey) bool { return string(k.PublicKey) == string(s.Proof.PublicKey) && k.ActiveAt(s.At) }) {
			t.Fatalf("%s: got %+v, want the proof of a member with an own, active key", team, st)
		}
		signers[s.By] = true
	}
	if len(signers) != 4 {
		t.Fatalf("got %d signers, want 4", len(signers))
	}
}
