package incident

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// errorCase is a command with one mistake, and the code and field of its error.
type errorCase struct {
	in    Status
	by    PersonID
	cmd   Command
	code  Code
	field string
}

// expectErrors gives each command to a new incident. "current" is replaced by the
// digest of the submitted document.
func expectErrors(t *testing.T, cases ...errorCase) {
	t.Helper()
	for _, c := range cases {
		w := fixtureIn(t, c.in)
		if c.cmd.Expect == "current" {
			c.cmd.Expect = w.inc.Submission.Digest
		}
		if c.cmd.Document == "current" {
			c.cmd.Document = w.inc.Submission.Digest
		}
		events, err := w.decideAs(c.by, c.cmd)
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code || e.Field != c.field || len(events) > 0 {
			t.Errorf("%s by %q in %s: got %v (%+v), want code %s and field %q", c.cmd.Verb, c.by, c.in, err, e, c.code, c.field)
		}
	}
}

// A text over the limit, and a date out of range.
var (
	tooLongText = strings.Repeat("x", MaxText+1)
	farFuture   = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
)

func TestDecide_InvalidTextSeverityRole(t *testing.T) {
	expectErrors(t,
		errorCase{Active, "eng1", Command{Verb: VerbOpen, Title: "again"}, CodeConflict, ""},
		errorCase{Active, "eng1", Command{Verb: VerbNote, Text: " "}, CodeInvalid, "text"},
		errorCase{Active, "eng1", Command{Verb: VerbNote, Text: "x", Title: strings.Repeat("x", MaxTitle+1)}, CodeInvalid, "title"},
		errorCase{Active, "eng1", Command{Verb: VerbNote, Text: tooLongText}, CodeInvalid, "text"},
		errorCase{Active, "eng1", Command{Verb: VerbNote, Text: "x", Audience: "public"}, CodeInvalid, "audience"},
		errorCase{Active, "eng1", Command{Verb: VerbNote, Text: "x", HappenedAt: start.AddDate(-100, 0, 0)}, CodeInvalid, "happened_at"},
		errorCase{Active, "eng1", Command{Verb: VerbUpdate}, CodeInvalid, "text"},
		errorCase{Active, "eng1", Command{Verb: VerbContain}, CodeInvalid, "text"},
		errorCase{Active, "eng1", Command{Verb: VerbResolve}, CodeInvalid, "text"},
		errorCase{Contained, "eng1", Command{Verb: VerbReopen}, CodeInvalid, "text"},
		errorCase{Active, "eng1", Command{Verb: VerbSetSeverity, Severity: "sev9"}, CodeInvalid, "severity"},
		errorCase{Active, "eng1", Command{Verb: VerbSetSeverity}, CodeInvalid, "severity"},
		errorCase{Active, "eng1", Command{Verb: VerbAcknowledge, Severity: "huge"}, CodeInvalid, "severity"},
		errorCase{Active, "eng1", Command{Verb: VerbAssignRole, Role: "The Boss", Person: "eng2"}, CodeInvalid, "role"},
		errorCase{Active, "eng1", Command{Verb: VerbAssignRole, Role: Scribe, Person: "eve"}, CodeUnknown, "person"},
		errorCase{Active, "eng1", Command{Verb: VerbGrant, Person: "eve", Text: "x"}, CodeUnknown, "person"},
		errorCase{Active, "eng1", Command{Verb: VerbGrant, Person: "out1"}, CodeInvalid, "text"},
	)
}

