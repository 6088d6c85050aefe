package slack

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// Announce posts an event in the announce channel. For a restricted incident,
// the announcement contains only the number and the severity.
func (s *Slack) Announce(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	return noCommand, s.postAnnouncement(ctx, b, announcement(b))
}

// postAnnouncement posts a message once in the announce channel, if one is
// configured.
func (s *Slack) postAnnouncement(ctx context.Context, b incident.Brief, m message) error {
	channel, err := s.announceChannel(ctx)
	if err != nil || channel == "" {
		return err
	}
	_, err = s.postOnce(ctx, b, channel, b.Mark, m, b.Attempt > 1)
	return err
}

// announcements holds the announcement of each kind of event. Its arguments are
// the number and the severity of the incident.
var announcements = map[incident.EventKind]string{
	incident.EventOpened:      "*%s* was opened at *%s*.",
	incident.EventSeveritySet: "The severity of *%s* is now *%s*.",
	incident.EventContained:   "*%s* (*%s*) is contained.",
	incident.EventResolved:    "*%s* (*%s*) is resolved.",
	incident.EventReopened:    "*%s* (*%s*) was reopened.",
	incident.EventDismissed:   "*%s* (*%s*) was dismissed as a false alarm.",
	incident.EventMergedInto:  "*%s* (*%s*) was merged into another incident.",
	incident.EventApproved:    "The closing record of *%s* (*%s*) is approved.",
	incident.EventClosed:      "*%s* (*%s*) was closed.",
}

func announcement(b incident.Brief) message {
	inc, p := b.Incident, &messageBuilder{id: b.Incident.ID}
	format := announcements[b.Event.Kind]
	if format == "" {
		format = "There is an update about *%s* (*%s*)."
	}
	p.line(markupf(":mega: "+format, markup(inc.ID.String()), humanize(inc.Severity)))
	if inc.Restricted {
		p.small("restricted: only participants can read the incident")
		return p.build()
	}
	p.quote(inc.Title)
	if b.Event.Kind == incident.EventUpdated {
		renderer{messageBuilder: p, b: b, e: b.Event, inc: inc}.quoteText("text")
	}
	commander, channel := markup(""), markup("")
	if inc.Commander != "" {
		commander = markupf("commander: %s", mention(b.Directory, inc.Commander))
	}
	if c := inc.Links[incident.LinkChannel]; channelID.MatchString(c) {
		channel = markup("channel: <#" + c + ">")
	}
	p.small(commander, channel)
	return p.build()
}

// AnnouncePostmortem announces the postmortem to the audience in the signed
// record.
func (s *Slack) AnnouncePostmortem(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	record := b.Incident.Record
	if sub := b.Incident.Submission; sub != nil {
		record = sub.Document.Record
	}
	m := postmortemAnnouncement(b, record)
	switch record.Audience {
	case incident.AudienceAll:
		return noCommand, s.postAnnouncement(ctx, b, m)
	case incident.AudienceLegalSecurity:
		var readers []incident.PersonID
		for _, name := range []incident.Department{incident.Legal, incident.Security} {
			for _, id := range b.Incident.Representatives(b.Directory, name, b.Now) {
				if !slices.Contains(readers, id) {
					readers = append(readers, id)
				}
			}
		}
		_, err := s.sendToEach(ctx, b, readers, m)
		return noCommand, err
	}
	_, err := s.postToChannel(ctx, b, m)
	return noCommand, err
}

func postmortemAnnouncement(b incident.Brief, record incident.ClosingRecord) message {
	inc, p := b.Incident, &messageBuilder{id: b.Incident.ID}
	p.line(markupf(":page_facing_up: *The postmortem of %s* (%s) is signed by every department.", markup(inc.ID.String()), humanize(inc.Severity)))
	p.quote(inc.Title)
	for _, f := range incident.RecordFields() {
		if text := record.Get(f.Name); text != "" && (f.Name == "summary" || f.Name == "what_will_prevent_it") {
			p.line(markupf("*%s*", escape(f.Label, 60)))
			p.quote(text)
		}
	}
	var revision, digest markup
	if sub := inc.Submission; sub != nil {
		revision, digest = markupf("revision %s", formatNum(sub.Document.Revision)), escape(sub.Digest, 100)
	}
	p.small(revision, digest)
	return p.build()
}

