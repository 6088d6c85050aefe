package incident

import (
	"slices"
	"testing"
	"time"
)

// effectsOf returns the effects of the last event of a kind.
func (w *fixture) effectsOf(kind EventKind) []Effect {
	for n := len(w.events) - 1; n >= 0; n-- {
		if w.events[n].Kind == kind {
			return w.events[n].Effects(w.inc, Incident{}, Env{Now: w.now, System: true, Directory: w.dir, Policy: w.policy})
		}
	}
	return nil
}

// Members get the request at once, deputies and the head later, until the department
// signs. The submitter gets none.
func TestSigners_AreAskedInStages(t *testing.T) {
	w := newFixture(t)
	w.policy.SignDeputyAfter, w.policy.SignHeadAfter = 2*time.Hour, 5*time.Hour
	w.open()
	w.must("eng1", Command{Verb: VerbAcknowledge})
	w.must("eng1", Command{Verb: VerbResolve, Text: "all restored"})
	for n := range w.dir.Teams {
		if w.dir.Teams[n].Name == Legal {
			w.dir.Teams[n].Head = "com2"
			w.dir.Teams[n].Members = append(w.dir.Teams[n].Members, Membership{Person: "out1", Deputy: true, From: start.AddDate(0, 0, -1), Until: start.AddDate(0, 1, 0)})
		}
	}
	w.must("eng1", Command{Verb: VerbSubmit, Record: fullRecord})
	asked, timers := map[string]string{}, map[SignerStage]Effect{}
	for _, e := range w.effectsOf(EventSubmitted) {
		switch {
		case e.Kind == EffectMessageSigners:
			asked[e.Args["department"]] = e.Args["people"]
		case e.Kind == EffectDeadline && e.Args["department"] == string(Legal):
			timers[SignerStage(e.Deadline().Command.EscalationStep)] = e
		}
	}
	if asked["legal"] != "leg1,leg2" || asked["engineering"] != "eng2,eng3,eng4" || len(asked) != 4 {
		t.Errorf("asked %v, want the members who can sign", asked)
	}
	if got := timers[SignerDeputies].After.Sub(w.inc.Submission.At); got != 2*time.Hour {
		t.Errorf("deputies are asked after %s, want 2h", got)
	}
	if got := timers[SignerHead].After.Sub(w.inc.Submission.At); got != 5*time.Hour {
		t.Errorf("the head is asked after %s, want 5h", got)
	}
	for stage, want := range map[SignerStage]string{SignerDeputies: "out1", SignerHead: "com2"} {
		w.must("", timers[stage].Deadline().Command)
		effects := w.effectsOf(EventSignersReminded)
		if n := slices.IndexFunc(effects, func(e Effect) bool { return e.Kind == EffectMailSigners }); n < 0 || effects[n].Args["people"] != want {
			t.Errorf("%s: got %+v, want a mail to %s", stage, effects, want)
		}
	}
	w.must("leg1", Command{Verb: VerbSign, Department: Legal, Expect: w.inc.Submission.Digest})
	if events, err := w.decideAs("", timers[SignerHead].Deadline().Command); len(events) > 0 || err != nil {
		t.Errorf("after the signature: got %d events, %v, want none", len(events), err)
	}
	w.must("sec1", Command{Verb: VerbAmend, Text: "a typo"})
	w.must("sec1", Command{Verb: VerbSubmit})
	if events, err := w.decideAs("", timers[SignerHead].Deadline().Command); len(events) > 0 || err != nil {
		t.Errorf("timer of the earlier request: got %d events, %v, want none", len(events), err)
	}
}

func TestSign_AttestsTheStatementOfTheDepartment(t *testing.T) {
	w := fixtureIn(t, InReview)
	w.policy.Attestations = map[Department]Attestation{Legal: {Version: "2026-11", Text: "It is right."}}
	digest := w.inc.Submission.Digest
	w.mustFail("leg1", Command{Verb: VerbSign, Department: Legal, Expect: digest, Attested: "2026-10#000000000000"}, CodeStale)
	w.must("leg1", Command{Verb: VerbSign, Department: Legal, Expect: digest, Attested: w.policy.Attestation(Legal).ID()})
	w.must("sec1", Command{Verb: VerbSign, Department: Security, Expect: digest})
	legal, security := w.inc.SignedBy(Legal), w.inc.SignedBy(Security)
	if legal.Attestation != "It is right." || legal.AttestationVersion != "2026-11" || security.Attestation != defaultAttestations[Security] || security.AttestationVersion != defaultVersion {
		t.Errorf("got %+v and %+v, want the statement of each department", legal, security)
	}
}
