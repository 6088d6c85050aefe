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

// entry is an event in the transcript.
type entry struct {
	at    time.Time
	head  string // place and actor
	where string // id in the logs of the sandbox: channel/ts, or the id of a page or mail
	body  string
}

// transcript returns the events of the story in order of time, as Markdown.
func (p *player) transcript() string {
	p.read = newReader(p.Company, p.Zone) // includes the channels that the bot created
	all := slices.Concat(p.alertEntries, p.posts(), p.ephemeralEntries(), p.actionEntries(), p.pages(), p.mails())
	slices.SortStableFunc(all, func(a, b entry) int { return a.at.Compare(b.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "# %s, from the first alert to the review\n\n", cmp.Or(p.result.Incident, "An incident"))
	fmt.Fprintf(&b, "All messages, pages, mails and actions of people in order of time. Times are in %s. The code after a heading is the id in the logs of the sandbox.\n\n", p.Zone)
	fmt.Fprintf(&b, "Seed %d · %s · Slack over %s · audience of the record: %s\n\n| Person | Department |\n|---|---|\n", p.Seed, p.scenario.source,
		map[bool]string{true: "HTTP", false: "Socket Mode"}[p.result.HTTP], strings.ReplaceAll(p.scenario.audience, "_", " "))
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
		fmt.Fprintf(&b, "\n**The story failed:** %v\n", p.err)
	}
	return b.String()
}

// slackTime converts a Slack timestamp to a time.
func slackTime(ts string) time.Time {
	seconds, micros, _ := strings.Cut(ts, ".")
	s, _ := strconv.ParseInt(seconds, 10, 64) // the workspace creates valid timestamps
	us, _ := strconv.ParseInt(micros, 10, 64)
	return time.Unix(s, us*1000)
}

func messagePlace(channel, ts string) string { return channel + "/" + ts }

// conversationName returns "#" and the name of a channel, or the members of a
// direct conversation.
func (p *player) conversationName(channel string) string {
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

// posts returns an entry for every message, with its original text, and for
// every edit.
func (p *player) posts() []entry {
	var out, edits []entry
	first := map[string]string{} // original texts by place
	for _, c := range p.chat.Calls() {
		at := messagePlace(c.Result["channel"], c.Result["ts"])
		switch {
		case !c.Landed:
		case c.Method == "chat.postMessage":
			first[at] = p.postedText(c)
		case c.Method == "chat.update":
			edits = append(edits, entry{at: c.Time, where: at, body: firstLine(p.postedText(c))})
		}
	}
	places := map[string]string{} // names of channels and threads by place
	for _, ch := range p.chat.Channels("") {
		var joined []string
		list := p.messages(ch.ID)
		for n, m := range list {
			places[messagePlace(ch.ID, m.TS)] = p.placeName(m)
			if m.Subtype == "channel_join" {
				if joined = append(joined, p.read.name(m.User)); n+1 < len(list) && list[n+1].Subtype == "channel_join" {
					continue
				}
				out = append(out, entry{at: slackTime(m.TS), head: p.conversationName(ch.ID) + " · joined: " + strings.Join(joined, ", ")})
				joined = nil
				continue
			}
			out = append(out, p.post(m, first[messagePlace(ch.ID, m.TS)]))
		}
	}
	for _, e := range edits {
		e.head = cmp.Or(places[e.where], "a deleted message") + " · **tocsin** edited a message"
		out = append(out, e)
	}
	return out
}

// post returns the entry of a message with its original text.
func (p *player) post(m chat.Message, posted string) entry {
	body := cmp.Or(posted, p.read.message(m))
	for _, f := range m.Files {
		body += "\n📎 " + f.Name
	}
	if m.Subtype == "channel_topic" {
		return entry{at: slackTime(m.TS), head: p.conversationName(m.Channel) + " · topic changed to", body: body[strings.Index(body, ":")+1:]}
	}
	return entry{at: slackTime(m.TS), head: fmt.Sprintf("%s · **%s**", p.placeName(m), p.read.name(m.User)), where: messagePlace(m.Channel, m.TS), body: body}
}

// placeName returns the name of the channel of a message, and whether it is in a thread.
func (p *player) placeName(m chat.Message) string {
	name := p.conversationName(m.Channel)
	switch {
	case m.ThreadTS == "" || m.ThreadTS == m.TS:
		return name
	case m.Broadcast:
		return name + " (thread), also in the channel"
	}
	return name + " (thread)"
}

// postedText returns the text of a message from the call that posted it.
func (p *player) postedText(c chat.Call) string {
	text, _ := c.Args["text"].(string)
	raw, _ := json.Marshal(c.Args["blocks"]) // cannot fail: it was decoded from JSON
	if s, ok := c.Args["blocks"].(string); ok {
		raw = []byte(s)
	}
	return p.read.message(chat.Message{Text: text, Blocks: raw})
}

func firstLine(s string) string {
	lines := strings.SplitN(s, "\n\n", 3)
	return strings.Join(lines[:min(2, len(lines))], "\n")
}

// ephemeralEntries returns an entry for every ephemeral message.
func (p *player) ephemeralEntries() []entry {
	var out []entry
	for _, who := range p.Company.People {
		for _, m := range p.chat.Ephemerals(who.ID) {
			out = append(out, entry{at: slackTime(m.TS), head: fmt.Sprintf("%s · **tocsin**, only visible to %s", p.conversationName(m.Channel), who.Name), where: messagePlace(m.Channel, m.TS), body: p.read.message(m)})
		}
	}
	return out
}

// actionEntries returns an entry for every command, click and form of people.
func (p *player) actionEntries() []entry {
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
				Text   textObject `json:"text"`
				Chosen struct {
					Text textObject `json:"text"`
				} `json:"selected_option"`
			} `json:"actions"`
			View struct {
				Title textObject `json:"title"`
				State struct {
					Values map[string]map[string]map[string]any `json:"values"`
				} `json:"state"`
			} `json:"view"`
		}
		_ = json.Unmarshal(d.Payload, &in) // cannot fail: the workspace encoded it
		e := entry{at: d.Time}
		switch {
		case d.Kind == "command":
			e.head = fmt.Sprintf("%s · **%s** typed", p.conversationName(in.ID), nameAndDepartment(who))
			e.body = "`" + in.Command + " " + p.read.mrkdwn(in.Text) + "`"
		case d.Type == "view_submission":
			e.head, e.body = fmt.Sprintf("**%s** submitted the form “%s”", nameAndDepartment(who), in.View.Title.Text), p.describeValues(in.View.State.Values)+p.formErrors(d.Answer)
		case len(in.Actions) > 0:
			e.head = fmt.Sprintf("**%s** pressed `[%s]`", nameAndDepartment(who), cmp.Or(in.Actions[0].Text.Text, in.Actions[0].Chosen.Text.Text))
		default:
			e.head = fmt.Sprintf("**%s** used %s", nameAndDepartment(who), d.Type)
		}
		out = append(out, e)
	}
	return out
}

