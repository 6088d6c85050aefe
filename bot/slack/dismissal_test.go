package slack

import (
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

// minor makes an incident one that a person may dismiss alone.
func minor(inc *incident.Incident) {
	inc.Status, inc.Severity, inc.PeakSeverity = incident.Active, incident.Sev3, incident.Sev3
}

func TestDismissForm_RequiresTheStatement(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.desk.change(minor)
		if got := e.typeCommand("U0ADA", "dismiss because a drill"); !strings.Contains(got, "Type dismiss no-personal-data because WHY") {
			t.Fatalf("typed without the statement: got %s, want how to state it", got)
		}
		for name, fields := range map[string]map[string]any{"no statement": {"text": "a drill"}, "no reason": {"no_personal_data": []string{"yes"}}} {
			e.typeCommand("U0ADA", "dismiss")
			if out := e.submit("U0ADA", fields); out.Outcome != chat.SubmitErrors || e.desk.count() != 0 {
				t.Fatalf("%s: got %+v, want an error", name, out)
			}
		}
		if out := e.submit("U0ADA", map[string]any{"text": "a drill", "no_personal_data": []string{"yes"}}); out.Outcome == chat.SubmitErrors {
			t.Fatalf("got errors %v, want none", out.Errors)
		}
		if inc := e.desk.incidents[42]; inc.Status != incident.Dismissed || inc.Facts.PersonalData != incident.PersonalNo {
			t.Errorf("got %s with personal data %s, want dismissed and no", inc.Status, inc.Facts.PersonalData)
		}
	})
}

func TestDismissCommand_StatesNoPersonalData(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.desk.change(minor)
		if got := e.typeCommand("U0ADA", "dismiss no personal data because a drill"); !strings.Contains(got, "is dismissed as a false alarm") {
			t.Errorf("got %s, want a dismissal", got)
		}
	})
}

// The form of an incident that needs two people has no checkbox.
func TestDismissForm_TwoPeople(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.typeCommand("U0ADA", "dismiss")
	if v := string(e.currentForm("U0ADA").Blocks); strings.Contains(v, "no_personal_data") || !strings.Contains(v, "two people") {
		t.Errorf("got %s, want no statement and a hint", v)
	}
	if out := e.submit("U0ADA", map[string]any{"text": "a drill"}); out.Outcome == chat.SubmitErrors || e.desk.incidents[42].Dismissal == nil {
		t.Fatalf("got %+v, want a proposal", out)
	}
	e.click("U0ADA", ActionID(incident.VerbDismiss), "INC-42")
	if got := e.lastEphemeral("U0ADA").Text; !strings.Contains(got, "another person") || len(e.ws.OpenViews("U0ADA")) != 0 {
		t.Errorf("the same person: got %q, want a refusal without a form", got)
	}
}

func TestSeverityProposal_Buttons(t *testing.T) {
	for action, want := range map[string]incident.Severity{ActionID(incident.VerbKeepSeverity): incident.Sev4, ActionID(incident.VerbSetSeverity): incident.Sev1} {
		e := newInboundTest(t, chat.ModeHTTP)
		e.desk.change(func(inc *incident.Incident) {
			minor(inc)
			inc.Severity, inc.LoweredFrom = incident.Sev4, incident.Sev3
			inc.SeverityProposal = &incident.SeverityProposal{Severity: incident.Sev1, Alert: 17, Kind: "sentry.issue", Until: noon}
		})
		inc := e.desk.incidents[42]
		event := incident.Event{Kind: incident.EventSeverityProposed, RecordedAt: noon, HappenedAt: noon,
			Fields: map[string]string{"from": "sev4", "severity": "sev1", "kind": "sentry.issue", "alert": "17", "until": "2026-11-20T12:05:00Z"}}
		m, ok := render(incident.Brief{Incident: inc, Event: event, Directory: testDirectory(), Now: noon})
		if !ok {
			t.Fatal("got no message about the proposal, want one")
		}
		ts := e.postBlocks(m.blocks...)
		if err := e.ws.Act("U0ADA").Click(e.channel, ts, chat.Action{ID: action}); err != nil {
			t.Fatal(err)
		}
		e.slack.Wait()
		if inc := e.desk.incidents[42]; inc.Severity != want || inc.SeverityProposal != nil {
			t.Errorf("%s: got %s and %+v, want %s and no proposal", action, inc.Severity, inc.SeverityProposal, want)
		}
	}
}
