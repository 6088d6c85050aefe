package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"pgregory.net/rapid"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

// postBlocks posts a message in the channel of INC-42 and returns its
// timestamp.
func (e *inboundTest) postBlocks(blocks ...slack.Block) string {
	e.Helper()
	_, ts, err := e.slack.client.PostMessageContext(context.Background(), e.channel, slack.MsgOptionBlocks(blocks...), slack.MsgOptionText("x", false))
	return e.must(ts, err)
}

// click posts a message with one button and clicks the button.
func (e *inboundTest) click(user, action, value string) {
	e.Helper()
	ts := e.postBlocks(slack.NewActionBlock("", button(action, "Press", value)))
	if err := e.ws.Act(user).Click(e.channel, ts, chat.Action{ID: action}); err != nil {
		e.Fatal(err)
	}
}

// completeRecord resolves an incident and completes its record.
func completeRecord(inc *incident.Incident) {
	inc.Status = incident.Resolved
	inc.Record = incident.ClosingRecord{Summary: "s", Impact: "call ada@example.com", RootCause: "r", Response: "w", DetectedBy: "d", WillDetect: "d", WillPrevent: "p",
		Audience: incident.AudienceAll, Language: "en"}
}

func TestForms(t *testing.T) {
	due := time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name, typed string
		before      func(*incident.Incident)
		fields      map[string]any
		want        incident.Command // without key and author
	}{
		{"open", "open", nil, map[string]any{"title": "Leaked key", "severity": "sev1", "public": []string{"yes"}},
			incident.Command{Verb: incident.VerbOpen, Title: "Leaked key", Severity: incident.Sev1, Public: true}},
		{"severity", "severity", nil, map[string]any{"severity": "sev1", "text": "it spreads"},
			incident.Command{Verb: incident.VerbSetSeverity, For: 42, Severity: incident.Sev1, Text: "it spreads"}},
		{"role", "role", nil, map[string]any{"role": "scribe", "person": "U0BEN"},
			incident.Command{Verb: incident.VerbAssignRole, For: 42, Role: incident.Scribe, Person: "p2"}},
		{"fact", "fact aware", nil, map[string]any{"regime": "gdpr", "value": time.Date(2026, 11, 20, 2, 31, 0, 0, time.UTC).Unix(), "text": "legal says so"},
			incident.Command{Verb: incident.VerbSetFact, For: 42, Text: "legal says so", Fact: &incident.FactChange{Name: incident.FactAware, Regime: "gdpr", Value: "2026-11-20T02:31:00Z"}}},
		{"note", "note", nil, map[string]any{"text": "looked at the log", "happened_at": time.Date(2026, 11, 19, 23, 10, 0, 0, time.UTC).Unix(), "audience": "legal_and_security"},
			incident.Command{Verb: incident.VerbNote, For: 42, Text: "looked at the log", Audience: incident.AudienceLegalSecurity, HappenedAt: time.Date(2026, 11, 19, 23, 10, 0, 0, time.UTC)}},
		{"evidence", "evidence", nil, map[string]any{"name": "the log", "where": "s3://x", "sha256": strings.Repeat("AB", 32)},
			incident.Command{Verb: incident.VerbEvidence, For: 42, Evidence: &incident.Evidence{Name: "the log", Where: "s3://x", SHA256: strings.Repeat("ab", 32)}}},
		{"update", "update", nil, map[string]any{"text": "all is well"}, incident.Command{Verb: incident.VerbUpdate, For: 42, Text: "all is well"}},
		{"contain", "contain", nil, map[string]any{"text": "key disabled"}, incident.Command{Verb: incident.VerbContain, For: 42, Text: "key disabled"}},
		{"dismiss", "dismiss", nil, map[string]any{"text": "a test"}, incident.Command{Verb: incident.VerbDismiss, For: 42, Text: "a test"}},
		{"submit", "", completeRecord, nil, incident.Command{Verb: incident.VerbSubmit, For: 42, Record: map[string]string{}, Seen: 2}},
		{"review", "review", completeRecord, map[string]any{"when": noon.Add(time.Hour).Unix()}, incident.Command{Verb: incident.VerbScheduleReview, For: 42, When: noon.Add(time.Hour)}},
		{"action", "action add", nil, map[string]any{"kind": "detection", "title": "alarm", "owner": "U0EVE", "due": "2026-12-24"},
			incident.Command{Verb: incident.VerbAddAction, For: 42, Action: &incident.Action{Kind: incident.ActionDetection, Title: "alarm", Owner: "p5", Due: due}}},
		{"conclude", "review conclude", func(i *incident.Incident) { i.Status = incident.Approved },
			map[string]any{"attendance": []string{"U0ADA", "U0BEN"}, "text": "rotate keys", "reason": "all are here", "detection": "alarm", "detection_owner": "U0ADA", "detection_due": "2026-12-24",
				"prevention": "short keys", "prevention_owner": "U0BEN", "prevention_due": "2026-12-24"},
			incident.Command{Verb: incident.VerbConclude, For: 42, Text: "rotate keys", Reason: "all are here", Attendance: []incident.PersonID{"p1", "p2"},
				Actions: []incident.Action{{Kind: incident.ActionDetection, Title: "alarm", Owner: "p1", Due: due}, {Kind: incident.ActionPrevention, Title: "short keys", Owner: "p2", Due: due}}}},
		{"amend", "amend", submitRecord, map[string]any{"text": "wrong"}, incident.Command{Verb: incident.VerbAmend, For: 42, Text: "wrong"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := newInboundTest(t, chat.ModeHTTP)
			if test.before != nil {
				e.desk.change(test.before)
			}
			if test.typed != "" {
				if got := e.typeCommand("U0ADA", test.typed); got != "" {
					t.Fatalf("got reply %s, want a form", got)
				}
			} else {
				e.click("U0ADA", ActionID(incident.VerbSubmit), "INC-42")
			}
			out := e.submit("U0ADA", test.fields)
			if out.Outcome == chat.SubmitErrors {
				t.Fatalf("got errors %v, want none", out.Errors)
			}
			got := e.desk.last()
			got.Key, got.By, got.Auth, got.Via, got.Reporter = "", incident.Identity{}, "", "", nil
			if !got.When.Equal(test.want.When) || !got.HappenedAt.Equal(test.want.HappenedAt) {
				t.Errorf("got times %s and %s, want %s and %s", got.When, got.HappenedAt, test.want.When, test.want.HappenedAt)
			}
			got.When, got.HappenedAt, test.want.When, test.want.HappenedAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// submitRecord completes and submits the record of an incident.
func submitRecord(inc *incident.Incident) {
	completeRecord(inc)
	events, err := incident.Decide(incident.Command{Verb: incident.VerbSubmit}, *inc, incident.Env{Now: noon, Actor: "p4", Directory: testDirectory()})
	if err != nil {
		panic(err)
	}
	for _, ev := range events {
		*inc = incident.Apply(*inc, ev)
	}
}

// The form may show redacted values, so unchanged fields must not be
// submitted.
func TestRecordForm_SubmitsOnlyChangedFields(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.desk.change(completeRecord)
	e.desk.redact = func(inc incident.Incident) incident.Incident {
		inc.Record.Impact = "call [e-mail]"
		return inc
	}
	e.typeCommand("U0ADA", "record")
	if v := e.currentForm("U0ADA"); strings.Contains(string(v.Blocks), "ada@example.com") || !strings.Contains(string(v.Blocks), "[e-mail]") || len(v.PrivateMetadata) > 3000 {
		t.Fatalf("got form %s, want the redacted impact", v.Blocks)
	}
	if out := e.submit("U0ADA", map[string]any{"summary": "a new summary", "audience": "responders"}); out.Outcome != chat.SubmitClosed {
		t.Fatalf("got %+v, want a closed form", out)
	}
	want := map[string]string{"summary": "a new summary", "audience": "responders"}
	if got := e.desk.last().Record; !reflect.DeepEqual(got, want) {
		t.Errorf("got record %v, want %v", got, want)
	}
	if got := e.desk.incidents[42].Record.Impact; got != "call ada@example.com" {
		t.Errorf("got impact %q, want the full text", got)
	}
}

func TestRecordForm_UnchangedRecordsNothing(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.desk.change(completeRecord)
	e.typeCommand("U0ADA", "record")
	if out := e.submit("U0ADA", nil); out.Outcome != chat.SubmitClosed || e.desk.count() != 0 {
		t.Errorf("got %+v and %d commands, want a closed form and 0", out, e.desk.count())
	}
}

func TestRecordForm_PreservesLongFields(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.desk.change(func(inc *incident.Incident) { completeRecord(inc); inc.Record.Impact = strings.Repeat("x", 5000) })
	e.typeCommand("U0ADA", "record")
	if v := e.currentForm("U0ADA"); !strings.Contains(string(v.Blocks), "record set impact") {
		t.Fatalf("got form %s, want the command for the impact", v.Blocks)
	}
	e.submit("U0ADA", map[string]any{"summary": "new"})
	if got := e.desk.incidents[42].Record.Impact; len(got) != 5000 {
		t.Errorf("got an impact of %d characters, want 5000", len(got))
	}
}

func TestFingerprint_IgnoresLineEndings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := clean(rapid.String().Draw(t, "text"))
		if fingerprint(text) != fingerprint(strings.ReplaceAll(strings.TrimSpace(text), "\n", "\r\n")) && !strings.Contains(text, "\r") {
			t.Fatalf("%q: got different fingerprints, want equal", text)
		}
	})
}

