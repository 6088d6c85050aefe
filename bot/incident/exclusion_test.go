package incident

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestExclude_EndsEverything(t *testing.T) {
	w := fixtureIn(t, InReview)
	digest := w.inc.Submission.Digest
	w.must("eng1", Command{Verb: VerbAssignRole, Role: Scribe, Person: "eng3"})
	w.must("eng1", Command{Verb: VerbGrant, Person: "eng3", Text: "x"})
	w.must("leg1", Command{Verb: VerbDelegate, Department: Legal, Person: "eng3", Until: w.now.AddDate(0, 0, 3)})
	w.must("eng3", Command{Verb: VerbSign, Department: Engineering, Expect: digest})
	w.must("sec1", excludeEng3)
	switch i := w.inc; {
	case i.MayRead(w.dir, "eng3", w.now):
		t.Error("got read access, want none")
	case i.Participates(w.dir, "eng3", w.now), i.represents(w.dir, "eng3", Legal, w.now), i.represents(w.dir, "eng3", Engineering, w.now):
		t.Error("got a part in the incident, want none")
	case slices.Contains(i.Representatives(w.dir, Engineering, w.now), "eng3"), i.Roles[Scribe] == "eng3", len(i.Delegations) != 0:
		t.Errorf("got roles %v and delegations %v, want none of the person", i.Roles, i.Delegations)
	case i.SignedBy(Engineering) != nil:
		t.Error("got the signature of the person, want it withdrawn")
	}
	for _, cmd := range []Command{{Verb: VerbNote, Text: "x"}, {Verb: VerbSign, Department: Engineering, Expect: digest}, {Verb: VerbExclude, Person: "eng2", Text: "x"}} {
		w.mustFail("eng3", cmd, CodeUnknown)
	}
	for _, cmd := range []Command{{Verb: VerbGrant, Person: "eng3", Text: "x"}, {Verb: VerbAssignRole, Role: Scribe, Person: "eng3"}} {
		w.mustFail("eng1", cmd, CodeInvalid)
	}
	w.mustFail("leg1", Command{Verb: VerbDelegate, Department: Legal, Person: "eng3", Until: w.now.AddDate(0, 0, 3)}, CodeInvalid)
	for _, e := range w.events {
		if secret := e.Kind.Secret(); secret != (e.Audience == AudienceLegalSecurity) || !secret && e.Kind == EventSignatureWithdrawn && e.By != "" {
			t.Errorf("%s by %q for %s: only legal and security may see who excluded whom", e.Kind, e.By, e.Audience)
		}
	}
	w.must("leg1", Command{Verb: VerbReadmit, Person: "eng3", Text: "the laptop was stolen"})
	if !w.inc.MayRead(w.dir, "eng3", w.now) || w.inc.Roles[Scribe] != "" {
		t.Error("readmitted: want read access as a responder, and no role")
	}
}

func TestExclude_CommanderTakesLegalAndSecurity(t *testing.T) {
	w := fixtureIn(t, Active) // eng1 is commander
	cmd := Command{Verb: VerbExclude, Person: "eng1", Text: "a suspect"}
	w.mustFail("leg1", cmd, CodeUnknown) // legal is not involved
	round := w.inc.Paging.Round
	w.must("sec1", cmd)
	if w.inc.Excludes("eng1") {
		t.Fatal("got an exclusion by security alone, want a proposal")
	}
	w.mustFail("sec1", cmd, CodeConflict)
	w.mustFail("sec2", cmd, CodeConflict)
	w.must("leg1", Command{Verb: VerbExclude, Person: "eng1"})
	if !w.inc.Excludes("eng1") || w.inc.Commander != "" || w.inc.Paging.Round != round+1 || !w.inc.NeedsPage() {
		t.Errorf("got commander %q and %+v, want nobody and a new paging round", w.inc.Commander, w.inc.Paging)
	}
	if x := w.inc.Exclusions[0]; x.Second != "sec1" || x.By != "leg1" || x.Reason != "a suspect" {
		t.Errorf("got %+v, want both people and the first reason", x)
	}
	w.must("sec1", Command{Verb: VerbReadmit, Person: "eng1", Text: "an error"})
	w.must("leg1", Command{Verb: VerbReadmit, Person: "eng1", Text: "an error"}) // legal reads while its exclusion is in force
	w.mustFail("leg1", cmd, CodeUnknown)
	w.must("eng2", Command{Verb: VerbAcknowledge})
}

