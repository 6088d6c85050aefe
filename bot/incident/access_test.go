package incident

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var excludeEng3 = Command{Verb: VerbExclude, Person: "eng3", Text: "the key was used from her laptop"}

func TestRevoke(t *testing.T) {
	w := fixtureIn(t, Active)
	w.inc.OpenedBy = "out1"
	w.must("eng1", Command{Verb: VerbGrant, Person: "pay1", Text: "owns the table"})
	for _, p := range []PersonID{"out1", "pay1"} {
		w.mustFail("eng1", Command{Verb: VerbRevoke, Person: p}, CodeInvalid)
		w.must("eng1", Command{Verb: VerbRevoke, Person: p, Text: "changed teams"})
		if w.inc.MayRead(w.dir, p, w.now) {
			t.Errorf("%s: got read access after revoke, want none", p)
		}
		w.must("eng1", Command{Verb: VerbGrant, Person: p, Text: "back"})
		if !w.inc.MayRead(w.dir, p, w.now) {
			t.Errorf("%s: got no read access after another grant, want some", p)
		}
	}
	w.mustFail("eng1", Command{Verb: VerbRevoke, Person: "eng2", Text: "x"}, CodeConflict)
	w.mustFail("eng1", Command{Verb: VerbRevoke, Person: "eve", Text: "x"}, CodeUnknown)
}

// withOneSigner leaves one member in a team.
func (w *fixture) withOneSigner(team Department) {
	for n := range w.dir.Teams {
		if w.dir.Teams[n].Name == team {
			w.dir.Teams[n].Members = w.dir.Teams[n].Members[:1]
		}
	}
}

// mustIgnore gives a command that changes nothing.
func (w *fixture) mustIgnore(p PersonID, cmd Command) {
	w.t.Helper()
	if events, err := w.decideAs(p, cmd); err != nil || len(events) != 0 {
		w.t.Fatalf("%s by %q in %s: got %+v, %v, want no events", cmd.Verb, p, w.inc.Status, events, err)
	}
}

func TestNameReplacement_Errors(t *testing.T) {
	w := fixtureIn(t, InReview)
	w.withOneSigner(Legal)
	replace := Command{Verb: VerbReplacement, Department: Legal, Person: "out1", Text: "the only signer is away"}
	for field, change := range map[string]func(*Command){
		"department": func(c *Command) { c.Department = "gardening" },
		"person":     func(c *Command) { c.Person = "eve" },
		"text":       func(c *Command) { c.Text = "" },
	} {
		cmd := replace
		change(&cmd)
		if events, err := w.decideAs(administrator, cmd); err == nil || len(events) > 0 {
			t.Errorf("wrong %s: got %d events, %v, want an error", field, len(events), err)
		}
	}
	w.must(administrator, replace)
	w.mustIgnore(administrator, replace)
}

func TestRevoke_ChangesNothingWithoutAccess(t *testing.T) {
	w := fixtureIn(t, Active)
	w.inc.OpenedBy = "out1"
	revoke := func(p PersonID) Command { return Command{Verb: VerbRevoke, Person: p, Text: "changed teams"} }
	w.mustIgnore("eng1", revoke("pay1"))
	w.must("eng1", revoke("out1"))
	w.mustIgnore("eng1", revoke("out1"))
	w.inc.Restricted = false
	w.must("eng1", Command{Verb: VerbGrant, Person: "pay1", Text: "owns the table"})
	w.must("eng1", revoke("pay1")) // a public incident stays readable
	w.mustIgnore("eng1", revoke("eng2"))
}

