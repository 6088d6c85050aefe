package mail

import (
	"context"
	"errors"
	"fmt"
	"net/mail"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// Acknowledge tells a reporter that the report arrived, marked as made by a
// machine, so that no machine answers it. That it went out stands in the
// timeline of the report's incident, where it has one.
func (m *Mailer) Acknowledge(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	if b.Reply == nil {
		return incident.Command{}, &incident.Permanent{Err: errors.New("acknowledge report: the report was deleted meanwhile")}
	}
	to, err := mail.ParseAddress((&mail.Address{Address: b.Reply.To}).String())
	if err != nil || to.Address != b.Reply.To {
		return incident.Command{}, &incident.Permanent{Err: fmt.Errorf("acknowledge report: %.100q is no address", b.Reply.To)}
	}
	l := outgoing{Message: templates.AcknowledgementMail(*b.Reply), id: m.messageID(b.Mark), at: b.Reply.At.UTC(), automatic: true, replyTo: b.Reply.ReplyTo}
	l.inReplyTo = b.Reply.InReplyTo
	for _, id := range b.Reply.References {
		l.thread = append(l.thread, "<"+id+">")
	}
	if err := m.send(ctx, l, []*mail.Address{to}); err != nil || e.Incident == 0 {
		return incident.Command{}, err
	}
	return incident.Command{Verb: incident.VerbSourceNote, For: e.Incident, By: incident.System, Via: incident.ViaSystem,
		Text: "The reporter was sent an acknowledgement with the reference " + b.Reply.Reference + "."}, nil
}

// Notice mails what is wrong with the house itself to those who speak for security.
func (m *Mailer) Notice(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	l := outgoing{Message: templates.NoticeMail(e.Args), id: m.messageID(b.Mark), at: e.After.UTC()}
	return incident.Command{}, m.send(ctx, l, m.known(b.Directory, b.Directory.Representatives(incident.Security, b.Now)...))
}
