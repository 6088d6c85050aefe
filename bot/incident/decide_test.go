package incident

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestBadArguments says one thing wrong at a time and names the argument that
// the refusal has to be about.
func TestBadArguments(t *testing.T) {
	far, long := time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), strings.Repeat("x", MaxText+1)
	until := start.AddDate(0, 0, 3)
	act := func(a Action) Command { return Command{Verb: VerbAddAction, Action: &a} }
	good := twoActions[0]
	conclude := func(change func(*Command)) Command {
		c := Command{Verb: VerbConclude, Attendance: []PersonID{"eng1", "sec1"}, Text: "talked", Actions: twoActions}
		change(&c)
		return c
	}
	affected := func(a *Affected) Command {
		return Command{Verb: VerbSetFact, Text: "x", Fact: &FactChange{Name: FactAffected, Affected: a}}
	}
	noReason := fact(FactPersonalData, "no")
	noReason.Text = " "
	for _, c := range []struct {
		in    Status
		by    PersonID
		cmd   Command
		code  Code
		field string
	}{
		{Active, "eng1", Command{Verb: VerbOpen, Title: "again"}, CodeConflict, ""},
		{Active, "eng1", Command{Verb: VerbNote, Text: " "}, CodeInvalid, "text"},
		{Active, "eng1", Command{Verb: VerbNote, Text: "x", Title: strings.Repeat("x", MaxTitle+1)}, CodeInvalid, "title"},
		{Active, "eng1", Command{Verb: VerbNote, Text: long}, CodeInvalid, "text"},
		{Active, "eng1", Command{Verb: VerbNote, Text: "x", Audience: "everybody"}, CodeInvalid, "audience"},
		{Active, "eng1", Command{Verb: VerbNote, Text: "x", HappenedAt: start.AddDate(-100, 0, 0)}, CodeInvalid, "happened_at"},
		{Active, "eng1", Command{Verb: VerbUpdate}, CodeInvalid, "text"},
		{Active, "eng1", Command{Verb: VerbContain}, CodeInvalid, "text"},
		{Active, "eng1", Command{Verb: VerbResolve}, CodeInvalid, "text"},
		{Contained, "eng1", Command{Verb: VerbReopen}, CodeInvalid, "text"},
		{Active, "eng1", Command{Verb: VerbSetSeverity, Severity: "sev9"}, CodeInvalid, "severity"},
		{Active, "eng1", Command{Verb: VerbSetSeverity}, CodeInvalid, "severity"},
		{Active, "eng1", Command{Verb: VerbAcknowledge, Severity: "huge"}, CodeInvalid, "severity"},
		{Active, "eng1", Command{Verb: VerbAssignRole, Role: "The Boss", Person: "eng2"}, CodeInvalid, "role"},
		{Active, "eng1", Command{Verb: VerbAssignRole, Role: Scribe, Person: "eve"}, CodeUnknown, "person"},
		{Active, "eng1", Command{Verb: VerbGrant, Person: "eve", Text: "x"}, CodeUnknown, "person"},
		{Active, "eng1", Command{Verb: VerbGrant, Person: "out1"}, CodeInvalid, "text"},
		{Active, "eng1", Command{Verb: VerbSetFact}, CodeInvalid, "fact"},
		{Active, "eng1", fact("mood", "bad"), CodeInvalid, "fact"},
		{Active, "eng1", fact(FactOccurred, "yesterday"), CodeInvalid, "value"},
		{Active, "eng1", fact(FactOccurred, "2027-01-01T00:00:00Z"), CodeInvalid, "value"},
		{Active, "eng1", fact(FactOccurred, "0000-01-01T00:00:00+05:00"), CodeInvalid, "value"},
		{Active, "eng1", fact(FactAware, "2026-11-24T01:00:00Z"), CodeInvalid, "regime"},
		{Active, "eng1", fact(FactPersonalData, "perhaps"), CodeInvalid, "value"},
		{Active, "eng1", noReason, CodeInvalid, "text"},
		{Active, "eng1", fact(FactPersonalData, long), CodeInvalid, "value"},
		{Active, "eng1", fact(FactTimeZone, "Moon/Base"), CodeInvalid, "value"},
		{Active, "eng1", fact(FactTimeZone, "Local"), CodeInvalid, "value"},
		{Active, "eng1", fact(FactTimeZone, ""), CodeInvalid, "value"},
		{Active, "eng1", fact(FactLanguage, "en_US!"), CodeInvalid, "value"},
		{Active, "eng1", fact(FactLanguage, "zz-notalang"), CodeInvalid, "value"},
		{Active, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"language": "zz"}}, CodeInvalid, "language"},
		{Active, "eng1", affected(nil), CodeInvalid, "affected"},
		{Active, "eng1", affected(&Affected{Who: " ", Capacity: Controller}), CodeInvalid, "affected"},
		{Active, "eng1", affected(&Affected{Who: long, Capacity: Controller}), CodeInvalid, "affected"},
		{Active, "eng1", affected(&Affected{Who: "us"}), CodeInvalid, "capacity"},
		{Active, "eng1", affected(&Affected{Who: "us", Capacity: Controller, Count: -1}), CodeInvalid, "count"},
		{Active, "eng1", affected(&Affected{Who: "us", Capacity: Controller, Count: 1 << 60}), CodeInvalid, "count"},
		{Active, "eng1", affected(&Affected{Who: "us", Capacity: Controller, Told: until}), CodeInvalid, "told"},
		{Active, "eng1", affected(&Affected{Who: "us", Capacity: Controller, Told: start.AddDate(-900, 0, 0)}), CodeInvalid, "told"},
		{Active, "eng1", Command{Verb: VerbEvidence}, CodeInvalid, "name"},
		{Active, "eng1", Command{Verb: VerbEvidence, Evidence: &Evidence{Name: " "}}, CodeInvalid, "name"},
		{Active, "eng1", Command{Verb: VerbEvidence, Evidence: &Evidence{Name: "x", Where: long}}, CodeInvalid, "where"},
		{Active, "eng1", Command{Verb: VerbEvidence, Evidence: &Evidence{Name: "x", SHA256: "abc"}}, CodeInvalid, "sha256"},
		{Active, "eng1", Command{Verb: VerbStepDone, Step: "dance"}, CodeUnknown, "step"},
		{Active, "eng1", Command{Verb: VerbStepSkip, Step: "dance", Text: "x"}, CodeUnknown, "step"},
		{Active, "eng1", Command{Verb: VerbStepSkip, Step: "look"}, CodeInvalid, "text"},
		{Active, "", Command{Verb: VerbStartSteps, Step: "dance"}, CodeUnknown, "step"},
		{Active, "", Command{Verb: VerbStepLate, Step: "other/look"}, CodeUnknown, "step"},
		{Active, "eng1", Command{Verb: VerbCall, Department: "poetry"}, CodeUnknown, "department"},
		{Active, "eng1", Command{Verb: VerbConsult, Department: "poetry"}, CodeUnknown, "department"},
		{Active, "eng1", Command{Verb: VerbAnswer, Department: "payments", Text: "x"}, CodeUnknown, "department"},
		{Active, "eng1", Command{Verb: VerbDelegate, Department: "poetry", Person: "out1", Until: until}, CodeUnknown, "department"},
		{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "eve", Until: until}, CodeUnknown, "person"},
		{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "eng1", Until: until}, CodeInvalid, "person"},
		{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "out1", Until: start}, CodeInvalid, "until"},
		{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "out1", Until: start.AddDate(1, 0, 0)}, CodeInvalid, "until"},
		{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "out1", Until: far}, CodeInvalid, "until"},
		{Active, "sec1", Command{Verb: VerbErase, Text: "x"}, CodeInvalid, "erase"},
		{Active, "sec1", Command{Verb: VerbErase, Text: "x", Erase: []TextRef{{0, "text"}}}, CodeUnknown, "erase"},
		{Active, "sec1", Command{Verb: VerbErase, Text: "x", Erase: []TextRef{{99, "text"}}}, CodeUnknown, "erase"},
		{Active, "sec1", Command{Verb: VerbErase, Text: "x", Erase: []TextRef{{1, ""}}}, CodeUnknown, "erase"},
		{Active, "sec1", Command{Verb: VerbErase, Erase: []TextRef{{1, "title"}}}, CodeInvalid, "text"},
		{Active, "", Command{Verb: VerbAttach}, CodeInvalid, "alert"},
		{Active, "", Command{Verb: VerbAttach, Alert: &AlertRef{Alert: 9}, Severity: "sev0"}, CodeInvalid, "severity"},
		{Active, "", Command{Verb: VerbCount}, CodeInvalid, "alert"},
		{Active, "eng1", act(Action{Kind: "wish", Title: "x", Owner: "eng1", Due: good.Due}), CodeInvalid, "kind"},
		{Active, "eng1", act(Action{Kind: good.Kind, Owner: "eng1", Due: good.Due}), CodeInvalid, "title"},
		{Active, "eng1", act(Action{Kind: good.Kind, Title: long, Owner: "eng1", Due: good.Due}), CodeInvalid, "action"},
		{Active, "eng1", act(Action{Kind: good.Kind, Title: "x", Due: good.Due}), CodeUnknown, "owner"},
		{Active, "eng1", act(Action{Kind: good.Kind, Title: "x", Owner: "eng1"}), CodeInvalid, "due"},
		{Active, "eng1", act(Action{Kind: good.Kind, Title: "x", Owner: "eng1", Due: far}), CodeInvalid, "due"},
		{Active, "eng1", Command{Verb: VerbAddAction}, CodeInvalid, "action"},
		{Active, "eng1", Command{Verb: VerbFinishAction, Item: "A9"}, CodeUnknown, "action"},
		{Resolved, "eng1", Command{Verb: VerbEditRecord}, CodeInvalid, "record"},
		{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"mood": "x"}}, CodeInvalid, "record"},
		{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"impact": " "}}, CodeInvalid, "impact"},
		{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"impact": long}}, CodeInvalid, "impact"},
		{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"audience": "press"}}, CodeInvalid, "audience"},
		{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"language": "!"}}, CodeInvalid, "language"},
		{Resolved, "eng1", Command{Verb: VerbSubmit, Record: map[string]string{"mood": "x"}}, CodeInvalid, "record"},
		{InReview, "eng1", Command{Verb: VerbAmend}, CodeInvalid, "text"},
		{InReview, "eng1", Command{Verb: VerbAmend, Text: "x", Record: map[string]string{"mood": "x"}}, CodeInvalid, "record"},
		{InReview, "eng1", Command{Verb: VerbWithdraw, Department: Engineering}, CodeUnknown, "objection"},
		{InReview, "pay1", Command{Verb: VerbObject, Department: "payments", Text: "x", Expect: "current"}, CodeForbidden, ""},
		{InReview, "leg1", Command{Verb: VerbObject, Department: "payments", Text: "x", Expect: "current"}, CodeInvalid, "department"},
		{InReview, "leg1", Command{Verb: VerbObject, Department: Legal, Text: "x", Expect: "sha256:12"}, CodeStale, ""},
		{InReview, "leg1", Command{Verb: VerbObject, Department: Security, Text: "x", Expect: "current"}, CodeForbidden, ""},
		{InReview, "eng1", Command{Verb: VerbScheduleReview}, CodeInvalid, "when"},
		{InReview, "eng1", Command{Verb: VerbScheduleReview, When: start.AddDate(0, 0, -1)}, CodeInvalid, "when"},
		{InReview, "eng1", Command{Verb: VerbScheduleReview, When: far}, CodeInvalid, "when"},
		{Approved, "eng1", Command{Verb: VerbRevise}, CodeInvalid, "text"},
		{Approved, "eng1", Command{Verb: VerbRevise, Text: "x", Record: map[string]string{"mood": "x"}}, CodeInvalid, "record"},
		{Approved, "eng1", Command{Verb: VerbExcept}, CodeInvalid, "text"},
		{Approved, "eng1", conclude(func(c *Command) { c.Attendance = []PersonID{"eng1", "eng1"} }), CodeInvalid, "attendance"},
		{Approved, "eng1", conclude(func(c *Command) { c.Attendance[1] = "eve" }), CodeUnknown, "attendance"},
		{Approved, "eng1", conclude(func(c *Command) { c.Text = "" }), CodeInvalid, "text"},
		{Approved, "eng1", conclude(func(c *Command) { c.Exception = long }), CodeInvalid, "exception"},
		{Approved, "eng1", conclude(func(c *Command) { c.Actions = []Action{{Kind: "wish"}} }), CodeInvalid, "kind"},
		{Approved, "eng1", conclude(func(c *Command) { c.Actions = []Action{{Kind: good.Kind, Title: long}} }), CodeInvalid, "actions"},
		{Approved, "eng1", conclude(func(c *Command) { c.Actions = []Action{{Kind: good.Kind, Title: "x", Due: far}} }), CodeInvalid, "actions"},
		{Approved, "", Command{Verb: VerbWritten, Document: "current", Revision: 2}, CodeStale, ""},
		{Approved, "", Command{Verb: VerbWritten, Document: "sha256:00", Revision: 1}, CodeStale, ""},
	} {
		w := given(t, c.in)
		if c.cmd.Expect == "current" {
			c.cmd.Expect = w.inc.Submission.Digest
		}
		if c.cmd.Document == "current" {
			c.cmd.Document = w.inc.Submission.Digest
		}
		events, err := w.as(c.by, c.cmd)
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code || e.Field != c.field || len(events) > 0 {
			t.Errorf("%s by %q in %s: want %s of %q, got %v (%+v)", c.cmd.Verb, c.by, c.in, c.code, c.field, err, e)
		}
	}
	for name, c := range map[string]Command{"title": {Title: " "}, "severity": {Title: "x", Severity: "worst"}} {
		w := newWorld(t)
		c.Verb = VerbOpen
		var refused *Error
		if _, err := w.as("eng1", c); !errors.As(err, &refused) || refused.Field != name {
			t.Errorf("open without a good %s: %v", name, err)
		}
	}
}

