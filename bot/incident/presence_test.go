package incident

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// absentPaged returns the people of the page about absence among events.
func absentPaged(events []Event) []PersonID {
	for _, e := range events {
		if e.Kind == EventAbsencePageStarted {
			return splitList[PersonID](e.Field("people"))
		}
	}
	return nil
}

// invitations returns the people whom events invite, and whether a person is invited twice.
func (w *fixture) invitations(events []Event) (people []PersonID) {
	for _, e := range w.events[len(w.events)-len(events):] {
		for _, effect := range e.Effects(w.inc, Incident{}, Env{Now: w.now, Directory: w.dir, Policy: w.policy}) {
			if effect.Kind == EffectInvite {
				people = append(people, splitList[PersonID](effect.Args["people"])...)
			}
		}
	}
	slices.Sort(people)
	return people
}

func (w *fixture) decided(p PersonID, cmd Command) []Event {
	w.t.Helper()
	events, err := w.decideAs(p, cmd)
	if err != nil {
		w.t.Fatalf("%s by %q: %v", cmd.Verb, p, err)
	}
	return events
}

func (w *fixture) openSev1() {
	w.must("out1", Command{Verb: VerbOpen, Title: "Keys in a log", Severity: Sev1})
}

var openChannel = Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C1"}}

// TestGather_InvitesReachedPeople opens the channel before and after the page.
func TestGather_InvitesReachedPeople(t *testing.T) {
	for name, c := range map[string]struct {
		reached []PersonID
		want    []PersonID
	}{
		"people on call":  {[]PersonID{"eng2", "sec1"}, []PersonID{"eng2", "out1", "sec1"}},
		"no known person": {nil, []PersonID{"eng1", "eng2", "eng3", "eng4", "out1", "sec1", "sec2"}},
	} {
		paged := Command{Verb: VerbPaged, Round: 1, People: c.reached}
		for order, commands := range map[string][]Command{"page first": {paged, openChannel}, "channel first": {openChannel, paged}} {
			w := newFixture(t)
			w.openSev1()
			var got []PersonID
			for _, cmd := range commands {
				got = append(got, w.invitations(w.decided("", cmd))...)
			}
			if slices.Sort(got); !slices.Equal(got, c.want) {
				t.Errorf("%s, %s: got invitations %v, want %v", name, order, got, c.want)
			}
		}
	}
}

func TestGather_WithoutPageInvitesResponders(t *testing.T) {
	w := newFixture(t)
	w.policy.NoPageFrom = Sev3
	w.must("out1", Command{Verb: VerbOpen, Title: "A question", Severity: Sev4})
	if got := w.invitations(w.decided("", openChannel)); !slices.Equal(got, []PersonID{"eng1", "eng2", "eng3", "eng4", "out1", "sec1", "sec2"}) {
		t.Errorf("no page: got invitations %v", got)
	}
	if events := w.decided("", openChannel); len(events) > 0 {
		t.Errorf("the same link again: got %d events, want 0", len(events))
	}
}

func TestGather_FailedPagesInviteResponders(t *testing.T) {
	w := newFixture(t)
	w.openSev1()
	w.must("", openChannel)
	for step := range w.policy.EscalationSteps {
		got := w.invitations(w.decided("", Command{Verb: VerbPageFailed, Round: 1, EscalationStep: step, Text: "503"}))
		if last := step == w.policy.EscalationSteps-1; (len(got) > 0) != last {
			t.Errorf("step %d failed: got invitations %v", step, got)
		}
	}
}

// TestGather_CallsTheRoleOfAStep calls the department of a role when its step starts, and
// the holder if there is one.
func TestGather_CallsTheRoleOfAStep(t *testing.T) {
	run := Run{Playbook: "p", Plan: []Step{{ID: "law", Role: LegalLead}, {ID: "tell", Role: Communicator}, {ID: "none", Role: Scribe}, {ID: "bot", Role: LegalLead, Action: "involve:legal"}}}
	w := newFixture(t)
	w.openSev1()
	w.must("", Command{Verb: VerbPaged, Round: 1, People: []PersonID{"eng1"}})
	w.must("", openChannel)
	w.must("", Command{Verb: VerbStartPlaybook, Runs: []Run{run}})
	for step, want := range map[string][]PersonID{"law": {"leg1", "leg2"}, "tell": {"com2"}, "none": nil, "bot": nil} {
		if step == "tell" {
			w.must("eng1", Command{Verb: VerbAssignRole, Role: Communicator, Person: "com2"})
		}
		before := len(w.inc.Calls)
		got := w.invitations(w.decided("", Command{Verb: VerbStartStep, Step: step}))
		if step == "tell" {
			got = []PersonID{w.inc.Calls[before-1].Person} // called by the assignment
		}
		if !slices.Equal(got, want) {
			t.Errorf("step %s: got %v, want %v", step, got, want)
		}
	}
}

