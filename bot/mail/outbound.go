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
	"tocsin/templates"
)

// PageTo is the handler of a route of the emergency alias that pages by mail.
func (m *Mailer) PageTo(list []string) Handler {
	to, wrong := addresses(list)
	return func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		if len(to) == 0 {
			return incident.Command{}, &incident.Permanent{Err: fmt.Errorf("page by mail: %w", errors.Join(wrong, errors.New("the route has no address")))}
		}
		inc, round, route := b.Incident, intArg(e, "round"), intArg(e, "escalation_step")
		l := m.letter(b, templates.PageMail(b, route))
		l.urgent = true
		if err := m.send(ctx, l, to); err != nil {
			return incident.Command{}, fmt.Errorf("page by mail: %w", err)
		}
		return incident.Command{
			Key: e.Key, For: inc.ID, Verb: incident.VerbPaged, By: incident.System, Via: incident.ViaSystem,
			Round: round, EscalationStep: route, Effect: e.Key,
		}, nil
	}
}

// Postmortem mails a written postmortem to the audience that was signed, with
// the document attached in both of its forms.
func (m *Mailer) Postmortem(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	doc := b.Document
	if doc == nil {
		return incident.Command{}, &incident.Permanent{Err: errors.New("mail postmortem: there is no document")}
	}
	to := m.readers(b)
	if len(to) == 0 && audience(b.Incident) == incident.AudienceAll {
		return incident.Command{}, nil // no list is configured: the channel has it
	}
	l := m.letter(b, templates.PostmortemMail(b))
	name := fmt.Sprintf("%s-postmortem-r%d", b.Incident.ID, doc.Revision)
	l.files = []file{{name + ".html", "text/html", doc.HTML}, {name + ".md", "text/markdown", doc.Markdown}}
	return incident.Command{}, m.send(ctx, l, to)
}

// reviewDuration is how long a review meeting is asked for.
const reviewDuration = time.Hour

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
	b.Incident.Review.At = start // the event's own: a later one has a mail of its own
	to := m.known(b.Directory, participants(b)...)
	l := m.letter(b, templates.InvitationMail(b))
	l.calendar = m.invitation(b, to)
	return incident.Command{}, m.send(ctx, l, to)
}

func (m *Mailer) invitation(b incident.Brief, to []*mail.Address) string {
	start, summary := b.Incident.Review.At.UTC(), "Postmortem review of "+b.Incident.ID.String()
	if !b.Incident.Restricted && b.Incident.Title != "" { // calendars are often open to colleagues
		summary += ": " + flat(b.Incident.Title)
	}
	cal := ics.NewCalendarFor("tocsin")
	cal.SetMethod(ics.MethodRequest)
	ev := cal.AddEvent(strings.ToLower(b.Incident.ID.String()) + "-review@" + m.domain)
	ev.SetSequence(b.Event.Seq)
	ev.SetDtStampTime(m.at(b))
	ev.SetStartAt(start)
	ev.SetEndAt(start.Add(reviewDuration))
	ev.SetSummary(summary)
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

func (m *Mailer) letter(b incident.Brief, text templates.Message) outgoing {
	return outgoing{Message: text, id: m.messageID(b.Mark), incident: b.Incident.ID, head: b.Incident.Head, at: m.at(b)}
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

// audience is who may read what was signed.
func audience(i incident.Incident) incident.Audience {
	if i.Submission != nil {
		return i.Submission.Document.Record.Audience
	}
	return i.Record.Audience
}

// readers are the audience of the record: the configured list for the whole
// company, else people by name.
func (m *Mailer) readers(b incident.Brief) []*mail.Address {
	switch audience(b.Incident) {
	case incident.AudienceAll:
		return m.postmortem
	case incident.AudienceLegalSecurity:
		return m.known(b.Directory, append(b.Directory.Representatives(incident.Legal, b.Now), b.Directory.Representatives(incident.Security, b.Now)...)...)
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
			if a := p.IDAt(incident.ProviderMail); a != "" {
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

// intArg reads a number among an effect's arguments; who enqueued it wrote it.
func intArg(e incident.Effect, name string) int {
	n, _ := strconv.Atoi(e.Args[name])
	return n
}
