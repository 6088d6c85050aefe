package incident

import (
	"slices"
	"strings"
	"testing"
)

// pagingFixture returns an acknowledged restricted incident, in which eng1 has a PagerDuty
// ID, leg1 only a mail address, and pay1 no account.
func pagingFixture(t *testing.T) *fixture {
	w := newFixture(t)
	w.policy.PersonalPages = []Provider{ProviderPagerDuty, ProviderMail}
	for n := range w.dir.People {
		switch p := &w.dir.People[n]; p.ID {
		case "eng1", "eng2":
			p.Identities = append(p.Identities, Identity{ProviderPagerDuty, "P" + string(p.ID)}, Identity{ProviderMail, string(p.ID) + "@example.com"})
		case "leg1":
			p.Identities = append(p.Identities, Identity{ProviderMail, "leg1@example.com"})
		}
	}
	w.must("eng1", Command{Verb: VerbOpen, Title: "x", Severity: Sev2})
	w.must("eng1", Command{Verb: VerbAcknowledge})
	return w
}

func TestPageAgain_ChosenPeople(t *testing.T) {
	w := pagingFixture(t)
	for _, tt := range []struct {
		name  string
		cmd   Command
		paged []string // "Name way"
		fails string
	}{
		{"person with PagerDuty", Command{Person: "eng2", Text: "x"}, []string{"Name of eng2 through PagerDuty"}, ""},
		{"person with a mail address", Command{Person: "leg1", Text: "x"}, []string{"Name of leg1 by mail"}, ""},
		{"team, of which one can be paged", Command{Department: Legal, Text: "x"}, []string{"Name of leg1 by mail"}, ""},
		{"team and person", Command{Department: Legal, Person: "eng2", Text: "x"}, []string{"Name of leg1 by mail", "Name of eng2 through PagerDuty"}, ""},
		{"person without an account", Command{Person: "pay1", Text: "x"}, nil, "cannot be paged"},
		{"unknown person", Command{Person: "nobody", Text: "x"}, nil, "unknown person"},
		{"unknown team", Command{Department: "nothing", Text: "x"}, nil, "unknown department"},
		{"team without members", Command{Department: "operations", Text: "x"}, nil, "has no members"},
		{"no reason", Command{Person: "eng2"}, nil, "needs a reason"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cmd.Verb = VerbPageAgain
			events, err := w.decideAs("eng1", tt.cmd)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) || len(events) > 0 {
					t.Fatalf("got %v and %d events, want %q", err, len(events), tt.fails)
				}
				return
			}
			var paged []string
			effects := 0
			for _, e := range events {
				paged = append(paged, e.PagedPeople(w.dir)...)
				for _, f := range e.Effects(w.inc, Incident{}, Env{Directory: w.dir, Policy: w.policy, Now: w.now}) {
					if f.Kind == EffectPagePerson {
						effects++
					}
				}
			}
			if err != nil || !slices.Equal(paged, tt.paged) || effects != len(tt.paged) {
				t.Errorf("got %q with %d pages, %v, want %q", paged, effects, err, tt.paged)
			}
		})
	}
	if !w.inc.MayRead(w.dir, "leg1", w.now) {
		t.Error("the paged person cannot read the restricted incident")
	}
	if w.inc.Paging.Round != 1 {
		t.Errorf("got round %d, want that of the first page", w.inc.Paging.Round)
	}
}

func TestPageAgain_ExcludedPersonIsNotPaged(t *testing.T) {
	w := pagingFixture(t)
	w.inc.Exclusions = []Exclusion{{Person: "eng2", Second: "sec1"}}
	if events, err := w.decideAs("eng1", Command{Verb: VerbPageAgain, Person: "eng2", Text: "x"}); err == nil || len(events) > 0 {
		t.Errorf("got %v and %d events, want a refusal", err, len(events))
	}
}

// TestPageAgain_ChosenPersonIsCalled lists a paged person among the called people, and pages
// the person again after 5 minutes without a sign.
func TestPageAgain_ChosenPersonIsCalled(t *testing.T) {
	w := pagingFixture(t)
	w.must("eng1", Command{Verb: VerbPageAgain, Person: "eng2", Text: "knows the table"})
	if !w.inc.called("eng2", CalledByPerson, "") || w.inc.Present() != 1 {
		t.Fatalf("got calls %+v and %d present, want a call of eng2", w.inc.Calls, w.inc.Present())
	}
	w.now = w.now.Add(AbsenceTimeout)
	if got := absentPaged(w.decided("", Command{Verb: VerbAbsenceTimeout})); !slices.Equal(got, []PersonID{"eng2"}) {
		t.Errorf("got %v paged again, want eng2", got)
	}
}
