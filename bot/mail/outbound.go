package mail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"

	"tocsin/bot/incident"
)

// PageTo is the handler of a route of the emergency alias that pages by mail.
func (m *Mailer) PageTo(list []string) Handler {
	to, wrong := addresses(list)
	return func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		if len(to) == 0 {
			return incident.Command{}, &incident.Permanent{Err: fmt.Errorf("page by mail: %w", errors.Join(wrong, errors.New("the route has no address")))}
		}
		inc, round, route := b.Incident, number(e, "round"), number(e, "route")
		subject := fmt.Sprintf("[page] %s %s", inc.ID, inc.Severity)
		if round > 1 {
			subject += fmt.Sprintf(" (page %d)", round)
		}
		if title := publicTitle(inc); title != "" {
			subject += " " + title
		}
		text, err := write(pageText, b)
		if err != nil {
			return incident.Command{}, err
		}
		if err := m.send(ctx, m.letter(b, subject, text, true), to); err != nil {
			return incident.Command{}, fmt.Errorf("page by mail: %w", err)
		}
		return incident.Command{
			Key: e.Key, For: inc.ID, Verb: incident.VerbPaged, By: incident.System, Via: incident.ViaSystem,
			Round: round, Route: route, Effect: e.Key,
		}, nil
	}
}

// Postmortem mails a written postmortem to the audience that was signed: its
// text in the message, the printable page beside it.
func (m *Mailer) Postmortem(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	if b.Document == nil {
		return incident.Command{}, &incident.Permanent{Err: errors.New("mail postmortem: there is no document")}
	}
	to := m.readers(b)
	if len(to) == 0 && b.Incident.Record.Audience == incident.AudienceAll {
		return incident.Command{}, nil // no list is configured: the channel has it
	}
	doc := b.Document
	subject := fmt.Sprintf("Postmortem of %s, revision %d", b.Incident.ID, doc.Revision)
	if title := publicTitle(b.Incident); title != "" {
		subject += ": " + title
	}
	l := m.letter(b, subject, doc.Markdown, false)
	l.files = []file{{fmt.Sprintf("%s-postmortem-r%d.html", b.Incident.ID, doc.Revision), "text/html", doc.HTML}}
	return incident.Command{}, m.send(ctx, l, to)
}

// meeting is how long a review meeting is asked for.
const meeting = time.Hour

// Invitation invites to the review meeting. The UID stays for the incident's
// life and the sequence rises with each time that is set, so that calendars move
// the meeting instead of adding another.
func (m *Mailer) Invitation(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	start, err := time.Parse(time.RFC3339Nano, b.Event.Field("when"))
	if err != nil {
		start = b.Incident.Review.At
	}
	if start.IsZero() {
		return incident.Command{}, &incident.Permanent{Err: errors.New("mail invitation: the meeting has no time")}
	}
	to := m.known(b.Directory, participants(b)...)
	subject := "Postmortem review of " + b.Incident.ID.String()
	if title := publicTitle(b.Incident); title != "" {
		subject += ": " + title
	}
	text, err := write(invitationText, struct {
		incident.Brief
		Start time.Time
	}{b, start.UTC()})
	if err != nil {
		return incident.Command{}, err
	}
	l := m.letter(b, subject, text, false)
	l.calendar = m.invitation(b, subject, start, to)
	return incident.Command{}, m.send(ctx, l, to)
}

func (m *Mailer) invitation(b incident.Brief, subject string, start time.Time, to []*mail.Address) string {
	cal := ics.NewCalendarFor("tocsin")
	cal.SetMethod(ics.MethodRequest)
	ev := cal.AddEvent(strings.ToLower(b.Incident.ID.String()) + "-review@" + m.domain)
	ev.SetSequence(b.Event.Seq)
	ev.SetDtStampTime(m.at(b))
	ev.SetStartAt(start.UTC())
	ev.SetEndAt(start.UTC().Add(meeting))
	ev.SetSummary(flat(subject))
	ev.SetDescription("In person. It concludes with decisions and at least one action for detection and one for prevention.")
	ev.SetStatus(ics.ObjectStatusConfirmed)
	if b.Incident.Restricted {
		ev.SetClass(ics.ClassificationPrivate)
	}
	ev.SetOrganizer(m.from.Address)
	for _, a := range to {
		ev.AddAttendee(a.Address, ics.WithCN(parameter(cmp.Or(a.Name, a.Address))), ics.WithRSVP(true),
			ics.ParticipationRoleReqParticipant, ics.ParticipationStatusNeedsAction, ics.CalendarUserTypeIndividual)
	}
	return cal.Serialize(ics.WithNewLineWindows)
}

// parameter is a text that can stand in a calendar parameter, which knows no
// escape for a quotation mark.
func parameter(s string) string { return strings.ReplaceAll(flat(s), `"`, "'") }

func (m *Mailer) letter(b incident.Brief, subject, text string, urgent bool) letter {
	return letter{id: m.messageID(b.Mark), incident: b.Incident.ID, subject: subject, text: text, urgent: urgent, at: m.at(b)}
}

// at is the time of a message: when what it tells happened, so that a repeat
// is the same message to the second.
func (m *Mailer) at(b incident.Brief) time.Time {
	for _, t := range []time.Time{b.Event.RecordedAt, b.Now} {
		if !t.IsZero() {
			return t.UTC()
		}
	}
	return m.cfg.Clock().UTC()
}

// publicTitle is the title where a subject line, which shows on locked screens,
// may carry it.
func publicTitle(i incident.Incident) string {
	if i.Restricted {
		return ""
	}
	return flat(i.Title)
}

// readers are the audience of the record: the configured list for the whole
// company, else people by name.
func (m *Mailer) readers(b incident.Brief) []*mail.Address {
	switch b.Incident.Record.Audience {
	case incident.AudienceAll:
		return m.postmortem
	case incident.AudienceLegalSecurity:
		return m.known(b.Directory, append(b.Directory.Speakers(incident.Legal, b.Now), b.Directory.Speakers(incident.Security, b.Now)...)...)
	}
	return m.known(b.Directory, participants(b)...)
}

// participants are those who took part: roles, signatures, and the heads of the
// departments that must sign.
func participants(b incident.Brief) []incident.PersonID {
	out := []incident.PersonID{b.Incident.Commander}
	for _, role := range slices.Sorted(maps.Keys(b.Incident.Roles)) {
		out = append(out, b.Incident.Roles[role])
	}
	for _, s := range b.Incident.Signatures {
		out = append(out, s.By)
	}
	for _, name := range incident.RequiredDepartments() {
		if team, ok := b.Directory.Team(name); ok {
			out = append(out, team.Head)
		}
	}
	return out
}

// known finds the addresses of people; who has none is left out.
func (m *Mailer) known(d incident.Directory, people ...incident.PersonID) []*mail.Address {
	var list []string
	for _, id := range people {
		if p, ok := d.Person(id); ok {
			if a := p.Handle(incident.DoorMail); a != "" {
				list = append(list, (&mail.Address{Name: p.Name, Address: a}).String())
			}
		}
	}
	out, wrong := addresses(list)
	if wrong != nil {
		m.log.Warn("people with an address that is none", "error", wrong)
	}
	return out
}

// number reads a number among an effect's arguments; who enqueued it wrote it.
func number(e incident.Effect, name string) int {
	n, _ := strconv.Atoi(e.Args[name])
	return n
}