func TestSignAndObject(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.desk.change(submitRecord)
	digest := e.desk.incidents[42].Submission.Digest
	e.click("U0ADA", ActionID(incident.VerbSign), buttonValue(42, "engineering", digest))
	v := e.currentForm("U0ADA")
	for _, want := range []string{digest, incident.Policy{}.Attestation(incident.Engineering).Text, "You have not read this record before", "Root cause", "call ada@example.com"} {
		if !strings.Contains(string(v.Blocks), want) {
			t.Errorf("got form %s, want %q", v.Blocks, want)
		}
	}
	if out := e.submit("U0ADA", nil); out.Outcome != chat.SubmitErrors || !out.Client {
		t.Errorf("without the attestation: got %+v, want errors of the client", out)
	}
	if out := e.submit("U0ADA", map[string]any{"attest": []string{"yes"}}); out.Outcome != chat.SubmitClosed {
		t.Fatalf("sign: got %+v, want a closed form", out)
	}
	if s := e.desk.incidents[42].SignedBy(incident.Engineering); s == nil || s.By != "p1" {
		t.Errorf("got signature %+v, want one by p1", s)
	}

	e.typeCommand("U0CLEO", "object legal the impact leaves out the contractors")
	if out := e.submit("U0CLEO", nil); out.Outcome != chat.SubmitClosed {
		t.Fatalf("object: got %+v, want a closed form", out)
	}
	cmd := e.desk.last()
	if cmd.Verb != incident.VerbObject || cmd.Department != incident.Legal || cmd.Text != "the impact leaves out the contractors" || cmd.Expect != digest {
		t.Errorf("got command %+v, want the objection of legal", cmd)
	}

	e.click("U0CLEO", ActionID(incident.VerbWithdraw), buttonValue(42, "O1"))
	if got := e.desk.incidents[42].Objections[0]; got.Open() {
		t.Errorf("got open objection %+v, want it withdrawn", got)
	}
}

