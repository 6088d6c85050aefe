//go:build !race

package main_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/store/storetest"
)

// forgedMark is behind every text of this test. The second half is how Slack sends the
// marks that a person types.
const forgedMark = " <!channel> <@U0FORGED|you> <!subteam^S0FORGED> <https://evil.example|your bank> &lt;!here&gt; &lt;@U0FORGED&gt; &amp;lt;!everyone&amp;gt; *b* `c`"

// TestMentions_ForgedNotifyNobody lives an incident in which every text of an alert or a
// person has marks of Slack in it. No message, form or home tab of Tocsin interprets them.
func TestMentions_ForgedNotifyNobody(t *testing.T) {
	t.Parallel()
	o := &outsiderSearch{leakTest: leakTest{canaries: map[string]string{}, suffix: forgedMark}}
	o.botProcess = startBot(t, storetest.SQLite(t), company.Options{Seed: 64, HTTP: true, Limits: chat.Limits{Off: true}}, configureEverything)
	o.choosePeople()
	o.open()
	o.respond()
	o.close()
	if _, err := o.slash(o.engineers[0], "C0GENERAL", "open sev3 --public "+o.canary("title")); err != nil {
		t.Error(err)
	}
	o.waitIdle(time.Minute)
	ws, checked := o.company.Chat, 0
	check := func(where string, text string, blocks json.RawMessage) {
		t.Helper()
		checked++
		for _, markup := range append(markups(t, blocks), text) {
			for _, mark := range []string{"<!channel", "<!here", "<!everyone", "<@U0FORGED", "<!subteam", "<https://evil"} {
				if strings.Contains(markup, mark) {
					t.Errorf("%s has %s: %.900s", where, mark, markup)
				}
			}
		}
	}
	for _, c := range ws.Channels("") {
		for _, m := range everyMessage(ws, c.ID) {
			if m.User == botUser {
				check("a message in "+c.Name, m.Text, m.Blocks)
			}
		}
		if strings.Contains(c.Topic+c.Purpose, "FORGED") {
			t.Errorf("#%s has the topic %q and purpose %q", c.Name, c.Topic, c.Purpose)
		}
	}
	people := slices.Concat(o.engineers, o.security, o.legal, o.communications)
	for _, who := range people {
		if _, err := ws.Act(who.ID).OpenHome(); err != nil {
			t.Error(err)
		}
	}
	o.waitFor(20*time.Second, "the home tab of the commander", func() bool { _, ok := ws.Home(o.engineers[0].ID); return ok })
	for _, who := range people {
		if home, ok := ws.Home(who.ID); ok {
			check("a home tab", "", home.Blocks)
		}
		for _, m := range ws.Ephemerals(who.ID) {
			check("an answer", m.Text, m.Blocks)
		}
	}
	scribe := o.engineers[1]
	o.onForm = func(v chat.View) { check("the form "+v.Title, v.Title, v.Blocks) }
	for _, spec := range command.Specs() { // forms, or the reason why there is none
		if spec.NeedsIncident {
			o.answer(scribe, func() error {
				_, err := ws.Act(scribe.ID).Command(o.channel, "/incident", spec.Name)
				return err
			})
		}
	}
	for _, m := range ws.Ephemerals(scribe.ID) {
		check("an answer", m.Text, m.Blocks)
	}
	for _, in := range o.company.Pager.Snapshot().Incidents {
		if strings.HasPrefix(in.Key, "INC-1/") && strings.Contains(asText(in), "FORGED") {
			t.Errorf("a page about a restricted incident has a text: %s", asText(in))
		}
	}
	if checked < 100 {
		t.Errorf("checked %d texts, want at least 100", checked)
	}
}

// markups returns the texts of blocks that Slack interprets.
func markups(t *testing.T, blocks json.RawMessage) (out []string) {
	t.Helper()
	if len(blocks) == 0 {
		return nil
	}
	var all any
	if err := json.Unmarshal(blocks, &all); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		case map[string]any:
			switch v["type"] {
			case "mrkdwn", "markdown":
				out = append(out, fmt.Sprint(v["text"]))
			case "user", "usergroup", "broadcast":
				out = append(out, fmt.Sprintf("<@%v%v", v["user_id"], v["range"]))
			default:
				for _, inner := range v {
					walk(inner)
				}
			}
		}
	}
	walk(all)
	return out
}
