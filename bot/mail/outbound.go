package mail

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strconv"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
	"tocsin/templates"
)

// Handlers returns the handlers by kind of effect, except the page of an address:
// [Mailer.PageTo] needs the addresses.
func (m *Mailer) Handlers() map[incident.EffectKind]Handler {
	return map[incident.EffectKind]Handler{
		incident.EffectMailPostmortem:    m.Postmortem,
		incident.EffectMailWithdrawal:    m.WithdrawPostmortem,
		incident.EffectMailUpdate:        m.Update,
		incident.EffectMailInvitation:    m.Invitation,
		incident.EffectMailCancellation:  m.Cancellation,
		incident.EffectAcknowledgeReport: m.AcknowledgeReport,
		incident.EffectMailNotice:        m.Notice,
		incident.EffectMailHandover:      m.Handover,
		incident.EffectMailRemindActions: m.RemindActions,
		incident.EffectMailSigners:       m.Signers,
	}
}

var errNoAddress = errors.New("no address")

// PageTo returns the handler of an escalation step that pages the addresses in list
// by mail. The page waits for an administrator if list contains no valid address. It
// succeeds if it reaches one of them, and waits besides for the others.
func (m *Mailer) PageTo(list []string) Handler {
	to, invalid := addresses(list)
	return func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		if len(to) == 0 {
			return incident.Command{}, &incident.Blocked{System: incident.SystemMail, Cause: incident.Say("the escalation step has no valid mail address"),
				Fix: incident.Say("Correct the addresses of the step under escalation.steps and reload Tocsin"), Err: fmt.Errorf("page by mail: %w", errors.Join(invalid, errNoAddress))}
		}
		inc, round, route := b.Incident, intArg(e, "round"), intArg(e, "escalation_step")
		l := m.newOutgoing(b, templates.PageMail(b, route))
		l.urgent = true
		err := m.send(ctx, l, to)
		if err != nil {
			err = fmt.Errorf("page by mail: %w", err)
		}
		if err != nil && !errors.As(err, new(*incident.Partial)) {
			return incident.Command{}, err
		}
		return incident.Command{
			Key: e.Key, For: inc.ID, Verb: incident.VerbPaged, By: incident.System, Via: incident.ViaSystem,
			Round: round, EscalationStep: route, Effect: e.Key,
		}, err
	}
}

// PagePerson pages one person by mail.
func (m *Mailer) PagePerson(ctx context.Context, b incident.Brief, address string) error {
	to, err := addresses([]string{address})
	if err != nil {
		return &incident.Permanent{Err: fmt.Errorf("page a person by mail: %w", err)}
	}
	l := m.newOutgoing(b, templates.PersonalPageMail(b))
	l.urgent = true
	if err := m.send(ctx, l, to); err != nil {
		return fmt.Errorf("page a person by mail: %w", err)
	}
	return nil
}

// WithdrawPage returns the handler that mails the addresses in list that the page they
// got needs no responder any more. Each target gets one such mail: a later page of the
// same step has its own, and a resolution after an acknowledgement says nothing new.
func (m *Mailer) WithdrawPage(list []string) Handler {
	to, _ := addresses(list)
	return func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		page := incident.PageRef{Round: intArg(e, "round"), EscalationStep: intArg(e, "escalation_step")}
		if len(to) == 0 || b.Incident.EndOf(page, e.Kind) != incident.PageEndNew {
			return incident.Command{}, nil
		}
		l := m.newOutgoing(b, templates.PageWithdrawnMail(b))
		l.inReplyTo = m.messageID(page.Key(b.Incident.ID))
		if err := m.send(ctx, l, to); err != nil {
			return incident.Command{}, fmt.Errorf("withdraw page by mail: %w", err)
		}
		return incident.Command{}, nil
	}
}