// A person who cannot sign reads who can, and gets no form.
func TestSignForm_NamesWhoCanSign(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.desk.change(submitRecord)
		digest := e.desk.incidents[42].Submission.Digest
		e.click("U0BEN", ActionID(incident.VerbSign), buttonValue(42, "legal", digest))
		if v := e.currentForm("U0BEN"); v.Submit != "" || !strings.Contains(string(v.Blocks), "You cannot sign") || !strings.Contains(string(v.Blocks), "These people can sign for legal: Cleo") {
			t.Errorf("got %s with the button %q, want who can sign", v.Blocks, v.Submit)
		}
		if _, seen := e.desk.seen["p2"]; seen {
			t.Error("the record counts as seen, want it unseen")
		}
	})
}

// The second look at a record shows what changed since the first one.
func TestSignForm_ShowsWhatChanged(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.desk.policy.Attestations = map[incident.Department]incident.Attestation{incident.Engineering: {Version: "2026-11", Text: "The cause is right."}}
	e.desk.change(func(inc *incident.Incident) {
		submitRecord(inc)
		inc.Facts.PersonalData = incident.PersonalSuspected
		inc.Submission.Document.Facts = inc.Facts
		inc.Objections = []incident.Objection{{ID: "O7", Department: incident.Legal, By: "p3", Reason: "how many?"}}
	})
	sign := func() string {
		e.typeCommand("U0ADA", "sign engineering")
		v := e.currentForm("U0ADA")
		if err := e.ws.Act("U0ADA").CloseView(v.ID, true); err != nil {
			t.Fatal(err)
		}
		return string(v.Blocks)
	}
	if got := sign(); !strings.Contains(got, "The cause is right.") || !strings.Contains(got, "2026-11") || !strings.Contains(got, "O7 of legal") || !strings.Contains(got, "Personal data: suspected") {
		t.Errorf("got %s, want the statement, the objection and the facts", got)
	}
	if got := sign(); !strings.Contains(got, "Unchanged since you read it") {
		t.Errorf("got %s, want no change", got)
	}
	e.desk.change(func(inc *incident.Incident) { inc.Submission.Document.Record.RootCause = "a guessed key" })
	if got := sign(); !strings.Contains(got, "Changed since you read it") || !strings.Contains(got, "− r\\n+ a guessed key") {
		t.Errorf("got %s, want the change of the root cause", got)
	}
}