func TestExclude_LastSignerNeedsAReplacement(t *testing.T) {
	w := fixtureIn(t, InReview)
	w.withOneSigner(Legal)
	cmd := Command{Verb: VerbExclude, Person: "leg1", Text: "a suspect"}
	w.mustFail("sec1", cmd, CodeConflict)
	replace := Command{Verb: VerbReplacement, Department: Legal, Person: "out1", Text: "the only signer is a suspect"}
	w.mustFail("sec1", replace, CodeForbidden)
	w.must(administrator, replace)
	w.must("sec1", cmd)
	if w.inc.Excludes("leg1") {
		t.Fatal("got an exclusion by security alone, want a proposal: the replacement stands in for legal")
	}
	w.mustFail("sec2", cmd, CodeConflict)
	w.must("out1", cmd)
	w.mustFail("leg1", Command{Verb: VerbSign, Department: Legal, Expect: w.inc.Submission.Digest}, CodeUnknown)
	w.must("out1", Command{Verb: VerbSign, Department: Legal, Expect: w.inc.Submission.Digest})
	w.mustFail(administrator, Command{Verb: VerbReplacement, Department: Security, Person: "out1", Text: "x"}, CodeConflict)
}

// TestExclude_AdministratorsToo excludes a responder who is an administrator. The
// person could otherwise name an accomplice for a department.
func TestExclude_AdministratorsToo(t *testing.T) {
	w := fixtureIn(t, InReview)
	for n := range w.dir.Teams {
		if w.dir.Teams[n].Name == Legal {
			w.dir.Teams[n].Members = w.dir.Teams[n].Members[:1]
		}
	}
	w.must("sec1", excludeEng3)
	replace := Command{Verb: VerbReplacement, For: w.inc.ID, Department: Legal, Person: "out1", Text: "on leave"}
	env := Env{Now: w.now, Actor: "eng3", Administrator: true, Directory: w.dir, Policy: w.policy}
	if _, err := Decide(replace, w.inc, env); CodeOf(err) != CodeUnknown || MayAddress(replace, w.inc, env) {
		t.Errorf("got %v, want the refusal of an unknown incident", err)
	}
	w.must(administrator, replace)
}

// TestReadmit_TakesAsManyAsTheExclusion ends an exclusion that took legal and security.
func TestReadmit_TakesAsManyAsTheExclusion(t *testing.T) {
	w := fixtureIn(t, Active) // eng1 is commander
	w.inc.InvolvedDepartments = []Department{Legal}
	cmd := Command{Verb: VerbExclude, Person: "eng1", Text: "a suspect"}
	w.must("sec1", cmd)
	w.must("leg1", cmd)
	back := Command{Verb: VerbReadmit, Person: "eng1", Text: "cleared"}
	w.must("sec1", back)
	if !w.inc.Excludes("eng1") {
		t.Fatal("got the person readmitted by security alone, want a proposal")
	}
	w.mustFail("sec2", back, CodeConflict)
	w.must("leg2", back)
	if w.inc.Excludes("eng1") {
		t.Error("got the person excluded after legal and security readmitted, want no exclusion")
	}
}

// TestExclude_OnlySignerOfTwoDepartments asks for a replacement in legal although the
// suspect is the only engineer, too.
func TestExclude_OnlySignerOfTwoDepartments(t *testing.T) {
	w := fixtureIn(t, InReview)
	for n := range w.dir.Teams {
		if name := w.dir.Teams[n].Name; name == Legal || name == Engineering {
			w.dir.Teams[n].Members = []Membership{{Person: "eng4"}}
		}
	}
	_, err := w.decideAs("sec1", Command{Verb: VerbExclude, Person: "eng4", Text: "a suspect"})
	if CodeOf(err) != CodeConflict || !strings.Contains(err.Error(), "replacement INC-7 legal") {
		t.Errorf("got %v, want the replacement in legal", err)
	}
}

