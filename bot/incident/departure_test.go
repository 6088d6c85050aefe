package incident

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// leave removes a person from the directory and ends what the person holds.
func (w *fixture) leave(p PersonID) []Event {
	w.t.Helper()
	next := w.dir
	next.People = slices.DeleteFunc(slices.Clone(w.dir.People), func(q Person) bool { return q.ID == p })
	next.Teams = slices.Clone(w.dir.Teams)
	for n := range next.Teams {
		next.Teams[n].Members = slices.DeleteFunc(slices.Clone(next.Teams[n].Members), func(m Membership) bool { return m.Person == p })
	}
	w.dir = w.dir.Succeed(next, w.now)
	left, _ := w.dir.FormerPerson(p)
	events, err := w.decideAs("", Command{Verb: VerbPersonLeft, Person: p, People: w.dir.Successors(left, w.now)})
	if err != nil {
		w.t.Fatal(err)
	}
	return events
}

func kinds(events []Event) []EventKind {
	var out []EventKind
	for _, e := range events {
		out = append(out, e.Kind)
	}
	return out
}

// TestPersonLeft_LiveIncidentFindsACommander covers every combination of who holds
// a live incident. Paging starts again only if nobody holds it.
func TestPersonLeft_LiveIncidentFindsACommander(t *testing.T) {
	for _, test := range []struct {
		name      string
		severity  Severity
		ack       PersonID
		commander PersonID
		want      []EventKind
	}{
		{"commander who acknowledged", Sev2, "eng1", "eng1", []EventKind{EventPersonLeft, EventRoundStarted}},
		{"commander, another acknowledged", Sev2, "eng2", "eng1", []EventKind{EventPersonLeft}},
		{"acknowledged, another commands", Sev2, "eng1", "eng2", nil},
		{"unpaged severity", Sev4, "eng1", "eng1", []EventKind{EventPersonLeft}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newFixture(t)
			w.policy.NoPageFrom = Sev4
			w.must("eng3", Command{Verb: VerbOpen, Title: "a leaked key", Severity: test.severity})
			w.must(test.ack, Command{Verb: VerbAcknowledge})
			if w.inc.Commander != test.commander {
				w.must(test.ack, Command{Verb: VerbAssignRole, Role: Commander, Person: test.commander})
			}
			got := kinds(w.leave("eng1"))
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if w.inc.Commander == "eng1" || w.inc.Roles[Commander] == "eng1" {
				t.Error("the person who left still commands")
			}
			if slices.Contains(test.want, EventRoundStarted) != w.inc.NeedsPage() {
				t.Errorf("got NeedsPage %t, want %t", w.inc.NeedsPage(), !w.inc.NeedsPage())
			}
			if again := w.leave("eng1"); len(again) > 0 {
				t.Errorf("a repeat recorded %v", kinds(again))
			}
		})
	}
}

