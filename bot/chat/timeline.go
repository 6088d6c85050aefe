package chat

import (
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// maxEntryText is the maximum length of the text of an entry in a timeline.
const maxEntryText = 160

// Timeline returns a page of the timeline: the last entries that the filter selects, the
// oldest first, with a button for those before. It shows everything about a single entry.
func Timeline(v incident.View, f incident.TimelineFilter, now time.Time) Message {
	m := newBuilder(briefOf(v, now))
	page, earlier := f.Page(v.Timeline)
	typed := func(f incident.TimelineFilter) string { return timelineLine(v.Incident.ID, f, v.Directory) }
	if len(page) == 0 {
		m.line("No entry of the timeline of %s matches. Type %s for all of them.", Strong{m.inc.ID}, Typed("timeline "+m.inc.ID.String()))
		return m.message()
	}
	if f.Entry > 0 {
		b := briefOf(v, now)
		b.Event = page[0]
		return EventDetails(b)
	}
	m.line("Timeline of %s: entries %d to %d of %d, the newest last.", Strong{m.inc.ID}, page[0].Seq, page[len(page)-1].Seq, len(v.Timeline))
	for _, e := range page {
		m.line("%s", m.entry(e))
	}
	var row []Action
	if earlier > 0 {
		row = append(row, ask("More", typed(f.Earlier(page))))
	}
	if f == (incident.TimelineFilter{}) {
		for _, topic := range []string{"notes", "steps", "facts", "updates"} {
			row = append(row, ask(topicLabels[topic], typed(incident.TimelineFilter{Topic: topic})))
		}
	}
	m.buttons(row...)
	return m.message()
}

// timelineLine returns the command that shows a part of a timeline.
func timelineLine(id incident.ID, f incident.TimelineFilter, d incident.Directory) string {
	line, _ := command.Format(command.Parsed{Query: command.QueryTimeline, Timeline: f, Command: incident.Command{For: id}}, d)
	return line
}

var topicLabels = map[string]string{"notes": "Notes", "steps": "Steps", "facts": "Facts", "updates": "Updates"}

// entry returns one line of a timeline.
func (m *builder) entry(e incident.Event) Text {
	sentence, name := e.Sentence()
	line := textf("%s %s %s", Code(fmtSeq(e.Seq)), e.HappenedAt, m.resolve(sentence))
	if t, ok := e.Texts[name]; ok && !e.Kind.TextInside() {
		value := text.Truncate(text.Line(t.Value), maxEntryText)
		if t.Erased() && t.Value == "" {
			value = string(incident.Erased)
		}
		line = textf("%s: %s", line, incident.Quoted(value))
	}
	return line
}