func TestExclude_ChannelIsAChoice(t *testing.T) {
	w := fixtureIn(t, Active)
	w.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C1"}})
	w.must("", Command{Verb: VerbInvited, People: []PersonID{"eng3"}})
	events, _ := w.decideAs("sec1", excludeEng3)
	if len(events) != 1 || events[0].Field("in_channel") != "true" || events[0].Field("channel") != "" {
		t.Fatalf("got %+v, want a warning that the person is in the channel", events)
	}
	again := excludeEng3
	again.Channel = ChannelNew
	w.must("sec1", again)
	if len(w.inc.Exclusions) != 1 || w.inc.Exclusions[0].Channel != ChannelNew {
		t.Errorf("got %+v, want one exclusion with a new channel", w.inc.Exclusions)
	}
	w.mustFail("sec1", Command{Verb: VerbExclude, Person: "eng4", Text: "x", Channel: "blast"}, CodeInvalid)
	w.mustFail("sec1", Command{Verb: VerbExclude, Person: "sec1", Text: "x"}, CodeInvalid)
	w.mustFail("sec1", Command{Verb: VerbExclude, Person: "eng4"}, CodeInvalid)
	w.mustFail("sec1", Command{Verb: VerbReadmit, Person: "eng4", Text: "x"}, CodeUnknown)
}

// TestExclude_NewChannelAfterRemoval continues in a new channel after the person
// was removed, because a member can read the old one again by an invitation.
func TestExclude_NewChannelAfterRemoval(t *testing.T) {
	w := fixtureIn(t, Active)
	w.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C1"}})
	cmd := excludeEng3
	cmd.Channel = ChannelRemove
	w.must("sec1", cmd)
	cmd.Channel = ChannelNew
	w.must("sec1", cmd)
	if got := w.inc.Exclusions[0].Channel; got != ChannelNew {
		t.Fatalf("got %q for the channel after the second command, want %q", got, ChannelNew)
	}
	cmd.Channel = ChannelRemove
	if events, _ := w.decideAs("sec1", cmd); len(events) != 0 {
		t.Errorf("got %+v for a removal from the new channel, want nothing, because they are not in it", events)
	}
}

// TestExclude_WarnsAfterReadmission warns about the channel although the person
// has no grant any more: they were never removed from it.
func TestExclude_WarnsAfterReadmission(t *testing.T) {
	w := fixtureIn(t, Active)
	w.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C1"}})
	w.must("", Command{Verb: VerbInvited, People: []PersonID{"eng3"}})
	w.must("sec1", excludeEng3)
	w.must("sec1", Command{Verb: VerbReadmit, Person: "eng3", Text: "an error"})
	if events, _ := w.decideAs("sec1", excludeEng3); len(events) != 1 || events[0].Field("in_channel") != "true" {
		t.Errorf("got %+v, want a warning about the channel", events)
	}
}

func TestExclude_ProposalsOfThePersonEnd(t *testing.T) {
	w := fixtureIn(t, Active)
	w.inc.Facts.PersonalData = PersonalSuspected
	w.must("eng3", Command{Verb: VerbDismiss, Text: "nothing"})
	w.must("sec1", excludeEng3)
	if w.inc.Dismissal != nil {
		t.Error("got the dismissal that the person proposed, want none")
	}
}

