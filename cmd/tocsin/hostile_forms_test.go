//go:build !race

package main_test

import (
	"strings"
	"testing"
	"time"

	"tocsin/bot/sandbox/chat"
)

// TestForms_AfterExclusion opens a form, excludes its person, and submits it. Nothing is
// saved, and neither the answer nor a new form shows the incident or the saved text.
func TestForms_AfterExclusion(t *testing.T) {
	t.Parallel()
	for name, overHTTP := range map[string]bool{"http": true, "socket mode": false} {
		t.Run(name, func(t *testing.T) {
			v := newVerbTest(t, overHTTP, "text")
			ws, who := v.company.Chat, v.person("engineering3")
			for _, text := range []string{"open sev3 the export has a stranger's payslip", "ack INC-1", "restrict INC-1"} {
				if _, err := v.slash(v.person("engineering0"), "C0GENERAL", text); err != nil {
					t.Fatal(err)
				}
			}
			open := func() chat.View {
				if _, err := ws.Act(who.ID).Command("C0GENERAL", "/incident", "note INC-1"); err != nil {
					t.Fatal(err)
				}
				var view chat.View
				v.waitFor(20*time.Second, "the form", func() bool {
					views := ws.OpenViews(who.ID)
					if len(views) > 0 {
						view = views[len(views)-1]
					}
					return len(views) > 0 && !strings.Contains(string(view.Blocks), "Loading…")
				})
				return view
			}
			typing := func(view chat.View, text string) {
				if err := ws.Act(who.ID).ClickView(view.ID, chat.Action{ID: "text", Block: "text", Value: text, Typing: true}); err != nil {
					t.Fatal(err)
				}
			}
			first := open()
			typing(first, "the first words")
			v.waitFor(20*time.Second, "the saved text", func() bool {
				if err := ws.Act(who.ID).CloseView(first.ID, true); err != nil {
					t.Fatal(err)
				}
				first = open()
				return strings.Contains(string(first.Blocks), "the first words")
			})
			if reply, err := v.slash(v.person("security0"), "C0GENERAL", v.fill(1, "exclude INC-1 @engineering3 because a suspect")); err != nil || !strings.Contains(reply, "is excluded") {
				t.Fatalf("got %s, %v", reply, err)
			}
			before := len(v.byPeople(1))
			typing(first, "more words")
			out, err := ws.Act(who.ID).Submit(first.ID, map[string]map[string]any{"text": {"text": "what the suspect says"}})
			if err != nil || out.Outcome != chat.SubmitErrors || !strings.Contains(out.Errors["text"], "INC-1 does not exist, or you may not read it") {
				t.Errorf("got %+v, %v, want a refusal below the text", out, err)
			}
			if err := ws.Act(who.ID).CloseView(first.ID, true); err != nil {
				t.Fatal(err)
			}
			again := open()
			for _, secret := range []string{"words", "payslip", "saved"} {
				if strings.Contains(string(again.Blocks), secret) {
					t.Errorf("got form %s, want it without %q", again.Blocks, secret)
				}
			}
			if after := len(v.byPeople(1)); after != before {
				t.Errorf("got %d events, want %d", after, before)
			}
		})
	}
}