// TestPersonLeft_EverythingEnds gives one person each thing that can be held,
// and checks that the person holds nothing afterwards, also after a return.
func TestPersonLeft_EverythingEnds(t *testing.T) {
	w := newFixture(t)
	before := w.dir
	w.must("eng3", Command{Verb: VerbOpen, Title: "a leaked key", Severity: Sev2})
	w.must("eng1", Command{Verb: VerbAcknowledge})
	w.must("eng1", Command{Verb: VerbAssignRole, Role: Scribe, Person: "leg1"})
	w.must("eng1", Command{Verb: VerbGrant, Person: "leg1", Text: "asked"})
	w.must("sec1", Command{Verb: VerbDelegate, Department: Security, Person: "leg1", Until: w.now.AddDate(0, 0, 3), Text: "away"})
	w.must("leg1", Command{Verb: VerbDelegate, Department: Legal, Person: "eng4", Until: w.now.AddDate(0, 0, 3), Text: "away"})
	w.must("eng1", Command{Verb: VerbAddAction, Action: &Action{Kind: ActionDetection, Title: "alarm", Owner: "leg1", Due: w.now.AddDate(0, 1, 0)}})
	w.must("leg1", Command{Verb: VerbErase, Erase: []TextRef{{Seq: 1, Name: "title"}}, Text: "a name"})
	w.must("eng1", Command{Verb: VerbResolve, Text: "rotated"})
	w.must("eng1", Command{Verb: VerbSubmit, Record: map[string]string{"summary": "a", "impact": "b", "root_cause": "c", "what_was_done": "d",
		"what_detected_it": "e", "what_will_detect_it": "f", "what_will_prevent_it": "g", "audience": "all", "language": "en"}})
	w.must("leg1", Command{Verb: VerbSign, Department: Legal, Expect: w.inc.Submission.Digest})
	w.must("com1", Command{Verb: VerbSign, Department: Communications, Expect: w.inc.Submission.Digest})

	events := w.leave("leg1")
	if got := kinds(events); !slices.Equal(got, []EventKind{EventPersonLeft}) {
		t.Fatalf("got %v, want one event", got)
	}
	if held := w.inc.HeldBy("leg1", w.now); len(held) > 0 {
		t.Errorf("still held: %v", held)
	}
	if w.inc.SignedBy(Legal) != nil || w.inc.SignedBy(Communications) == nil || w.inc.Status != InReview {
		t.Errorf("got signatures %v in %s, want that of communications alone", w.inc.Signatures, w.inc.Status)
	}
	if w.inc.Erasure != nil {
		t.Error("the proposed erasure waits for a second person, although the first left")
	}
	if got := w.inc.Actions[0].Owner; got != "sec1" && got != "sec2" {
		t.Errorf("got owner %q of the action item, want a member of security, because legal has no head", got)
	}
	for _, c := range []Command{{Verb: VerbNote, Text: "x"}, {Verb: VerbSign, Department: Legal, Expect: w.inc.Submission.Digest}} {
		if events, err := w.decideAs("leg1", c); err == nil || len(events) > 0 {
			t.Errorf("%s: got %v, want it refused", c.Verb, kinds(events))
		}
	}
	w.mustFail("eng1", Command{Verb: VerbGrant, Person: "leg1", Text: "again"}, CodeUnknown)
	w.mustFail("eng1", Command{Verb: VerbAssignRole, Role: Scribe, Person: "leg1"}, CodeUnknown)
	if got := w.dir.Name("leg1"); got != "Name of leg1 (former)" {
		t.Errorf("got name %q", got)
	}
	if got, want := Fold(7, w.events), w.inc; len(got.Signatures) != len(want.Signatures) || len(got.Access) != len(want.Access) {
		t.Error("the fold of the events differs from the state")
	}
	if problems := Verify(7, w.events, w.inc.Head); len(problems) > 0 {
		t.Errorf("the chain does not verify: %v", problems)
	}

	w.dir.Former[0].Pending = false
	w.dir = w.dir.Succeed(before, w.now) // the person returns
	if got := w.dir.Name("leg1"); got != "Name of leg1" || len(w.dir.Former) != 0 {
		t.Errorf("after the return: got name %q and %d former people", got, len(w.dir.Former))
	}
	if slices.Contains(w.inc.Access, "leg1") || w.inc.represents(w.dir, "leg1", Security, w.now) {
		t.Error("a grant came back with the person")
	}
}

// TestDirectorySucceed_KeepsPendingDepartures checks that a return before the end
// of the departure does not keep what the person held.
func TestDirectorySucceed_KeepsPendingDepartures(t *testing.T) {
	before := testDirectory()
	without := before
	without.People = before.People[1:]
	now := start.Add(time.Hour)
	left := before.Succeed(without, now)
	if len(left.Former) != 1 || left.Former[0].ID != before.People[0].ID || !left.Former[0].Pending || !left.Former[0].LeftAt.Equal(now) {
		t.Fatalf("got former people %+v", left.Former)
	}
	if !slices.Contains(left.Former[0].Teams, Engineering) {
		t.Errorf("got teams %v, want engineering", left.Former[0].Teams)
	}
	back := left.Succeed(before, now)
	if len(back.Former) != 1 || !back.Former[0].Pending {
		t.Errorf("got former people %+v, want the pending departure", back.Former)
	}
	if got := back.Name(before.People[0].ID); got != before.People[0].Name {
		t.Errorf("got name %q, want it without a mark", got)
	}
	again := left.Succeed(without, now.Add(time.Hour))
	if len(again.Former) != 1 || !again.Former[0].LeftAt.Equal(now) {
		t.Errorf("got former people %+v, want one with the first time", again.Former)
	}
}

