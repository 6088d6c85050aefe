package incident

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// restrictedFixture returns a restricted incident with a commander. The person "head" leads
// a team and is not a responder.
func restrictedFixture(t tester) *fixture {
	w := fixtureIn(t, Active)
	w.dir.People = append(w.dir.People, Person{ID: "head", Name: "Head"})
	w.dir.Teams = append(w.dir.Teams, Team{Name: "sales", Head: "head"})
	w.inc.Restricted, w.inc.Links = true, map[string]string{LinkChannel: "C1"}
	w.inc.setRole(Commander, "eng1")
	return w
}

func TestAccessRequest_EndorsedEndsByItself(t *testing.T) {
	for _, by := range []PersonID{"eng1", "sec1"} {
		w := restrictedFixture(t)
		w.must("out1", Command{Verb: VerbRequestAccess, Text: "runs the cluster"})
		w.mustIgnore("out1", Command{Verb: VerbRequestAccess, Text: "again"})
		w.mustFail("eng2", Command{Verb: VerbEndorseAccess, Person: "out1"}, CodeForbidden)
		w.must(by, Command{Verb: VerbEndorseAccess, Person: "out1"})
		w.mustFail(by, Command{Verb: VerbEndorseAccess, Person: "out1"}, CodeConflict)
		granted := w.events[len(w.events)-1]
		w.must("", Command{Verb: VerbInvited, People: []PersonID{"out1", "eng2"}})
		kinds := effectKindsOf(granted.Effects(w.inc, Incident{}, Env{Now: w.now, Directory: w.dir}))
		if want := []EffectKind{EffectDeadline, EffectInvite}; !slices.Equal(kinds, want) {
			t.Errorf("got effects %v of the grant, want %v", kinds, want)
		}
		w.now = w.inc.AccessUntil["out1"].Add(-time.Hour)
		early := new(NotDue)
		if _, err := w.decideAs("", Command{Verb: VerbAccessTimeout}); !errors.As(err, &early) || !early.Until.Equal(w.inc.AccessUntil["out1"]) {
			t.Errorf("got %v, want a deadline that waits until the end", err)
		}
		if !w.inc.MayRead(w.dir, "out1", w.now) || w.inc.Participates(w.dir, "out1", w.now) {
			t.Errorf("got access %t and participation %t before the end at %s", w.inc.MayRead(w.dir, "out1", w.now), w.inc.Participates(w.dir, "out1", w.now), w.inc.AccessUntil)
		}
		w.now = w.now.Add(time.Hour)
		if w.inc.MayRead(w.dir, "out1", w.now) || w.inc.MayInvite(w.dir, "out1", w.now) {
			t.Error("got access after its end, before the deadline ran")
		}
		w.must("", Command{Verb: VerbAccessTimeout})
		ended := w.events[len(w.events)-1]
		if kinds := effectKindsOf(ended.Effects(w.inc, Incident{}, Env{Now: w.now, Directory: w.dir})); !slices.Contains(kinds, EffectRemove) || w.inc.HasAccessAgain("out1") {
			t.Errorf("got effects %v after the end, want the removal from the channel", kinds)
		}
		w.must("eng1", Command{Verb: VerbGrant, Person: "out1", Text: "needed for longer"})
		w.now = w.now.Add(10 * AccessTTL)
		w.mustIgnore("", Command{Verb: VerbAccessTimeout})
		if !w.inc.MayRead(w.dir, "out1", w.now) {
			t.Error("got no access after a grant without an end")
		}
	}
}

func effectKindsOf(effects []Effect) (out []EffectKind) {
	for _, e := range effects {
		out = append(out, e.Kind)
	}
	return out
}

// TestAccessExpired_OtherReasonsStay ends the access of a person who got a role since.
func TestAccessExpired_OtherReasonsStay(t *testing.T) {
	w := restrictedFixture(t)
	w.must("out1", Command{Verb: VerbRequestAccess, Text: "x"})
	w.must("sec1", Command{Verb: VerbEndorseAccess, Person: "out1"})
	w.must("eng1", Command{Verb: VerbAssignRole, Role: Scribe, Person: "out1"})
	w.now = w.now.Add(AccessTTL)
	w.must("", Command{Verb: VerbAccessTimeout})
	e := w.events[len(w.events)-1]
	if kinds := effectKindsOf(e.Effects(w.inc, Incident{}, Env{Now: w.now, Directory: w.dir})); slices.Contains(kinds, EffectRemove) || !w.inc.MayRead(w.dir, "out1", w.now) {
		t.Errorf("got effects %v for the scribe, want no removal", kinds)
	}
}