// TestAbsence_PagesOncePerRound follows three called people through two rounds.
func TestAbsence_PagesOncePerRound(t *testing.T) {
	w := newFixture(t)
	w.openSev1()
	w.must("", Command{Verb: VerbPaged, Round: 1, People: []PersonID{"eng1", "eng2", "eng3"}})
	called := w.now
	w.must("eng1", Command{Verb: VerbAcknowledge})
	w.must("eng2", Command{Verb: VerbHere, Item: "1700000000.000100"})
	early := new(NotDue)
	if events, err := w.decideAs("", Command{Verb: VerbAbsenceTimeout}); !errors.As(err, &early) || !early.Until.Equal(w.inc.Calls[0].At.Add(AbsenceTimeout)) {
		t.Fatalf("too early: got %v, %v, want a deadline that waits", events, err)
	}
	w.now = called.Add(AbsenceTimeout)
	if got := w.inc.Absent(w.now); len(got) != 1 || got[0].Person != "eng3" {
		t.Errorf("absent: got %+v, want eng3", got)
	}
	if got := absentPaged(w.decided("", Command{Verb: VerbAbsenceTimeout})); !slices.Equal(got, []PersonID{"eng3"}) {
		t.Fatalf("after 5 minutes: paged %v, want eng3", got)
	}
	if got := absentPaged(w.decided("", Command{Verb: VerbAbsenceTimeout})); got != nil {
		t.Fatalf("same round: paged %v again", got)
	}
	w.must("eng1", Command{Verb: VerbPageAgain, Text: "more help"})
	if got := absentPaged(w.decided("", Command{Verb: VerbAbsenceTimeout})); !slices.Equal(got, []PersonID{"eng3"}) {
		t.Fatalf("next round: paged %v, want eng3", got)
	}
	w.must("eng3", Command{Verb: VerbHere})
	w.must("eng1", Command{Verb: VerbAcknowledge})
	w.must("eng1", Command{Verb: VerbPageAgain, Text: "more help"})
	if got := absentPaged(w.decided("", Command{Verb: VerbAbsenceTimeout})); got != nil || w.inc.Present() != 4 {
		t.Errorf("all here: paged %v, %d present", got, w.inc.Present())
	}
}

// TestAbsence_NeverPages has the calls that need no page.
func TestAbsence_NeverPages(t *testing.T) {
	for name, change := range map[string]func(*fixture){
		"sev3":            func(w *fixture) { w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev3, Text: "small"}) },
		"excluded person": func(w *fixture) { w.must("leg1", Command{Verb: VerbExclude, Person: "eng3", Text: "a suspect"}) },
		"resolved":        func(w *fixture) { w.must("eng1", Command{Verb: VerbResolve, Text: "done"}) },
		"former person": func(w *fixture) {
			w.dir.People = slices.DeleteFunc(slices.Clone(w.dir.People), func(p Person) bool { return p.ID == "eng3" })
		},
		"acts in the incident": func(w *fixture) { w.must("eng3", Command{Verb: VerbNote, Text: "looking"}) },
	} {
		w := newFixture(t)
		w.openSev1()
		w.must("", Command{Verb: VerbPaged, Round: 1, People: []PersonID{"eng1", "eng3"}})
		w.must("eng1", Command{Verb: VerbAcknowledge})
		w.inc.Access = append(w.inc.Access, "leg1")
		w.inc.InvolvedDepartments = append(w.inc.InvolvedDepartments, Legal)
		change(w)
		w.now = w.now.Add(time.Hour)
		if got := absentPaged(w.decided("", Command{Verb: VerbAbsenceTimeout})); got != nil {
			t.Errorf("%s: paged %v", name, got)
		}
	}
}

// TestAbsence_OneAnswersForTheRole requires no page to the others of a role or of the
// responders after one of them came.
func TestAbsence_OneAnswersForTheRole(t *testing.T) {
	w := newFixture(t)
	w.openSev1()
	w.must("", Command{Verb: VerbPaged, Round: 1})
	w.must("", Command{Verb: VerbStartPlaybook, Runs: []Run{{Playbook: "p", Plan: []Step{{ID: "law", Role: LegalLead}}}}})
	w.must("", Command{Verb: VerbStartStep, Step: "law"})
	w.must("", Command{Verb: VerbInvited, People: []PersonID{"leg1", "leg2"}})
	w.now = w.now.Add(AbsenceTimeout)
	if got := w.inc.Absent(w.now); len(got) != 8 {
		t.Errorf("nobody came: got %d absent, want 8", len(got))
	}
	w.must("sec2", Command{Verb: VerbAcknowledge})
	w.must("leg2", Command{Verb: VerbHere})
	if got := absentPaged(w.decided("", Command{Verb: VerbAbsenceTimeout})); got != nil {
		t.Errorf("one of each came: paged %v", got)
	}
}

