package incident

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// calendars is the world outside: the review meeting in the calendar of each person,
// and the mails that wait in the lane of the meeting.
type calendars struct {
	w       *fixture
	pending []Effect
	events  map[int]Event // by Seq
	shows   map[PersonID]time.Time
}

func newCalendars(w *fixture) *calendars {
	return &calendars{w: w, events: map[int]Event{}, shows: map[PersonID]time.Time{}}
}

// collect queues the mails that follow from the events since seq.
func (c *calendars) collect(seq int) {
	for _, e := range c.w.events {
		if c.events[e.Seq] = e; e.Seq <= seq {
			continue
		}
		for _, f := range e.Effects(c.w.inc, Incident{}, Env{Now: c.w.now, Directory: c.w.dir, Policy: c.w.policy}) {
			if f.Kind == EffectMailInvitation || f.Kind == EffectMailCancellation {
				c.pending = append(c.pending, f)
			}
		}
	}
}

// mail delivers the first mail of the lane. If crashed is set, the process ends between
// sending and the commit, and the mail is carried out again later.
func (c *calendars) mail(crashed bool, attempt int) {
	f := c.pending[0]
	when := parseInstant(c.events[f.Seq].Field("when"))
	if f.Kind == EffectMailCancellation {
		for _, p := range splitList[PersonID](f.Args["people"]) {
			delete(c.shows, p)
		}
		if !crashed {
			c.pending = c.pending[1:]
		}
		return
	}
	current := c.w.inc.Review.At.Equal(when) && c.w.inc.Review.Concluded.IsZero()
	people := c.events[f.Seq].Invitees()
	if current {
		for _, p := range people {
			c.shows[p] = when
		}
	}
	if crashed {
		return
	}
	c.pending = c.pending[1:]
	if !current && attempt == 1 {
		return
	}
	seq := c.w.inc.Head.Seq
	if _, err := c.w.decideAs("", Command{Verb: VerbReviewInvited, People: people, When: when}); err != nil {
		c.w.t.Fatalf("record the invitation: %v", err)
	}
	c.collect(seq)
}

// TestMeeting_CalendarsFollowTheIncident gives random commands, and lets the mails leave
// late, twice or after a crash. In the end the calendars show the meeting of the incident.
func TestMeeting_CalendarsFollowTheIncident(t *testing.T) {
	cancelled := map[string]bool{}
	checkUntil(t, func() bool { return cancelled[cancelReopened] }, func(rt *rapid.T) {
		w := fixtureIn(rt, rapid.SampledFrom([]Status{Resolved, InReview, Approved, Dismissed, Contained}).Draw(rt, "status"))
		c, crashed := newCalendars(w), 0
		c.collect(w.inc.Head.Seq)
		for range rapid.IntRange(1, 14).Draw(rt, "steps") {
			seq := w.inc.Head.Seq
			switch rapid.IntRange(0, 10).Draw(rt, "step") {
			case 0, 1, 2:
				_, _ = w.decideAs("eng1", Command{Verb: VerbScheduleReview, When: w.now.AddDate(0, 0, rapid.IntRange(1, 4).Draw(rt, "days"))})
			case 3:
				_, _ = w.decideAs("eng1", Command{Verb: VerbReopen, Text: "it goes on"})
			case 4:
				_, _ = w.decideAs("eng1", Command{Verb: VerbRevise, Text: "wrong", Record: map[string]string{"impact": "more"}})
			case 5:
				_, _ = w.decideAs("sec1", Command{Verb: VerbConclude, Attendance: []PersonID{"sec1", "eng1"}, Text: "we learned", Reason: "all are here", Actions: requiredActions})
			case 6:
				role := rapid.SampledFrom([]PersonID{"eng1", "eng2", "sec1", "pay1"}).Draw(rt, "person")
				_, _ = w.decideAs("eng1", Command{Verb: VerbAssignRole, Role: Scribe, Person: role})
			case 7:
				_, _ = w.decideAs("eng1", Command{Verb: VerbResolve, Text: "over", Reason: "none left"})
			case 8:
				_, _ = w.decideAs("eng1", Command{Verb: VerbDismiss, Text: "a drill"})
				_, _ = w.decideAs("sec1", Command{Verb: VerbDismiss})
			default:
				if len(c.pending) > 0 {
					end := rapid.Bool().Draw(rt, "crash")
					c.mail(end, crashed+1)
					if crashed = 0; end {
						crashed = 1
					}
				}
			}
			c.collect(seq)
			for n := len(w.events) - 1; n >= 0 && w.events[n].Seq > seq; n-- {
				cancelled[w.events[n].Field("cause")] = true
			}
		}
		for len(c.pending) > 0 {
			c.mail(false, crashed+1)
			crashed = 0
		}
		for p, when := range c.shows {
			if !w.inc.hasMeeting(w.now) || !when.Equal(w.inc.Review.At) {
				rt.Fatalf("the calendar of %s shows a meeting on %s, and %s has %+v", p, when, w.inc.Status, w.inc.Review)
			}
		}
		if w.inc.hasMeeting(w.now) {
			for _, p := range w.inc.Leads(w.dir) {
				if w.inc.Meeting != nil && slices.Contains(w.inc.Meeting.Invited, p) && c.shows[p].IsZero() {
					rt.Fatalf("the calendar of %s lacks the meeting on %s", p, w.inc.Review.At)
				}
			}
		}
	})
}

