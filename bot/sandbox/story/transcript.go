package story

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/mailbox"
)

// entry is one thing in the transcript.
type entry struct {
	at    time.Time
	head  string // where, who
	where string // in the sandbox's own log: channel/ts, a page's or a mail's id
	body  string
}

// transcript is everything as it happened, as the people saw it.
func (p *play) transcript() string {
	p.read = newReader(p.Company, p.Zone) // with the channels that are there by now
	all := slices.Concat(p.sent, p.posts(), p.ephemeralEntries(), p.actionEntries(), p.pages(), p.mails())
	slices.SortStableFunc(all, func(a, b entry) int { return a.at.Compare(b.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "# %s, from the first alert to the review\n\n", cmp.Or(p.report.Incident, "An incident"))
	fmt.Fprintf(&b, "Everything that people saw, in order; times are those of %s. Behind each message stands where the sandbox's log has it.\n\n", p.Zone)
	fmt.Fprintf(&b, "Seed %d · %s · Slack over %s · the record is for %s\n\n| Who | Department |\n|---|---|\n", p.Seed, p.plot.source,
		map[bool]string{true: "HTTP", false: "Socket Mode"}[p.report.HTTP], strings.ReplaceAll(p.plot.audience, "_", " "))
	for _, who := range p.Company.People {
		fmt.Fprintf(&b, "| %s | %s |\n", who.Name, who.Department)
	}
	for _, e := range all {
		fmt.Fprintf(&b, "\n**%s** %s", e.at.In(p.Zone).Format("15:04:05"), e.head)
		if e.where != "" {
			fmt.Fprintf(&b, " `%s`", e.where)
		}
		b.WriteString("\n")
		if body := strings.TrimSpace(e.body); body != "" {
			fmt.Fprintf(&b, "\n> %s\n", strings.ReplaceAll(body, "\n", "\n> "))
		}
	}
	if p.err != nil {
		fmt.Fprintf(&b, "\n**It ended here:** %v\n", p.err)
	}
	return b.String()
}

// moment is the time of a Slack timestamp.
func moment(ts string) time.Time {
	seconds, micros, _ := strings.Cut(ts, ".")
	s, _ := strconv.ParseInt(seconds, 10, 64) // the workspace made it
	us, _ := strconv.ParseInt(micros, 10, 64)
	return time.Unix(s, us*1000)
}

func place(channel, ts string) string { return channel + "/" + ts }

// label names a conversation.
func (p *play) label(channel string) string {
	ch, ok := p.chat.Channel(channel)
	if !ok || ch.Name != "" {
		return "#" + ch.Name
	}
	var people []string
	for _, id := range ch.Members {
		people = append(people, p.read.name(id))
	}
	return strings.Join(people, " and ")
}

// posts are the messages of all conversations as they were posted, and each
// change of one that was edited.
func (p *play) posts() []entry {
	var out []entry
	first := map[string]string{} // how an edited message read when it was posted
	for _, c := range p.chat.Calls() {
		at := place(c.Result["channel"], c.Result["ts"])
		switch {
		case !c.Landed:
		case c.Method == "chat.postMessage":
			first[at] = p.asPosted(c)
		case c.Method == "chat.update":
			out = append(out, entry{at: c.Time, head: fmt.Sprintf("%s · **tocsin** changes a message", p.label(c.Result["channel"])), where: at, body: firstLine(p.asPosted(c))})
		}
	}
	for _, ch := range p.chat.Channels("") {
		var joined []string
		list := p.chat.Messages(ch.ID)
		for n, m := range list {
			if m.Subtype == "channel_join" {
				if joined = append(joined, p.read.name(m.User)); n+1 < len(list) && list[n+1].Subtype == "channel_join" {
					continue
				}
				out = append(out, entry{at: moment(m.TS), head: p.label(ch.ID) + " · joined: " + strings.Join(joined, ", ")})
				joined = nil
				continue
			}
			body := p.read.message(m)
			if posted := first[place(ch.ID, m.TS)]; posted != "" {
				body = posted
			}
			for _, f := range m.Files {
				body += "\n📎 " + f.Name
			}
			e := entry{at: moment(m.TS), head: fmt.Sprintf("%s · **%s**", p.label(ch.ID), p.read.name(m.User)), where: place(ch.ID, m.TS), body: body}
			if m.Subtype == "channel_topic" {
				e.head, e.where, e.body = fmt.Sprintf("%s · the topic is", p.label(ch.ID)), "", body[strings.Index(body, ":")+1:]
			}
			out = append(out, e)
		}
	}
	return out
}

// asPosted reads a message out of the call that posted it.
func (p *play) asPosted(c chat.Call) string {
	text, _ := c.Args["text"].(string)
	raw, _ := json.Marshal(c.Args["blocks"]) // it came as JSON
	if s, ok := c.Args["blocks"].(string); ok {
		raw = []byte(s)
	}
	return p.read.message(chat.Message{Text: text, Blocks: raw})
}

func firstLine(s string) string {
	lines := strings.SplitN(s, "\n\n", 3)
	return strings.Join(lines[:min(2, len(lines))], "\n")
}

// ephemeralEntries are what only one person was shown.
func (p *play) ephemeralEntries() []entry {
	var out []entry
	for _, who := range p.Company.People {
		for _, m := range p.chat.Ephemerals(who.ID) {
			out = append(out, entry{at: moment(m.TS), head: fmt.Sprintf("%s · **tocsin**, only visible to %s", p.label(m.Channel), who.Name), where: place(m.Channel, m.TS), body: p.read.message(m)})
		}
	}
	return out
}

// actionEntries are what people typed, pressed and submitted.
func (p *play) actionEntries() []entry {
	var out []entry
	for _, d := range p.chat.Deliveries() {
		who, known := p.person(d.User)
		if d.Kind == "event" || !known || d.Attempt > 0 {
			continue
		}
		var in struct {
			Command string `json:"command"`
			Text    string `json:"text"`
			Channel any    `json:"channel"`
			ID      string `json:"channel_id"`
			Actions []struct {
				Text   wording `json:"text"`
				Chosen struct {
					Text wording `json:"text"`
				} `json:"selected_option"`
			} `json:"actions"`
			View struct {
				Title wording `json:"title"`
				State struct {
					Values map[string]map[string]map[string]any `json:"values"`
				} `json:"state"`
			} `json:"view"`
		}
		_ = json.Unmarshal(d.Payload, &in) // the workspace made it
		e := entry{at: d.Time}
		switch {
		case d.Kind == "command":
			e.head = fmt.Sprintf("%s · **%s** types", p.label(in.ID), called(who))
			e.body = "`" + in.Command + " " + p.read.mrkdwn(in.Text) + "`"
		case d.Type == "view_submission":
			e.head, e.body = fmt.Sprintf("**%s** submits the form “%s”", called(who), in.View.Title.Text), p.filled(in.View.State.Values)+p.complaints(d.Answer)
		case len(in.Actions) > 0:
			e.head = fmt.Sprintf("**%s** presses `[%s]`", called(who), cmp.Or(in.Actions[0].Text.Text, in.Actions[0].Chosen.Text.Text))
		default:
			e.head = fmt.Sprintf("**%s** uses %s", called(who), d.Type)
		}
		out = append(out, e)
	}
	return out
}

// filled are the values of a form, by the names of its fields.
func (p *play) filled(values map[string]map[string]map[string]any) string {
	var lines []string
	for name, elements := range values {
		for _, e := range elements {
			if said := p.chosen(e); said != "" {
				lines = append(lines, "- "+strings.ReplaceAll(name, "_", " ")+": "+said)
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// chosen is one element's value in words.
func (p *play) chosen(e map[string]any) string {
	for _, key := range []string{"value", "selected_date", "selected_user"} {
		if s, ok := e[key].(string); ok {
			return p.read.name(s)
		}
	}
	if o, ok := e["selected_option"].(map[string]any); ok {
		return fmt.Sprint(o["value"])
	}
	if at, ok := e["selected_date_time"].(float64); ok {
		return time.Unix(int64(at), 0).In(p.Zone).Format("2006-01-02 15:04")
	}
	var many []string
	for _, key := range []string{"selected_users", "selected_options"} {
		list, _ := e[key].([]any)
		for _, v := range list {
			if o, ok := v.(map[string]any); ok {
				v = o["value"]
			}
			many = append(many, p.read.name(fmt.Sprint(v)))
		}
	}
	return strings.Join(many, ", ")
}

// complaints are what a form answered under its fields.
func (p *play) complaints(answer string) string {
	var said struct {
		Errors map[string]string `json:"errors"`
	}
	_ = json.Unmarshal([]byte(answer), &said) // most answers are empty
	var b strings.Builder
	for field, text := range said.Errors {
		fmt.Fprintf(&b, "\n\n⛔ %s: %s", field, text)
	}
	return b.String()
}

// pages are what PagerDuty did, and what was done there.
func (p *play) pages() []entry {
	var out []entry
	people := map[string]string{}
	for _, who := range p.Company.People {
		if who.Pager != "" {
			people[who.Pager] = called(who)
		}
	}
	now := p.Company.Pager.Snapshot()
	for _, page := range now.Pages {
		out = append(out, entry{at: page.At, head: "📟 PagerDuty rings at " + people[page.User], where: page.Key, body: page.Text})
	}
	for _, in := range now.Incidents {
		for _, l := range in.Log {
			if l.Kind == "triggered" || l.Kind == "trigger" {
				continue // it rang
			}
			out = append(out, entry{at: l.At, head: fmt.Sprintf("PagerDuty · %s by %s", l.Kind, cmp.Or(people[l.By], "the bot")), where: in.Key, body: l.Text})
		}
	}
	return out
}

func (p *play) mails() []entry {
	var out []entry
	for _, m := range p.Company.Mail.Messages() {
		e := entry{at: m.At, head: "✉ mail to " + strings.Join(m.Recipients, ", "), where: m.MessageID, body: "**" + m.Subject + "**\n\n" + strings.TrimSpace(m.Text)}
		for _, a := range m.Attachments {
			e.body += fmt.Sprintf("\n📎 %s, %s", cmp.Or(a.Name, "unnamed"), a.Type)
		}
		if _, ok := m.Calendar(); ok {
			e.body += "\n" + invitation(m)
		}
		out = append(out, e)
	}
	return out
}

// invitation says what a calendar makes of a mail.
func invitation(m mailbox.Message) string {
	part, _ := m.Calendar()
	props := calendar(part.Content)
	return fmt.Sprintf("📅 %s: %s, %s", strings.Join(props["METHOD"], " "), strings.Join(props["SUMMARY"], " "), strings.Join(props["DTSTART"], " "))
}
