package incident

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestNormalName(t *testing.T) {
	for name, want := range map[string]string{
		"Ada Lovelace": "ada lovelace", "  ADA\tlovelace ": "ada lovelace", "Lovelace, Ada": "ada lovelace", "Ada-Lovelace": "ada lovelace",
		"Zoë Çelik": "zoe celik", "Zoe\u0308 C\u0327elik": "zoe celik", "Ada\u200bLovelace": "adalovelace", "Łukasz Żak": "lukasz zak",
		"": "", " . ": "", "李 明": "李 明",
	} {
		if got := NormalName(name); got != want {
			t.Errorf("NormalName(%q): got %q, want %q", name, got, want)
		}
	}
	if len([]rune(accented)) != len([]rune(plainLetters)) {
		t.Errorf("got %d letters with accents and %d without", len([]rune(accented)), len([]rune(plainLetters)))
	}
}

func TestSameHuman(t *testing.T) {
	person := func(name string, identities ...Identity) Person { return Person{Name: name, Identities: identities} }
	slack, mail, local, oidc := func(s string) Identity { return Identity{ProviderSlack, s} }, func(s string) Identity { return Identity{ProviderMail, s} },
		func(s string) Identity { return Identity{ProviderLocal, s} }, func(s string) Identity { return Identity{ProviderOIDC, s} }
	for name, c := range map[string]struct {
		a, b Person
		want bool
	}{
		"two people":                          {person("Ada", slack("U1")), person("Bob", slack("U2")), false},
		"two providers":                       {person("Ada", slack("U1")), person("Bob", mail("bob@x.example")), false},
		"the same account":                    {person("Ada", slack("U1")), person("Bob", slack("U1"), local("bob")), true},
		"the same id at two providers":        {person("Ada", slack("U1")), person("Bob", local("U1")), false},
		"the same address":                    {person("Ada", mail("ada@x.example")), person("Bob", mail("ADA@X.example")), true},
		"the address as the id of an account": {person("Ada", mail("ada@x.example")), person("Bob", oidc("Ada@x.example")), true},
		"the same name":                       {person("Zoë Li", slack("U1")), person("LI, Zoe", mail("zoe@x.example")), true},
		"unlisted, other Slack account":       {person("Ada", slack("U1")), person("U2", slack("U2")), false},
		"unlisted, no Slack account":          {person("Ada", mail("ada@x.example")), person("U2", slack("U2")), true},
		"unlisted, one provider of several":   {person("Ada", slack("U1"), mail("ada@x.example")), person("U2", slack("U2")), false},
		"no names":                            {person("", slack("U1")), person("", slack("U2")), false},
		"no names, two providers":             {person("", slack("U1")), person("", mail("ada@x.example")), true},
	} {
		c.a.ID, c.b.ID = "a", "b"
		d := Directory{People: []Person{c.a, c.b}}
		if got := d.SameHuman("a", "b"); got != c.want || d.SameHuman("b", "a") != got {
			t.Errorf("%s: got %t and %t, want %t", name, got, d.SameHuman("b", "a"), c.want)
		}
		if Independent(d, nil, "a", "b") == c.want {
			t.Errorf("%s: got independent %t, want %t", name, c.want, !c.want)
		}
	}
	d := testDirectory()
	if Independent(d, nil, "eng1", "eng1") || Independent(d, nil, "", "eng1") || Independent(d, nil, "eng1", "") || !d.SameHuman("gone", "gone") {
		t.Error("one person or nobody: got independent, want not")
	}
	if d.SameHuman("eng1", "gone") || d.SameHuman("gone", "eng1") || d.SameHuman("gone", "left") {
		t.Error("a person who is not in the directory: got the same human, want not")
	}
	if named := []Delegation{{From: "eng3", To: "eng2"}, {From: "eng1", To: "eng3"}}; !Independent(d, named, "eng1", "eng2") || Independent(d, named, "eng2", "eng3") {
		t.Error("want a deputy to depend only on the person who named them")
	}
}