// TestHere_PostsExtendTheAcknowledgement gives posts of several people at several times.
func TestHere_PostsExtendTheAcknowledgement(t *testing.T) {
	post := func(at time.Time) Command { return Command{Verb: VerbHere, Item: "1.1", HappenedAt: at} }
	w := newFixture(t)
	w.openSev1()
	w.must("eng1", Command{Verb: VerbAcknowledge})
	acked := w.inc.Paging.LastAction
	for n, c := range []struct {
		by    PersonID
		after time.Duration
		moves bool
	}{
		{"eng1", time.Minute, false},      // throttled
		{"eng1", 3 * time.Minute, true},   // the commander
		{"eng1", 3 * time.Minute, false},  // delivered again
		{"eng2", 4 * time.Minute, false},  // the first sign of a responder, throttled
		{"eng2", 10 * time.Minute, true},  // a responder
		{"eng1", 5 * time.Minute, false},  // late delivery of an older post
		{"out1", 20 * time.Minute, false}, // neither
	} {
		before := w.inc.Paging.LastAction
		w.now = acked.Add(20 * time.Minute)
		events := w.decided(c.by, post(acked.Add(c.after)))
		if moved := w.inc.Paging.LastAction.After(before); moved != c.moves {
			t.Errorf("post %d: moved %t, want %t (%d events)", n, moved, c.moves, len(events))
		}
		if c.moves && !w.inc.Paging.LastAction.Equal(acked.Add(c.after)) {
			t.Errorf("post %d: got last action %s, want the time of the post", n, w.inc.Paging.LastAction)
		}
	}
	w.now = acked.Add(35 * time.Minute)
	if _, err := w.decideAs("", Command{Verb: VerbAckTimeout, Round: 1}); err == nil {
		t.Error("the acknowledgement timed out although a responder posted")
	}
}

// TestHere_BusyChannelWritesFewEvents bounds the events of a channel with a post in every
// second.
func TestHere_BusyChannelWritesFewEvents(t *testing.T) {
	w := newFixture(t)
	w.openSev1()
	w.must("eng1", Command{Verb: VerbAcknowledge})
	before := len(w.events)
	for range 3600 {
		w.decided("eng1", Command{Verb: VerbHere, Item: "1.1", HappenedAt: w.now})
	}
	if got := len(w.events) - before; got != 19 && got != 20 {
		t.Errorf("3,600 posts in an hour: got %d events, want 20 at most", got)
	}
}

func TestInvited_NamesWhoCannotBeInvited(t *testing.T) {
	w := newFixture(t)
	w.openSev1()
	refused := map[PersonID]string{"eng2": "is a guest", "eng3": "no Slack user in the configuration"}
	w.must("", Command{Verb: VerbInvited, People: []PersonID{"eng1"}, Refused: refused})
	if events := w.decided("", Command{Verb: VerbInvited, People: []PersonID{"eng1"}, Refused: refused}); len(events) > 0 {
		t.Errorf("again: got %d events, want 0", len(events))
	}
	if got := w.inc.NotInvited["eng2"]; got != "is a guest" {
		t.Errorf("got reason %q", got)
	}
	w.must("", Command{Verb: VerbInvited, People: []PersonID{"eng2"}})
	if _, still := w.inc.NotInvited["eng2"]; still {
		t.Error("an invited person is still listed as not invited")
	}
}

func TestReopen_ForgetsTheCalls(t *testing.T) {
	w := newFixture(t)
	w.openSev1()
	w.must("", Command{Verb: VerbPaged, Round: 1, People: []PersonID{"eng1", "eng3"}})
	w.must("eng1", Command{Verb: VerbAcknowledge})
	w.must("eng1", Command{Verb: VerbResolve, Text: "done"})
	w.must("eng2", Command{Verb: VerbReopen, Text: "it is not over"})
	if len(w.inc.Calls) != 0 || w.inc.Present() != 1 {
		t.Errorf("got %d calls and %d present, want the author alone", len(w.inc.Calls), w.inc.Present())
	}
}