func TestDecide_InvalidFacts(t *testing.T) {
	affected := func(a *Affected) Command {
		return Command{Verb: VerbSetFact, Text: "x", Fact: &FactChange{Name: FactAffected, Affected: a}}
	}
	noReason := factCommand(FactPersonalData, "no")
	noReason.Text = " "
	until := start.AddDate(0, 0, 3)
	expectErrors(t,
		errorCase{Active, "eng1", Command{Verb: VerbSetFact}, CodeInvalid, "fact"},
		errorCase{Active, "eng1", factCommand("mood", "bad"), CodeInvalid, "fact"},
		errorCase{Active, "eng1", factCommand(FactOccurred, "yesterday"), CodeInvalid, "value"},
		errorCase{Active, "eng1", factCommand(FactOccurred, "2027-01-01T00:00:00Z"), CodeInvalid, "value"},
		errorCase{Active, "eng1", factCommand(FactOccurred, "0000-01-01T00:00:00+05:00"), CodeInvalid, "value"},
		errorCase{Active, "eng1", factCommand(FactAware, "2026-11-24T01:00:00Z"), CodeInvalid, "regime"},
		errorCase{Active, "eng1", factCommand(FactPersonalData, "perhaps"), CodeInvalid, "value"},
		errorCase{Active, "eng1", noReason, CodeInvalid, "text"},
		errorCase{Active, "eng1", factCommand(FactPersonalData, tooLongText), CodeInvalid, "value"},
		errorCase{Active, "eng1", factCommand(FactTimeZone, "Moon/Base"), CodeInvalid, "value"},
		errorCase{Active, "eng1", factCommand(FactTimeZone, "Local"), CodeInvalid, "value"},
		errorCase{Active, "eng1", factCommand(FactTimeZone, ""), CodeInvalid, "value"},
		errorCase{Active, "eng1", factCommand(FactLanguage, "en_US!"), CodeInvalid, "value"},
		errorCase{Active, "eng1", factCommand(FactLanguage, "zz-notalang"), CodeInvalid, "value"},
		errorCase{Active, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"language": "zz"}}, CodeInvalid, "language"},
		errorCase{Active, "eng1", affected(nil), CodeInvalid, "affected"},
		errorCase{Active, "eng1", affected(&Affected{Who: " ", Capacity: Controller}), CodeInvalid, "affected"},
		errorCase{Active, "eng1", affected(&Affected{Who: tooLongText, Capacity: Controller}), CodeInvalid, "affected"},
		errorCase{Active, "eng1", affected(&Affected{Who: "us"}), CodeInvalid, "capacity"},
		errorCase{Active, "eng1", affected(&Affected{Who: "us", Capacity: Controller, Count: -1}), CodeInvalid, "count"},
		errorCase{Active, "eng1", affected(&Affected{Who: "us", Capacity: Controller, Count: 1 << 60}), CodeInvalid, "count"},
		errorCase{Active, "eng1", affected(&Affected{Who: "us", Capacity: Controller, NotifiedAt: until}), CodeInvalid, "notified_at"},
		errorCase{Active, "eng1", affected(&Affected{Who: "us", Capacity: Controller, NotifiedAt: start.AddDate(-900, 0, 0)}), CodeInvalid, "notified_at"},
	)
}

func TestDecide_InvalidEvidenceAndSteps(t *testing.T) {
	expectErrors(t,
		errorCase{Active, "eng1", Command{Verb: VerbEvidence}, CodeInvalid, "name"},
		errorCase{Active, "eng1", Command{Verb: VerbEvidence, Evidence: &Evidence{Name: " "}}, CodeInvalid, "name"},
		errorCase{Active, "eng1", Command{Verb: VerbEvidence, Evidence: &Evidence{Name: "x", Where: tooLongText}}, CodeInvalid, "where"},
		errorCase{Active, "eng1", Command{Verb: VerbEvidence, Evidence: &Evidence{Name: "x", SHA256: "abc"}}, CodeInvalid, "sha256"},
		errorCase{Active, "eng1", Command{Verb: VerbStepDone, Step: "dance"}, CodeUnknown, "step"},
		errorCase{Active, "eng1", Command{Verb: VerbStepSkip, Step: "dance", Text: "x"}, CodeUnknown, "step"},
		errorCase{Active, "eng1", Command{Verb: VerbStepSkip, Step: "look"}, CodeInvalid, "text"},
		errorCase{Active, "", Command{Verb: VerbStartStep, Step: "dance"}, CodeUnknown, "step"},
		errorCase{Active, "", Command{Verb: VerbStepLate, Step: "other/look"}, CodeUnknown, "step"},
	)
}