// Nobody signs a statement that changed after the form showed it.
func TestSignForm_RejectsChangedStatement(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.desk.change(submitRecord)
	e.typeCommand("U0ADA", "sign engineering")
	e.currentForm("U0ADA")
	e.desk.policy.Attestations = map[incident.Department]incident.Attestation{incident.Engineering: {Version: "2", Text: "Everything is right."}}
	if out := e.submit("U0ADA", map[string]any{"attest": []string{"yes"}}); out.Outcome != chat.SubmitErrors || !strings.Contains(toJSON(out.Errors), "statement") {
		t.Errorf("got %+v, want an error about the statement", out)
	}
}

func TestSign_RejectsChangedRecord(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.desk.change(submitRecord)
	e.typeCommand("U0ADA", "sign engineering")
	e.currentForm("U0ADA")
	e.desk.change(func(inc *incident.Incident) {
		inc.Status, inc.Submission = incident.Resolved, nil
		submitRecord(inc)
		inc.Submission.Digest = "sha256:" + strings.Repeat("0", 64)
	})
	out := e.submit("U0ADA", map[string]any{"attest": []string{"yes"}})
	if out.Outcome != chat.SubmitErrors || !strings.Contains(toJSON(out.Errors), "changed") {
		t.Errorf("got %+v, want an error about the change", out)
	}
}

func toJSON(m map[string]string) string {
	out, _ := json.Marshal(m)
	return string(out)
}

func TestFieldErrors_AppearBelowTheirField(t *testing.T) {
	tests := []struct {
		name, typed    string
		before         func(*incident.Incident)
		fields         map[string]any
		field, message string
	}{
		{"time", "note", nil, map[string]any{"text": "x", "happened_at": noon.Add(time.Hour).Unix(), "audience": "all"}, "happened_at", "future"},
		{"fact", "fact occurred", nil, map[string]any{"value": noon.Add(time.Hour).Unix(), "text": "x"}, "value", "between 1970 and now"},
		{"unknown person", "role", nil, map[string]any{"role": "scribe", "person": "U0ZOE"}, "person", "configuration"},
		{"hash", "evidence", nil, map[string]any{"name": "x", "sha256": "abc"}, "sha256", ""},
		{"lifecycle", "amend", nil, map[string]any{"text": "x"}, "text", "is not possible. You can use "},
		{"empty record", "record submit form", func(i *incident.Incident) { completeRecord(i); i.Record.Impact = "" }, map[string]any{"impact": "  "}, "impact", ""},
		{"action without owner", "review conclude", func(i *incident.Incident) { i.Status = incident.Approved },
			map[string]any{"attendance": []string{"U0ADA", "U0BEN"}, "text": "x", "reason": "y", "detection": "alarm"}, "detection_owner", "owner"},
		{"no actions", "review conclude", func(i *incident.Incident) { i.Status = incident.Approved },
			map[string]any{"attendance": []string{"U0ADA", "U0BEN"}, "text": "x", "reason": "y"}, "detection", "detection"},
		{"one attendee", "review conclude", func(i *incident.Incident) { i.Status = incident.Approved },
			map[string]any{"attendance": []string{"U0ADA"}, "text": "x", "reason": "y"}, "attendance", "two"},
		{"before the meeting", "review conclude", func(i *incident.Incident) { i.Status = incident.Approved },
			map[string]any{"attendance": []string{"U0ADA", "U0BEN"}, "text": "x", "reason": "  "}, "reason", "empty"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := newInboundTest(t, chat.ModeHTTP)
			if test.before != nil {
				e.desk.change(test.before)
			}
			if test.typed == "record submit form" {
				e.click("U0ADA", ActionID(incident.VerbSubmit), "INC-42")
			} else {
				e.typeCommand("U0ADA", test.typed)
			}
			out := e.submit("U0ADA", test.fields)
			if out.Outcome != chat.SubmitErrors || !strings.Contains(out.Errors[test.field], test.message) || out.Errors[test.field] == "" {
				t.Errorf("got %+v, want %q below %s", out, test.message, test.field)
			}
			if e.desk.count() != 0 {
				t.Error("got a recorded command, want none")
			}
		})
	}
}