// twoPersonCommands are the decisions that take two people, each with a first and
// a second person who may make it together.
func twoPersonCommands(t *testing.T) map[string]struct {
	w             *fixture
	first, second PersonID
	cmd           Command
	done          func(*fixture) bool
} {
	type decision = struct {
		w             *fixture
		first, second PersonID
		cmd           Command
		done          func(*fixture) bool
	}
	review := fixtureIn(t, Approved)
	review.inc.Restricted = false
	return map[string]decision{
		"dismiss": {fixtureIn(t, Active), "eng1", "sec1", dismissCommand, func(w *fixture) bool { return w.inc.Status == Dismissed }},
		"erase": {fixtureIn(t, Resolved), "leg1", "sec1", Command{Verb: VerbErase, Text: "a card number", Erase: []TextRef{{1, "title"}}},
			func(w *fixture) bool { return w.events[len(w.events)-1].Kind == EventErased }},
		"waive": {review, "eng1", "sec1", Command{Verb: VerbWaiveActions, Text: "nothing to detect"}, func(w *fixture) bool { return w.inc.Review.EndorsedBy != "" }},
	}
}

func TestTwoPeople_MustBeIndependent(t *testing.T) {
	for name := range twoPersonCommands(t) {
		for _, tie := range []string{"", "same person", "same address", "same name", "first named second", "second named first", "first named second, replaced"} {
			c := twoPersonCommands(t)[name]
			w := c.w
			index := func(p PersonID) *Person {
				return &w.dir.People[slices.IndexFunc(w.dir.People, func(q Person) bool { return q.ID == p })]
			}
			delegate := func(from, to PersonID, team Department) {
				w.inc.Restricted = false
				d, _ := w.dir.Team(team)
				if !slices.ContainsFunc(d.Members, func(m Membership) bool { return m.Person == from }) {
					n := slices.IndexFunc(w.dir.Teams, func(t Team) bool { return t.Name == team })
					w.dir.Teams[n].Members = append(w.dir.Teams[n].Members, Membership{Person: from})
				}
				w.must(from, Command{Verb: VerbDelegate, Department: team, Person: to, Until: w.now.AddDate(0, 0, 9)})
			}
			second := c.second
			switch tie {
			case "same person":
				second = c.first
			case "same address":
				index(c.first).Identities = append(index(c.first).Identities, Identity{ProviderMail, "ada@x.example"})
				index(second).Identities = append(index(second).Identities, Identity{ProviderMail, "Ada@X.example"})
			case "same name":
				index(second).Name = "  NAME of " + string(c.first)
			case "first named second":
				delegate(c.first, second, "payments")
			case "second named first":
				delegate(second, c.first, "payments")
			case "first named second, replaced":
				delegate(c.first, second, "payments")
				delegate("pay1", second, "payments")
			}
			w.must(c.first, c.cmd)
			if tie == "" {
				if w.must(second, c.cmd); !c.done(w) {
					t.Errorf("%s by two people: not decided", name)
				}
				continue
			}
			if w.mustFail(second, c.cmd, CodeConflict); c.done(w) {
				t.Errorf("%s with %s: decided, want a conflict", name, tie)
			}
		}
	}
}

func TestSign_OneHumanSignsOnce(t *testing.T) {
	w := fixtureIn(t, InReview)
	w.dir.People[6].Name = w.dir.People[4].Name // leg1 is another entry of sec1
	sign := func(team Department) Command {
		return Command{Verb: VerbSign, Department: team, Expect: w.inc.Submission.Digest}
	}
	w.must("sec1", sign(Security))
	w.mustFail("leg1", sign(Legal), CodeConflict)
	w.must("leg2", sign(Legal))
	w.dir.People[1].Name = w.dir.People[0].Name // eng2 is another entry of eng1, who submitted
	w.mustFail("eng2", sign(Engineering), CodeForbidden)
	w.must("com1", Command{Verb: VerbDelegate, Department: Communications, Person: "out1", Until: w.now.AddDate(0, 0, 2)})
	w.dir.People[12].Name = w.dir.People[9].Name
	w.mustFail("com2", Command{Verb: VerbDelegate, Department: Communications, Person: "out1", Until: w.now.AddDate(0, 0, 2)}, CodeInvalid)
}

