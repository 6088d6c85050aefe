package story

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
)

// await waits until something is so in the workspace. what names it as a
// thing that happens: "the channel of the incident".
func (p *play) await(what string, ready func() bool) bool {
	return p.until(what, p.chat.WaitFor, ready)
}

// until is await at any of the company's systems.
func (p *play) until(what string, wait func(context.Context, func() bool) error, ready func() bool) bool {
	if p.err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(p.ctx, p.Patience)
	defer cancel()
	if err := wait(ctx, ready); err != nil {
		p.fail("%s did not happen within %s: %w", what, p.Patience, err)
		return false
	}
	return true
}

// message waits for a message that reads as it should. The latest that fits is taken.
func (p *play) message(channel, what string, fits func(text string) bool) (found chat.Message) {
	p.await(what, func() bool {
		list := p.chat.Messages(channel)
		for n := len(list) - 1; n >= 0; n-- {
			if fits(p.read.message(list[n])) {
				found = list[n]
				return true
			}
		}
		return false
	})
	return found
}

// said waits until the bot said something with all of these words in the
// incident's channel.
func (p *play) said(what string, words ...string) chat.Message {
	return p.message(p.report.Channel, what+" in the channel", containing(words...))
}

func containing(words ...string) func(string) bool {
	return func(text string) bool {
		for _, w := range words {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	}
}

// control is something to press in a message.
type control struct {
	channel, ts, action, value, label string
	options                           []string // of a menu: the options' values
	text                              string   // the message's first line, as Slack's wire has it
}

// controls lists what can be pressed in a message.
func controls(m chat.Message) []control {
	var blocks []struct {
		Type     string  `json:"type"`
		Text     wording `json:"text"`
		Elements []struct {
			ActionID string `json:"action_id"`
			Value    string `json:"value"`
			Text     struct {
				Text string `json:"text"`
			} `json:"text"`
			Options []struct {
				Value string `json:"value"`
			} `json:"options"`
		} `json:"elements"`
	}
	var out []control
	_ = json.Unmarshal(m.Blocks, &blocks) // a message without blocks has nothing to press
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
			for _, o := range e.Options {
				c.options = append(c.options, o.Value)
			}
			out = append(out, c)
		}
	}
	return out
}

// find looks for something to press in the incident's channel, in the latest
// message that has it.
func (p *play) find(action string, fits func(control) bool) (control, bool) {
	list := p.chat.Messages(p.report.Channel)
	for n := len(list) - 1; n >= 0; n-- {
		for _, c := range controls(list[n]) {
			if c.action == action && fits(c) {
				return c, true
			}
		}
	}
	return control{}, false
}

// button waits for a button in the incident's channel.
func (p *play) button(what, action string, fits func(control) bool) (found control) {
	p.await(what, func() (ok bool) {
		found, ok = p.find(action, fits)
		return ok
	})
	return found
}

func anyControl(control) bool { return true }

// press presses a button, or chooses in a menu.
func (p *play) press(who company.Person, c control, chosen any) {
	if p.err != nil {
		return
	}
	if chosen == nil {
		chosen = c.value
	}
	if err := p.chat.Act(who.ID).Click(c.channel, c.ts, chat.Action{ID: c.action, Value: chosen}); err != nil {
		p.fail("%s presses %q: %w", who.Name, c.action, err)
	}
}

// pressForReply is press for what is answered with words that only this person sees.
func (p *play) pressForReply(who company.Person, c control, chosen any) (answer string) {
	for attempt := 0; p.err == nil; attempt++ {
		before := len(p.chat.Ephemerals(who.ID))
		p.press(who, c, chosen)
		p.await("an answer that only "+who.Name+" sees", func() bool {
			list := p.chat.Ephemerals(who.ID)
			if len(list) > before {
				answer = p.read.message(list[len(list)-1])
			}
			return len(list) > before
		})
		if !again(answer) || attempt == 3 {
			break
		}
	}
	return answer
}

// again is what the bot answers where it does not know whether it was in time.
// The same thing said once more counts once.
func again(answer string) bool {
	return strings.Contains(answer, "Run the command again") || strings.Contains(answer, "Not saved")
}

// types has somebody type a command in the incident's channel and returns what
// they are answered; "" where a form opened instead.
func (p *play) types(who company.Person, format string, args ...any) string {
	text := fmt.Sprintf(format, args...)
	for attempt := 0; p.err == nil; attempt++ {
		m, err := p.chat.Act(who.ID).Command(p.report.Channel, "/incident", text)
		if err != nil {
			p.fail("%s types /incident %s: %w", who.Name, text, err)
			return ""
		}
		if m == nil {
			return ""
		}
		if answer := p.read.message(*m); !again(answer) || attempt == 3 {
			return answer
		}
	}
	return ""
}

// mustType is types for what has to be recorded.
func (p *play) mustType(who company.Person, format string, args ...any) {
	answer := p.types(who, format, args...)
	if p.err == nil && !strings.Contains(answer, "✅") {
		p.fail("%s types /incident %s and is answered: %q", who.Name, fmt.Sprintf(format, args...), answer)
	}
}

// form waits until somebody has the form of a verb before them.
func (p *play) form(who company.Person, verb string) (v chat.View) {
	open := func() bool {
		if stack := p.chat.OpenViews(who.ID); len(stack) > 0 {
			v = stack[len(stack)-1]
		}
		return v.CallbackID == verb
	}
	if !p.await("the form for "+verb+" before "+who.Name, open) && v.ID != "" {
		p.err = fmt.Errorf("%w; there is %q: %s", p.err, v.Title, p.read.blocks(v.Blocks))
	}
	return v
}

// fields are a form's values; a block and its element have the same name.
type fields map[string]any

// submit submits a form and returns what was said under its fields, or "".
func (p *play) submit(who company.Person, v chat.View, values fields) string {
	filled := map[string]map[string]any{}
	for name, value := range values {
		filled[name] = map[string]any{name: value}
	}
	for attempt := 0; p.err == nil; attempt++ {
		done, err := p.chat.Act(who.ID).Submit(v.ID, filled)
		if err != nil {
			p.fail("%s submits the form %q: %w", who.Name, v.Title, err)
			return ""
		}
		var complaints []string
		for field, text := range done.Errors {
			complaints = append(complaints, field+": "+text)
		}
		if said := strings.Join(complaints, "; "); !again(said) || attempt == 3 {
			return said
		}
	}
	return ""
}

// mustSubmit is submit for what has to be recorded.
func (p *play) mustSubmit(who company.Person, v chat.View, values fields) {
	if said := p.submit(who, v, values); said != "" {
		p.fail("%s submits the form %q and is told: %s", who.Name, v.Title, said)
	}
}

// mention is a person in a command, as Slack's client sends it.
func (p *play) mention(who company.Person) string { return "<@" + who.ID + "|" + who.Name + ">" }

// person finds somebody by Slack id.
func (p *play) person(id string) (company.Person, bool) {
	for _, q := range p.Company.People {
		if q.ID == id {
			return q, true
		}
	}
	return company.Person{}, false
}

// called is a person as a newcomer reads them: name and department.
func called(who company.Person) string { return who.Name + " (" + who.Department + ")" }
