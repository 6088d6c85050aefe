package mail

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// AcknowledgeReport mails a reporter that the vulnerability report has arrived. The mail
// is marked as automatic, because an automatic reply to it could start a mail loop.
// If the report has an incident, Acknowledge returns a note for its timeline. The
// error is [incident.Permanent] if the report was deleted or its address is invalid or
// unknown.
func (m *Mailer) AcknowledgeReport(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	if b.Reply == nil {
		return incident.Command{}, &incident.Permanent{Err: errors.New("acknowledge report: the report has been deleted")}
	}
	to, err := mail.ParseAddress((&mail.Address{Address: b.Reply.To}).String())
	if err != nil || to.Address != b.Reply.To {
		return incident.Command{}, &incident.Permanent{Err: fmt.Errorf("acknowledge report: %.100q is not a mail address", b.Reply.To)}
	}
	l := outgoing{Message: templates.AcknowledgementMail(*b.Reply), id: m.messageID(b.Mark), date: b.Reply.At.UTC(), automatic: true, replyTo: b.Reply.ReplyTo}
	l.inReplyTo = b.Reply.InReplyTo
	for _, id := range b.Reply.References {
		l.references = append(l.references, "<"+id+">")
	}
	err = m.send(ctx, l, []*mail.Address{to})
	if isUnknownAddress(err) { // which no administrator can repair
		err = &incident.Permanent{Err: fmt.Errorf("acknowledge report: the mail server does not know the address of the reporter: %w", err)}
	}
	if err != nil || e.Incident == 0 {
		return incident.Command{}, err
	}
	return incident.Command{Verb: incident.VerbSourceNote, For: e.Incident, By: incident.System, Via: incident.ViaSystem,
		Text: "Tocsin sent an acknowledgement with the reference " + b.Reply.Reference + " to the reporter."}, nil
}

// Notice mails a problem of Tocsin itself to the representatives of the security
// department.
func (m *Mailer) Notice(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	l := outgoing{Message: templates.NoticeMail(templates.NoticeNames(e.Args, b.Directory)), id: m.messageID(b.Mark), reached: b.Reached, date: e.After.UTC()}
	people := b.Directory.Representatives(incident.Security, b.Now)
	for _, id := range strings.Split(e.Args["administrators"], ",") {
		if p, known := b.Directory.Resolve(incident.Identity{Provider: incident.ProviderLocal, ID: id}); known && !slices.Contains(people, p.ID) {
			people = append(people, p.ID)
		}
	}
	if about := incident.PersonID(e.Args["people"]); about != "" && !slices.Contains(people, about) {
		people = append(people, about)
	}
	return incident.Command{}, m.send(ctx, l, m.addressesOf(b.Directory, people...))
}

// SendTestPage mails a test page to the addresses of an escalation step.
func (m *Mailer) SendTestPage(ctx context.Context, list []string, t incident.TestPageText) error {
	to, _ := addresses(list) // the configuration is valid
	l := outgoing{Message: templates.TestPageMail(t), id: m.messageID("test-page-" + t.Key()), date: m.deps.Clock().UTC(), urgent: true}
	return m.send(ctx, l, to)
}

// Handover mails the open work of a person who left the configuration to the
// people who take over.
func (m *Mailer) Handover(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	var people []incident.PersonID
	for _, id := range strings.Split(e.Args["successors"], ",") {
		people = append(people, incident.PersonID(id))
	}
	l := outgoing{Message: templates.HandoverMail(e.Args, b.Directory), id: m.messageID(b.Mark), reached: b.Reached, date: e.After.UTC()}
	return incident.Command{}, m.send(ctx, l, m.addressesOf(b.Directory, people...))
}

// RemindActions mails the open action items that are due to a person without an account in
// the chat. It sends nothing to a person who has no mail address either.
func (m *Mailer) RemindActions(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	to := m.addressesOf(b.Directory, incident.PersonID(e.Args["person"]))
	if len(to) == 0 {
		return incident.Command{}, nil
	}
	l := outgoing{Message: templates.ReminderMail(e.Args, b.Directory), id: m.messageID(b.Mark), reached: b.Reached, date: e.After.UTC()}
	return incident.Command{}, m.send(ctx, l, to)
}