// describeValues lists the values of a form by field name.
func (p *player) describeValues(values map[string]map[string]map[string]any) string {
	var lines []string
	for name, elements := range values {
		for _, e := range elements {
			if value := p.describeValue(e); value != "" {
				lines = append(lines, "- "+strings.ReplaceAll(name, "_", " ")+": "+value)
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// describeValue returns the value of an element as text.
func (p *player) describeValue(e map[string]any) string {
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

// formErrors lists the errors in the response to a form.
func (p *player) formErrors(answer string) string {
	var response struct {
		Errors map[string]string `json:"errors"`
	}
	_ = json.Unmarshal([]byte(answer), &response) // fails for empty responses, which have no errors
	var b strings.Builder
	for field, text := range response.Errors {
		fmt.Fprintf(&b, "\n\n⛔ %s: %s", field, text)
	}
	return b.String()
}

// pages returns an entry for every page and for every change of an incident in
// PagerDuty.
func (p *player) pages() []entry {
	var out []entry
	people := map[string]string{}
	for _, who := range p.Company.People {
		if who.Pager != "" {
			people[who.Pager] = nameAndDepartment(who)
		}
	}
	now := p.Company.Pager.Snapshot()
	for _, page := range now.Pages {
		out = append(out, entry{at: page.At, head: "📟 PagerDuty paged " + people[page.User], where: page.Key, body: page.Text})
	}
	for _, in := range now.Incidents {
		for _, l := range in.Log {
			if l.Kind == "triggered" || l.Kind == "trigger" {
				continue // the page has an entry
			}
			out = append(out, entry{at: l.At, head: fmt.Sprintf("PagerDuty · %s by %s", l.Kind, cmp.Or(people[l.By], "the bot")), where: in.Key, body: l.Text})
		}
	}
	return out
}

func (p *player) mails() []entry {
	var out []entry
	for _, m := range p.Company.Mail.Messages() {
		e := entry{at: m.At, head: "✉ mail to " + strings.Join(m.Recipients, ", "), where: m.MessageID, body: "**" + m.Subject + "**\n\n" + strings.TrimSpace(m.Text)}
		for _, a := range m.Attachments {
			e.body += fmt.Sprintf("\n📎 %s, %s", cmp.Or(a.Name, "unnamed"), a.Type)
		}
		if _, ok := m.Calendar(); ok {
			e.body += "\n" + describeInvitation(m)
		}
		out = append(out, e)
	}
	return out
}

// describeInvitation returns method, summary and start of an invitation.
func describeInvitation(m mailbox.Message) string {
	part, _ := m.Calendar()
	props := parseCalendar(part.Content)
	return fmt.Sprintf("📅 %s: %s, %s", strings.Join(props["METHOD"], " "), strings.Join(props["SUMMARY"], " "), strings.Join(props["DTSTART"], " "))
}