func TestAccessRequest_NobodyAnswers(t *testing.T) {
	w := restrictedFixture(t)
	w.must("out1", Command{Verb: VerbRequestAccess, Text: "x"})
	w.must("pay1", Command{Verb: VerbRequestAccess, Text: "y"})
	w.must("eng1", Command{Verb: VerbRevoke, Person: "pay1", Text: "not needed"})
	w.now = w.now.Add(RequestTTL)
	w.mustFail("sec1", Command{Verb: VerbEndorseAccess, Person: "out1"}, CodeConflict)
	w.must("", Command{Verb: VerbAccessTimeout})
	if len(w.inc.AccessRequests) != 0 || slices.ContainsFunc(w.inc.Requests, func(r Request) bool { return r.Kind == EventAccessRequested }) {
		t.Errorf("got requests %+v, %+v, want none", w.inc.AccessRequests, w.inc.Requests)
	}
}

// TestBreakGlass_ReadsAndNotesOnly gives every verb with access by break-glass.
func TestBreakGlass_ReadsAndNotesOnly(t *testing.T) {
	for _, p := range []PersonID{"head", "leg1"} {
		for _, v := range slices.Sorted(maps.Keys(statusMatrix)) {
			w := restrictedFixture(t)
			w.must(p, Command{Verb: VerbBreakGlass, Text: "the regulator is calling"})
			if !w.inc.MayRead(w.dir, p, w.now) || w.inc.Participates(w.dir, p, w.now) {
				t.Fatalf("%s: got no access, or a part in the incident", p)
			}
			if v.who() == TheBot || v.who().Has(Anyone) || v.needsNoAccess() || v == VerbMerge || v == VerbSplit {
				continue
			}
			restricted, glass := w.inc.Restricted, w.inc.BreakGlass
			_, cmd := validCommand(v, w)
			w.inc.Restricted, w.inc.BreakGlass, w.inc.Updates = restricted, glass, nil
			if _, err := w.decideAs(p, cmd); (err == nil) != (v == VerbNote) {
				t.Errorf("%s by %s: got %v, want only notes", v, p, err)
			}
		}
	}
	w := restrictedFixture(t)
	w.mustFail("head", Command{Verb: VerbBreakGlass}, CodeInvalid)
	w.mustFail("out1", Command{Verb: VerbBreakGlass, Text: "x"}, CodeForbidden)
	w.mustIgnore("sec2", Command{Verb: VerbBreakGlass, Text: "responders read it anyway"})
	w.must("head", Command{Verb: VerbBreakGlass, Text: "x"})
	w.mustIgnore("head", Command{Verb: VerbBreakGlass, Text: "again"})
	w.now = w.now.Add(BreakGlassTTL)
	if w.inc.MayRead(w.dir, "head", w.now) {
		t.Error("got access by break-glass after its end")
	}
	w.must("head", Command{Verb: VerbBreakGlass, Text: "x"})
	w.must("eng1", Command{Verb: VerbRevoke, Person: "head", Text: "not yours"})
	if w.inc.MayRead(w.dir, "head", w.now) {
		t.Error("got access by break-glass after it was revoked")
	}
}

// A person who used break-glass and got a part in the response later is here with the first
// post. Further posts are not events.
func TestBreakGlass_LaterPartCounts(t *testing.T) {
	for _, wait := range []time.Duration{0, BreakGlassTTL} {
		w := restrictedFixture(t)
		w.must("leg1", Command{Verb: VerbBreakGlass, Text: "the regulator is calling"})
		w.must("leg1", Command{Verb: VerbNote, Text: "the regulator knows"})
		if !w.inc.Here["leg1"].IsZero() {
			t.Error("a reader by break-glass is here")
		}
		w.must("eng1", Command{Verb: VerbAssignRole, Role: Scribe, Person: "leg1"})
		w.now = w.now.Add(wait)
		post := Command{Verb: VerbHere, Item: "C1/1", HappenedAt: w.now}
		w.must("leg1", post)
		w.mustIgnore("leg1", post)
		if w.inc.Here["leg1"].IsZero() {
			t.Errorf("after %s: got %v here, want the scribe too", wait, w.inc.Here)
		}
	}
}

// accessModel is the access of one person in the incident by the documented rules.
type accessModel struct {
	granted              bool
	until, asked, broken time.Time // of granted access, the request and break-glass
	excluded             bool
}