// TestWhatIsAlreadyTrueIsNoEvent says everything twice: the second time
// nothing happens and nobody is told off.
func TestWhatIsAlreadyTrueIsNoEvent(t *testing.T) {
	until := start.AddDate(0, 0, 3)
	for _, c := range []struct {
		in  Status
		by  PersonID
		cmd Command
	}{
		{Active, "eng1", Command{Verb: VerbSetSeverity, Severity: "P1"}},
		{Active, "eng1", Command{Verb: VerbAcknowledge, Severity: Sev3}},
		{Active, "eng1", Command{Verb: VerbAssignRole, Role: Scribe, Person: "eng2"}},
		{Active, "eng1", Command{Verb: VerbGrant, Person: "out1", Text: "x"}},
		{Active, "eng1", Command{Verb: VerbRestrict, Public: true}},
		{Active, "eng1", fact(FactOccurred, "2026-11-24T01:00:00.0000001Z")},
		{Active, "eng1", fact(FactDetected, "2026-11-24T01:00:00Z")},
		{Active, "eng1", fact(FactClassified, "2026-11-24T02:00:00+01:00")},
		{Active, "eng1", fact(FactPersonalData, "suspected")},
		{Active, "eng1", fact(FactTimeZone, "Asia/Tokyo")},
		{Active, "eng1", fact(FactLanguage, "de")},
		{Active, "eng1", Command{Verb: VerbSetFact, Text: "x", Fact: &FactChange{Name: FactAware, Regime: "dora", Value: "2026-11-24T01:00:00Z"}}},
		{Active, "eng1", Command{Verb: VerbSetFact, Text: "x", Fact: &FactChange{Name: FactAffected, Affected: &Affected{Who: "us", Capacity: Controller, Told: start}}}},
		{Active, "eng1", Command{Verb: VerbEvidence, Evidence: &Evidence{Name: "x", SHA256: strings.Repeat("ab", 32)}}},
		{Active, "eng1", Command{Verb: VerbCall, Department: Legal}},
		{Active, "eng1", Command{Verb: VerbConsult, Department: "payments", Blocking: true}},
		{Active, "sec1", Command{Verb: VerbDelegate, Department: Security, Person: "out1", Until: until}},
		{Active, "eng1", Command{Verb: VerbStepDone, Step: "look"}},
		{Active, "eng1", Command{Verb: VerbStepSkip, Step: "look", Text: "x"}},
		{Active, "", Command{Verb: VerbStartSteps, Step: "look"}},
		{Active, "", Command{Verb: VerbStepLate, Step: "look"}},
		{Active, "", Command{Verb: VerbStartPlay, Runs: []Run{{Playbook: "p"}}}},
		{Active, "", Command{Verb: VerbAttach, Alert: &AlertRef{Alert: 2, Kind: "k"}}},
		{Active, "", Command{Verb: VerbLink, Links: map[string]string{"a": "b"}}},
		{Active, "", Command{Verb: VerbInvited, People: []PersonID{"out1"}}},
		{Triage, "", Command{Verb: VerbPage, Round: 1}},
		{Triage, "", Command{Verb: VerbPageTimeout, Round: 1}},
		{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"impact": "x", "audience": "all", "language": "fr"}}},
		{Resolved, "eng1", Command{Verb: VerbScheduleReview, When: until}},
		{InReview, "leg1", Command{Verb: VerbSign, Department: Legal, Expect: "current"}},
		{InReview, "leg1", Command{Verb: VerbObject, Department: Legal, Text: "x", Expect: "current"}},
		{Closed, "", Command{Verb: VerbShared, Revision: 1, Item: "F1"}},
		{Closed, "eng1", Command{Verb: VerbFinishAction, Item: "A1"}},
	} {
		w := given(t, c.in)
		if c.cmd.Expect == "current" {
			c.cmd.Expect = w.inc.Submission.Digest
		}
		w.must(c.by, c.cmd)
		if events, err := w.as(c.by, c.cmd); len(events) > 0 || err != nil {
			t.Errorf("%s again: %v, %v", c.cmd.Verb, events, err)
		}
	}
	w := given(t, InReview)
	w.must("eng1", Command{Verb: VerbConsult, Department: "payments"})
	answer := Command{Verb: VerbAnswer, Department: "payments", Text: "fine"}
	w.must("pay1", answer)
	if events, err := w.as("pay1", answer); len(events) > 0 || err != nil {
		t.Errorf("answered again: %v, %v", events, err)
	}
	w.must("pay2", answer) // another person's word is another word
	answer.Text = "not fine"
	w.must("pay2", answer)
	// Almost the same is not the same.
	w = given(t, Active)
	sum := strings.Repeat("ab", 32)
	for _, e := range []Evidence{{Name: "x", SHA256: sum}, {Name: "y", SHA256: sum}, {Name: "x", SHA256: strings.Repeat("cd", 32)}, {Name: "x"}, {Name: "x"}} {
		w.must("eng1", Command{Verb: VerbEvidence, Evidence: &e})
	}
	w.must("eng1", Command{Verb: VerbConsult, Department: "payments"})
	w.must("eng1", Command{Verb: VerbConsult, Department: "PAYMENTS", Blocking: true})
	if len(w.inc.Consultations) != 1 || !w.inc.Consultations[0].Blocking {
		t.Errorf("%+v", w.inc.Consultations)
	}
}

