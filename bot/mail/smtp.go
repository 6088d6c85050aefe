package mail

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"tocsin/bot/incident"
	"tocsin/bot/text"
	"tocsin/templates"
)

// outgoing is a message without its recipients.
type outgoing struct {
	templates.Message
	id       string // Message-ID without its brackets
	incident incident.ID
	head     incident.Head
	reached  []string // recipients of an earlier attempt, see [incident.Partial]
	urgent   bool     // a page
	date     time.Time
	files    []incident.File

	calendar       string // an iCalendar object
	calendarMethod string // of the object, REQUEST or CANCEL

	automatic  bool     // an automatic reply
	replyTo    string   // address for replies, or "" for the sender
	inReplyTo  string   // Message-ID of the mail that this one replies to
	references []string // the References header, with brackets
}

// smtpTimeout is the maximum duration of one step of a transaction.
const smtpTimeout = 10 * time.Second

// send delivers l in one transaction to all recipients that no earlier attempt reached.
// If the relay rejects a recipient, send tries each recipient separately, because the
// others must still get the mail. The error is [incident.Partial] if some recipients have
// the mail.
//
// A process that is killed before it stores that error repeats the mail to all
// recipients, with the same Message-ID: a mail that arrives twice is better than none.
func (m *Mailer) send(ctx context.Context, l outgoing, to []*mail.Address) error {
	if len(to) == 0 {
		return &incident.Blocked{System: incident.SystemMail, Cause: incident.Say("no recipient has a mail address"),
			Fix: incident.Say("Add the mail addresses under people and reload Tocsin"), Err: fmt.Errorf("mail %s has no recipient", l.id)}
	}
	left := slices.DeleteFunc(slices.Clone(to), func(a *mail.Address) bool { return slices.Contains(l.reached, recipient(a)) })
	if len(left) == 0 {
		return nil
	}
	reached, failed := l.reached, left
	err := m.deliver(ctx, l, left)
	if stageOf(err) == gomail.ErrSMTPRcptTo && len(left) > 1 {
		var now []string
		now, failed, err = m.sendToEach(ctx, l, left)
		reached = slices.Concat(reached, now)
	}
	if err = m.classify(l, failed, err); err != nil && len(reached) > 0 {
		return &incident.Partial{Reached: reached, Err: err}
	}
	return err
}

// sendToEach delivers l to each recipient separately. err is about the failed ones, if
// possible one that a retry can fix.
func (m *Mailer) sendToEach(ctx context.Context, l outgoing, to []*mail.Address) (reached []string, failed []*mail.Address, err error) {
	for _, one := range to {
		switch cause := m.deliver(ctx, l, []*mail.Address{one}); {
		case cause == nil:
			reached = append(reached, recipient(one))
			continue
		case err == nil || refusal(cause) == nil:
			err = cause
		}
		failed = append(failed, one)
	}
	return reached, failed, err
}

// recipient returns the address as [incident.Partial] names it.
func recipient(a *mail.Address) string { return strings.ToLower(a.Address) }

// deliver runs one SMTP transaction. If the relay rejects the content, deliver tries the
// text alone once.
func (m *Mailer) deliver(ctx context.Context, l outgoing, to []*mail.Address) error {
	err := m.sendOnce(ctx, l, to)
	if stage := stageOf(err); replyCode(err) < 500 || stage != gomail.ErrSMTPData && stage != gomail.ErrSMTPDataClose {
		return err
	}
	reduced, ok := l.reduce()
	if !ok {
		return err
	}
	m.log.Error("mail reduced to its text because the relay rejected it", "message_id", l.id, "code", replyCode(err))
	return m.sendOnce(ctx, reduced, to)
}