func TestConclude_TwoHumansAttend(t *testing.T) {
	w := fixtureIn(t, Approved)
	w.dir.People[1].Name = w.dir.People[0].Name
	cmd := Command{Verb: VerbConclude, Attendance: []PersonID{"eng1", "eng2"}, Text: "talked", Reason: "all are here", Actions: requiredActions}
	w.mustFail("eng1", cmd, CodeInvalid)
	cmd.Attendance = append(cmd.Attendance, "sec1")
	w.must("eng1", cmd)
}

func TestDismiss_WhoLowered(t *testing.T) {
	w := fixtureIn(t, Active)
	w.must("eng1", dismissCommand)
	w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev4}) // after the proposal
	w.mustFail("sec1", Command{Verb: VerbDismiss}, CodeInvalid)    // the proposal does not count any more
	w.must("sec1", Command{Verb: VerbDismiss, Text: "a drill"})
	if w.inc.Status == Dismissed || w.inc.Dismissal.By != "sec1" {
		t.Fatalf("got %s, want a new proposal by sec1", w.inc.Status)
	}
	w.mustFail("eng1", dismissCommand, CodeConflict)
	w.must("eng2", Command{Verb: VerbDismiss}) // the first is from security
	if w.inc.Status != Dismissed || w.inc.Dismissal.Second != "eng2" {
		t.Errorf("got %s and %+v, want dismissed by sec1 and eng2", w.inc.Status, w.inc.Dismissal)
	}

	w = sev4Fixture(t, Active)
	w.must("sec1", factCommand(FactPersonalData, "suspected"))
	w.mustFail("sec2", dismissCommand, CodeConflict) // ruling it out and dismissing in one act
	w.must("sec1", factCommand(FactPersonalData, "no"))
	w.must("eng1", dismissCommand)
	w.mustFail("sec1", dismissCommand, CodeConflict)
	w.dir.People[5].Name = w.dir.People[4].Name // sec2 is another entry of sec1
	w.mustFail("sec2", dismissCommand, CodeConflict)

	w = fixtureIn(t, Active)
	w.must("eng1", dismissCommand)
	w.dir.People = w.dir.People[1:] // eng1 left the configuration
	w.must("eng2", dismissCommand)
	if w.inc.Status == Dismissed || w.inc.Dismissal.By != "eng2" {
		t.Errorf("got %s, want a new proposal by eng2", w.inc.Status)
	}
}

func TestSplit_LowersTheSeverity(t *testing.T) {
	w := fixtureIn(t, Active) // sev2
	other, err := w.split(99, responderEnv(w), Command{Title: "nothing much", Severity: Sev4}, w.inc.Alerts)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(other.inc.LoweredBy, []PersonID{"eng1"}) || other.inc.LoweredFrom != Sev2 {
		t.Fatalf("got lowered by %v from %q, want eng1 from sev2", other.inc.LoweredBy, other.inc.LoweredFrom)
	}
	other.mustFail("eng1", dismissCommand, CodeConflict)
	same, err := fixtureIn(t, Active).split(99, responderEnv(w), Command{Title: "more of the same"}, w.inc.Alerts)
	if err == nil && len(same.inc.LoweredBy) > 0 {
		t.Errorf("at the same severity: got lowered by %v, want nobody", same.inc.LoweredBy)
	}
}

// history is a hand-written account of what happened to an incident and to those
// that it took alerts from. It reads results of commands, not the state.
type history struct {
	severe  bool
	lowered map[PersonID]bool
}

