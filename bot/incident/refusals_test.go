package incident

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// refusal is a command with one thing wrong, and what the refusal has to say: its
// code and the argument that it is about.
type refusal struct {
	in    Status
	by    PersonID
	cmd   Command
	code  Code
	field string
}

// holds says each command to an incident of its own. "current" stands for the
// digest of the document that was submitted.
func holds(t *testing.T, refusals ...refusal) {
	t.Helper()
	for _, c := range refusals {
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
}

// What is too long to be kept, and a time that no calendar has.
var (
	long = strings.Repeat("x", MaxText+1)
	far  = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
)

func TestBadWordsSeveritiesAndRoles(t *testing.T) {
	holds(t,
		refusal{Active, "eng1", Command{Verb: VerbOpen, Title: "again"}, CodeConflict, ""},
		refusal{Active, "eng1", Command{Verb: VerbNote, Text: " "}, CodeInvalid, "text"},
		refusal{Active, "eng1", Command{Verb: VerbNote, Text: "x", Title: strings.Repeat("x", MaxTitle+1)}, CodeInvalid, "title"},
		refusal{Active, "eng1", Command{Verb: VerbNote, Text: long}, CodeInvalid, "text"},
		refusal{Active, "eng1", Command{Verb: VerbNote, Text: "x", Audience: "everybody"}, CodeInvalid, "audience"},
		refusal{Active, "eng1", Command{Verb: VerbNote, Text: "x", HappenedAt: start.AddDate(-100, 0, 0)}, CodeInvalid, "happened_at"},
		refusal{Active, "eng1", Command{Verb: VerbUpdate}, CodeInvalid, "text"},
		refusal{Active, "eng1", Command{Verb: VerbContain}, CodeInvalid, "text"},
		refusal{Active, "eng1", Command{Verb: VerbResolve}, CodeInvalid, "text"},
		refusal{Contained, "eng1", Command{Verb: VerbReopen}, CodeInvalid, "text"},
		refusal{Active, "eng1", Command{Verb: VerbSetSeverity, Severity: "sev9"}, CodeInvalid, "severity"},
		refusal{Active, "eng1", Command{Verb: VerbSetSeverity}, CodeInvalid, "severity"},
		refusal{Active, "eng1", Command{Verb: VerbAcknowledge, Severity: "huge"}, CodeInvalid, "severity"},
		refusal{Active, "eng1", Command{Verb: VerbAssignRole, Role: "The Boss", Person: "eng2"}, CodeInvalid, "role"},
		refusal{Active, "eng1", Command{Verb: VerbAssignRole, Role: Scribe, Person: "eve"}, CodeUnknown, "person"},
		refusal{Active, "eng1", Command{Verb: VerbGrant, Person: "eve", Text: "x"}, CodeUnknown, "person"},
		refusal{Active, "eng1", Command{Verb: VerbGrant, Person: "out1"}, CodeInvalid, "text"},
	)
}

func TestBadFacts(t *testing.T) {
	affected := func(a *Affected) Command {
		return Command{Verb: VerbSetFact, Text: "x", Fact: &FactChange{Name: FactAffected, Affected: a}}
	}
	noReason := fact(FactPersonalData, "no")
	noReason.Text = " "
	until := start.AddDate(0, 0, 3)
	holds(t,
		refusal{Active, "eng1", Command{Verb: VerbSetFact}, CodeInvalid, "fact"},
		refusal{Active, "eng1", fact("mood", "bad"), CodeInvalid, "fact"},
		refusal{Active, "eng1", fact(FactOccurred, "yesterday"), CodeInvalid, "value"},
		refusal{Active, "eng1", fact(FactOccurred, "2027-01-01T00:00:00Z"), CodeInvalid, "value"},
		refusal{Active, "eng1", fact(FactOccurred, "0000-01-01T00:00:00+05:00"), CodeInvalid, "value"},
		refusal{Active, "eng1", fact(FactAware, "2026-11-24T01:00:00Z"), CodeInvalid, "regime"},
		refusal{Active, "eng1", fact(FactPersonalData, "perhaps"), CodeInvalid, "value"},
		refusal{Active, "eng1", noReason, CodeInvalid, "text"},
		refusal{Active, "eng1", fact(FactPersonalData, long), CodeInvalid, "value"},
		refusal{Active, "eng1", fact(FactTimeZone, "Moon/Base"), CodeInvalid, "value"},
		refusal{Active, "eng1", fact(FactTimeZone, "Local"), CodeInvalid, "value"},
		refusal{Active, "eng1", fact(FactTimeZone, ""), CodeInvalid, "value"},
		refusal{Active, "eng1", fact(FactLanguage, "en_US!"), CodeInvalid, "value"},
		refusal{Active, "eng1", fact(FactLanguage, "zz-notalang"), CodeInvalid, "value"},
		refusal{Active, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"language": "zz"}}, CodeInvalid, "language"},
		refusal{Active, "eng1", affected(nil), CodeInvalid, "affected"},
		refusal{Active, "eng1", affected(&Affected{Who: " ", Capacity: Controller}), CodeInvalid, "affected"},
		refusal{Active, "eng1", affected(&Affected{Who: long, Capacity: Controller}), CodeInvalid, "affected"},
		refusal{Active, "eng1", affected(&Affected{Who: "us"}), CodeInvalid, "capacity"},
		refusal{Active, "eng1", affected(&Affected{Who: "us", Capacity: Controller, Count: -1}), CodeInvalid, "count"},
		refusal{Active, "eng1", affected(&Affected{Who: "us", Capacity: Controller, Count: 1 << 60}), CodeInvalid, "count"},
		refusal{Active, "eng1", affected(&Affected{Who: "us", Capacity: Controller, NotifiedAt: until}), CodeInvalid, "notified_at"},
		refusal{Active, "eng1", affected(&Affected{Who: "us", Capacity: Controller, NotifiedAt: start.AddDate(-900, 0, 0)}), CodeInvalid, "notified_at"},
	)
}