func TestAcknowledgeButton(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.click("U0BEN", ActionID(incident.VerbAcknowledge), "INC-42")
		if inc := e.desk.incidents[42]; inc.Status != incident.Active || inc.Commander != "p2" {
			t.Fatalf("got status %s and commander %s, want active and p2", inc.Status, inc.Commander)
		}
		m := e.lastEphemeral("U0BEN")
		if !strings.Contains(m.Text, "You acknowledged") || !strings.Contains(string(m.Blocks), "Set the severity:") {
			t.Fatalf("got %s %s, want an acknowledgement and the severity menu", m.Text, m.Blocks)
		}
		if err := e.ws.Act("U0BEN").Click(e.channel, m.TS, chat.Action{ID: ActionID(incident.VerbSetSeverity), Value: "INC-42|sev1"}); err != nil {
			t.Fatal(err)
		}
		if got := e.desk.last(); got.Verb != incident.VerbSetSeverity || got.Severity != incident.Sev1 {
			t.Errorf("got command %+v, want sev1", got)
		}
	})
}

func TestHandleAction_ErrorsGoToThePerson(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.click("U0EVE", ActionID(incident.VerbAcknowledge), "INC-42")
	if m := e.lastEphemeral("U0EVE"); !strings.Contains(m.Text, "you may not read it") {
		t.Errorf("got %q, want the refusal", m.Text)
	}
	e.click("U0ADA", "unknown_action", "INC-42")
	e.click("U0ADA", ActionID(incident.VerbAcknowledge), "nonsense")
	if e.desk.count() != 0 {
		t.Error("got a recorded command, want none")
	}
}

func TestStepButtons(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.desk.change(func(inc *incident.Incident) {
		inc.Status = incident.Active
		inc.Runs = []incident.Run{{Playbook: "pb", Plan: []incident.Step{{ID: "a", Title: "A", Status: incident.StepOpen}, {ID: "b", Title: "B", Status: incident.StepOpen}}}}
	})
	e.click("U0ADA", ActionID(incident.VerbStepDone), buttonValue(42, "pb/a"))
	e.submit("U0ADA", map[string]any{"text": "rotated"})
	e.click("U0ADA", ActionID(incident.VerbStepSkip), buttonValue(42, "pb/b"))
	e.submit("U0ADA", map[string]any{"text": "no need"})
	plan := e.desk.incidents[42].Runs[0].Plan
	if plan[0].Status != incident.StepDone || plan[0].Outcome != "rotated" || plan[1].Status != incident.StepSkipped || plan[1].Outcome != "no need" {
		t.Errorf("got plan %+v, want one step done and one skipped", plan)
	}
}

// Slack has two error codes for an expired trigger, and the sandbox
// alternates between them.
func TestOpenForm_ExpiredTrigger(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.desk.onDirectory = func() { e.advance(4 * time.Second) }
	for _, typed := range []string{"note", "record"} {
		if got := e.typeCommand("U0ADA", typed); !strings.Contains(got, "three seconds") {
			t.Errorf("%s: got %s, want an expired trigger", typed, got)
		}
	}
}