// TestDismiss_Property gives random commands of random people to a few incidents,
// which are merged, split, reopened and delegated. No incident that ever was sev1
// or sev2, contained or suspected of personal data may be dismissed by fewer than
// two independent people, one of them from security, none of whom lowered it.
func TestDismiss_Property(t *testing.T) {
	alone, together := 0, 0
	checkUntil(t, func() bool { return alone > 0 && together > 0 }, func(rt *rapid.T) {
		people := []PersonID{"eng1", "eng2", "sec1", "sec2", "twin", "out1"}
		all, past := map[ID]*fixture{}, map[ID]*history{}
		dir := testDirectory()
		dir.People = append(dir.People, Person{ID: "twin", Name: "name of SEC1", Identities: []Identity{{ProviderLocal, "twin"}}, Responder: true})
		now := start
		alerts := int64(0)
		severity := func(name string) Severity { return rapid.SampledFrom(Severities()).Draw(rt, name) }
		for id := ID(1); id <= 3; id++ {
			w := newFixture(rt)
			w.inc, w.dir = New(id), dir
			alerts++
			s := severity("opened")
			w.must("", Command{Verb: VerbOpen, Title: "x", Severity: s, Public: true, Alert: &alertRefs(alerts)[0]})
			all[id], past[id] = w, &history{severe: s <= Sev2, lowered: map[PersonID]bool{}}
		}
		named := map[[2]PersonID]map[ID]bool{}
		inherit := func(from, to ID) {
			past[to].severe = past[to].severe || past[from].severe
			for p := range past[from].lowered {
				past[to].lowered[p] = true
			}
			for _, in := range named {
				in[to] = in[to] || in[from]
			}
		}
		for range rapid.IntRange(5, 60).Draw(rt, "commands") {
			now = now.Add(time.Minute)
			id := ID(rapid.IntRange(1, len(all)).Draw(rt, "incident"))
			w := all[id]
			w.now = now
			by := rapid.SampledFrom(people).Draw(rt, "by")
			before := w.inc
			switch rapid.SampledFrom([]string{"merge", "split", "attach", "timeout", "dismiss", "dismiss", "dismiss", "other", "other"}).Draw(rt, "action") {
			case "merge":
				into := all[ID(rapid.IntRange(1, len(all)).Draw(rt, "into"))]
				into.now = now
				mine, theirs, err := DecideMerge(Command{Verb: VerbMerge}, w.inc, into.inc, Env{Now: now, Actor: by, Directory: dir, Policy: w.policy})
				if err == nil && len(mine) > 0 {
					w.commit(mine)
					into.commit(theirs)
					inherit(id, into.inc.ID)
				}
			case "split":
				if len(w.inc.Alerts) == 0 {
					continue
				}
				next := ID(len(all) + 1)
				env := Env{Now: now, Actor: by, Directory: dir, Policy: w.policy}
				cmd := Command{Title: "y", Severity: rapid.SampledFrom(append(Severities(), "")).Draw(rt, "split")}
				if other, err := w.split(next, env, cmd, w.inc.Alerts[:1]); err == nil {
					other.dir = dir
					all[next], past[next] = other, &history{severe: cmd.Severity != "" && cmd.Severity <= Sev2, lowered: map[PersonID]bool{}}
					inherit(id, next)
					if before.Severity < cmd.Severity {
						past[next].lowered[by] = true
					}
				}
			case "attach":
				alerts++
				s := severity("alert")
				_, err := w.decideAs("", Command{Verb: VerbAttach, Alert: &alertRefs(alerts)[0], Severity: s})
				past[id].severe = past[id].severe || err == nil && s <= Sev2
			case "timeout":
				w.now = now.Add(ProposalTimeout)
				_, _ = w.decideAs("", Command{Verb: VerbSeverityTimeout})
			case "dismiss":
				_, err := w.decideAs(by, Command{Verb: VerbDismiss, Text: "a drill", NoPersonalData: rapid.Bool().Draw(rt, "statement")})
				if err == nil && w.inc.Status == Dismissed {
					first, second := w.inc.Dismissal.By, w.inc.Dismissal.Second
					if second == "" {
						alone++
					} else {
						together++
					}
					requireDismissal(rt, w, past[id], named, first, second)
				}
			case "other":
				cmd := Command{Text: "because", Severity: severity("severity"), Person: rapid.SampledFrom(people).Draw(rt, "person"),
					Department: rapid.SampledFrom([]Department{Security, Engineering}).Draw(rt, "team"), Until: now.AddDate(0, 0, 1),
					Verb: rapid.SampledFrom([]Verb{VerbAcknowledge, VerbContain, VerbReopen, VerbSetSeverity, VerbKeepSeverity, VerbSetFact, VerbDelegate, VerbResolve}).Draw(rt, "verb")}
				value := rapid.SampledFrom([]PersonalData{PersonalNo, PersonalUnknown, PersonalSuspected, PersonalConfirmed}).Draw(rt, "data")
				if cmd.Verb == VerbSetFact {
					cmd.Fact = &FactChange{Name: FactPersonalData, Value: string(value)}
				}
				if _, err := w.decideAs(by, cmd); err != nil {
					continue
				}
				suspicion := map[PersonalData]int{PersonalSuspected: 1, PersonalConfirmed: 2}
				switch cmd.Verb {
				case VerbAcknowledge, VerbSetSeverity:
					past[id].severe = past[id].severe || cmd.Severity <= Sev2
					if cmd.Severity > before.Severity {
						past[id].lowered[by] = true
					}
				case VerbContain, VerbResolve:
					past[id].severe = true
				case VerbSetFact:
					past[id].severe = past[id].severe || suspicion[value] > 0
					if suspicion[value] < suspicion[before.Facts.PersonalData] {
						past[id].lowered[by] = true
					}
				case VerbDelegate:
					for _, pair := range [][2]PersonID{{by, cmd.Person}, {cmd.Person, by}} {
						if named[pair] == nil {
							named[pair] = map[ID]bool{}
						}
						named[pair][id] = true
					}
				}
			}
		}
		for id, w := range all {
			requireEqual(rt, w.inc, Fold(id, w.events))
		}
	})
	t.Logf("%d dismissals by one person, %d by two", alone, together)
}