// TestMeeting_EveryVerb checks that a verb that voids the meeting also cancels it.
func TestMeeting_EveryVerb(t *testing.T) {
	for _, from := range Statuses() {
		for v := range verbs {
			w := fixtureIn(t, from)
			at, concluded := w.now.AddDate(0, 0, 3), !w.inc.Review.Concluded.IsZero()
			w.inc.Review.At, w.inc.Meeting = stamp(at), &Meeting{At: stamp(at), People: []PersonID{"eng1", "leg1"}, Invited: []PersonID{"eng1", "leg1"}}
			by, cmd := validCommand(v, w)
			events, err := w.decideAs(by, cmd)
			if err != nil || concluded || w.inc.hasMeeting(w.now) && transition(VerbScheduleReview, w.inc.Status) != nil || w.inc.Status == from {
				continue
			}
			n := slices.IndexFunc(events, func(e Event) bool { return e.Kind == EventReviewCancelled })
			if n < 0 || events[n].Field("cancel") != "eng1,leg1" {
				t.Errorf("%s from %s to %s: got no cancellation", v, from, w.inc.Status)
			}
		}
	}
}

// TestMeeting_ScheduledByAnEarlierVersion voids a meeting without recorded people.
func TestMeeting_ScheduledByAnEarlierVersion(t *testing.T) {
	w := fixtureIn(t, Approved)
	w.inc.Review.At, w.inc.Meeting = stamp(w.now.AddDate(0, 0, 2)), nil
	events, err := w.decideAs("eng1", Command{Verb: VerbReopen, Text: "it goes on"})
	if err != nil {
		t.Fatal(err)
	}
	n := slices.IndexFunc(events, func(e Event) bool { return e.Kind == EventReviewCancelled })
	if n < 0 || !strings.Contains(events[n].Field("cancel"), "eng1") {
		t.Errorf("got events %v, want a cancellation for the people who lead the incident", fmt.Sprint(events))
	}
}

// TestMeeting_InvitationOfAnEarlierVersion records an invitation that waited during the
// upgrade. It cancels nothing, and the people it reached get the cancellation later.
func TestMeeting_InvitationOfAnEarlierVersion(t *testing.T) {
	w := fixtureIn(t, Approved)
	at := stamp(w.now.AddDate(0, 0, 2))
	w.inc.Review.At, w.inc.Meeting = at, nil
	events, err := w.decideAs("", Command{Verb: VerbReviewInvited, People: []PersonID{"pay1"}, When: at})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Field("cancel") != "" {
			t.Errorf("got a cancellation for %s of the meeting that takes place", e.Field("cancel"))
		}
	}
	events, err = w.decideAs("eng1", Command{Verb: VerbReopen, Text: "it goes on"})
	if err != nil {
		t.Fatal(err)
	}
	n := slices.IndexFunc(events, func(e Event) bool { return e.Kind == EventReviewCancelled })
	if n < 0 || events[n].Field("cancel") != "pay1" {
		t.Errorf("got events %v, want a cancellation for the person who was invited", fmt.Sprint(events))
	}
}

// TestMeeting_ConcludedEarly concludes the review two days before the meeting, and shortly
// before it.
func TestMeeting_ConcludedEarly(t *testing.T) {
	for name, c := range map[string]struct {
		hours int
		want  bool
	}{"two days before": {48, true}, "at the start": {0, false}} {
		w := fixtureIn(t, Approved)
		w.must("eng1", Command{Verb: VerbScheduleReview, When: w.now.AddDate(0, 0, 3)})
		w.now = w.inc.Review.At.Add(-time.Duration(c.hours) * time.Hour)
		events, err := w.decideAs("sec1", Command{Verb: VerbConclude, Attendance: []PersonID{"sec1", "eng1"}, Text: "we learned", Reason: "all are here", Actions: requiredActions})
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.ContainsFunc(events, func(e Event) bool { return e.Kind == EventReviewCancelled && e.Field("cause") == cancelConcluded }); got != c.want {
			t.Errorf("%s: got cancelled %v, want %v", name, got, c.want)
		}
	}
}