// Postmortem mails the postmortem to the signed audience, with the files of the document
// attached. It sends nothing if the audience is the whole company and
// Config.Postmortems is empty, or if the postmortem was superseded since.
func (m *Mailer) Postmortem(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	doc := b.Document
	if doc == nil {
		return incident.Command{}, &incident.Permanent{Err: errors.New("mail postmortem: the document is missing")}
	}
	a := audience(b.Incident)
	to := m.postmortemRecipients(b, a, b.Incident.PostmortemReaders(a, b.Directory, b.Now))
	if len(to) == 0 && a == incident.AudienceAll || b.Incident.PostmortemOf(doc.Revision).Superseded {
		return incident.Command{}, nil // without a list the channel announces the postmortem
	}
	l := m.newOutgoing(b, templates.PostmortemMail(b))
	l.id, l.files = m.postmortemID(b, doc.Revision), doc.Files
	return incident.Command{}, m.send(ctx, l, to)
}

// WithdrawPostmortem mails the recipients of a postmortem that it no longer applies, as a
// reply to it.
func (m *Mailer) WithdrawPostmortem(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	to := m.postmortemRecipients(b, incident.Audience(b.Event.Field("audience")), b.Event.PostmortemReaders())
	if len(to) == 0 {
		return incident.Command{}, nil
	}
	l := m.newOutgoing(b, templates.PostmortemWithdrawnMail(b))
	l.inReplyTo = m.postmortemID(b, intArg(e, "revision"))
	return incident.Command{}, m.send(ctx, l, to)
}

// postmortemID returns the Message-ID of the mail with a revision of the postmortem.
func (m *Mailer) postmortemID(b incident.Brief, revision int) string {
	return m.messageID(incident.PostmortemKey(b.Incident.ID, revision))
}

func (m *Mailer) newOutgoing(b incident.Brief, msg templates.Message) outgoing {
	return outgoing{Message: msg, id: m.messageID(b.Mark), reached: b.Reached, incident: b.Incident.ID, head: b.Incident.Head, date: m.messageTime(b)}
}

// messageTime returns the date for a message: the time of its event, or the time of
// the brief, or now. The time of the event makes every attempt send an identical date.
func (m *Mailer) messageTime(b incident.Brief) time.Time {
	for _, t := range []time.Time{b.Event.RecordedAt, b.Now} {
		if !t.IsZero() {
			return t.UTC()
		}
	}
	return m.deps.Clock().UTC()
}

// audience returns the signed audience of the closing record, or the current one if
// nothing has been submitted.
func audience(i incident.Incident) incident.Audience {
	if i.Submission != nil {
		return i.Submission.Document.Record.Audience
	}
	return i.Record.Audience
}

// postmortemRecipients returns the configured list if the audience is the whole
// company, otherwise the addresses of the readers.
func (m *Mailer) postmortemRecipients(b incident.Brief, a incident.Audience, readers []incident.PersonID) []*mail.Address {
	if a == incident.AudienceAll {
		return m.postmortemList
	}
	return m.addressesOf(b.Directory, readers...)
}

// addressesOf returns the mail addresses of people. It skips people without an
// address and logs invalid addresses. A name is never parsed: an odd one must not cost
// its owner the mail.
func (m *Mailer) addressesOf(d incident.Directory, people ...incident.PersonID) []*mail.Address {
	var list []string
	names := map[string]string{}
	for _, id := range people {
		if p, ok := d.Person(id); ok {
			if a := p.IDAt(incident.ProviderMail); a != "" {
				list = append(list, (&mail.Address{Address: a}).String())
				names[a] = text.Line(p.Name)
			}
		}
	}
	out, invalid := addresses(list)
	for _, a := range out {
		a.Name = names[a.Address]
	}
	if invalid != nil {
		m.log.Warn("skipped invalid mail addresses", "err", invalid)
	}
	return out
}

// intArg returns a numeric argument of an effect, or 0 if it is missing.
func intArg(e incident.Effect, name string) int {
	n, _ := strconv.Atoi(e.Args[name])
	return n
}