func TestOpening(t *testing.T) {
	w := newWorld(t)
	w.must("", Command{Verb: VerbOpen, Title: "x\xff", Public: true, HappenedAt: start.Add(-time.Hour)})
	if w.inc.Severity != Sev3 || w.inc.Restricted || len(w.inc.Alerts) != 0 || w.inc.Title != "x\uFFFD" || !w.events[0].HappenedAt.Equal(start.Add(-time.Hour)) {
		t.Errorf("%+v", w.inc)
	}
	if !w.inc.MayRead(w.dir, "out1", w.now) || w.inc.MayRead(w.dir, "eve", w.now) {
		t.Error("an open incident is for everybody the configuration knows, and nobody else")
	}
	w = newWorld(t) // even somebody nobody knows may ring the bell
	w.must("", Command{Verb: VerbOpen, Title: "x"})
	env := Env{Now: start, Directory: people()}
	if events, err := Decide(Command{Verb: VerbOpen, Title: "x", By: Handle{DoorSlack, "U99"}}, New(9), env); err != nil || len(events) == 0 {
		t.Errorf("%v", err)
	}
}

// TestTakingHold: whoever contains or resolves what nobody has, has it.
func TestTakingHold(t *testing.T) {
	w := given(t, Triage)
	w.inc.Restricted = false
	w.must("pay1", Command{Verb: VerbContain, Text: "pulled the plug"})
	if w.inc.Paging.Held() || w.inc.Commander != "" || !w.inc.PageOwed() {
		t.Errorf("no responder has it: %+v", w.inc.Paging)
	}
	w.must("eng2", Command{Verb: VerbResolve, Text: "restored"})
	if w.inc.Paging.HeldBy != "eng2" || w.inc.Commander != "eng2" || w.inc.Status != Resolved || w.inc.PageOwed() {
		t.Errorf("%+v in %s", w.inc.Paging, w.inc.Status)
	}
	w = given(t, Triage)
	w.must("eng3", Command{Verb: VerbContain, Text: "pulled the plug"})
	if w.inc.Paging.HeldBy != "eng3" || w.inc.Status != Contained || len(w.inc.Roles) != 1 {
		t.Errorf("%+v in %s", w.inc.Paging, w.inc.Status)
	}
	w.must("eng1", Command{Verb: VerbResolve, Text: "restored"})
	if w.inc.Paging.HeldBy != "eng3" {
		t.Error("what somebody has is not taken from them")
	}
}