func TestOpenForm_RestrictedIncident(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.typeCommand("U0CLEO", "record")
	if v := e.currentForm("U0CLEO"); !strings.Contains(string(v.Blocks), "restricted") || v.Submit != "" {
		t.Errorf("got form %s, want a message without submit button", v.Blocks)
	}
}

func TestHomeAndStatus(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		home := e.openHome("U0ADA")
		if !strings.Contains(string(home.Blocks), "INC-42 · sev2 · triage · Root key used") {
			t.Fatalf("got home tab %s, want INC-42", home.Blocks)
		}
		if err := e.ws.Act("U0ADA").ClickView(home.ID, chat.Action{ID: askID(0), Value: "status INC-42"}); err != nil {
			t.Fatal(err)
		}
		if v := e.currentForm("U0ADA"); !strings.Contains(string(v.Blocks), "Root key used") {
			t.Errorf("got status %s, want the title", v.Blocks)
		}
	})
}

func TestEvents(t *testing.T) {
	for _, mode := range []chat.Mode{chat.ModeHTTP, chat.ModeSocket} {
		t.Run(string(mode), func(t *testing.T) {
			changed := make(chan struct{}, 4)
			e := newInboundTest(t, mode, func(c *options) { c.OnGroupsChanged = func(context.Context) { changed <- struct{}{} } })
			bot := e.ws.Config().Bot.UserID
			if _, err := e.ws.Act("U0ADA").Post(e.channel, "<@"+bot+"> help", ""); err != nil {
				t.Fatal(err)
			}
			e.waitUntil(func() bool { return len(e.ws.Ephemerals("U0ADA")) > 0 })
			if m := e.lastEphemeral("U0ADA"); !strings.Contains(string(m.Blocks), "/incident ack") {
				t.Errorf("got %s, want the help", m.Text)
			}
			e.ws.SetGroupMembers("S0SEC", []string{"U0BEN"})
			select {
			case <-changed:
			case <-time.After(10 * time.Second):
				t.Error("got no call of OnGroupsChanged, want one")
			}
		})
	}
}

func TestGlobalShortcut(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		if err := e.ws.Act("U0ADA").Shortcut(ShortcutOpen); err != nil {
			t.Fatal(err)
		}
		out := e.submit("U0ADA", map[string]any{"title": "Leaked key", "severity": "sev1"})
		if out.Outcome != chat.SubmitUpdated || !strings.Contains(string(out.View.Blocks), "INC-43") {
			t.Errorf("got %+v, want an updated form with INC-43", out)
		}
	})
}

// The form stays open, and a second submission is recorded once.
func TestSubmission_UnknownOutcomeCanBeRepeated(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.typeCommand("U0ADA", "note")
	e.desk.beforeDo = func(context.Context) error { return deskError{true} }
	fields := map[string]any{"text": "x", "audience": "all"}
	if out := e.submit("U0ADA", fields); out.Outcome != chat.SubmitErrors || !strings.Contains(out.Errors["text"], "did not answer in time") {
		t.Fatalf("got %+v, want a timeout", out)
	}
	e.desk.beforeDo = nil
	if out := e.submit("U0ADA", fields); out.Outcome != chat.SubmitClosed || e.desk.count() != 1 {
		t.Errorf("got %+v and %d commands, want a closed form and 1", out, e.desk.count())
	}
}

// The person receives a timeout first and the result later.
func TestHandleAction_LateResult(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.slack.timeout = 20 * time.Millisecond
	release := make(chan struct{})
	e.desk.beforeDo = func(context.Context) error { <-release; return nil }
	e.click("U0ADA", ActionID(incident.VerbAcknowledge), "INC-42")
	e.waitUntil(func() bool { return len(e.ws.Ephemerals("U0ADA")) == 1 })
	if m := e.ws.Ephemerals("U0ADA")[0]; !strings.Contains(m.Text, "did not answer in time") {
		t.Errorf("first reply: got %q, want a timeout", m.Text)
	}
	close(release)
	if m := e.lastEphemeral("U0ADA"); !strings.Contains(m.Text, "You acknowledged") {
		t.Errorf("second reply: got %q, want an acknowledgement", m.Text)
	}
}

