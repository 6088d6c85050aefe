package chat

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// maxMissedLines is the maximum number of events that a summary lists. The newest are shown.
const maxMissedLines = 40

// postMissed posts one summary of the missed events. The number of its last event is in
// its mark. An attempt whose answer was lost is therefore recognized, even if the next
// attempt covers more events: only the later ones are posted then.
func (c *Effects) postMissed(ctx context.Context, b incident.Brief) error {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return err
	}
	key := b.Mark + "/summary"
	if b.Attempt > 1 {
		for _, known := range []string{b.Mark, key} {
			in := ""
			if known == b.Mark {
				in = b.Incident.Links[threads[newEventBuilder(b).place()].link]
			}
			posted, found, err := c.platform.Find(ctx, channel, in, known, searchStart(b))
			if err != nil {
				return err
			}
			if found {
				b.Missed = slices.DeleteFunc(slices.Clone(b.Missed), func(e incident.Event) bool { return e.Seq <= posted.Seq })
			}
		}
	}
	m, ok := MissedSummary(b, incident.Via(c.platform.Name()))
	if !ok {
		return nil
	}
	last := b.Missed[len(b.Missed)-1].Seq
	_, err = c.platform.Post(ctx, channel, m, Mark{Key: key, Incident: b.Incident.ID, Seq: last})
	return err
}

// mootWhenClosed are the events that say nothing any more once their request is closed:
// another event tells how it ended.
var mootWhenClosed = []incident.EventKind{incident.EventAckTimedOut, incident.EventPageFailed, incident.EventPageUnanswered, incident.EventSeverityProposed,
	incident.EventDismissProposed, incident.EventWaiverProposed, incident.EventStepStarted, incident.EventStepLate}

// callsForHelp are the events that say nothing any more once nobody is needed, or once a
// later call for a responder has its own message.
var callsForHelp = []incident.EventKind{incident.EventAckTimedOut, incident.EventPageFailed, incident.EventPageUnanswered, incident.EventRoundStarted, incident.EventPaged}

// MissedSummary returns one message about the missed events of a brief, and false if none
// of them has a message that still matters. It has no buttons: a request that is still open
// has its own message, which Tocsin edits when nothing is asked any more. Each line contains
// no more than the message of its event.
func MissedSummary(b incident.Brief, via incident.Via) (Message, bool) {
	m := newBuilder(b)
	m.via = via
	var lines []incident.Event
	for _, e := range b.Missed {
		m.event = e
		switch asks := m.inc.Asks(e); {
		case m.place() == nowhere || layouts[e.Kind].icon == "" && layouts[e.Kind].more == nil:
		case slices.Contains(callsForHelp, e.Kind) && (!m.inc.NeedsPage() || asks && m.inc.IsRequest(e)):
		case !asks && slices.Contains(mootWhenClosed, e.Kind):
		default:
			lines = append(lines, e)
		}
	}
	if len(lines) == 0 {
		return Message{}, false
	}
	first, last := b.Missed[0].RecordedAt, b.Missed[len(b.Missed)-1].RecordedAt
	m.iconLine("inbox_tray", "%s messages were delayed. They are from %s to %s.", Strong{fmt.Sprint(len(b.Missed))}, first, last)
	m.heading("In order of time (UTC)")
	hidden := max(len(lines)-maxMissedLines, 0)
	if hidden > 0 {
		m.note("%d earlier ones are in the timeline", hidden)
	}
	layout := "15:04"
	if first.UTC().Format(time.DateOnly) != last.UTC().Format(time.DateOnly) {
		layout = "2 Jan 15:04"
	}
	var out []string
	for _, e := range lines[hidden:] {
		out = append(out, e.RecordedAt.UTC().Format(layout)+" "+m.missedLine(e))
	}
	m.bullets(out)
	return m.message(), true
}

// missedLine returns an event in one line, without the texts that its message leaves out.
func (m *builder) missedLine(e incident.Event) string {
	if e.Kind.TextInside() || e.Audience == incident.AudienceLegalSecurity {
		e.Texts = nil
	}
	return templates.Sentence(e, m.brief.Directory)
}
