package mail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"

	"tocsin/bot/incident"
	"tocsin/bot/text"
	"tocsin/templates"
)

// Invitation mails an invitation to the review meeting with a calendar object. All
// mails about the meeting of an incident share one UID, and the sequence number rises
// with each of them. Calendars therefore move or remove the meeting instead of adding a
// second one. The returned command records who was invited, also if the relay refuses some.
//
// If the meeting was moved or cancelled since, nothing is mailed. But an earlier attempt
// may have mailed the invitation, so its recipients are recorded even then.
func (m *Mailer) Invitation(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	start, err := time.Parse(time.RFC3339Nano, b.Event.Field("when"))
	if err != nil {
		start = b.Incident.Review.At
	}
	if start.IsZero() {
		return incident.Command{}, &incident.Permanent{Err: errors.New("mail invitation: the meeting has no date")}
	}
	people := b.Event.Invitees()
	if people == nil {
		people = b.Incident.ReviewInvitees(b.Directory, b.Now)
	}
	people = slices.DeleteFunc(people, func(id incident.PersonID) bool {
		p, known := b.Directory.Person(id)
		return !known || p.IDAt(incident.ProviderMail) == ""
	})
	current := b.Incident.Review.At.Equal(start) && b.Incident.Review.Concluded.IsZero()
	if !current && b.Attempt <= 1 {
		return incident.Command{}, nil
	}
	cmd := incident.Command{
		Key: e.Key, For: b.Incident.ID, Verb: incident.VerbReviewInvited, By: incident.System, Via: incident.ViaSystem,
		People: people, When: start, Effect: e.Key,
	}
	if !current {
		return cmd, nil
	}
	b.Incident.Review.At = start
	to := m.addressesOf(b.Directory, people...)
	l := m.newOutgoing(b, templates.InvitationMail(b))
	l.calendar, l.calendarMethod = m.meeting(b, ics.MethodRequest, to), string(ics.MethodRequest)
	err = m.send(ctx, l, to)
	if partial := new(incident.Partial); errors.As(err, &partial) {
		cmd.Key += fmt.Sprintf("/%d", len(partial.Reached)) // the key of e is for the rest
		cmd.People = slices.DeleteFunc(people, func(id incident.PersonID) bool {
			return !slices.ContainsFunc(m.addressesOf(b.Directory, id), func(a *mail.Address) bool { return slices.Contains(partial.Reached, recipient(a)) })
		})
		return cmd, err
	}
	if err != nil {
		return incident.Command{}, err
	}
	return cmd, nil
}

// Cancellation takes the review meeting out of the calendars of the people who were
// invited. It sends nothing to people who no longer have a mail address.
func (m *Mailer) Cancellation(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	start, err := time.Parse(time.RFC3339Nano, e.Args["when"])
	if err != nil {
		return incident.Command{}, &incident.Permanent{Err: errors.New("mail cancellation: the meeting has no date")}
	}
	var people []incident.PersonID
	for _, p := range strings.Split(e.Args["people"], ",") {
		people = append(people, incident.PersonID(p))
	}
	to := m.addressesOf(b.Directory, people...)
	if len(to) == 0 {
		return incident.Command{}, nil
	}
	b.Incident.Review.At = start
	l := m.newOutgoing(b, templates.CancellationMail(b))
	l.calendar, l.calendarMethod = m.meeting(b, ics.MethodCancel, to), string(ics.MethodCancel)
	return incident.Command{}, m.send(ctx, l, to)
}

// meeting returns the review meeting as a calendar object with a method.
func (m *Mailer) meeting(b incident.Brief, method ics.Method, to []*mail.Address) string {
	start, summary := b.Incident.Review.At.UTC(), "Postmortem review of "+b.Incident.ID.String()
	if !b.Incident.Restricted && b.Incident.Title != "" { // colleagues can often read each other's calendars
		summary += ": " + text.Line(b.Incident.Title)
	}
	cal := ics.NewCalendarFor("tocsin")
	cal.SetMethod(method)
	ev := cal.AddEvent(strings.ToLower(b.Incident.ID.String()) + "-review@" + m.domain)
	ev.SetSequence(b.Event.Seq)
	ev.SetDtStampTime(m.messageTime(b))
	ev.SetStartAt(start)
	ev.SetEndAt(start.Add(incident.ReviewDuration))
	ev.SetSummary(b.Incident.Origin.Marked(summary))
	ev.SetOrganizer(m.from.Address)
	if b.Incident.Restricted {
		ev.SetClass(ics.ClassificationPrivate)
	}
	if method == ics.MethodCancel {
		ev.SetStatus(ics.ObjectStatusCancelled)
		for _, a := range to {
			ev.AddAttendee(a.Address, ics.WithCN(calendarParam(cmp.Or(a.Name, a.Address))))
		}
		return cal.Serialize(ics.WithNewLineWindows)
	}
	ev.SetDescription("In person. The review ends with decisions and at least one action item for detection and one for prevention.")
	ev.SetStatus(ics.ObjectStatusConfirmed)
	for _, a := range to {
		ev.AddAttendee(a.Address, ics.WithCN(calendarParam(cmp.Or(a.Name, a.Address))), ics.WithRSVP(true),
			ics.ParticipationRoleReqParticipant, ics.ParticipationStatusNeedsAction, ics.CalendarUserTypeIndividual)
	}
	return cal.Serialize(ics.WithNewLineWindows)
}

// calendarParam returns s as the value of a calendar parameter. The format has no
// escape for a quotation mark, so calendarParam replaces it.
func calendarParam(s string) string { return strings.ReplaceAll(text.Line(s), `"`, "'") }