// Anyone who knows a response URL can post to the channel.
func TestRespond_LogsNoResponseURL(t *testing.T) {
	var log bytes.Buffer
	e := newInboundTest(t, chat.ModeHTTP, func(c *options) {
		c.Logger, c.APIURL = slog.New(slog.NewTextHandler(&log, nil)), "http://127.0.0.1:1/api/"
	})
	e.slack.respond(context.Background(), "http://127.0.0.1:1/commands/T1/secret", *newEphemeral(message{text: "x"}))
	if got := log.String(); !strings.Contains(got, "send reply failed") || strings.Contains(got, "secret") {
		t.Errorf("got log %s, want a failure without the URL", got)
	}
}

func TestIsSlackURL(t *testing.T) {
	for api, cases := range map[string]map[string]bool{
		"": {"https://hooks.slack.com/commands/T1/x": true, "http://hooks.slack.com/x": false, "https://hooks.slack.com.evil.example/x": false,
			"https://evil.example/?hooks.slack.com": false, "https://hooks.slack.com@evil.example/": false, "http://169.254.169.254/latest": false, "": false, ":": false},
		"https://slack-gov.com/api/": {"https://hooks.slack-gov.com/x": true, "https://slack-gov.com/x": true, "http://slack-gov.com/x": false, "https://evil.example/": false},
		"http://127.0.0.1:8080/api/": {"http://127.0.0.1:8080/response/x": true, "http://127.0.0.1:8081/response/x": false},
	} {
		for address, want := range cases {
			if got := (&Slack{cfg: options{Config: Config{APIURL: api}}}).isSlackURL(address); got != want {
				t.Errorf("isSlackURL(%q) with the API at %q = %t, want %t", address, api, got, want)
			}
		}
	}
}

func TestForms_WithinSlackLimits(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	long := strings.Repeat("\"界<&> ", 4000)
	e.desk.change(func(inc *incident.Incident) {
		submitRecord(inc)
		for _, f := range []*string{&inc.Record.Summary, &inc.Record.Impact, &inc.Record.RootCause, &inc.Record.Contributing, &inc.Record.Response, &inc.Record.DetectedBy} {
			*f = long
		}
		inc.Submission.Document.Record = inc.Record
		inc.Actions = []incident.Action{{ID: "A1", Kind: incident.ActionDetection, Title: long, Owner: "p1", Due: noon}}
	})
	prefill := incident.Command{For: 42, Text: long, Title: long, Step: strings.Repeat("s", 1000), Department: incident.Legal, HappenedAt: noon,
		Evidence: &incident.Evidence{Name: long, Where: long, SHA256: long}, Role: "custodian"}
	b, err := e.slack.reader(identity("U0ADA")).Show(context.Background(), 42, "test")
	if err != nil {
		t.Fatal(err)
	}
	full := command.FormContext{Incident: b.Incident, Directory: b.Directory}
	for n := range 250 { // more than one menu of Slack can list
		full.Incident.Alerts = append(full.Incident.Alerts, incident.AlertRef{Alert: int64(n + 1), Title: long})
		full.Others = append(full.Others, incident.Summary{ID: incident.ID(n + 100), Title: long})
		full.Alerts = append(full.Alerts, incident.AlertLine{ID: int64(n + 1), Title: "\u200b\n"})
		full.Timeline = append(full.Timeline, incident.Event{Seq: n + 1, Texts: map[string]incident.Text{"text": {Value: long}}})
		full.Incident.Objections = append(full.Incident.Objections, incident.Objection{ID: fmt.Sprintf("O%d", n), Department: incident.Legal, Reason: long})
		full.Incident.Actions = append(full.Incident.Actions, incident.Action{ID: fmt.Sprintf("A%d", n), Title: long})
	}
	full.Incident.Runs = []incident.Run{{Playbook: strings.Repeat("p", 200), Plan: []incident.Step{{ID: "a", Title: long}}}, {Playbook: "pb", Plan: []incident.Step{{ID: "b", Title: long}, {ID: "c"}}}}
	full.Draft = incident.DraftRecord(full.Incident, nil, full.Directory)
	for name, given := range formCommands() {
		f, _ := command.FormFor(given)
		c := full
		c.Given = prefill
		c.Given.Verb, c.Given.Fact = given.Verb, given.Fact
		v, err := formView(f, c)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := json.Marshal(v)
		if verb := name; len(data) > 250_000 || len(v.PrivateMetadata) > 3000 || units(f.Title) > 24 || units(f.Submit) > 24 {
			t.Errorf("%s: got %d bytes, %d of metadata, title %q and submit %q, want them within the limits", verb, len(data), len(v.PrivateMetadata), f.Title, f.Submit)
		}
		ts := e.postBlocks(slack.NewActionBlock("", button("probe", "x", "x")))
		if err := e.ws.Act("U0ADA").Click(e.channel, ts, chat.Action{ID: "probe"}); err != nil {
			t.Fatal(err)
		}
		trigger := lastTrigger(t, e)
		if _, err := e.slack.client.OpenView(trigger, v); err != nil {
			t.Errorf("%s: open form: got error %v %s, want nil", name, err, refusedBecause(err))
		}
	}
}

