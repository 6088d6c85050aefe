package slack

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

// typeInto types a text into a field of the open form, character by character at the end,
// and does not submit it.
func (e *inboundTest) typeInto(user, field, typed string) {
	e.Helper()
	view := e.currentForm(user).ID
	for n := max(0, len(typed)-2); n <= len(typed); n++ {
		if err := e.ws.Act(user).ClickView(view, chat.Action{ID: field, Block: field, Value: typed[:n], Typing: true}); err != nil {
			e.Fatal(err)
		}
	}
	e.slack.Wait()
}

func (e *inboundTest) closeForm(user string) {
	e.Helper()
	if err := e.ws.Act(user).CloseView(e.currentForm(user).ID, false); err != nil {
		e.Fatal(err)
	}
	e.slack.Wait()
}

// A text that was typed and not submitted is back when the person opens the form again.
// It belongs to the person and the form, and ends with the submission.
func TestDrafts_ComeBack(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		const typed = "the key was used from 10.1.2.3 <!channel>"
		e.typeCommand("U0ADA", "note")
		e.typeInto("U0ADA", "text", typed)
		e.closeForm("U0ADA")
		e.advance(time.Minute)

		e.typeCommand("U0ADA", "contain")
		requireParts(t, "another form", string(e.currentForm("U0ADA").Blocks), "!10.1.2.3", "!saved")
		e.closeForm("U0ADA")
		e.typeCommand("U0BEN", "note")
		requireParts(t, "another person", string(e.currentForm("U0BEN").Blocks), "!10.1.2.3", "!saved")

		e.typeCommand("U0ADA", "note")
		requireParts(t, "the form", string(e.currentForm("U0ADA").Blocks), "10.1.2.3", "Your text of 12:00 UTC was saved. It is back in the form.")
		if out := e.submit("U0ADA", nil); out.Outcome != chat.SubmitClosed || e.desk.last().Text != typed {
			t.Errorf("got %+v and %q, want the text in the note", out, e.desk.last().Text)
		}
		e.slack.Wait() // the draft is deleted in the background
		e.typeCommand("U0ADA", "note")
		requireParts(t, "after the submission", string(e.currentForm("U0ADA").Blocks), "!10.1.2.3", "!saved")
		e.closeForm("U0ADA")

		e.typeCommand("U0ADA", "note")
		e.typeInto("U0ADA", "text", typed)
		e.typeInto("U0ADA", "text", "")
		e.closeForm("U0ADA")
		e.typeCommand("U0ADA", "note")
		requireParts(t, "after the text was deleted", string(e.currentForm("U0ADA").Blocks), "!10.1.2.3", "!saved")
	})
}

// A restored text of the record counts as changed, and replaces the draft of Tocsin.
func TestDrafts_OfRecord(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.desk.drafts["p1"] = map[string]incident.FormDraft{"edit_record//": {At: noon, Values: map[string]string{"root_cause": "an old guess", "impact": "one customer"}}}
	e.resolveWithDrafts()
	e.typeCommand("U0ADA", "record")
	form := string(e.currentForm("U0ADA").Blocks)
	requireParts(t, "restored", form, "an old guess", "one customer", "Your text of 12:00 UTC was saved", "This is your saved text", "!Draft: Impact")
	out := e.submit("U0ADA", nil)
	if got := e.incident42().Record; out.Outcome != chat.SubmitClosed || got.RootCause != "an old guess" || got.Impact != "one customer" {
		t.Errorf("got %+v and %+v, want the restored texts", out, got)
	}
}

// A restored text of the record shows what others wrote into the part meanwhile.
func TestDrafts_ShowWhatOthersWrote(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.resolveWithDrafts()
	e.typeCommand("U0ADA", "record")
	e.typeInto("U0ADA", "root_cause", "my guess")
	e.closeForm("U0ADA")
	e.typeCommand("U0BEN", "record set root_cause the key was in a log")
	e.typeCommand("U0ADA", "record")
	requireParts(t, "form", string(e.currentForm("U0ADA").Blocks), "my guess", "Ben", "changed this part at 12:00 UTC, after you began to type. Your text replaces: the key was in a log")
}

// People who open a form of the record see who else edits it, until that form is closed.
func TestRecordForm_ShowsEditors(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.resolveWithDrafts()
		e.typeCommand("U0ADA", "record")
		requireParts(t, "first", string(e.currentForm("U0ADA").Blocks), "!is editing")
		e.advance(time.Minute)
		e.typeCommand("U0BEN", "record")
		requireParts(t, "second", string(e.currentForm("U0BEN").Blocks), "Ada Byron is editing since 12:00 UTC.")
		e.closeForm("U0ADA")
		e.closeForm("U0BEN")
		e.typeCommand("U0BEN", "record")
		requireParts(t, "after the first was closed", string(e.currentForm("U0BEN").Blocks), "!is editing")
	})
}

// A draft never appears in a log.
func TestDrafts_NotLogged(t *testing.T) {
	var logged bytes.Buffer
	e := newInboundTest(t, chat.ModeHTTP, func(o *options) {
		o.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	e.desk.saveErr = errors.New("database is locked")
	e.typeCommand("U0ADA", "note")
	e.typeInto("U0ADA", "text", "a secret draft")
	if log := logged.String(); !strings.Contains(log, "save draft failed") || strings.Contains(log, "secret draft") {
		t.Errorf("got %s, want no draft", log)
	}
}

// A person without access names the incident in the form, because no channel does.
func TestAccessRequestForm_AsksForTheIncident(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		for text, verb := range map[string]incident.Verb{"access request": incident.VerbRequestAccess, "access break-glass": incident.VerbBreakGlass} {
			e.typeElsewhere("U0BEN", text)
			out := e.submit("U0BEN", map[string]any{"incident": "the payroll one", "text": "I run payroll"})
			if !strings.Contains(out.Errors["incident"], "INC-42") {
				t.Errorf("%s: got %+v, want an error below the incident", text, out)
			}
			before := e.desk.count()
			out = e.submit("U0BEN", map[string]any{"incident": "INC-7", "text": "I run payroll"})
			if !strings.Contains(toJSON(out.Errors), "There is no INC-7") || e.desk.count() != before {
				t.Errorf("%s: got %+v, want an unknown incident", text, out)
			}
			e.closeForm("U0BEN")
			if reply := e.typeElsewhere("U0BEN", text+" INC-42"); reply != "" {
				t.Errorf("%s: got %s, want a form", text, reply)
			}
			requireParts(t, string(verb), string(e.currentForm("U0BEN").Blocks), `"initial_value":"INC-42"`)
			e.closeForm("U0BEN")
		}
	})
}