func TestBadEvidenceAndSteps(t *testing.T) {
	holds(t,
		refusal{Active, "eng1", Command{Verb: VerbEvidence}, CodeInvalid, "name"},
		refusal{Active, "eng1", Command{Verb: VerbEvidence, Evidence: &Evidence{Name: " "}}, CodeInvalid, "name"},
		refusal{Active, "eng1", Command{Verb: VerbEvidence, Evidence: &Evidence{Name: "x", Where: long}}, CodeInvalid, "where"},
		refusal{Active, "eng1", Command{Verb: VerbEvidence, Evidence: &Evidence{Name: "x", SHA256: "abc"}}, CodeInvalid, "sha256"},
		refusal{Active, "eng1", Command{Verb: VerbStepDone, Step: "dance"}, CodeUnknown, "step"},
		refusal{Active, "eng1", Command{Verb: VerbStepSkip, Step: "dance", Text: "x"}, CodeUnknown, "step"},
		refusal{Active, "eng1", Command{Verb: VerbStepSkip, Step: "look"}, CodeInvalid, "text"},
		refusal{Active, "", Command{Verb: VerbStartStep, Step: "dance"}, CodeUnknown, "step"},
		refusal{Active, "", Command{Verb: VerbStepLate, Step: "other/look"}, CodeUnknown, "step"},
	)
}

