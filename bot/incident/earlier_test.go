package incident

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEarlier_EachVerbNamesTheWinner lets two people give the same command at once, for
// each verb in each status. If the second one has no effect, its author learns who gave
// the first one.
func TestEarlier_EachVerbNamesTheWinner(t *testing.T) {
	lost := map[Verb]int{}
	for v, row := range statusMatrix {
		for n, status := range Statuses() {
			if cell := strings.Fields(row)[n]; v.who() == TheBot || cell == "-" || cell == "!" || cell == "=" {
				continue
			}
			w := fixtureIn(t, status)
			by, cmd := validCommand(v, w)
			before := w.inc
			if _, err := w.decideAs(by, cmd); err != nil {
				t.Fatalf("%s in %s: %v", v, status, err)
			}
			events := w.events[len(w.events)-(w.inc.Head.Seq-before.Head.Seq):]
			for _, p := range w.dir.People {
				lost[v] += w.rival(p.ID, by, cmd, before, events)
			}
		}
	}
	for _, v := range []Verb{VerbAcknowledge, VerbContain, VerbResolve, VerbSubmit, VerbSign, VerbAmend, VerbRevise, VerbReopen, VerbDismiss, VerbSetSeverity, VerbAssignRole, VerbSetFact,
		VerbStepDone, VerbStepSkip, VerbFinishAction, VerbGrant, VerbRevoke, VerbRestrict, VerbInvolve, VerbSetLegalHold, VerbReleaseLegalHold, VerbConsult, VerbScheduleReview, VerbKeepSeverity, VerbPromote} {
		if lost[v] == 0 {
			t.Errorf("%s: no race was lost", v)
		}
	}
}

// rival gives a command that another person gave first, and returns 1 if it lost.
func (w *fixture) rival(p, winner PersonID, cmd Command, before Incident, events []Event) int {
	w.t.Helper()
	env := Env{Now: w.now.Add(time.Minute), Actor: p, Directory: w.dir, Policy: w.policy}
	cmd.For, cmd.Via, cmd.Auth = w.inc.ID, ViaSlack, "test"
	if would, err := Decide(cmd, before, env); p == winner || err != nil || len(would) == 0 {
		return 0 // had no effect as the first one either
	}
	second, err := Decide(cmd, w.inc, env)
	if len(second) > 0 {
		return 0
	}
	if err != nil && !MayBeLate(err) {
		w.t.Errorf("%s by %s after %s: got %v, which names no winner", cmd.Verb, p, winner, err)
		return 0
	}
	e, ok := earlier(cmd, before, events, env, false)
	if !w.inc.MayRead(w.dir, p, env.Now) || slices.ContainsFunc(events, func(e Event) bool { return e.Kind.Secret() }) {
		if ok {
			w.t.Errorf("%s by %s after %s: got the event %s, which %s may not read", cmd.Verb, p, winner, e.Kind, p)
		}
		return 0
	}
	want := "Name of " + string(winner)
	if winner == administrator {
		return 0
	}
	if text := EarlierText(e, env); !ok || !strings.Contains(text, want) || !strings.Contains(text, " at "+w.now.UTC().Format("15:04")+" UTC") {
		w.t.Errorf("%s by %s after %s (%v): got %q, %t, want it to name the winner and the time", cmd.Verb, p, winner, err, text, ok)
	}
	return 1
}

// The time of an event with two sentences is in the first one.
func TestEarlierText_TwoSentences(t *testing.T) {
	env := Env{Now: start, Directory: Directory{People: []Person{{ID: "p1", Name: "Ada P. Okafor"}}}}
	for _, c := range []struct {
		e    Event
		want string
	}{
		{Event{Kind: EventAmended, By: "p1", RecordedAt: start}, "Ada P. Okafor reopened the closing record to amend it at 02:00 UTC. Its signatures are void"},
		{Event{Kind: EventUpdated, By: "p1", RecordedAt: start, Fields: map[string]string{"update": "U1", "audiences": "customers"}}, "Ada P. Okafor wrote update U1 for customers at 02:00 UTC. Another person must approve it"},
		{Event{Kind: EventSubmitted, By: "p1", RecordedAt: start, Fields: map[string]string{"revision": "1", "digest": "sha256:6c6a"}}, "Ada P. Okafor submitted revision 1 of the closing record for signing at 02:00 UTC"},
		{Event{Kind: EventAcknowledged, By: "p1", RecordedAt: start}, "Ada P. Okafor acknowledged the incident at 02:00 UTC"},
	} {
		if got := EarlierText(c.e, env); got != c.want {
			t.Errorf("%s: got %q, want %q", c.e.Kind, got, c.want)
		}
	}
}

func TestClockText_SaysAnotherDay(t *testing.T) {
	now := time.Date(2026, 12, 24, 23, 50, 0, 0, time.UTC)
	for at, want := range map[time.Time]string{now.Add(time.Minute): "23:51 UTC", now.Add(20 * time.Minute): "00:10 UTC on 2026-12-25"} {
		if got := ClockText(at, now); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
