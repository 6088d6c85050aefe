package slack

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

// resolveWithDrafts gives the incident a timeline with material for drafts, up to its
// resolution.
func (e *inboundTest) resolveWithDrafts() {
	e.Helper()
	inc := incident.New(42)
	e.desk.timeline = nil
	for _, c := range []incident.Command{
		{Verb: incident.VerbOpen, Title: "Root key used", Severity: incident.Sev2},
		{Verb: incident.VerbAttach, Alert: &incident.AlertRef{Alert: 1, Source: "sentry", Kind: "sentry.issue", Title: "call ada@example.com <!channel>", At: noon}},
		{Verb: incident.VerbLink, Links: map[string]string{incident.LinkChannel: e.channel}},
		{Verb: incident.VerbAcknowledge},
		{Verb: incident.VerbSetFact, Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "confirmed"}, Text: "names in the log"},
		{Verb: incident.VerbResolve, Text: "the key is gone"},
	} {
		env := incident.Env{Now: noon.Add(-time.Hour), Actor: "p1", Directory: testDirectory()}
		if c.Verb == incident.VerbAttach || c.Verb == incident.VerbLink {
			env.Actor, env.System = "", true
		}
		c.For = 42
		events, err := incident.Decide(c, inc, env)
		if err != nil {
			e.Fatal(err)
		}
		for _, ev := range events {
			ev, inc.Head = incident.Seal(inc.Head, ev, func() []byte { return bytes.Repeat([]byte{1}, 32) })
			inc = incident.Apply(inc, ev)
			e.desk.timeline = append(e.desk.timeline, ev)
		}
	}
	e.desk.change(func(i *incident.Incident) { *i = inc })
}

func TestRecordForm_Golden(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.resolveWithDrafts()
	e.typeCommand("U0ADA", "record set root_cause the key was in a log")
	e.typeCommand("U0ADA", "record")
	v := e.currentForm("U0ADA")
	var blocks any
	if err := json.Unmarshal(v.Blocks, &blocks); err != nil {
		t.Fatal(err)
	}
	data, err := json.MarshalIndent(blocks, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	checkGoldenText(t, "form_record.json", string(data))
}

// The form confirms the ticked drafts in full, saves the changed parts, and leaves the
// rest as drafts. A second form with an old state overwrites nothing.
func TestRecordForm_ConfirmsAndSavesParts(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.resolveWithDrafts()
		e.typeCommand("U0ADA", "record")
		e.typeCommand("U0BEN", "record")
		form := string(e.currentForm("U0ADA").Blocks)
		requireParts(t, "form", form, "Draft: Impact", "Draft: Detection", "Personal data is involved.", "Nobody recorded a cause", "I read these drafts and confirm them", "!Draft: Root cause")
		out := e.submit("U0ADA", map[string]any{"confirm": []string{"what_detected_it"}, "root_cause": "the key was in a log"})
		if out.Outcome != chat.SubmitClosed {
			t.Fatalf("got %+v, want a closed form", out)
		}
		got := e.incident42().Record
		if !strings.Contains(got.DetectedBy, "call ada@example.com <!channel>") || got.RootCause != "the key was in a log" || got.Impact != "" || got.ConfirmedParts() != 2 {
			t.Errorf("got %+v, want one draft and one text", got)
		}

		out = e.submit("U0BEN", map[string]any{"root_cause": "a guess", "impact": "nobody", "confirm": []string{"what_detected_it"}})
		if text := out.Errors["root_cause"]; !strings.Contains(text, "Ada Byron changed root cause at 12:00 UTC") || !strings.Contains(text, "nothing was saved") {
			t.Fatalf("got %+v, want who changed the part", out)
		}
		if now := e.incident42().Record; now != got {
			t.Errorf("got %+v, want nothing saved", now)
		}
		out = e.submit("U0BEN", map[string]any{"root_cause": "", "impact": "nobody", "confirm": []string{"what_detected_it"}})
		if !strings.Contains(out.Errors["confirm"], "Untick detection") {
			t.Fatalf("got %+v, want the box to untick", out)
		}
		out = e.submit("U0BEN", map[string]any{"root_cause": "", "impact": "nobody", "confirm": []string{}})
		if now := e.incident42().Record; out.Outcome != chat.SubmitClosed || now.RootCause != "the key was in a log" || now.Impact != "nobody" {
			t.Errorf("got %+v and %+v, want both texts", out, now)
		}

		e.typeCommand("U0BEN", "record")
		requireParts(t, "second form", string(e.currentForm("U0BEN").Blocks), "Confirmed by Ada", "Confirmed by Ben", "Draft: Summary", "!Draft: Impact")
	})
}

// Nothing unconfirmed is submitted: the form and the typed command name the parts.
func TestRecordForm_RefusesUnconfirmedParts(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.resolveWithDrafts()
		requireParts(t, "submit", e.typeCommand("U0ADA", "record submit"), "not confirmed: summary, impact, root cause", "record confirm PART", "!drafts")
		e.click("U0ADA", ActionID(incident.VerbSubmit), "INC-42")
		out := e.submit("U0ADA", map[string]any{"root_cause": "r", "what_was_done": "w", "what_will_detect_it": "d", "what_will_prevent_it": "p", "audience": "all", "language": "en"})
		if !strings.Contains(out.Errors["summary"], "not confirmed: summary, impact, detection") || e.incident42().Submission != nil {
			t.Errorf("got %+v, want the unconfirmed drafts", out)
		}
		requireParts(t, "confirm", e.typeCommand("U0ADA", "record confirm summary, impact and detection"), "Saved in the closing record of *INC-42*: summary, impact")
		if got := e.incident42().Record.ConfirmedParts(); got != 3 {
			t.Errorf("got %d parts, want 3", got)
		}
		requireParts(t, "no draft", e.typeCommand("U0ADA", "record confirm root cause"), "There is no draft of root cause")
	})
}

// Nobody submits a part that another person confirmed or changed after the form opened.
func TestRecordForm_SubmitsNothingUnseen(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.resolveWithDrafts()
		texts := map[string]any{"root_cause": "r", "what_was_done": "w", "what_will_detect_it": "d", "what_will_prevent_it": "p", "audience": "all", "language": "en",
			"confirm": []string{"summary", "what_detected_it"}}
		e.click("U0ADA", ActionID(incident.VerbSubmit), "INC-42")
		e.currentForm("U0ADA")
		e.typeCommand("U0BEN", "record set impact nobody was affected")
		out := e.submit("U0ADA", texts)
		if text := out.Errors["impact"]; !strings.Contains(text, "Ben Oduya changed impact at 12:00 UTC") || !strings.Contains(text, "open the form again") || e.incident42().Submission != nil {
			t.Fatalf("got %+v, want who changed the part and no submission", out)
		}
		e.closeForm("U0ADA")
		e.click("U0ADA", ActionID(incident.VerbSubmit), "INC-42")
		requireParts(t, "second form", string(e.currentForm("U0ADA").Blocks), "nobody was affected", "Confirmed by Ben Oduya")
		if out := e.submit("U0ADA", texts); out.Outcome != chat.SubmitClosed || e.incident42().Submission == nil {
			t.Errorf("got %+v, want a submission", out)
		}
	})
}