// TestRefused_NamesTheTypedCommand refuses public under its own name, although it
// is a choice of restrict.
func TestRefused_NamesTheTypedCommand(t *testing.T) {
	w := fixtureIn(t, Active)
	w.must("eng1", Command{Verb: VerbGrant, Person: "out1", Text: "x"})
	for public, want := range map[bool]string{true: "public in", false: "restrict in"} {
		if _, err := w.decideAs("out1", Command{Verb: VerbRestrict, Public: public}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestReachable(t *testing.T) {
	d := testDirectory()
	d.Former = []FormerPerson{{ID: "gone", Name: "Gone"}}
	for n := range d.Teams {
		if len(d.Teams[n].Members) > 0 {
			d.Teams[n].Head = d.Teams[n].Members[0].Person
		}
	}
	if got := (Incident{}).Reachable(d); !reflect.DeepEqual(got, d) {
		t.Errorf("nobody excluded: got %+v, want the directory", got)
	}
	got := Incident{Exclusions: []Exclusion{{Person: "eng1"}}}.Reachable(d)
	for n, p := range got.People {
		if p.Name != d.People[n].Name || (len(p.Identities) > 0 && p.Responder == d.People[n].Responder) == (p.ID == "eng1") {
			t.Errorf("got %+v, want only eng1 without accounts and duties", p)
		}
	}
	for n, team := range got.Teams {
		without := slices.DeleteFunc(slices.Clone(d.Teams[n].Members), func(m Membership) bool { return m.Person == "eng1" })
		head := d.Teams[n].Head
		if head == "eng1" {
			head = ""
		}
		if !slices.Equal(team.Members, without) || team.Head != head {
			t.Errorf("got %+v, want the team without eng1", team)
		}
	}
	if !reflect.DeepEqual(d.Teams[0].Members[0].Person, PersonID("eng1")) || len(got.Former) != 1 {
		t.Error("want the original directory unchanged, and former people kept")
	}
}

// TestApplyExcluded_EndsOnlyWhatThePersonHas applies the exclusion of one of two
// people who have the same things.
func TestApplyExcluded_EndsOnlyWhatThePersonHas(t *testing.T) {
	with := func(p PersonID) Incident {
		return Incident{Status: Active, Access: []PersonID{"x", "y"}, Delegations: []Delegation{{From: "x", To: "a"}, {From: "a", To: "x"}, {From: "a", To: "b"}},
			Paging: Paging{AcknowledgedBy: p}, Dismissal: &Dismissal{By: p}, Erasure: &Erasure{By: p}, Review: Review{Waiver: "none", WaivedBy: p},
			ExclusionProposed: &Exclusion{Person: "x"}}
	}
	excluded := Event{Kind: EventExcluded, By: "sec1", Fields: map[string]string{"person": "x"}}
	for _, p := range []PersonID{"x", "y"} {
		inc := Apply(with(p), excluded)
		ends := p == "x"
		if (inc.Paging.AcknowledgedBy == "") != ends || (inc.Dismissal == nil) != ends || (inc.Erasure == nil) != ends || (inc.Review.WaivedBy == "" && inc.Review.Waiver == "") != ends {
			t.Errorf("held by %s: got %+v, want it ended: %t", p, inc, ends)
		}
		if !slices.Equal(inc.Access, []PersonID{"y"}) || len(inc.Delegations) != 1 || inc.ExclusionProposed != nil || !inc.Excludes("x") || inc.Excludes("y") {
			t.Errorf("held by %s: got %+v, want only x excluded", p, inc)
		}
	}
	inc := with("x")
	inc.Status, inc.Review.EndorsedBy = Dismissed, "sec1"
	if inc = Apply(inc, excluded); inc.Dismissal == nil || inc.Review.WaivedBy == "" {
		t.Errorf("got %+v, want what two people decided", inc)
	}
	inc.ExclusionProposed = &Exclusion{Person: "y"}
	if inc = Apply(inc, Event{Kind: EventReadmitted, Fields: map[string]string{"person": "x"}}); inc.Excludes("x") || inc.ExclusionProposed == nil {
		t.Errorf("got %+v, want x readmitted and the proposal about y", inc)
	}
	inc.Revoked = []PersonID{"x", "y"}
	if inc = Apply(inc, Event{Kind: EventAccessGranted, Fields: map[string]string{"person": "x"}}); !slices.Equal(inc.Revoked, []PersonID{"y"}) {
		t.Errorf("got revoked %v, want y only", inc.Revoked)
	}
}

// TestAddDelegation_KeepsWhoNamedTheDeputy requires that a replaced delegation ends
// and stays, because the deputy is not independent of either person.
func TestAddDelegation_KeepsWhoNamedTheDeputy(t *testing.T) {
	past, later := start.Add(-time.Hour), start.Add(time.Hour)
	inc := Incident{Delegations: []Delegation{{Department: Legal, From: "leg1", To: "x", Until: later}, {Department: Legal, From: "leg2", To: "x", Until: past}, {Department: Legal, From: "leg2", To: "y", Until: later}, {Department: Security, From: "leg2", To: "x", Until: later}}}
	inc.addDelegation(Delegation{Department: Legal, From: "leg1", To: "x", Until: later}, start)
	inc.addDelegation(Delegation{Department: Legal, From: "com1", To: "x", Until: later}, start)
	want := []Delegation{{Department: Legal, From: "leg2", To: "x", Until: past}, {Department: Legal, From: "leg2", To: "y", Until: later}, {Department: Security, From: "leg2", To: "x", Until: later}, {Department: Legal, From: "leg1", To: "x", Until: start}, {Department: Legal, From: "com1", To: "x", Until: later}}
	if !slices.Equal(inc.Delegations, want) {
		t.Errorf("got %v, want %v", inc.Delegations, want)
	}
}