func TestBadDepartmentsAndDelegations(t *testing.T) {
	until := start.AddDate(0, 0, 3)
	holds(t,
		refusal{Active, "eng1", Command{Verb: VerbInvolve, Department: "poetry"}, CodeUnknown, "department"},
		refusal{Active, "eng1", Command{Verb: VerbConsult, Department: "poetry"}, CodeUnknown, "department"},
		refusal{Active, "eng1", Command{Verb: VerbAnswer, Department: "payments", Text: "x"}, CodeUnknown, "department"},
		refusal{Active, "eng1", Command{Verb: VerbDelegate, Department: "poetry", Person: "out1", Until: until}, CodeUnknown, "department"},
		refusal{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "eve", Until: until}, CodeUnknown, "person"},
		refusal{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "eng1", Until: until}, CodeInvalid, "person"},
		refusal{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "out1", Until: start}, CodeInvalid, "until"},
		refusal{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "out1", Until: start.AddDate(1, 0, 0)}, CodeInvalid, "until"},
		refusal{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "out1", Until: far}, CodeInvalid, "until"},
	)
}

func TestBadErasuresAndAlerts(t *testing.T) {
	holds(t,
		refusal{Active, "sec1", Command{Verb: VerbErase, Text: "x"}, CodeInvalid, "erase"},
		refusal{Active, "sec1", Command{Verb: VerbErase, Text: "x", Erase: []TextRef{{0, "text"}}}, CodeUnknown, "erase"},
		refusal{Active, "sec1", Command{Verb: VerbErase, Text: "x", Erase: []TextRef{{99, "text"}}}, CodeUnknown, "erase"},
		refusal{Active, "sec1", Command{Verb: VerbErase, Text: "x", Erase: []TextRef{{1, ""}}}, CodeUnknown, "erase"},
		refusal{Active, "sec1", Command{Verb: VerbErase, Erase: []TextRef{{1, "title"}}}, CodeInvalid, "text"},
		refusal{Active, "", Command{Verb: VerbAttach}, CodeInvalid, "alert"},
		refusal{Active, "", Command{Verb: VerbAttach, Alert: &AlertRef{Alert: 9}, Severity: "sev0"}, CodeInvalid, "severity"},
		refusal{Active, "", Command{Verb: VerbCount}, CodeInvalid, "alert"},
	)
}

func TestBadActions(t *testing.T) {
	act := func(a Action) Command { return Command{Verb: VerbAddAction, Action: &a} }
	good := twoActions[0]
	holds(t,
		refusal{Active, "eng1", act(Action{Kind: "wish", Title: "x", Owner: "eng1", Due: good.Due}), CodeInvalid, "kind"},
		refusal{Active, "eng1", act(Action{Kind: good.Kind, Owner: "eng1", Due: good.Due}), CodeInvalid, "title"},
		refusal{Active, "eng1", act(Action{Kind: good.Kind, Title: long, Owner: "eng1", Due: good.Due}), CodeInvalid, "action"},
		refusal{Active, "eng1", act(Action{Kind: good.Kind, Title: "x", Due: good.Due}), CodeUnknown, "owner"},
		refusal{Active, "eng1", act(Action{Kind: good.Kind, Title: "x", Owner: "eng1"}), CodeInvalid, "due"},
		refusal{Active, "eng1", act(Action{Kind: good.Kind, Title: "x", Owner: "eng1", Due: far}), CodeInvalid, "due"},
		refusal{Active, "eng1", Command{Verb: VerbAddAction}, CodeInvalid, "action"},
		refusal{Active, "eng1", Command{Verb: VerbFinishAction, Item: "A9"}, CodeUnknown, "action"},
	)
}