// Agenda posts the agenda of the next review meeting. It posts nothing if the
// agenda is empty.
func (s *Slack) Agenda(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	if len(b.Agenda) == 0 && b.SuppressedAlerts.Kinds == 0 && len(b.SuppressedAlerts.MaintenanceWindows) == 0 {
		return noCommand, nil
	}
	return noCommand, s.postAnnouncement(ctx, b, agenda(b))
}

func agenda(b incident.Brief) message {
	p := &messageBuilder{}
	p.line(":calendar: *Agenda of the next review meeting*")
	var due, dismissed, other []string
	for _, i := range b.Agenda {
		text := fmt.Sprintf("%s · %s", i.ID, i.Severity)
		if i.Title != "" && !i.Restricted {
			text += " · " + i.Title
		}
		if !i.ReviewAt.IsZero() {
			text += " · " + i.ReviewAt.UTC().Format("2006-01-02 15:04 UTC")
		}
		switch {
		case slices.Contains(incident.AllowedVerbs(i.Status), incident.VerbConclude):
			due = append(due, text)
		case i.Status.Ended():
			dismissed = append(dismissed, text)
		default:
			other = append(other, text)
		}
	}
	for _, part := range []struct {
		label markup
		items []string
	}{{"*Approved, awaiting review*", due}, {"*Dismissed as false alarms*", dismissed}, {"*Not signed yet*", other}} {
		if len(part.items) > 0 {
			p.line(part.label)
			p.items(part.items)
		}
	}
	if k := b.SuppressedAlerts; k.Kinds > 0 {
		p.line(markupf("*Alerts dropped by routing rules since the last agenda*: %s alerts, %s occurrences", formatNum(int(k.Kinds)), formatNum(int(k.Occurrences))))
		var lines []string
		for _, l := range k.Alerts {
			lines = append(lines, templates.AlertLine(l))
		}
		p.items(lines)
	}
	if len(b.SuppressedAlerts.MaintenanceWindows) > 0 {
		p.line("*Maintenance windows since the last agenda*")
		var lines []string
		for _, m := range b.SuppressedAlerts.MaintenanceWindows {
			lines = append(lines, templates.MaintenanceWindowLine(m, b.Directory, b.Now))
		}
		p.items(lines)
	}
	return p.build()
}

// AnnounceMaintenance announces a maintenance window: its start, confirmation or end.
func (s *Slack) AnnounceMaintenance(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	news, lines := templates.MaintenanceAnnouncement(*b.Maintenance, e.Args["event"], b.Directory)
	p := &messageBuilder{}
	p.line(markupf(":construction: *%s*", escape(news, 300)))
	p.quote("Reason: " + b.Maintenance.Reason)
	for _, line := range lines {
		p.small(escape(line, 500))
	}
	return noCommand, s.postAnnouncement(ctx, b, p.build())
}

// Notice posts a problem of Tocsin itself in the announce channel.
func (s *Slack) Notice(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	what, means := templates.NoticeText(e.Args)
	p := &messageBuilder{}
	p.line(markupf(":wrench: *%s*", escape(what, 300)))
	p.small(escape(means, 1000))
	return noCommand, s.postAnnouncement(ctx, b, p.build())
}

// Handover sends the open work of a person who left the configuration to the
// people who take over.
func (s *Slack) Handover(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	heading, lines := templates.HandoverText(e.Args, b.Directory)
	p := &messageBuilder{}
	p.line(markupf(":wave: *%s*", escape(heading, 300)))
	p.items(lines)
	p.small(escape(templates.HandoverAdvice, 1000))
	_, err := s.sendToEach(ctx, b, successors(e), p.build())
	return noCommand, err
}

// successors returns the people who take over from a person who left.
func successors(e incident.Effect) []incident.PersonID {
	var out []incident.PersonID
	for _, id := range strings.Split(e.Args["successors"], ",") {
		out = append(out, incident.PersonID(id))
	}
	return out
}
