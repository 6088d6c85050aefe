package response

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// withoutPerson returns the test directory without a person.
func withoutPerson(p incident.PersonID) incident.Directory {
	d := testDirectory()
	d.People = slices.DeleteFunc(d.People, func(q incident.Person) bool { return q.ID == p })
	for n := range d.Teams {
		d.Teams[n].Members = slices.DeleteFunc(d.Teams[n].Members, func(m incident.Membership) bool { return m.Person == p })
		if d.Teams[n].Head == p {
			d.Teams[n].Head = d.Teams[n].Members[0].Person
		}
	}
	return d
}

// prepareDeparture opens two incidents in which p1 holds something and one in
// which p1 holds nothing.
func prepareDeparture(t *testing.T, fx *fixture) (live, granted, other incident.ID) {
	t.Helper()
	ctx := context.Background()
	live = fx.open(t, incident.Sev1)
	fx.do(t, "p1", incident.Command{For: live, Verb: incident.VerbAcknowledge})
	granted = fx.do(t, "p3", incident.Command{Verb: incident.VerbOpen, Title: "another", Severity: incident.Sev3}).Incident.ID
	fx.do(t, "p3", incident.Command{For: granted, Verb: incident.VerbGrant, Person: "p1", Text: "asked"})
	other = fx.do(t, "p3", incident.Command{Verb: incident.VerbOpen, Title: "a third", Severity: incident.Sev3}).Incident.ID
	ended := fx.do(t, "p3", incident.Command{Verb: incident.VerbOpen, Title: "a fourth", Severity: incident.Sev4}).Incident.ID
	fx.do(t, "p3", incident.Command{For: ended, Verb: incident.VerbAssignRole, Role: incident.Scribe, Person: "p1"})
	fx.do(t, "p3", incident.Command{For: ended, Verb: incident.VerbGrant, Person: "p1", Text: "asked"})
	fx.do(t, "p3", incident.Command{For: ended, Verb: incident.VerbMerge, Target: other, Text: "the same"})
	if err := fx.PutDirectory(ctx, withoutPerson("p1")); err != nil {
		t.Fatal(err)
	}
	return live, granted, other
}

func (fx *fixture) checkDeparture(t *testing.T, live, granted, other incident.ID) {
	t.Helper()
	for id, want := range map[incident.ID]int{live: 1, granted: 1, other: 0} {
		got := 0
		for _, e := range fx.store.events[id] {
			if e.Kind == incident.EventPersonLeft {
				got++
			}
		}
		if got != want {
			t.Errorf("%s: got %d events about the departure, want %d", id, got, want)
		}
	}
	if inc := fx.store.incidents[live]; inc.Commander != "" || !inc.NeedsPage() {
		t.Errorf("got commander %q, paging %t, want a search for a commander", inc.Commander, inc.NeedsPage())
	}
	if slices.Contains(fx.store.incidents[granted].Access, "p1") {
		t.Error("the grant is still in force")
	}
	for id, inc := range fx.store.incidents {
		if inc.Status != incident.Merged {
			continue
		}
		if slices.Contains(inc.Access, "p1") || inc.Roles[incident.Scribe] != "p1" {
			t.Errorf("%s: got access %v and roles %v of an ended incident, want the role as history and no access", id, inc.Access, inc.Roles)
		}
		last := fx.store.events[id][len(fx.store.events[id])-1]
		if last.Kind != incident.EventPersonLeft || slices.ContainsFunc(fx.store.effects, func(e queuedEffect) bool { return e.Incident == id && e.Seq == last.Seq }) {
			t.Errorf("%s: got last event %s, want the departure without messages", id, last.Kind)
		}
	}
	var handed []incident.Effect
	for _, e := range fx.store.effects {
		if e.Kind == incident.EffectHandover || e.Kind == incident.EffectMailHandover {
			handed = append(handed, e.Effect)
		}
	}
	if len(handed) != 2 {
		t.Fatalf("got %d messages to hand over, want one and a mail", len(handed))
	}
	if got := handed[0].Args; got["successors"] != "p2" || !strings.Contains(got["held"], live.String()+" role commander") || !strings.Contains(got["held"], granted.String()+" access") {
		t.Errorf("got arguments %v", got)
	}
	left, _ := fx.store.directory.FormerPerson("p1")
	if left.Pending || left.Name != "Person p1" || len(left.Held) < 2 {
		t.Errorf("got former person %+v", left)
	}
	audited := slices.IndexFunc(fx.store.audit, func(a Access) bool { return a.Action == "person left" && a.Person == "p1" })
	if audited < 0 || !strings.Contains(fx.store.audit[audited].Reason, "role commander") {
		t.Error("the audit log does not list what ended")
	}
}

func TestEndDepartures_OnceAndForAll(t *testing.T) {
	fx := newFixture(t, nil)
	live, granted, other := prepareDeparture(t, fx)
	for range 2 {
		if _, err := fx.EndDepartures(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	fx.checkDeparture(t, live, granted, other)
	if _, err := fx.Do(context.Background(), incident.Command{For: live, Verb: incident.VerbNote, Text: "x", By: slackIdentity("p1")}); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("got %v, want the person who left refused", err)
	}
}

// TestEndDepartures_SurvivesEveryCrash stops the process before each commit in
// turn. The next start completes the departure, and repeats nothing.
func TestEndDepartures_SurvivesEveryCrash(t *testing.T) {
	for crash := 1; ; crash++ {
		fx := newFixture(t, nil)
		live, granted, other := prepareDeparture(t, fx)
		fx.store.crash = crash
		_, err := fx.EndDepartures(context.Background())
		if err == nil {
			if crash < 4 {
				t.Errorf("got %d commits, want one for each incident and one for the person", crash-1)
			}
			return
		}
		if !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		fx.store.crash = 0
		if err := fx.PutDirectory(context.Background(), withoutPerson("p1")); err != nil { // as every start does
			t.Fatal(err)
		}
		if _, err := fx.EndDepartures(context.Background()); err != nil {
			t.Fatal(err)
		}
		fx.checkDeparture(t, live, granted, other)
	}
}