func TestDecide_InvalidDepartmentsAndDelegations(t *testing.T) {
	until := start.AddDate(0, 0, 3)
	expectErrors(t,
		errorCase{Active, "eng1", Command{Verb: VerbInvolve, Department: "poetry"}, CodeUnknown, "department"},
		errorCase{Active, "eng1", Command{Verb: VerbConsult, Department: "poetry"}, CodeUnknown, "department"},
		errorCase{Active, "eng1", Command{Verb: VerbAnswer, Department: "payments", Text: "x"}, CodeUnknown, "department"},
		errorCase{Active, "eng1", Command{Verb: VerbDelegate, Department: "poetry", Person: "out1", Until: until}, CodeUnknown, "department"},
		errorCase{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "eve", Until: until}, CodeUnknown, "person"},
		errorCase{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "eng1", Until: until}, CodeInvalid, "person"},
		errorCase{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "out1", Until: start}, CodeInvalid, "until"},
		errorCase{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "out1", Until: start.AddDate(1, 0, 0)}, CodeInvalid, "until"},
		errorCase{Active, "eng1", Command{Verb: VerbDelegate, Department: Engineering, Person: "out1", Until: farFuture}, CodeInvalid, "until"},
	)
}

func TestDecide_InvalidErasuresAndAlerts(t *testing.T) {
	expectErrors(t,
		errorCase{Active, "sec1", Command{Verb: VerbErase, Text: "x"}, CodeInvalid, "erase"},
		errorCase{Active, "sec1", Command{Verb: VerbErase, Text: "x", Erase: []TextRef{{0, "text"}}}, CodeUnknown, "erase"},
		errorCase{Active, "sec1", Command{Verb: VerbErase, Text: "x", Erase: []TextRef{{99, "text"}}}, CodeUnknown, "erase"},
		errorCase{Active, "sec1", Command{Verb: VerbErase, Text: "x", Erase: []TextRef{{1, ""}}}, CodeUnknown, "erase"},
		errorCase{Active, "sec1", Command{Verb: VerbErase, Erase: []TextRef{{1, "title"}}}, CodeInvalid, "text"},
		errorCase{Active, "", Command{Verb: VerbAttach}, CodeInvalid, "alert"},
		errorCase{Active, "", Command{Verb: VerbAttach, Alert: &AlertRef{Alert: 9}, Severity: "sev0"}, CodeInvalid, "severity"},
		errorCase{Active, "", Command{Verb: VerbCount}, CodeInvalid, "alert"},
	)
}

func TestDecide_InvalidActions(t *testing.T) {
	act := func(a Action) Command { return Command{Verb: VerbAddAction, Action: &a} }
	good := requiredActions[0]
	expectErrors(t,
		errorCase{Active, "eng1", act(Action{Kind: "wish", Title: "x", Owner: "eng1", Due: good.Due}), CodeInvalid, "kind"},
		errorCase{Active, "eng1", act(Action{Kind: good.Kind, Owner: "eng1", Due: good.Due}), CodeInvalid, "title"},
		errorCase{Active, "eng1", act(Action{Kind: good.Kind, Title: tooLongText, Owner: "eng1", Due: good.Due}), CodeInvalid, "action"},
		errorCase{Active, "eng1", act(Action{Kind: good.Kind, Title: "x", Due: good.Due}), CodeUnknown, "owner"},
		errorCase{Active, "eng1", act(Action{Kind: good.Kind, Title: "x", Owner: "eng1"}), CodeInvalid, "due"},
		errorCase{Active, "eng1", act(Action{Kind: good.Kind, Title: "x", Owner: "eng1", Due: farFuture}), CodeInvalid, "due"},
		errorCase{Active, "eng1", Command{Verb: VerbAddAction}, CodeInvalid, "action"},
		errorCase{Active, "eng1", Command{Verb: VerbFinishAction, Item: "A9"}, CodeUnknown, "action"},
	)
}