// requireDismissal checks the people of a dismissal against the history.
func requireDismissal(rt *rapid.T, w *fixture, h *history, named map[[2]PersonID]map[ID]bool, first, second PersonID) {
	what := fmt.Sprintf("%s dismissed by %q and %q", w.inc.ID, first, second)
	if !h.severe && second == "" {
		if w.inc.Facts.PersonalData != PersonalNo {
			rt.Fatalf("%s: personal data is %s, want no", what, w.inc.Facts.PersonalData)
		}
		return
	}
	twins := first == second || first == "sec1" && second == "twin" || first == "twin" && second == "sec1"
	security := func(p PersonID) bool { return w.inc.represents(w.dir, p, Security, w.now) }
	switch {
	case second == "" || twins:
		rt.Fatalf("%s: want two humans", what)
	case named[[2]PersonID{first, second}][w.inc.ID]:
		rt.Fatalf("%s: one named the other a deputy", what)
	case !security(first) && !security(second):
		rt.Fatalf("%s: want one from security", what)
	}
	for _, p := range []PersonID{first, second} {
		if h.lowered[p] || p == "twin" && h.lowered["sec1"] || p == "sec1" && h.lowered["twin"] {
			rt.Fatalf("%s: %s lowered the severity or the suspicion", what, p)
		}
	}
}

func TestDismiss_DeputiesOfTheOriginAreNotIndependent(t *testing.T) {
	named := func() *fixture {
		w := fixtureIn(t, Active)
		w.must("sec1", Command{Verb: VerbDelegate, Department: Security, Person: "eng2", Until: w.now.AddDate(0, 0, 9)})
		return w
	}
	from, merged := named(), fixtureIn(t, Active)
	merged.inc.ID = 8
	_, theirs, err := DecideMerge(Command{Verb: VerbMerge}, from.inc, merged.inc, responderEnv(from))
	if err != nil {
		t.Fatal(err)
	}
	merged.commit(theirs)
	from = named()
	split, err := from.split(9, responderEnv(from), Command{Title: "another"}, from.inc.Alerts)
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]*fixture{"merged": merged, "split": split} {
		if w.inc.represents(w.dir, "eng2", Security, w.now) {
			t.Errorf("%s: the delegation goes on, want it ended", name)
		}
		w.must("eng2", dismissCommand)
		w.mustFail("sec1", dismissCommand, CodeConflict)
		w.must("sec2", dismissCommand)
	}
}
