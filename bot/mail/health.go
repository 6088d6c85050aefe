package mail

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"time"

	gomail "github.com/wneessen/go-mail"

	"tocsin/bot/health"
)

// system is the subject of problems.
const system = "The mail relay"

// Probe connects to the relay, signs in and quits. It sends no mail.
func (m *Mailer) Probe(ctx context.Context) error {
	timeout := smtpTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline)/3)
	}
	client, err := gomail.NewClient(m.cfg.Host, m.options(timeout)...)
	if err != nil {
		return fmt.Errorf("configure relay: %w", err)
	}
	if err := client.DialWithContext(ctx); err != nil {
		return Explain(err)
	}
	if err := client.Close(); err != nil {
		return Explain(err)
	}
	return nil
}

// Explain returns why the relay did not accept a connection or a mail, or nil if err is
// nil.
func Explain(err error) *health.Problem {
	var reply *textproto.Error
	var refused *gomail.SendError
	var known *health.Problem
	code := 0
	switch {
	case err == nil || errors.As(err, &known):
		return known
	case errors.As(err, &reply):
		code = reply.Code
	case errors.As(err, &refused):
		code = refused.ErrorCode()
	}
	p := &health.Problem{Err: err, Fix: "Read the log of the relay"}
	switch {
	case code == 0:
		return health.Explain(system, err)
	case code == 530 || code == 534 || code == 535 || code == 538:
		p.Cause, p.Fix, p.IsRefusal = system+" rejects the user name or the password", "Correct mail.username and mail.password", true
	case code >= 500:
		p.Cause, p.IsRefusal = fmt.Sprintf("%s rejects mail from Tocsin with the SMTP code %d", system, code), true
	case code == 421:
		p.Cause = system + " is not available (SMTP code 421)"
	default:
		p.Cause = fmt.Sprintf("%s does not accept mail now (SMTP code %d)", system, code)
	}
	return p
}