func (m accessModel) reads(now time.Time) bool {
	return !m.excluded && (m.granted && (m.until.IsZero() || now.Before(m.until)) || now.Before(m.broken))
}

// TestAccess_SequencesMatchTheModel gives random sequences of grants, requests,
// endorsements, break-glass, ends, exclusions and revocations. It compares the readers
// with the model after each one. An excluded person never reads.
func TestAccess_SequencesMatchTheModel(t *testing.T) {
	seen := map[string]bool{}
	people := []PersonID{"head", "leg1", "out1"}
	checkUntil(t, func() bool { return len(seen) == 8 }, func(rt *rapid.T) {
		w := restrictedFixture(rt)
		model := map[PersonID]*accessModel{"head": {}, "leg1": {}, "out1": {}}
		for range rapid.IntRange(5, 30).Draw(rt, "steps") {
			p := rapid.SampledFrom(people).Draw(rt, "person")
			m, before, now := model[p], *model[p], w.now
			switch act := rapid.SampledFrom([]string{"grant", "request", "endorse", "glass", "revoke", "exclude", "readmit", "wait"}).Draw(rt, "act"); act {
			case "grant":
				if _, err := w.decideAs("eng1", Command{Verb: VerbGrant, Person: p, Text: "x"}); err == nil {
					m.granted, m.until, m.asked, seen[act] = true, time.Time{}, time.Time{}, true
				}
			case "request":
				events, err := w.decideAs(p, Command{Verb: VerbRequestAccess, Text: "x"})
				if len(events) > 0 {
					m.asked, seen[act] = now.Add(RequestTTL), true
				}
				if (err != nil) != m.excluded {
					rt.Fatalf("request by %s, excluded %t: got %v", p, m.excluded, err)
				}
			case "endorse":
				_, err := w.decideAs("sec1", Command{Verb: VerbEndorseAccess, Person: p})
				if (err == nil) != (!m.excluded && now.Before(m.asked)) {
					rt.Fatalf("endorse %s: got %v with %+v", p, err, *m)
				}
				if err == nil {
					m.granted, m.until, m.asked, seen[act] = true, now.Add(AccessTTL), time.Time{}, true
				}
			case "glass":
				events, err := w.decideAs(p, Command{Verb: VerbBreakGlass, Text: "x"})
				if (err == nil) != (p != "out1" && !m.excluded) {
					rt.Fatalf("break-glass by %s: got %v with %+v", p, err, *m)
				}
				if len(events) > 0 {
					m.broken, m.asked, seen[act] = now.Add(BreakGlassTTL), time.Time{}, true
				}
			case "revoke":
				if _, err := w.decideAs("eng1", Command{Verb: VerbRevoke, Person: p, Text: "x"}); err == nil {
					*m, seen[act] = accessModel{excluded: m.excluded}, true
				}
			case "exclude":
				if _, err := w.decideAs("sec1", Command{Verb: VerbExclude, Person: p, Text: "a suspect"}); err == nil {
					*m, seen[act] = accessModel{excluded: true}, true
				}
			case "readmit":
				if _, err := w.decideAs("sec1", Command{Verb: VerbReadmit, Person: p, Text: "no suspect"}); err == nil {
					m.excluded, seen[act] = false, true
				}
			case "wait":
				seen[act] = true
				w.now = w.now.Add(rapid.SampledFrom([]time.Duration{time.Hour, BreakGlassTTL, AccessTTL - time.Hour, AccessTTL}).Draw(rt, "time"))
				if rapid.Bool().Draw(rt, "deadline ran") {
					if _, err := w.decideAs("", Command{Verb: VerbAccessTimeout}); err != nil && !errors.As(err, new(*NotDue)) {
						rt.Fatal(err)
					}
				}
			}
			for q, m := range model {
				if got := w.inc.MayRead(w.dir, q, w.now); got != m.reads(w.now) {
					rt.Fatalf("%s reads: %t, want %t: %+v, before %+v", q, got, m.reads(w.now), *m, before)
				}
				if m.excluded && (w.inc.MayInvite(w.dir, q, w.now) || w.inc.accessRequest(q, w.now) != nil) {
					rt.Fatalf("%s is excluded and can be invited or has a request", q)
				}
			}
		}
		if refolded := Fold(w.inc.ID, w.events); !slices.Equal(refolded.Access, w.inc.Access) || !maps.Equal(refolded.AccessUntil, w.inc.AccessUntil) {
			rt.Fatalf("got access %v until %v after a fold, want %v until %v", refolded.Access, refolded.AccessUntil, w.inc.Access, w.inc.AccessUntil)
		}
	})
}
