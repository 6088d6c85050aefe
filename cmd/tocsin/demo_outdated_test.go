package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/slack"
)

// shownButton is a button that gives a command, in a message or its menu.
type shownButton struct{ channel, ts, action, value string }

// buttonsIn returns the buttons in blocks.
func buttonsIn(blocks any) (out []shownButton) {
	if raw, ok := blocks.(string); ok {
		if err := json.Unmarshal([]byte(raw), &blocks); err != nil {
			return nil
		}
	}
	switch v := blocks.(type) {
	case []any:
		for _, b := range v {
			out = append(out, buttonsIn(b)...)
		}
	case map[string]any:
		if id, _ := v["action_id"].(string); v["type"] == "button" {
			value, _ := v["value"].(string)
			out = append(out, shownButton{action: id, value: value})
		}
		for _, inner := range v {
			out = append(out, buttonsIn(inner)...)
		}
	}
	return out
}

// checkOutdated checks that no message of the ended incident has a button whose command is
// not possible, and presses each button that a message lost. The answer names the verbs that
// are possible, and nothing changes.
func (s *storyCheck) checkOutdated(ctx context.Context) {
	ws := s.demo.Company.Chat
	impossible := map[string]bool{} // by action ID
	for _, row := range incident.Transitions {
		if row.Who == incident.TheBot {
			continue
		}
		impossible[slack.ActionID(row.Verb)] = !slices.Contains(incident.AllowedVerbs(s.view.Incident.Status), row.Verb)
	}
	for _, ch := range ws.Channels("") {
		for _, m := range ws.Messages(ch.ID) {
			for _, part := range ws.Thread(ch.ID, m.TS) {
				for _, b := range buttonsIn(string(part.Blocks)) {
					if impossible[b.action] {
						s.errorf("got the button %s %s in %s, which is not possible any more: %s", b.action, b.value, ch.Name, part.Text)
					}
				}
			}
		}
	}
	pressed := map[string]bool{}
	for _, c := range ws.Calls() {
		if !c.Landed || c.Method != "chat.postMessage" {
			continue
		}
		for _, b := range buttonsIn(c.Args["blocks"]) {
			if b.channel, b.ts = c.Result["channel"], c.Result["ts"]; impossible[b.action] && !pressed[b.action+b.value] {
				pressed[b.action+b.value] = true
				s.pressOutdated(ctx, b)
			}
		}
	}
	if len(pressed) < 8 {
		s.errorf("got %d buttons that messages lost, want at least 8: %v", len(pressed), pressed)
	}
	after, err := s.demo.Bot.Desk().Show(ctx, incident.System, s.view.Incident.ID, "test")
	if err != nil || len(after.Timeline) != len(s.view.Timeline) {
		s.errorf("got %d events after outdated buttons, %v, want %d", len(after.Timeline), err, len(s.view.Timeline))
	}
}

// pressOutdated presses a button as the first person who sees its message.
func (s *storyCheck) pressOutdated(ctx context.Context, b shownButton) {
	ws := s.demo.Company.Chat
	for _, p := range s.demo.Company.People {
		before := len(ws.Ephemerals(p.ID))
		if ws.Act(p.ID).Click(b.channel, b.ts, chat.Action{ID: b.action, Value: b.value, Outdated: true}) != nil {
			continue // does not see the message
		}
		wait, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := ws.WaitFor(wait, func() bool { return len(ws.Ephemerals(p.ID)) > before })
		cancel()
		if err != nil {
			s.errorf("%s pressed the outdated button %s %s: got no answer", p.Name, b.action, b.value)
			return
		}
		all := ws.Ephemerals(p.ID)
		if text := all[len(all)-1].Text; !strings.Contains(text, "You can use ") && !strings.HasSuffix(text, "Revise the record first.") {
			s.errorf("%s pressed the outdated button %s %s: got %q, want the possible commands", p.Name, b.action, b.value, text)
		}
		return
	}
	s.errorf("nobody sees the message with the outdated button %s %s", b.action, b.value)
}
