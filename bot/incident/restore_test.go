package incident

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// restore returns a restore from a backup of the given age.
func (w *fixture) restore(id int64, age time.Duration) Restore {
	return Restore{ID: id, At: w.now, BackupAt: w.now.Add(-age), LastIncident: w.inc.ID}
}

// TestNextRound_SkipsRoundsOfTheLostMachine restores an incident. Its next round has a number that the lost machine could
// not reach, later rounds follow, and people see the rounds without the gap.
func TestNextRound_SkipsRoundsOfTheLostMachine(t *testing.T) {
	w := fixtureIn(t, Triage)
	w.restores = []Restore{w.restore(1, time.Hour)}
	if !w.inc.NeedsRound(w.restores) {
		t.Fatal("the held round is not replaced")
	}
	w.must("", Command{Verb: VerbPageRestored, Text: "an alert arrived"})
	first := w.inc.Paging.Round
	if want := 1 + 1 + 3600 + minRoundGap; first != want || w.inc.NeedsRound(w.restores) || w.inc.PageNumber(first) != 2 {
		t.Fatalf("got round %d with number %d, want %d with number 2", first, w.inc.PageNumber(first), want)
	}
	if events, err := w.decideAs("", Command{Verb: VerbPageRestored}); len(events) > 0 || err != nil {
		t.Errorf("got %v, %v for the second time, want nothing", events, err)
	}
	w.must("eng1", Command{Verb: VerbAcknowledge})
	w.must("eng1", Command{Verb: VerbPageAgain, Text: "more hands"})
	if got := w.inc.Paging.Round; got != first+1 || w.inc.PageNumber(got) != 3 {
		t.Errorf("got round %d with number %d, want %d with number 3", got, w.inc.PageNumber(got), first+1)
	}
	if got := w.inc.LastRounds(3); !slices.Equal(got, []int{first + 1, first, 1}) {
		t.Errorf("got last rounds %v", got)
	}
	w.restores = append(w.restores, w.restore(2, time.Minute)) // of a backup with the first restore
	w.must("", Command{Verb: VerbPageRestored})
	if got, want := w.inc.Paging.Round, first+1+1+60+minRoundGap; got != want || w.inc.PageNumber(got) != 4 {
		t.Errorf("got round %d, want %d", got, want)
	}
	acks := 0
	w.must("eng1", Command{Verb: VerbAcknowledge})
	for _, e := range w.effectsOf(EventAcknowledged) {
		if e.Kind == EffectPageAck {
			acks++
		}
	}
	if acks != 4 {
		t.Errorf("got %d withdrawn pages, want one for each of the 4 rounds", acks)
	}
}

// TestNextRound_WrongClock restores with a clock that is an hour behind. The gap has its least size.
func TestNextRound_WrongClock(t *testing.T) {
	w := fixtureIn(t, Triage)
	w.restores = []Restore{w.restore(1, -time.Hour)}
	w.must("", Command{Verb: VerbPageRestored})
	if got := w.inc.Paging.Round; got != 2+minRoundGap {
		t.Errorf("got round %d, want %d", got, 2+minRoundGap)
	}
}

// TestNextRound_NewIncident opens an incident after a restore. Its rounds have no gap.
func TestNextRound_NewIncident(t *testing.T) {
	w := newFixture(t)
	w.restores = []Restore{{ID: 1, At: w.now, BackupAt: w.now.Add(-time.Hour), LastIncident: w.inc.ID - 1}}
	w.open()
	if w.inc.Paging.Round != 1 || w.inc.NeedsRound(w.restores) {
		t.Errorf("got round %d, want 1", w.inc.Paging.Round)
	}
}

// TestRestored_AcknowledgementStartsAgain releases a restore long after the last action. The acknowledgement does not time
// out at once, because Tocsin could not see what people did.
func TestRestored_AcknowledgementStartsAgain(t *testing.T) {
	w := fixtureIn(t, Active)
	w.inc.Severity, w.policy.AckTimeout = Sev1, 30*time.Minute
	w.now = w.now.Add(5 * time.Hour)
	w.restores = []Restore{w.restore(1, 4*time.Hour)}
	events := w.decided("", Command{Verb: VerbRestored, Text: "released"})
	if len(events) != 1 || events[0].Kind != EventRestored {
		t.Errorf("got events %v, want no page of an acknowledged incident", events)
	}
	released := events[0].RecordedAt
	_, err := w.decideAs("", Command{Verb: VerbAckTimeout, Round: 1})
	late := new(NotDue)
	if !errors.As(err, &late) || !late.Until.Equal(released.Add(w.policy.AckTimeout)) {
		t.Errorf("got %v, want the deadline to move to 30 minutes after the release", err)
	}
}

// TestRepeatErasure_LostEvents repeats erasures. Texts of events that were lost with the machine are left out.
func TestRepeatErasure_LostEvents(t *testing.T) {
	w := fixtureIn(t, Active)
	lost := TextRef{Seq: w.inc.Head.Seq + 5, Name: "text"}
	if events, err := w.decideAs("", Command{Verb: VerbRepeatErasure, Erase: []TextRef{lost}, Item: "99"}); len(events) > 0 || err != nil {
		t.Errorf("got %v, %v, want nothing", events, err)
	}
	events := w.decided("", Command{Verb: VerbRepeatErasure, Erase: []TextRef{{1, "title"}, lost}, Item: "99"})
	if got := events[0].ErasedTexts(); !slices.Equal(got, []TextRef{{1, "title"}}) || events[0].Field("erasure") != "99" {
		t.Errorf("got %v, want only the known text erased", events[0])
	}
}