// TestDirectorySucceed_EverybodyKeepsAName replaces the directory again and again.
// Everybody who was ever known has a readable name, and only the present people
// have an identity.
func TestDirectorySucceed_EverybodyKeepsAName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, dir := testDirectory(), Directory{}
		seen, now := map[PersonID]bool{}, start
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			next := Directory{Teams: all.Teams}
			for _, p := range all.People {
				if rapid.Bool().Draw(t, string(p.ID)) {
					next.People = append(next.People, p)
					seen[p.ID] = true
				}
			}
			now = now.Add(time.Hour)
			dir = dir.Succeed(next, now)
			for n := range dir.Former {
				if rapid.Bool().Draw(t, "ended") {
					dir.Former[n].Pending = false
				}
			}
			for _, p := range all.People {
				_, known := next.Person(p.ID)
				_, resolved := dir.Resolve(p.Identities[0])
				want := string(p.ID)
				switch {
				case known:
					want = p.Name
				case seen[p.ID]:
					want = p.Name + " (former)"
				}
				if resolved != known || dir.Name(p.ID) != want {
					t.Fatalf("%s: got known %t and name %q, want %t and %q", p.ID, resolved, dir.Name(p.ID), known, want)
				}
				if known && !dir.Member(p.ID, Security) == slices.Contains(dir.Successors(FormerPerson{ID: "gone"}, now), p.ID) {
					t.Fatalf("%s: wrong successor", p.ID)
				}
			}
		}
	})
}

// TestPersonLeft_ExcludedTakesNothingOver covers a head who is excluded, and a
// proposed exclusion whose author leaves.
func TestPersonLeft_ExcludedTakesNothingOver(t *testing.T) {
	w := newFixture(t)
	w.must("eng3", Command{Verb: VerbOpen, Title: "a leaked key", Severity: Sev2})
	w.must("eng1", Command{Verb: VerbAcknowledge})
	w.must("eng1", Command{Verb: VerbAddAction, Action: &Action{Kind: ActionDetection, Title: "alarm", Owner: "sec1", Due: w.now.AddDate(0, 1, 0)}})
	w.inc.Exclusions = []Exclusion{{Person: "eng2"}}
	w.inc.ExclusionProposed = &Exclusion{Person: "eng1", By: "sec1"}
	events, err := w.decideAs("", Command{Verb: VerbPersonLeft, Person: "sec1", People: []PersonID{"eng2", "sec2"}})
	if err != nil || !slices.Equal(kinds(events), []EventKind{EventReadmitted, EventPersonLeft}) {
		t.Fatalf("got %v, %v", kinds(events), err)
	}
	if events[0].Audience != AudienceLegalSecurity || w.inc.ExclusionProposed != nil {
		t.Errorf("got audience %s and proposal %v", events[0].Audience, w.inc.ExclusionProposed)
	}
	if got := w.inc.Actions[0].Owner; got != "sec2" {
		t.Errorf("got owner %q, want the one who is not excluded", got)
	}
	if raw := events[1].Fields; raw["proposals"] != "" {
		t.Errorf("got fields %v, want no trace of the exclusion", raw)
	}
}

