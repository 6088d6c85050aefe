package incident

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestRequests_RetractedOnce gives random commands. Each request is open in the state as
// long as the rules of the lifecycle allow its answer, and is retracted once when it closes.
func TestRequests_RetractedOnce(t *testing.T) {
	retracted := map[EventKind]bool{}
	covered := func() bool {
		return retracted[EventDismissProposed] && retracted[EventStepStarted] && retracted[EventSubmitted] && retracted[EventResolved] && retracted[EventConsulted]
	}
	checkUntil(t, covered, func(rt *rapid.T) {
		w := fixtureIn(rt, rapid.SampledFrom([]Status{Triage, Active, Contained, Resolved, InReview, Approved}).Draw(rt, "status"))
		w.inc.Links = map[string]string{LinkChannel: "C1"}
		keys := map[string]bool{}
		for range rapid.IntRange(8, 25).Draw(rt, "steps") {
			before := w.inc
			v := rapid.SampledFrom([]Verb{VerbAcknowledge, VerbContain, VerbResolve, VerbSubmit, VerbSign, VerbObject, VerbWithdraw, VerbAmend, VerbRevise, VerbReopen, VerbDismiss,
				VerbSetSeverity, VerbSetFact, VerbStepDone, VerbStepSkip, VerbStartStep, VerbStepLate, VerbConsult, VerbAnswer, VerbPageTimeout, VerbPageFailed, VerbAckTimeout,
				VerbScheduleReview, VerbConclude, VerbWaiveActions}).Draw(rt, "verb")
			by, cmd := PersonID("pay1"), Command{Verb: VerbAnswer, Department: "payments", Text: "no harm"}
			switch v {
			case VerbAnswer:
			case VerbWithdraw:
				by, cmd = "leg2", Command{Verb: VerbWithdraw, Department: Legal}
			case VerbScheduleReview:
				by, cmd = "eng1", Command{Verb: v, When: w.now.AddDate(0, 0, rapid.IntRange(1, 3).Draw(rt, "days"))}
			default:
				by, cmd = validCommand(v, w)
			}
			if _, err := w.decideAs(by, cmd); err != nil {
				continue
			}
			closed := map[Request]bool{}
			for _, r := range before.Requests {
				if !w.inc.asks(r) {
					closed[r] = true
				}
			}
			for _, e := range Retractions(before, w.inc) {
				r := Request{Seq: e.EventSeq(), Effect: EffectKind(e.Args["request"]), Department: Department(e.Args["department"])}
				n := slices.IndexFunc(before.Requests, func(b Request) bool { return b.Seq == r.Seq && b.Effect == r.Effect && b.Department == r.Department })
				if n < 0 || keys[RequestKey(e)] && before.Requests[n].Kind != EventObjected || e.Lane != RequestKey(e)+"/edits" {
					rt.Fatalf("%s: got retraction %+v of the requests %+v", v, e, before.Requests)
				}
				keys[RequestKey(e)] = true
				retracted[before.Requests[n].Kind] = true
				found := len(closed)
				maps.DeleteFunc(closed, func(b Request, _ bool) bool {
					return b.Seq == r.Seq && b.Effect == r.Effect && b.Department == r.Department
				})
				if len(closed) == found {
					rt.Fatalf("%s: got retraction %+v of an open request", v, e)
				}
			}
			if len(closed) > 0 {
				rt.Fatalf("%s: %v closed without a retraction", v, closed)
			}
			for _, r := range w.inc.Requests {
				if !w.inc.asks(r) {
					rt.Fatalf("%s: the state has the closed request %+v", v, r)
				}
			}
		}
	})
	t.Logf("retracted %v", retracted)
}

// TestRequestKey_IsTheKeyOfTheMessage compares the key that a retraction looks for with the
// key of the effect that posts the message.
func TestRequestKey_IsTheKeyOfTheMessage(t *testing.T) {
	w := fixtureIn(t, InReview)
	posted := map[string]bool{}
	for _, e := range w.events {
		for _, f := range e.Effects(w.inc, Incident{}, Env{Now: w.now, Directory: w.dir, Policy: w.policy}) {
			posted[f.Key] = true
		}
	}
	before := w.inc
	if len(before.Requests) < 4 {
		t.Fatalf("got requests %+v, want one of each department", before.Requests)
	}
	w.must("eng1", Command{Verb: VerbAmend, Text: "a number"})
	retractions := Retractions(before, w.inc)
	if len(retractions) < 4 {
		t.Fatalf("got %d retractions, want one of each department", len(retractions))
	}
	for _, e := range retractions {
		if key := RequestKey(e); !posted[key] {
			t.Errorf("retraction %s edits %s, which no effect posts. Posted: %s", e.Key, key, fmt.Sprint(posted))
		}
	}
}

// TestRetractions_ReplacedChannel checks that no message of an earlier channel is edited.
func TestRetractions_ReplacedChannel(t *testing.T) {
	w := fixtureIn(t, Triage)
	w.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C1"}})
	before := w.inc
	w.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C2"}})
	if got := Retractions(before, w.inc); len(got) != 0 {
		t.Errorf("got %+v, want none", got)
	}
}

// TestDelegationEnded_EditsTheRequestToSign ends a delegation while the record waits for the
// signature. The request to sign no longer mentions the person, who may not sign any more.
func TestDelegationEnded_EditsTheRequestToSign(t *testing.T) {
	w := fixtureIn(t, InReview)
	w.must("leg1", Command{Verb: VerbDelegate, Department: Legal, Person: "out1", Until: w.now.AddDate(0, 0, 3)})
	w.mustFail("eng1", Command{Verb: VerbEndDelegation, Department: Legal, Person: "out1"}, CodeForbidden)
	w.must("leg2", Command{Verb: VerbEndDelegation, Department: Legal, Person: "out1", Text: "leg1 is back"})
	ended := w.events[len(w.events)-1]
	var edited []string
	for _, e := range ended.Effects(w.inc, Incident{}, Env{Now: w.now, Directory: w.dir, Policy: w.policy}) {
		if e.Kind == EffectRetract {
			edited = append(edited, RequestKey(e))
		}
	}
	if len(edited) != 1 || edited[0] == "" || !slices.Contains(w.inc.Representatives(w.dir, Legal, w.now), "leg2") || slices.Contains(w.inc.Representatives(w.dir, Legal, w.now), "out1") {
		t.Errorf("got edits %v and representatives %v", edited, w.inc.Representatives(w.dir, Legal, w.now))
	}
	if _, err := w.decideAs("out1", Command{Verb: VerbSign, Department: Legal, Expect: w.inc.Submission.Digest}); err == nil {
		t.Error("the former delegate signed")
	}
	if events, err := w.decideAs("leg2", Command{Verb: VerbEndDelegation, Department: Legal, Person: "out1"}); err != nil || len(events) != 0 {
		t.Errorf("again: got %v, %v, want no change", events, err)
	}
}