func TestBadRecordsAndObjections(t *testing.T) {
	holds(t,
		refusal{Resolved, "eng1", Command{Verb: VerbEditRecord}, CodeInvalid, "record"},
		refusal{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"mood": "x"}}, CodeInvalid, "record"},
		refusal{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"impact": " "}}, CodeInvalid, "impact"},
		refusal{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"impact": long}}, CodeInvalid, "impact"},
		refusal{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"audience": "press"}}, CodeInvalid, "audience"},
		refusal{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"language": "!"}}, CodeInvalid, "language"},
		refusal{Resolved, "eng1", Command{Verb: VerbSubmit, Record: map[string]string{"mood": "x"}}, CodeInvalid, "record"},
		refusal{InReview, "eng1", Command{Verb: VerbAmend}, CodeInvalid, "text"},
		refusal{InReview, "eng1", Command{Verb: VerbAmend, Text: "x", Record: map[string]string{"mood": "x"}}, CodeInvalid, "record"},
		refusal{InReview, "eng1", Command{Verb: VerbWithdraw, Department: Engineering}, CodeUnknown, "objection"},
		refusal{InReview, "pay1", Command{Verb: VerbObject, Department: "payments", Text: "x", Expect: "current"}, CodeForbidden, ""},
		refusal{InReview, "leg1", Command{Verb: VerbObject, Department: "payments", Text: "x", Expect: "current"}, CodeInvalid, "department"},
		refusal{InReview, "leg1", Command{Verb: VerbObject, Department: Legal, Text: "x", Expect: "sha256:12"}, CodeStale, ""},
		refusal{InReview, "leg1", Command{Verb: VerbObject, Department: Security, Text: "x", Expect: "current"}, CodeForbidden, ""},
	)
}

func TestBadReviews(t *testing.T) {
	good := twoActions[0]
	conclude := func(change func(*Command)) Command {
		c := Command{Verb: VerbConclude, Attendance: []PersonID{"eng1", "sec1"}, Text: "talked", Actions: twoActions}
		change(&c)
		return c
	}
	holds(t,
		refusal{InReview, "eng1", Command{Verb: VerbScheduleReview}, CodeInvalid, "when"},
		refusal{InReview, "eng1", Command{Verb: VerbScheduleReview, When: start.AddDate(0, 0, -1)}, CodeInvalid, "when"},
		refusal{InReview, "eng1", Command{Verb: VerbScheduleReview, When: far}, CodeInvalid, "when"},
		refusal{Approved, "eng1", Command{Verb: VerbRevise}, CodeInvalid, "text"},
		refusal{Approved, "eng1", Command{Verb: VerbRevise, Text: "x", Record: map[string]string{"mood": "x"}}, CodeInvalid, "record"},
		refusal{Approved, "eng1", Command{Verb: VerbWaiveActions}, CodeInvalid, "text"},
		refusal{Approved, "eng1", conclude(func(c *Command) { c.Attendance = []PersonID{"eng1", "eng1"} }), CodeInvalid, "attendance"},
		refusal{Approved, "eng1", conclude(func(c *Command) { c.Attendance[1] = "eve" }), CodeUnknown, "attendance"},
		refusal{Approved, "eng1", conclude(func(c *Command) { c.Text = "" }), CodeInvalid, "text"},
		refusal{Approved, "eng1", conclude(func(c *Command) { c.Waiver = long }), CodeInvalid, "exception"},
		refusal{Approved, "eng1", conclude(func(c *Command) { c.Actions = []Action{{Kind: "wish"}} }), CodeInvalid, "kind"},
		refusal{Approved, "eng1", conclude(func(c *Command) { c.Actions = []Action{{Kind: good.Kind, Title: long}} }), CodeInvalid, "actions"},
		refusal{Approved, "eng1", conclude(func(c *Command) { c.Actions = []Action{{Kind: good.Kind, Title: "x", Due: far}} }), CodeInvalid, "actions"},
		refusal{Approved, "", Command{Verb: VerbPostmortemWritten, Document: "current", Revision: 2}, CodeStale, ""},
		refusal{Approved, "", Command{Verb: VerbPostmortemWritten, Document: "sha256:00", Revision: 1}, CodeStale, ""},
	)
}

func TestBadOpenings(t *testing.T) {
	for name, c := range map[string]Command{"title": {Title: " "}, "severity": {Title: "x", Severity: "worst"}} {
		w := newWorld(t)
		c.Verb = VerbOpen
		var refused *Error
		if _, err := w.as("eng1", c); !errors.As(err, &refused) || refused.Field != name {
			t.Errorf("open without a good %s: %v", name, err)
		}
	}
}