func TestExclusion_EventsAreSecret(t *testing.T) {
	w := fixtureIn(t, Active)
	w.inc.InvolvedDepartments = []Department{Legal}
	suspect := Command{Verb: VerbExclude, Person: "eng1", Text: "a suspect"}
	w.must("sec1", suspect)
	w.must("leg1", suspect)
	w.must("leg1", Command{Verb: VerbReadmit, Person: "eng1", Text: "cleared"})
	w.must("sec1", Command{Verb: VerbReadmit, Person: "eng1", Text: "cleared"})
	var secret []EventKind
	for _, e := range w.events {
		if e.Kind.Secret() != (e.Audience == AudienceLegalSecurity) {
			t.Errorf("%s for %q: want an event for legal and security only if it is about an exclusion", e.Kind, e.Audience)
		}
		if e.Kind.Secret() {
			secret = append(secret, e.Kind)
		}
	}
	if want := []EventKind{EventExclusionProposed, EventExcluded, EventReadmissionProposed, EventReadmitted}; !slices.Equal(secret, want) {
		t.Errorf("got %v, want %v", secret, want)
	}
	if _, events, withheld := WithholdPrivileged(w.inc.ID, w.events); withheld != 0 || slices.ContainsFunc(events, func(e Event) bool { return e.Kind.Secret() }) {
		t.Errorf("got %d texts withheld in %+v, want no trace of an exclusion", withheld, events)
	}
	for _, e := range WithoutSecret(w.events) {
		if e.Kind.Secret() {
			t.Errorf("got %s in a timeline without secret events", e.Kind)
		}
	}
}

func TestExclude_RepeatChoosesTheChannelOnce(t *testing.T) {
	w := fixtureIn(t, Active)
	w.mustFail("sec1", Command{Verb: VerbExclude, Person: "eve", Text: "x"}, CodeUnknown)
	w.must("sec1", excludeEng3)
	if events := w.events[len(w.events)-1:]; events[0].Field("in_channel") != "" {
		t.Errorf("got %+v, want no warning about a channel, because there is none", events)
	}
	w.mustIgnore("sec1", excludeEng3)
	remove := excludeEng3
	remove.Channel = ChannelRemove
	w.must("sec1", remove)
	w.mustIgnore("sec1", remove)
	next := excludeEng3
	next.Channel = ChannelNew
	w.must("sec1", next)
	w.mustIgnore("sec1", next)
	w.mustIgnore("sec1", remove)
	w.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C1"}})
	w.must("sec1", Command{Verb: VerbExclude, Person: "eng4", Text: "another suspect"})
	if events := w.events[len(w.events)-1:]; events[0].Field("in_channel") != "true" {
		t.Errorf("got %+v, want a warning, because anyone can be in the channel", events)
	}
	if len(w.inc.Exclusions) != 2 || w.inc.Exclusions[0].Channel != ChannelNew {
		t.Errorf("got %+v, want two exclusions and the last choice", w.inc.Exclusions)
	}
}

// TestExclude_KeepsSignaturesOfOthers excludes one of two signers.
func TestExclude_KeepsSignaturesOfOthers(t *testing.T) {
	w := fixtureIn(t, InReview)
	digest := w.inc.Submission.Digest
	w.must("eng3", Command{Verb: VerbSign, Department: Engineering, Expect: digest})
	w.must("com1", Command{Verb: VerbSign, Department: Communications, Expect: digest})
	w.must("sec1", excludeEng3)
	if w.inc.SignedBy(Engineering) != nil || w.inc.SignedBy(Communications) == nil {
		t.Errorf("got %+v, want the signature of communications only", w.inc.Signatures)
	}
	w = fixtureIn(t, Approved)
	signed := len(w.inc.Signatures)
	signer := w.inc.SignedBy(Engineering).By
	w.must("sec1", Command{Verb: VerbExclude, Person: signer, Text: "a suspect"})
	if w.inc.ExclusionProposed != nil {
		w.must("leg1", Command{Verb: VerbExclude, Person: signer})
	}
	if !w.inc.Excludes(signer) || len(w.inc.Signatures) != signed {
		t.Errorf("got signatures %+v, want those of the approved record", w.inc.Signatures)
	}
}

// TestExclude_PagesAgain excludes the person who acknowledged and the commander,
// who are two people, while the incident is responded to and afterwards.
func TestExclude_PagesAgain(t *testing.T) {
	for _, c := range []struct {
		in      Status
		suspect PersonID
		rounds  int
	}{{Active, "eng3", 1}, {Active, "eng1", 1}, {Active, "eng4", 0}, {Resolved, "eng3", 0}, {Resolved, "eng1", 0}} {
		w := fixtureIn(t, c.in)
		w.inc.Commander, w.inc.Paging.AcknowledgedBy = "eng1", "eng3"
		w.inc.InvolvedDepartments = []Department{Legal}
		round := w.inc.Paging.Round
		cmd := Command{Verb: VerbExclude, Person: c.suspect, Text: "a suspect"}
		w.must("sec1", cmd)
		if c.suspect == "eng1" {
			w.must("leg1", cmd)
		}
		if got := w.inc.Paging.Round - round; !w.inc.Excludes(c.suspect) || got != c.rounds {
			t.Errorf("%s in %s: got %d new paging rounds, want %d", c.suspect, c.in, got, c.rounds)
		}
	}
}