// TestHeldBy_EachConditionCounts gives two people the same things, and x also
// things that ended.
func TestHeldBy_EachConditionCounts(t *testing.T) {
	now, past, later := start, start.Add(-time.Hour), start.AddDate(0, 0, 1)
	inc := func(s Status) Incident {
		i := Incident{ID: 7, Status: s, Roles: map[Role]PersonID{Scribe: "x"}, Access: []PersonID{"y", "x"},
			Delegations: []Delegation{{Department: Legal, From: "x", To: "a", Until: later}, {Department: Security, From: "a", To: "x", Until: later}, {Department: Legal, From: "a", To: "x", Until: past}, {Department: Legal, From: "a", To: "b", Until: later}},
			Signatures:  []Signature{{Department: Legal, By: "x"}, {Department: Security, By: "y"}},
			Objections:  []Objection{{ID: "O1", By: "x"}, {ID: "O2", By: "x", Closed: past}, {ID: "O3", By: "y"}},
			Dismissal:   &Dismissal{By: "x"}, Erasure: &Erasure{By: "x"}, Review: Review{At: later, WaivedBy: "x"},
			Actions: []Action{{ID: "A1", Owner: "x"}, {ID: "A2", Owner: "x", Done: past}, {ID: "A3", Owner: "y"}}}
		i.Runs = []Run{{Playbook: "p", Plan: []Step{{ID: "open", Role: Scribe, Started: past}, {ID: "done", Role: Scribe, Started: past, Status: StepDone},
			{ID: "waits", Role: Scribe}, {ID: "other", Role: Commander, Started: past}, {ID: "bot", Role: Scribe, Started: past, Action: "page"}}}}
		return i
	}
	day := Day(later).String()
	for status, want := range map[Status]string{
		Active:   "role:scribe access: delegation:legal delegation:security proposal:dismissal proposal:erasure proposal:waiver step:p/open action:A1 review:" + day,
		InReview: "role:scribe access: delegation:legal delegation:security signature:legal objection:O1 proposal:erasure proposal:waiver step:p/open action:A1 review:" + day,
		Closed:   "access: delegation:legal delegation:security proposal:erasure action:A1",
	} {
		var got []string
		for _, h := range inc(status).HeldBy("x", now) {
			got = append(got, h.Kind+":"+h.Ref)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", status, got, want)
		}
	}
	ended := inc(Active)
	ended.Dismissal.Second, ended.Review.EndorsedBy, ended.Review.Concluded = "sec1", "sec1", past
	if held := ended.HeldBy("x", now); slices.ContainsFunc(held, func(h Held) bool { return h.Kind == HeldReview || h.Kind == HeldProposal && h.Ref != "erasure" }) {
		t.Errorf("got %+v, want no decided proposal and no past review", held)
	}
	if held := inc(Active).HeldBy("y", now); slices.ContainsFunc(held, func(h Held) bool { return h.Kind == HeldProposal }) {
		t.Errorf("got %+v, want no proposal of another person", held)
	}
	ended.Review = Review{At: past}
	if held := ended.HeldBy("x", now); slices.ContainsFunc(held, func(h Held) bool { return h.Kind == HeldReview }) {
		t.Errorf("got %+v, want no review of the past", held)
	}
	if held := ended.HeldBy("y", now); len(held) != 2 || held[0].Kind != HeldAccess || held[1].Ref != "A3" {
		t.Errorf("got %+v, want what y holds only", held)
	}
}

// TestApplyPersonLeft_EndsOnlyWhatThePersonHas applies the departure of x.
func TestApplyPersonLeft_EndsOnlyWhatThePersonHas(t *testing.T) {
	inc := Incident{Status: InReview, Access: []PersonID{"x", "y"}, Delegations: []Delegation{{From: "x", To: "a"}, {From: "a", To: "x"}, {From: "a", To: "b"}},
		Signatures: []Signature{{Department: Legal, By: "x"}, {Department: Legal, By: "y"}, {Department: Security, By: "x"}},
		Dismissal:  &Dismissal{By: "x"}, Erasure: &Erasure{By: "x"}, Review: Review{Waiver: "none", WaivedBy: "x"},
		Actions: []Action{{ID: "A1", Owner: "x"}, {ID: "A2", Owner: "x", Done: start}, {ID: "A3", Owner: "y"}}, Paging: Paging{AcknowledgedBy: "x"}}
	left := func(fields map[string]string) Incident {
		i := inc.clone()
		fields["person"] = "x"
		i.applyPersonLeft(Event{Kind: EventPersonLeft, Fields: fields})
		return i
	}
	got := left(map[string]string{"signatures": "legal", "successor": "z", "proposals": "dismissal,waiver", "acknowledgement": "ended"})
	if !slices.Equal(got.Access, []PersonID{"y"}) || len(got.Delegations) != 1 || len(got.Signatures) != 2 || got.Signatures[0].By != "y" || got.Signatures[1].Department != Security {
		t.Errorf("got %+v, want only what x has ended", got)
	}
	if got.Dismissal != nil || got.Erasure == nil || got.Review.Waiver+string(got.Review.WaivedBy) != "" || got.Paging.AcknowledgedBy != "" {
		t.Errorf("got %+v, want the named proposals and the acknowledgement ended", got)
	}
	if got.Actions[0].Owner != "z" || got.Actions[1].Owner != "x" || got.Actions[2].Owner != "y" {
		t.Errorf("got %+v, want only the open item passed on", got.Actions)
	}
	got = left(map[string]string{"proposals": "erasure"})
	if got.Dismissal == nil || got.Erasure != nil || got.Review.Waiver == "" || got.Actions[0].Owner != "x" || got.Paging.AcknowledgedBy != "x" {
		t.Errorf("got %+v, want only the erasure ended", got)
	}
}