// sendOnce runs one SMTP transaction. It ignores errors after the relay has accepted
// the message.
func (m *Mailer) sendOnce(ctx context.Context, l outgoing, to []*mail.Address) error {
	timeout := smtpTimeout
	if deadline, ok := ctx.Deadline(); ok {
		// Connecting, greeting and sending may each take a third of the remaining time.
		timeout = min(timeout, time.Until(deadline)/3)
	}
	if err := ctx.Err(); err != nil || timeout <= 0 {
		return fmt.Errorf("deadline reached before sending: %w", errors.Join(err, context.DeadlineExceeded))
	}
	client, err := gomail.NewClient(m.cfg.Host, m.options(timeout)...)
	if err != nil {
		return &incident.Blocked{System: incident.SystemMail, Cause: incident.Say("the mail relay is not configured correctly"), Fix: incident.Say("Correct the keys below mail and reload Tocsin"),
			Err: fmt.Errorf("configure relay: %w", err)}
	}
	msg, err := m.compose(l, to)
	if err != nil {
		return &incident.Permanent{Err: err}
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil && !msg.IsDelivered() {
		return err
	}
	return nil
}

func (m *Mailer) options(timeout time.Duration) []gomail.Option {
	o := []gomail.Option{gomail.WithPort(m.cfg.Port), gomail.WithTimeout(timeout), gomail.WithHELO(m.domain), gomail.WithoutNoop()}
	if m.deps.TLSConfig != nil {
		o = append(o, gomail.WithTLSConfig(m.deps.TLSConfig))
	}
	auth := gomail.SMTPAuthAutoDiscover
	switch m.cfg.TLS {
	case TLSImplicit:
		o = append(o, gomail.WithSSL())
	case TLSOpportunistic:
		o = append(o, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	case TLSNone:
		o = append(o, gomail.WithTLSPolicy(gomail.NoTLS))
		auth = gomail.SMTPAuthPlainNoEnc
	default:
		o = append(o, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if m.cfg.Username != "" {
		o = append(o, gomail.WithSMTPAuth(auth), gomail.WithUsername(m.cfg.Username), gomail.WithPassword(m.cfg.Password.Reveal()))
	}
	return o
}

// compose builds the message. go-mail encodes the headers. compose also removes line
// breaks from their values to prevent header injection.
func (m *Mailer) compose(l outgoing, to []*mail.Address) (*gomail.Msg, error) {
	msg := gomail.NewMsg()
	msg.FromMailAddress(m.from)
	msg.ToMailAddress(to...)
	msg.Subject(text.Line(l.Subject))
	msg.SetMessageIDWithValue(l.id)
	if l.incident != 0 {
		// Mail clients show all mail about one incident as one thread.
		msg.SetGenHeader(gomail.HeaderReferences, "<"+l.incident.String()+"@"+m.domain+">")
		msg.SetGenHeader("X-Tocsin-Incident", l.incident.String())
	}
	submitted := "auto-generated"
	if l.automatic {
		submitted = "auto-replied"
		msg.SetGenHeader("X-Auto-Response-Suppress", "All") // Exchange ignores Auto-Submitted
	}
	if l.replyTo != "" {
		if err := msg.ReplyTo(l.replyTo); err != nil {
			return nil, fmt.Errorf("set reply-to: %w", err)
		}
	}
	msg.SetGenHeader("Auto-Submitted", submitted)
	if l.inReplyTo != "" {
		msg.SetGenHeader(gomail.HeaderInReplyTo, "<"+text.Line(l.inReplyTo)+">")
	}
	if len(l.references) > 0 {
		msg.SetGenHeader(gomail.HeaderReferences, text.Line(strings.Join(l.references, " ")))
	}
	if l.head.Hash != "" {
		// A copy of the head outside Tocsin lets a recipient check later that the
		// timeline up to this point was not rewritten.
		msg.SetGenHeader("X-Tocsin-Timeline", fmt.Sprintf("%d %s", l.head.Seq, l.head.Hash))
	}
	msg.SetUserAgent("Tocsin")
	msg.SetDateWithValue(l.date)
	if l.urgent {
		msg.SetImportance(gomail.ImportanceUrgent)
	}
	msg.SetBodyString(gomail.TypeTextPlain, l.Text)
	if l.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, l.HTML)
	}
	if l.calendar != "" {
		msg.AddAlternativeString(gomail.ContentType("text/calendar; method="+l.calendarMethod), l.calendar)
	}
	for _, f := range l.files {
		err := msg.AttachReader(f.Name, strings.NewReader(f.Content), gomail.WithFileContentType(gomail.ContentType(f.MediaType)))
		if err != nil {
			return nil, fmt.Errorf("attach %s: %w", f.Name, err)
		}
	}
	return msg, nil
}

// messageID derives a Message-ID from a mark. Equal marks have equal IDs.
func (m *Mailer) messageID(mark string) string {
	local := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_':
			return r
		case r == '/', r == ':':
			return '.'
		}
		return -1
	}, mark)
	if strings.Trim(local, ".") != local || strings.Contains(local, "..") || len(local) < len(mark) || len(local) > 64 || local == "" {
		local = text.SHA256(mark)[:32]
	}
	return local + "@" + m.domain
}