// formCommands returns a command for every form: one of each verb that has one, and one
// of each fact.
func formCommands() map[string]incident.Command {
	out := map[string]incident.Command{}
	for _, spec := range command.Specs() {
		for _, syntax := range spec.Syntaxes {
			if _, ok := command.FormOf(syntax.Verb); ok {
				out[string(syntax.Verb)] = incident.Command{Verb: syntax.Verb}
			}
		}
	}
	for _, name := range incident.FactNames() {
		out["fact "+string(name)] = incident.Command{Verb: incident.VerbSetFact, Fact: &incident.FactChange{Name: name, Value: strings.Repeat("\"界<&> ", 400), Regime: strings.Repeat("r", 200),
			Affected: &incident.Affected{Who: strings.Repeat("\"界<&> ", 4000), Capacity: "owner", Count: incident.MaxAffected, NotifiedAt: noon}}}
	}
	return out
}

// refusedBecause returns the reasons for which Slack refused a view.
func refusedBecause(err error) string {
	var refused slack.SlackErrorResponse
	errors.As(err, &refused)
	return strings.Join(refused.ResponseMetadata.Messages, " ")
}

// The menu of facts leads to the form of the chosen fact, which shows what is known.
func TestFactForm_FollowsItsMenu(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.desk.change(func(inc *incident.Incident) { inc.Facts.PersonalData = incident.PersonalSuspected })
		e.typeCommand("U0ADA", "fact")
		if out := e.submit("U0ADA", map[string]any{"fact": "personal_data"}); out.Outcome != chat.SubmitUpdated || strings.Count(string(out.View.Blocks), `"value":"suspected"`) != 2 || !strings.Contains(string(out.View.Blocks), "How is this known? (required)") {
			t.Fatalf("got %+v, want the form of the fact with the known value", out)
		}
		if out := e.submit("U0ADA", map[string]any{"value": "confirmed"}); out.Outcome != chat.SubmitErrors || !out.Client || out.Errors["text"] == "" {
			t.Errorf("without a reason: got %+v, want an error of the client", out)
		}
		if out := e.submit("U0ADA", map[string]any{"value": "confirmed", "text": "the dump held addresses"}); out.Outcome != chat.SubmitClosed {
			t.Fatalf("got %+v, want a closed form", out)
		}
		if got := e.desk.incidents[42].Facts.PersonalData; got != incident.PersonalConfirmed {
			t.Errorf("got %s, want confirmed", got)
		}
	})
}

// Slack labels optional fields. Tocsin labels the others.
func TestForms_LabelRequiredFields(t *testing.T) {
	for name, given := range formCommands() {
		given.For, given.Step = 42, "pb/a"
		f, _ := command.FormFor(given)
		v, err := formView(f, command.FormContext{Given: given})
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range v.Blocks.BlockSet {
			if input, ok := block.(*slack.InputBlock); ok && input.Optional == strings.HasSuffix(input.Label.Text, " (required)") {
				t.Errorf("%s: got the label %q of a field that is optional %t", name, input.Label.Text, input.Optional)
			}
		}
	}
}

func lastTrigger(t *testing.T, e *inboundTest) string {
	t.Helper()
	all := e.ws.Deliveries()
	var in interaction
	if err := json.Unmarshal(all[len(all)-1].Payload, &in); err != nil {
		t.Fatal(err)
	}
	return in.TriggerID
}