func TestAddHeld_BoundsTheList(t *testing.T) {
	var p FormerPerson
	p.AddHeld(make([]Held, MaxHeld-1)...)
	p.AddHeld(make([]Held, 3)...)
	if p.AddHeld(Held{}); len(p.Held) != MaxHeld || p.More != 3 {
		t.Errorf("got %d entries and %d more, want %d and 3", len(p.Held), p.More, MaxHeld)
	}
}

func TestAddHeld_DoesNotModifyCopies(t *testing.T) {
	shared := FormerPerson{Held: make([]Held, 1, 4)}
	p, q := shared, shared
	p.AddHeld(Held{Kind: HeldAccess})
	q.AddHeld(Held{Kind: HeldRole})
	if p.Held[1].Kind != HeldAccess || q.Held[1].Kind != HeldRole || len(shared.Held) != 1 {
		t.Errorf("got %+v and %+v, want one entry added to each", p.Held, q.Held)
	}
}

func TestPersonLeft_NeedsAPerson(t *testing.T) {
	fixtureIn(t, Active).mustFail("", Command{Verb: VerbPersonLeft}, CodeInvalid)
}

// TestPersonLeft_PagesOnlyIfNobodyIsResponsible removes the commander, or the person
// who acknowledged, with and without somebody else who is responsible.
func TestPersonLeft_PagesOnlyIfNobodyIsResponsible(t *testing.T) {
	for name, c := range map[string]struct {
		in               Status
		commander, acked PersonID
		excluded         PersonID
		rounds           int
	}{
		"both":                                           {Active, "eng3", "eng3", "", 1},
		"acknowledged, another commander":                {Active, "eng1", "eng3", "", 0},
		"commander, acknowledged by another":             {Active, "eng3", "eng1", "", 0},
		"commander, acknowledged by one who left before": {Active, "eng3", "gone", "", 1},
		"commander, acknowledged by one excluded":        {Active, "eng3", "eng4", "eng4", 1},
		"acknowledged, commander left before":            {Active, "gone", "eng3", "", 1},
		"after the response":                             {Resolved, "eng3", "eng3", "", 0},
		"neither":                                        {Active, "eng1", "eng1", "", 0},
	} {
		w := fixtureIn(t, c.in)
		w.inc.setRole(Commander, c.commander)
		w.inc.Paging.AcknowledgedBy = c.acked
		w.inc.Access = append(w.inc.Access, "eng3")
		if c.excluded != "" {
			w.inc.Exclusions = []Exclusion{{Person: c.excluded}}
		}
		round := w.inc.Paging.Round
		w.must("", Command{Verb: VerbPersonLeft, Person: "eng3", People: []PersonID{"eng2"}})
		if got := w.inc.Paging.Round - round; got != c.rounds {
			t.Errorf("%s: got %d new paging rounds, want %d", name, got, c.rounds)
		}
	}
}

func TestPersonLeft_KeepsAnExclusionThatAnotherProposed(t *testing.T) {
	for by, ends := range map[PersonID]bool{"sec1": false, "eng3": true} {
		w := fixtureIn(t, Active)
		w.inc.ExclusionProposed = &Exclusion{Person: "eng1", By: by}
		w.inc.Access = append(w.inc.Access, "eng3")
		if w.must("", Command{Verb: VerbPersonLeft, Person: "eng3"}); (w.inc.ExclusionProposed == nil) != ends {
			t.Errorf("proposed by %s: got %+v, want it ended: %t", by, w.inc.ExclusionProposed, ends)
		}
	}
}

func TestSuccessors(t *testing.T) {
	d := testDirectory()
	d.Teams[0].Head, d.Teams[1].Head = "eng1", "sec1"
	first, second := d.Teams[0].Name, d.Teams[1].Name
	for name, c := range map[string]struct {
		left FormerPerson
		want []PersonID
	}{
		"heads, each once":     {FormerPerson{ID: "x", Teams: []Department{first, second, first}}, []PersonID{"eng1", "sec1"}},
		"the head of security": {FormerPerson{ID: "x", Teams: []Department{"payments"}}, []PersonID{"sec1"}},
		"not the person":       {FormerPerson{ID: "eng1", Teams: []Department{first}}, []PersonID{"sec1"}},
	} {
		if got := d.Successors(c.left, start); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	want := []PersonID{"sec1", "sec2"}
	if got := testDirectory().Successors(FormerPerson{ID: "x", Teams: []Department{first}}, start); !slices.Equal(got, want) {
		t.Errorf("without heads: got %v, want the members of security", got)
	}
}
