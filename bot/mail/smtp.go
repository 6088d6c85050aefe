package mail

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// outgoing is a message before it has recipients.
type outgoing struct {
	templates.Message
	id       string // Message-ID without its brackets
	incident incident.ID
	head     incident.Head
	urgent   bool // a page: one recipient that is reached is enough
	at       time.Time
	calendar string // an iCalendar object
	files    []file

	automatic bool     // an answer that no person wrote
	replyTo   string   // where an answer goes, where that is not the sender
	inReplyTo string   // Message-ID of the mail it answers
	thread    []string // of that mail, with brackets
}

type file struct {
	name, kind, content string
}

// smtpTimeout is how long one step of a transaction may take.
const smtpTimeout = 10 * time.Second

// send delivers a letter to all recipients in one transaction. Where the relay
// refuses one of them, the others must not go without: then each is tried by
// itself. Only what refuses for good, or a page, is treated so; else all wait
// for the next attempt together, which nobody gets twice.
func (m *Mailer) send(ctx context.Context, l outgoing, to []*mail.Address) error {
	if len(to) == 0 {
		return &incident.Permanent{Err: fmt.Errorf("mail %s: nobody to send it to", l.id)}
	}
	err := m.transact(ctx, l, to)
	var refused *gomail.SendError
	if !errors.As(err, &refused) || refused.Reason != gomail.ErrSMTPRcptTo || len(to) == 1 || !l.urgent && refused.ErrorCode() < 500 {
		return classify(l, err)
	}
	var last error
	reached := 0
	for _, one := range to {
		switch err := classify(l, m.transact(ctx, l, []*mail.Address{one})); {
		case err == nil:
			reached++
		case last == nil || !errors.As(err, new(*incident.Permanent)):
			last = err // what may go better next time weighs more
		}
	}
	if reached == 0 {
		return last
	}
	m.log.Warn("mail not taken for everybody", "message_id", l.id, "reached", reached, "of", len(to), "error", last)
	return nil
}

// transact is one SMTP transaction. An error after the relay took the message
// is none.
func (m *Mailer) transact(ctx context.Context, l outgoing, to []*mail.Address) error {
	timeout := smtpTimeout
	if deadline, ok := ctx.Deadline(); ok {
		// Connecting, greeting and sending may each take a third of what is left.
		timeout = min(timeout, time.Until(deadline)/3)
	}
	if err := ctx.Err(); err != nil || timeout <= 0 {
		return fmt.Errorf("no time left: %w", errors.Join(err, context.DeadlineExceeded))
	}
	client, err := gomail.NewClient(m.cfg.Host, m.options(timeout)...)
	if err != nil {
		return &incident.Permanent{Err: fmt.Errorf("configure the relay: %w", err)}
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
	if m.cfg.TLSConfig != nil {
		o = append(o, gomail.WithTLSConfig(m.cfg.TLSConfig))
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

// compose writes the message. Headers are encoded by go-mail; what goes into
// them has no line breaks in the first place.
func (m *Mailer) compose(l outgoing, to []*mail.Address) (*gomail.Msg, error) {
	msg := gomail.NewMsg()
	msg.FromMailAddress(m.from)
	msg.ToMailAddress(to...)
	msg.Subject(flat(l.Subject))
	msg.SetMessageIDWithValue(l.id)
	if l.incident != 0 {
		// All mail about one incident is one thread.
		msg.SetGenHeader(gomail.HeaderReferences, "<"+l.incident.String()+"@"+m.domain+">")
		msg.SetGenHeader("X-Tocsin-Incident", l.incident.String())
	}
	submitted := "auto-generated"
	if l.automatic {
		submitted = "auto-replied"
		msg.SetGenHeader("X-Auto-Response-Suppress", "All") // what Exchange heeds instead
	}
	if l.replyTo != "" {
		if err := msg.ReplyTo(l.replyTo); err != nil {
			return nil, fmt.Errorf("reply to: %w", err)
		}
	}
	msg.SetGenHeader("Auto-Submitted", submitted)
	if l.inReplyTo != "" {
		msg.SetGenHeader(gomail.HeaderInReplyTo, "<"+flat(l.inReplyTo)+">")
	}
	if len(l.thread) > 0 {
		msg.SetGenHeader(gomail.HeaderReferences, flat(strings.Join(l.thread, " ")))
	}
	if l.head.Hash != "" {
		// Carried out of the house: who has the mail can tell later whether the
		// history up to then was rewritten.
		msg.SetGenHeader("X-Tocsin-Timeline", fmt.Sprintf("%d %s", l.head.Seq, l.head.Hash))
	}
	msg.SetUserAgent("Tocsin")
	msg.SetDateWithValue(l.at)
	if l.urgent {
		msg.SetImportance(gomail.ImportanceUrgent)
	}
	msg.SetBodyString(gomail.TypeTextPlain, l.Text)
	if l.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, l.HTML)
	}
	if l.calendar != "" {
		msg.AddAlternativeString("text/calendar; method=REQUEST", l.calendar)
	}
	for _, f := range l.files {
		err := msg.AttachReader(f.name, strings.NewReader(f.content), gomail.WithFileContentType(gomail.ContentType(f.kind)))
		if err != nil {
			return nil, fmt.Errorf("attach %s: %w", f.name, err)
		}
	}
	return msg, nil
}

// classify says what a failure means for a repeat: a 5xx is final, everything
// else, a wrong password included, may be mended meanwhile.
func classify(l outgoing, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("mail %s: %w", l.id, err)
	var refused *gomail.SendError
	if errors.As(err, &refused) && refused.ErrorCode() >= 500 {
		return &incident.Permanent{Err: err}
	}
	return err
}

// messageID makes a Message-ID of a mark: the same mark, the same id.
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
		sum := sha256.Sum256([]byte(mark))
		local = hex.EncodeToString(sum[:16])
	}
	return local + "@" + m.domain
}

// flat is a text on one line.
func flat(s string) string { return strings.Join(strings.Fields(s), " ") }
