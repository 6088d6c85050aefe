package incident

import (
	"strings"
	"testing"
	"time"
)

func TestConclude_NeedsReasonBeforeTheMeeting(t *testing.T) {
	conclude := Command{Verb: VerbConclude, Attendance: []PersonID{"eng1", "sec1"}, Text: "talked", Actions: requiredActions}
	for name, c := range map[string]struct {
		meeting time.Duration // from the schedule, or 0 without a meeting
		early   time.Duration // before the meeting
		reason  string
		refused string // in the error
		kept    string // as the reason of an early review
		said    string // in the sentence
	}{
		"no meeting":                {refused: "no review meeting is scheduled. Type review TIME"},
		"no meeting, blank reason":  {reason: " \n", refused: "no review meeting is scheduled"},
		"no meeting, with a reason": {reason: "all met", kept: "all met", said: "without a scheduled meeting, because “all met”"},
		"early":                     {meeting: 72 * time.Hour, early: time.Second, refused: "the review meeting begins at 2026-11-"},
		"early, with a reason":      {meeting: 72 * time.Hour, early: time.Second, reason: " all met", kept: "all met", said: "before its meeting at"},
		"at its time":               {meeting: 72 * time.Hour, said: "concluded the review. Attendance"},
		"later":                     {meeting: 72 * time.Hour, early: -48 * time.Hour, said: "concluded the review. Attendance"},
		"later, with a reason":      {meeting: 72 * time.Hour, early: -time.Hour, reason: "all met", said: "concluded the review. Attendance"},
	} {
		t.Run(name, func(t *testing.T) {
			w := fixtureIn(t, Approved)
			if c.meeting > 0 {
				w.must("eng1", Command{Verb: VerbScheduleReview, When: w.now.Add(c.meeting)})
				w.now = w.inc.Review.At.Add(-c.early)
			}
			cmd := conclude
			cmd.Reason = c.reason
			events, err := w.decideAs("eng1", cmd)
			if c.refused != "" {
				if CodeOf(err) != CodeInvalid || !strings.Contains(err.Error(), c.refused) || w.inc.Status != Approved {
					t.Fatalf("got error %v in %s, want %q in approved", err, w.inc.Status, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if e.Kind != EventReviewConcluded {
					continue
				}
				if s, _ := e.Sentence(); !strings.Contains(s.String(), c.said) {
					t.Errorf("got sentence %q, want %q", s, c.said)
				}
			}
			if got := w.inc.Review.EarlyReason; got != c.kept {
				t.Errorf("got reason %q, want %q", got, c.kept)
			}
			if w.inc.Status != Closed {
				t.Errorf("got status %s, want closed", w.inc.Status)
			}
		})
	}
}

// TestAction_DaysLeft counts calendar days in the zone of the reader.
func TestAction_DaysLeft(t *testing.T) {
	auckland, err := time.LoadLocation("Pacific/Auckland")
	if err != nil {
		t.Fatal(err)
	}
	toronto, err := time.LoadLocation("America/Toronto")
	if err != nil {
		t.Fatal(err)
	}
	a := Action{Due: time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC)} // the day after clocks change in Toronto
	for _, c := range []struct {
		now  time.Time
		want int
	}{
		{time.Date(2026, 3, 9, 0, 0, 0, 0, auckland), 0},
		{time.Date(2026, 3, 9, 23, 59, 0, 0, toronto), 0},
		{time.Date(2026, 3, 10, 0, 0, 0, 0, auckland), -1},
		{time.Date(2026, 3, 2, 23, 59, 0, 0, toronto), 7},
		{time.Date(2026, 3, 16, 8, 0, 0, 0, toronto), -7},
	} {
		if got := a.DaysLeft(c.now); got != c.want {
			t.Errorf("%s: got %d days, want %d", c.now, got, c.want)
		}
	}
}

// TestAction_DoneEverywhere completes an action item. The messages that list it are edited.
func TestAction_DoneEverywhere(t *testing.T) {
	w := fixtureIn(t, Closed)
	before := w.inc
	w.must("sec1", Command{Verb: VerbFinishAction, Item: "A1"})
	a := w.inc.Actions[0]
	if s := a.Progress(w.now); !a.IsDone() || !strings.Contains(s.String(), "done by sec1 on ") {
		t.Errorf("got %q, want who completed it and when", s)
	}
	if got := w.inc.OpenActions(); len(got) != 1 || got[0].ID != "A2" {
		t.Errorf("got open %+v, want only A2", got)
	}
	edited := map[EventKind]bool{}
	for _, e := range Retractions(before, w.inc) {
		for _, r := range before.Requests {
			if r.Seq == e.EventSeq() {
				edited[r.Kind] = true
			}
		}
	}
	if !edited[EventActionAdded] || !edited[EventClosed] || len(edited) != 2 {
		t.Errorf("got edited messages %v, want the one about the item and the one about the end", edited)
	}
}