func TestDecide_InvalidRecordsAndObjections(t *testing.T) {
	expectErrors(t,
		errorCase{Resolved, "eng1", Command{Verb: VerbEditRecord}, CodeInvalid, "record"},
		errorCase{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"mood": "x"}}, CodeInvalid, "record"},
		errorCase{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"impact": " "}}, CodeInvalid, "impact"},
		errorCase{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"impact": tooLongText}}, CodeInvalid, "impact"},
		errorCase{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"audience": "press"}}, CodeInvalid, "audience"},
		errorCase{Resolved, "eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"language": "!"}}, CodeInvalid, "language"},
		errorCase{Resolved, "eng1", Command{Verb: VerbSubmit, Record: map[string]string{"mood": "x"}}, CodeInvalid, "record"},
		errorCase{InReview, "eng1", Command{Verb: VerbAmend}, CodeInvalid, "text"},
		errorCase{InReview, "eng1", Command{Verb: VerbAmend, Text: "x", Record: map[string]string{"mood": "x"}}, CodeInvalid, "record"},
		errorCase{InReview, "eng1", Command{Verb: VerbWithdraw, Department: Engineering}, CodeUnknown, "objection"},
		errorCase{InReview, "pay1", Command{Verb: VerbObject, Department: "payments", Text: "x", Expect: "current"}, CodeUnknown, "incident"},
		errorCase{InReview, "leg1", Command{Verb: VerbObject, Department: "payments", Text: "x", Expect: "current"}, CodeInvalid, "department"},
		errorCase{InReview, "leg1", Command{Verb: VerbObject, Department: Legal, Text: "x", Expect: "sha256:12"}, CodeStale, ""},
		errorCase{InReview, "leg1", Command{Verb: VerbObject, Department: Security, Text: "x", Expect: "current"}, CodeForbidden, ""},
	)
}

func TestDecide_InvalidReviews(t *testing.T) {
	good := requiredActions[0]
	conclude := func(change func(*Command)) Command {
		c := Command{Verb: VerbConclude, Attendance: []PersonID{"eng1", "sec1"}, Text: "talked", Reason: "all are here", Actions: requiredActions}
		change(&c)
		return c
	}
	expectErrors(t,
		errorCase{InReview, "eng1", Command{Verb: VerbScheduleReview}, CodeInvalid, "when"},
		errorCase{InReview, "eng1", Command{Verb: VerbScheduleReview, When: start.AddDate(0, 0, -1)}, CodeInvalid, "when"},
		errorCase{InReview, "eng1", Command{Verb: VerbScheduleReview, When: farFuture}, CodeInvalid, "when"},
		errorCase{Approved, "eng1", Command{Verb: VerbRevise}, CodeInvalid, "text"},
		errorCase{Approved, "eng1", Command{Verb: VerbRevise, Text: "x", Record: map[string]string{"mood": "x"}}, CodeInvalid, "record"},
		errorCase{Approved, "eng1", Command{Verb: VerbWaiveActions}, CodeInvalid, "text"},
		errorCase{Approved, "eng1", conclude(func(c *Command) { c.Attendance = []PersonID{"eng1", "eng1"} }), CodeInvalid, "attendance"},
		errorCase{Approved, "eng1", conclude(func(c *Command) { c.Attendance[1] = "eve" }), CodeUnknown, "attendance"},
		errorCase{Approved, "eng1", conclude(func(c *Command) { c.Text = "" }), CodeInvalid, "text"},
		errorCase{Approved, "eng1", conclude(func(c *Command) { c.Reason = " " }), CodeInvalid, "reason"},
		errorCase{Approved, "eng1", conclude(func(c *Command) { c.Reason = tooLongText }), CodeInvalid, "reason"},
		errorCase{Approved, "eng1", conclude(func(c *Command) { c.Waiver = tooLongText }), CodeInvalid, "waiver"},
		errorCase{Approved, "eng1", conclude(func(c *Command) { c.Actions = []Action{{Kind: "wish"}} }), CodeInvalid, "kind"},
		errorCase{Approved, "eng1", conclude(func(c *Command) { c.Actions = []Action{{Kind: good.Kind, Title: tooLongText}} }), CodeInvalid, "actions"},
		errorCase{Approved, "eng1", conclude(func(c *Command) { c.Actions = []Action{{Kind: good.Kind, Title: "x", Due: farFuture}} }), CodeInvalid, "actions"},
		errorCase{Approved, "", Command{Verb: VerbPostmortemWritten, Document: "current", Revision: 2}, CodeStale, ""},
		errorCase{Approved, "", Command{Verb: VerbPostmortemWritten, Document: "sha256:00", Revision: 1}, CodeStale, ""},
	)
}

func TestDecide_InvalidOpenings(t *testing.T) {
	for name, c := range map[string]Command{"title": {Title: " "}, "severity": {Title: "x", Severity: "worst"}} {
		w := newFixture(t)
		c.Verb = VerbOpen
		var e *Error
		if _, err := w.decideAs("eng1", c); !errors.As(err, &e) || e.Field != name {
			t.Errorf("open with an invalid %s: got %v, want an error in field %[1]s", name, err)
		}
	}
}
