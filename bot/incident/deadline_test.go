package incident

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDeadline_EffectHoldsTheCommand(t *testing.T) {
	at := start.Add(time.Hour)
	for _, cmd := range []Command{{Verb: VerbPageTimeout, Round: 2, EscalationStep: 1}, {Verb: VerbPageTimeout, Round: 1}, {Verb: VerbAckTimeout, Round: 3},
		{Verb: VerbSeverityTimeout}, {Verb: VerbAbsenceTimeout}, {Verb: VerbStepLate, Step: "leaked-aws-credentials/rotate"}, {Verb: VerbStormTimeout, Round: 1}} {
		cmd.For = 7
		want := Deadline{Command: cmd, At: at}
		if diff := cmp.Diff(want, want.Effect("k").Deadline()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", cmd.Verb, diff)
		}
	}
}

// The keys are older than the kind of effect. An effect of an earlier version and its
// repetition must have the same key.
func TestDeadline_KeysAreStable(t *testing.T) {
	w := newFixture(t)
	inc := Incident{ID: 7, Status: Active, Severity: Sev2, Paging: Paging{Round: 2, AcknowledgedBy: "eng1", LastAction: start},
		Runs: []Run{{Playbook: "r", Plan: []Step{{ID: "look", Deadline: time.Hour}}}}}
	fields := map[string]string{"round": "2", "escalation_step": "0", "next": "1", "from": "sev3", "until": instant(start), "run": "r", "step": "look"}
	got := map[string]Verb{}
	for _, kind := range []EventKind{EventRoundStarted, EventPageUnanswered, EventAcknowledged, EventSeveritySet, EventSeverityProposed, EventStepStarted} {
		e := Event{Seq: 9, Kind: kind, RecordedAt: start, Fields: fields}
		for _, effect := range e.Effects(inc, Incident{}, Env{Now: start, Directory: w.dir, Policy: w.policy}) {
			if effect.Kind != EffectDeadline {
				continue
			}
			got[effect.Key] = effect.Deadline().Command.Verb
			if urgent := effect.Deadline().Command.Verb != VerbStepLate; effect.Urgent != urgent || effect.Seq != 9 || effect.Incident != 7 {
				t.Errorf("got %+v, want urgent %t", effect, urgent)
			}
		}
	}
	want := map[string]Verb{"INC-7/escalation_timer/2/0": VerbPageTimeout, "INC-7/escalation_timer/2/1": VerbPageTimeout, "INC-7/ack_timer/2": VerbAckTimeout,
		"INC-7/ack_timer/2/9": VerbAckTimeout, "INC-7/9/severity_timer": VerbSeverityTimeout, "INC-7/9/step_timer": VerbStepLate}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys differ (-want +got):\n%s", diff)
	}
}

func TestAckTimeout_ActivityMovesTheDeadline(t *testing.T) {
	w := newFixture(t)
	w.open()
	w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev1, Text: "all customers"})
	w.must("eng1", Command{Verb: VerbAcknowledge})
	w.now = w.now.Add(20 * time.Minute)
	active := w.now
	w.must("eng1", Command{Verb: VerbNote, Text: "on it"})
	w.now = active.Add(20 * time.Minute)
	_, err := w.decideAs("", Command{Verb: VerbAckTimeout, Round: w.inc.Paging.Round})
	early := new(NotDue)
	if !errors.As(err, &early) || !early.Until.Equal(active.Add(w.policy.AckTimeout)) || CodeOf(err) != CodeConflict {
		t.Errorf("got %v, want a deadline at %s", err, active.Add(w.policy.AckTimeout))
	}
	w.now = active.Add(w.policy.AckTimeout)
	if events, err := w.decideAs("", Command{Verb: VerbAckTimeout, Round: w.inc.Paging.Round - 1}); len(events) > 0 || err != nil {
		t.Errorf("got %v, %v for an earlier round, want nothing", events, err)
	}
	w.must("", Command{Verb: VerbAckTimeout, Round: w.inc.Paging.Round})
}
