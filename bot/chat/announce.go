package chat

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// Announce posts an event in the announce channel. For a restricted incident,
// the announcement contains only the number and the severity. The first announcement
// of an incident starts a thread, which the returned command links. The next ones are
// replies.
func (c *Effects) Announce(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	return c.announceInThread(ctx, b, e, Announcement(b), b.Event.Kind.Broadcast())
}

// announceInThread posts a message once in the thread of the incident in the announce
// channel. After the announce channel was replaced, the message starts another thread.
func (c *Effects) announceInThread(ctx context.Context, b incident.Brief, e incident.Effect, m Message, broadcast bool) (incident.Command, error) {
	link := b.Incident.Links[incident.LinkAnnouncement]
	found, err := c.inAnnounceChannel(ctx, func(channel string) error {
		in, root, _ := strings.Cut(b.Incident.Links[incident.LinkAnnouncement], "/")
		m.Thread, m.Broadcast = "", false
		if in == channel {
			m.Thread, m.Broadcast = root, broadcast
		}
		posted, err := c.postOnce(ctx, b, channel, b.Mark, m, b.Attempt > 1)
		if err == nil && m.Thread == "" {
			link = channel + "/" + posted.ID
		}
		return err
	})
	if err != nil || !found || link == b.Incident.Links[incident.LinkAnnouncement] {
		return noCommand, err
	}
	return resultCommand(b, e, incident.Command{Verb: incident.VerbLink, Links: map[string]string{incident.LinkAnnouncement: link}}), nil
}

// Announcement returns the announcement of an event.
func Announcement(b incident.Brief) Message {
	m := newEventBuilder(b)
	m.add(Paragraph{"mega", Text{Format: b.Event.Kind.Announcement(), Args: []any{Strong{m.inc.ID}, Strong{string(m.inc.Severity)}}}})
	if m.inc.Restricted {
		m.note("restricted: only participants can read the incident")
		return m.message()
	}
	m.quote(m.inc.Title)
	var commander, channel Text
	if m.inc.Commander != "" {
		commander = textf("commander: %s", m.inc.Commander)
	}
	if c := m.inc.Links[incident.LinkChannel]; c != "" {
		channel = textf("channel: %s", Channel(c))
	}
	m.small(commander, channel)
	return m.message()
}

// Agenda posts the agenda of the next review meeting. It posts nothing if the
// agenda is empty.
func (c *Effects) Agenda(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	if len(b.Agenda) == 0 && len(b.BreakGlass) == 0 && b.SuppressedAlerts.Kinds == 0 && len(b.SuppressedAlerts.MaintenanceWindows) == 0 {
		return noCommand, nil
	}
	return noCommand, c.announce(ctx, b, AgendaMessage(b))
}

// AgendaMessage returns the agenda of the next review meeting.
func AgendaMessage(b incident.Brief) Message {
	m := newBuilder(b)
	m.iconLine("calendar", "%s", Strong{"Agenda of the next review meeting"})
	var due, dismissed, other []string
	for _, i := range b.Agenda {
		line := i.Origin.Marked(fmt.Sprintf("%s · %s", i.ID, i.Severity))
		if i.Title != "" && !i.Restricted {
			line += " · " + i.Title
		}
		if !i.ReviewAt.IsZero() {
			line += " · " + i.ReviewAt.UTC().Format(timeLayout)
		}
		switch {
		case slices.Contains(incident.AllowedVerbs(i.Status), incident.VerbConclude):
			due = append(due, line)
		case i.Status.Ended():
			dismissed = append(dismissed, line)
		default:
			other = append(other, line)
		}
	}
	for _, part := range []struct {
		label string
		items []string
	}{{"Approved, awaiting review", due}, {"Dismissed as false alarms", dismissed}, {"Not signed yet", other}} {
		if len(part.items) > 0 {
			m.heading(part.label)
			m.bullets(part.items)
		}
	}
	if len(b.BreakGlass) > 0 {
		m.heading("Break-glass was used since the last agenda. Read who and why in the timeline")
		var lines []string
		for _, u := range b.BreakGlass {
			lines = append(lines, u.Incident.String()+" · "+u.At.UTC().Format(timeLayout))
		}
		m.bullets(lines)
	}
	if k := b.SuppressedAlerts; k.Kinds > 0 {
		m.line("%s: %d. Occurrences: %d", Strong{"Alerts dropped by routing rules since the last agenda"}, k.Kinds, k.Occurrences)
		var lines []string
		for _, l := range k.Alerts {
			lines = append(lines, templates.AlertLine(l))
		}
		m.bullets(lines)
	}
	if windows := b.SuppressedAlerts.MaintenanceWindows; len(windows) > 0 {
		m.heading("Maintenance windows since the last agenda")
		var lines []string
		for _, w := range windows {
			lines = append(lines, templates.MaintenanceWindowLine(w, b.Directory, b.Now))
		}
		m.bullets(lines)
	}
	return m.Message
}

// AnnounceMaintenance announces a maintenance window: its start, confirmation or end.
func (c *Effects) AnnounceMaintenance(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	news, lines := templates.MaintenanceAnnouncement(*b.Maintenance, e.Args["event"], b.Directory)
	m := newBuilder(b)
	m.iconLine("construction", "%s", Strong{Plain(news)})
	m.quote("Reason: " + b.Maintenance.Reason)
	for _, line := range lines {
		m.note("%s", Plain(line))
	}
	return noCommand, c.announce(ctx, b, m.Message)
}

// Notice posts a problem of Tocsin itself in the announce channel.
func (c *Effects) Notice(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	problem, advice := templates.NoticeText(templates.NoticeNames(e.Args, b.Directory))
	m := newBuilder(b)
	m.iconLine("wrench", "%s", Strong{Plain(problem)})
	m.note("%s", Plain(advice))
	return noCommand, c.announce(ctx, b, m.Message)
}

// Handover sends the open work of a person who left the configuration to the
// people who take over.
func (c *Effects) Handover(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	heading, lines := templates.HandoverText(e.Args, b.Directory)
	m := newBuilder(b)
	m.iconLine("wave", "%s", Strong{Plain(heading)})
	m.bullets(lines)
	m.note("%s", Plain(templates.HandoverAdvice))
	var successors []incident.PersonID
	for _, id := range strings.Split(e.Args["successors"], ",") {
		successors = append(successors, incident.PersonID(id))
	}
	_, err := c.sendToEach(ctx, b, successors, m.Message)
	return noCommand, err
}