func TestPagingCorners(t *testing.T) {
	w := given(t, Triage)
	w.refused("", Command{Verb: VerbPage, Round: 2}, CodeConflict)
	w.must("", Command{Verb: VerbPageFailed, Round: 1, Route: 1, Text: "early"})
	if w.inc.Paging.Route != 0 {
		t.Error("a route that is not tried now failed, and the next one goes")
	}
	for _, late := range []Command{{Verb: VerbPageTimeout, Round: 2}, {Verb: VerbPageTimeout, Round: 1, Route: 1}} {
		if events, err := w.as("", late); len(events) > 0 || err != nil {
			t.Errorf("%+v: %v, %v", late, events, err)
		}
	}
	w.must("", Command{Verb: VerbPageTimeout, Round: 1})
	w.must("", Command{Verb: VerbPageTimeout, Round: 1, Route: 1})
	w.must("", Command{Verb: VerbPageFailed, Round: 1, Route: 2, Text: "500"})
	if w.inc.Paging.Route != 2 || w.inc.Paging.Round != 1 {
		t.Errorf("past the last route: %+v", w.inc.Paging)
	}
	w.must("eng1", Command{Verb: VerbAcknowledge})
	w.must("", Command{Verb: VerbPageFailed, Round: 1, Route: 0, Text: "500"})
	if e := w.events[len(w.events)-1]; e.Field("next") != "" {
		t.Error("a page goes on though somebody has it")
	}
	// Raised while somebody has it: they have it no longer, the commander stays.
	w.must("eng2", Command{Verb: VerbSetSeverity, Severity: Sev1})
	w.must("eng2", Command{Verb: VerbAcknowledge})
	if w.inc.Commander != "eng1" || w.inc.Paging.HeldBy != "eng2" || w.inc.Paging.Round != 2 {
		t.Errorf("commander %s, %+v", w.inc.Commander, w.inc.Paging)
	}
	// Both of them keep it from lapsing; nobody else does.
	for _, who := range []PersonID{"eng1", "eng2"} {
		w.now = w.now.Add(20 * time.Minute)
		w.must(who, Command{Verb: VerbNote, Text: "on it"})
	}
	w.now = w.now.Add(29 * time.Minute)
	if events, _ := w.as("", Command{Verb: VerbLapse}); len(events) > 0 {
		t.Error("lapsed too early")
	}
	w.must("eng1", Command{Verb: VerbResolve, Text: "restored"})
	w.now = w.now.AddDate(0, 0, 1)
	if _, ok := w.inc.LapseAt(w.policy); ok || w.inc.PageOwed() {
		t.Error("what is resolved lapses, or pages")
	}
	w = given(t, Active)
	w.policy.LapseAfter = 0
	if _, ok := w.inc.LapseAt(w.policy); ok {
		t.Error("lapses though the company does not want it")
	}
}