func TestExclude_SecondPersonIsIndependent(t *testing.T) {
	w := fixtureIn(t, InReview)
	suspect := Command{Verb: VerbExclude, Person: w.inc.Commander, Text: "a suspect"}
	w.must("sec1", Command{Verb: VerbDelegate, Department: Security, Person: "leg2", Until: w.now.AddDate(0, 0, 3)})
	w.must("sec1", suspect)
	w.mustFail("leg2", suspect, CodeConflict)
	w.must("leg1", suspect)
}

// TestExclude_ProposalIsForOnePerson proposes to exclude the commander and then the
// only signer of communications.
func TestExclude_ProposalIsForOnePerson(t *testing.T) {
	w := fixtureIn(t, InReview)
	w.withOneSigner(Communications)
	commander := w.inc.Commander
	w.must("sec1", excludeEng3) // is neither, so one person is enough
	if !w.inc.Excludes("eng3") {
		t.Error("got a proposal to exclude a person who is not the last signer, want an exclusion")
	}
	w.must("sec1", Command{Verb: VerbExclude, Person: commander, Text: "a suspect"})
	w.mustFail("leg1", Command{Verb: VerbExclude, Person: "com1"}, CodeInvalid)
	w.must("leg1", Command{Verb: VerbExclude, Person: "com1", Text: "another suspect"})
	if w.inc.Excludes("com1") || w.inc.ExclusionProposed == nil || w.inc.ExclusionProposed.Person != "com1" {
		t.Fatalf("got %+v, want a proposal to exclude com1", w.inc.ExclusionProposed)
	}
	w.mustFail("leg1", Command{Verb: VerbReadmit, Person: "eng4", Text: "x"}, CodeUnknown)
	w.mustFail("leg1", Command{Verb: VerbReadmit, Person: "com1"}, CodeInvalid)
	w.must("leg1", Command{Verb: VerbReadmit, Person: "com1", Text: "cleared"})
	if w.inc.ExclusionProposed != nil {
		t.Errorf("got %+v, want no proposal", w.inc.ExclusionProposed)
	}
}

// TestExclude_NothingLetsThePersonIn gives random commands after an exclusion. No
// role, department, grant or order of commands may give the person a part.
func TestExclude_NothingLetsThePersonIn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newFixture(rt)
		w.must("eng2", Command{Verb: VerbOpen, Title: "x", Severity: Sev2, Runs: []Run{testRun}, By: Identity{ProviderSlack, "Ueng2"}})
		w.must("sec1", excludeEng3)
		people := []PersonID{"eng1", "eng2", "eng3", "sec1", "leg1", "com1", "", administrator}
		for range rapid.IntRange(1, 25).Draw(rt, "commands") {
			verb := rapid.SampledFrom([]Verb{VerbGrant, VerbAssignRole, VerbDelegate, VerbInvolve, VerbConsult, VerbInvited, VerbReplacement, VerbRestrict,
				VerbAcknowledge, VerbResolve, VerbSubmit, VerbSign, VerbDismiss, VerbReopen, VerbRevoke, VerbNote}).Draw(rt, "verb")
			by := rapid.SampledFrom(people).Draw(rt, "by")
			cmd := Command{Verb: verb, Text: "x", Reason: "x", Person: "eng3", People: []PersonID{"eng3"}, Role: rapid.SampledFrom([]Role{Commander, Scribe}).Draw(rt, "role"),
				Department: rapid.SampledFrom(RequiredDepartments()).Draw(rt, "team"), Until: w.now.AddDate(0, 0, 3), Public: rapid.Bool().Draw(rt, "public"), Record: map[string]string{}}
			if verb == VerbSubmit {
				cmd.Record = fullRecord
			}
			if w.inc.Submission != nil {
				cmd.Expect = w.inc.Submission.Digest
			}
			before := len(w.events)
			_, err := w.decideAs(by, cmd)
			if by == "eng3" && (err == nil || len(w.events) > before) {
				rt.Fatalf("%s by the excluded person: got %v, want an error", verb, err)
			}
			if w.inc.MayRead(w.dir, "eng3", w.now) || w.inc.Commander == "eng3" || len(w.inc.RolesOf("eng3")) > 0 || w.inc.Paging.AcknowledgedBy == "eng3" {
				rt.Fatalf("after %s: the excluded person has a part: %+v", verb, w.inc)
			}
		}
	})
}

