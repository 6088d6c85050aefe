package story

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
)

// await waits until ready returns true after a change of the workspace. subject
// names the awaited thing in the error. It returns false on timeout.
func (p *player) await(subject string, ready func() bool) bool {
	return p.awaitOn(subject, p.chat.WaitFor, ready)
}

// awaitOn is like await for another system of the company.
func (p *player) awaitOn(subject string, wait func(context.Context, func() bool) error, ready func() bool) bool {
	if p.err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(p.ctx, p.WaitTimeout)
	defer cancel()
	if err := wait(ctx, ready); err != nil {
		p.fail("wait up to %s for %s: %w", p.WaitTimeout, subject, err)
		return false
	}
	return true
}

// messages returns the messages of a channel with the replies in its threads, in order of
// time.
func (p *player) messages(channel string) []chat.Message {
	var out []chat.Message
	for _, m := range p.chat.Messages(channel) {
		if !m.Broadcast { // which is also in its thread
			out = append(out, p.chat.Thread(channel, m.TS)...)
		}
	}
	slices.SortStableFunc(out, func(a, b chat.Message) int { return strings.Compare(a.TS, b.TS) })
	return out
}

// awaitMessage waits for a message whose text matches and returns the latest.
func (p *player) awaitMessage(channel, subject string, match func(text string) bool) (found chat.Message) {
	p.await(subject, func() bool {
		list := p.messages(channel)
		for n := len(list) - 1; n >= 0; n-- {
			if match(p.read.message(list[n])) {
				found = list[n]
				return true
			}
		}
		return false
	})
	return found
}

// awaitText waits for a message with all of these texts in the channel of the
// incident or in its threads.
func (p *player) awaitText(subject string, texts ...string) chat.Message {
	return p.awaitMessage(p.result.Channel, "a message about "+subject, containsAll(texts...))
}

func containsAll(texts ...string) func(string) bool {
	return func(text string) bool {
		for _, t := range texts {
			if !strings.Contains(text, t) {
				return false
			}
		}
		return true
	}
}

// control is a button or menu in a message.
type control struct {
	channel, ts, action, value, label string
	overflow                          string   // action ID of the overflow menu that has the button, or ""
	options                           []string // values of the options of a menu
	text                              string   // text of the first block with text, in Slack's wire form
}

// controls returns the buttons and menus of a message.
func controls(m chat.Message) []control {
	var blocks []struct {
		Type     string     `json:"type"`
		Text     textObject `json:"text"`
		Elements []struct {
			Type     string `json:"type"`
			ActionID string `json:"action_id"`
			Value    string `json:"value"`
			Text     struct {
				Text string `json:"text"`
			} `json:"text"`
			Options []struct {
				Value string     `json:"value"`
				Text  textObject `json:"text"`
			} `json:"options"`
		} `json:"elements"`
	}
	var out []control
	_ = json.Unmarshal(m.Blocks, &blocks) // a message without blocks has no controls
	text := ""
	for _, b := range blocks {
		if text == "" {
			text = b.Text.Text
		}
		if b.Type != "actions" {
			continue
		}
		for _, e := range b.Elements {
			c := control{channel: m.Channel, ts: m.TS, action: e.ActionID, value: e.Value, label: e.Text.Text, text: text}
			if e.Type != "overflow" {
				for _, o := range e.Options {
					c.options = append(c.options, o.Value)
				}
				out = append(out, c)
				continue
			}
			c.overflow = e.ActionID
			for _, o := range e.Options {
				c.action, _, _ = strings.Cut(o.Value, "|")
				c.value, c.label = o.Value, o.Text.Text
				out = append(out, c)
			}
		}
	}
	return out
}

// findControl returns a matching control of the latest message that has one in
// the channel of the incident.
func (p *player) findControl(action string, match func(control) bool) (control, bool) {
	list := p.messages(p.result.Channel)
	for n := len(list) - 1; n >= 0; n-- {
		for _, c := range controls(list[n]) {
			if c.action == action && match(c) {
				return c, true
			}
		}
	}
	return control{}, false
}

// awaitControl waits for a matching control in the channel of the incident.
func (p *player) awaitControl(subject, action string, match func(control) bool) (found control) {
	p.await(subject, func() (ok bool) {
		found, ok = p.findControl(action, match)
		return ok
	})
	return found
}

// awaitButton waits for a button with the action.
func (p *player) awaitButton(action string) control {
	return p.awaitControl("a button with the action "+action, action, func(control) bool { return true })
}