// TestExclude_HoldsAfterSplitAndMerge splits and merges an incident that excludes a
// responder. The commands are given by a person without knowledge of the exclusion.
func TestExclude_HoldsAfterSplitAndMerge(t *testing.T) {
	from, into := fixtureIn(t, Active), fixtureIn(t, Active)
	into.inc.ID = 8
	into.must("eng1", Command{Verb: VerbAssignRole, Role: Commander, Person: "eng3"})
	into.must("", Command{Verb: VerbLink, Links: map[string]string{LinkChannel: "C1"}})
	into.must("", Command{Verb: VerbInvited, People: []PersonID{"eng3"}})
	from.must("sec1", excludeEng3)
	part, err := from.split(9, responderEnv(from), Command{Title: "the other key"}, from.inc.Alerts)
	if err != nil {
		t.Fatal(err)
	}
	_, theirs, err := DecideMerge(Command{Verb: VerbMerge}, from.inc, into.inc, responderEnv(from))
	if err != nil {
		t.Fatal(err)
	}
	into.commit(theirs)
	for name, w := range map[string]*fixture{"split": part, "merge": into} {
		if w.inc.MayRead(w.dir, "eng3", w.now) || w.inc.Commander == "eng3" || len(w.inc.Exclusions) != 1 {
			t.Errorf("%s: got exclusions %+v and commander %q, want the person excluded", name, w.inc.Exclusions, w.inc.Commander)
		}
		for _, e := range w.events {
			want := e.Kind == EventExcluded && e.By == "" && e.Audience == AudienceLegalSecurity && e.Text("reason") == "excluded from INC-7: "+excludeEng3.Text
			if e.Kind.Secret() && !want {
				t.Errorf("%s: got %+v, want the exclusion by the bot, for legal and security", name, e)
			}
		}
	}
	warned := slices.ContainsFunc(theirs, func(e Event) bool { return e.Kind == EventExcluded && e.is("in_channel") })
	if !warned || !into.inc.NeedsPage() {
		t.Errorf("merge: got %+v and %+v, want a warning about the channel and a page for another commander", theirs, into.inc.Paging)
	}
	again, err := from.split(10, responderEnv(from), Command{Title: "x"}, alertRefs(1))
	if err != nil || len(again.inc.Exclusions) != 1 {
		t.Errorf("got %v, want one exclusion", err)
	}
}

// TestExclude_RemovalIsAhead passes the lane with a removal once there is a channel. Before,
// the channel must open first.
func TestExclude_RemovalIsAhead(t *testing.T) {
	for name, links := range map[string]map[string]string{"no channel": nil, "a channel": {LinkChannel: "C1"}} {
		w := fixtureIn(t, Active)
		w.inc.Links = links
		cmd := excludeEng3
		cmd.Channel = ChannelRemove
		w.must("sec1", cmd)
		e := w.events[len(w.events)-1]
		for _, f := range e.Effects(w.inc, Incident{}, Env{Now: w.now, Directory: w.dir, Policy: w.policy}) {
			if f.Kind == EffectRemove && (f.Lane == "" || f.Ahead != (links != nil)) {
				t.Errorf("%s: got %+v, want a removal in the lane of the channel, ahead if there is one", name, f)
			}
		}
	}
}