// press presses a button or chooses an option of a menu. If chosen is nil, it
// sends the value of the control.
func (p *player) press(who company.Person, c control, chosen any) {
	if p.err != nil {
		return
	}
	if chosen == nil {
		chosen = c.value
	}
	if err := p.chat.Act(who.ID).Click(c.channel, c.ts, chat.Action{ID: cmp.Or(c.overflow, c.action), Value: chosen}); err != nil {
		p.fail("press %q as %s: %w", c.action, who.Name, err)
	}
}

// pressForReply is like press and returns the ephemeral reply. It presses up to
// four times while the bot requests a retry.
func (p *player) pressForReply(who company.Person, c control, chosen any) (answer string) {
	for attempt := 0; p.err == nil; attempt++ {
		before := len(p.chat.Ephemerals(who.ID))
		p.press(who, c, chosen)
		p.await("an ephemeral reply to "+who.Name, func() bool {
			list := p.chat.Ephemerals(who.ID)
			if len(list) > before {
				answer = p.read.message(list[len(list)-1])
			}
			return len(list) > before
		})
		if !mustRetry(answer) || attempt == 3 {
			break
		}
	}
	return answer
}

// mustRetry reports whether the bot did not save a command or does not know
// whether it did. The bot records a repeated command only once.
func mustRetry(answer string) bool {
	return strings.Contains(answer, msgOutcomeUnknown) || strings.Contains(answer, msgNotSaved)
}

// typeCommand types a command in the channel of the incident and returns the
// reply, or "" if a form opened instead. It retries like pressForReply.
func (p *player) typeCommand(who company.Person, format string, args ...any) string {
	text := fmt.Sprintf(format, args...)
	for attempt := 0; p.err == nil; attempt++ {
		m, err := p.chat.Act(who.ID).Command(p.result.Channel, "/incident", text)
		if err != nil {
			p.fail("type /incident %s as %s: %w", text, who.Name, err)
			return ""
		}
		if m == nil {
			return ""
		}
		if answer := p.read.message(*m); !mustRetry(answer) || attempt == 3 {
			return answer
		}
	}
	return ""
}

// mustType is like typeCommand and fails if the command was not recorded.
func (p *player) mustType(who company.Person, format string, args ...any) {
	answer := p.typeCommand(who, format, args...)
	if p.err == nil && !strings.Contains(answer, msgRecorded) {
		p.fail("type /incident %s as %s: got reply %q", fmt.Sprintf(format, args...), who.Name, answer)
	}
}

// awaitForm waits until the form of a verb is open for a person.
func (p *player) awaitForm(who company.Person, verb string) (v chat.View) {
	open := func() bool {
		if stack := p.chat.OpenViews(who.ID); len(stack) > 0 {
			v = stack[len(stack)-1]
		}
		return v.CallbackID == verb
	}
	if !p.await("the form for "+verb+" of "+who.Name, open) && v.ID != "" {
		p.err = fmt.Errorf("%w, got form %q: %s", p.err, v.Title, p.read.blocks(v.Blocks))
	}
	return v
}

// formValues are the values of a form by name. A block and its element have the
// same id.
type formValues map[string]any

// submit submits a form and returns the errors of its fields, or "". It retries
// like pressForReply.
func (p *player) submit(who company.Person, v chat.View, values formValues) string {
	filled := map[string]map[string]any{}
	for name, value := range values {
		filled[name] = map[string]any{name: value}
	}
	for attempt := 0; p.err == nil; attempt++ {
		done, err := p.chat.Act(who.ID).Submit(v.ID, filled)
		if err != nil {
			p.fail("submit form %q as %s: %w", v.Title, who.Name, err)
			return ""
		}
		var errs []string
		for field, text := range done.Errors {
			errs = append(errs, field+": "+text)
		}
		if reply := strings.Join(errs, "; "); !mustRetry(reply) || attempt == 3 {
			return reply
		}
	}
	return ""
}

// mustSubmit is like submit and fails if the form has errors.
func (p *player) mustSubmit(who company.Person, v chat.View, values formValues) {
	if reply := p.submit(who, v, values); reply != "" {
		p.fail("submit form %q as %s: got errors %s", v.Title, who.Name, reply)
	}
}

// mention returns a mention in the form that Slack's client sends in commands.
func (p *player) mention(who company.Person) string { return "<@" + who.ID + "|" + who.Name + ">" }

// person returns the person with a Slack user id.
func (p *player) person(id string) (company.Person, bool) {
	for _, q := range p.Company.People {
		if q.ID == id {
			return q, true
		}
	}
	return company.Person{}, false
}

// nameAndDepartment returns a person's name and department.
func nameAndDepartment(who company.Person) string { return who.Name + " (" + who.Department + ")" }
