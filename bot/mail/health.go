package mail

import (
	"context"
	"errors"
	"fmt"
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
	var known *health.Problem
	switch {
	case err == nil || errors.As(err, &known):
		return known
	case refusal(err) != nil:
		return health.Explain(system, refusal(err))
	}
	switch code := replyCode(err); code {
	case 0:
		return health.Explain(system, err)
	case 421:
		return &health.Problem{Cause: system + " is not available (code 421)", Fix: "Read the log of the relay", Err: err}
	default:
		if to := new(rejected); errors.As(err, to) {
			return &health.Problem{Cause: fmt.Sprintf("%s does not accept mail to %s now (code %d)", system, to.to, code), Fix: "Read the log of the relay", Err: err}
		}
		return &health.Problem{Cause: fmt.Sprintf("%s does not accept mail now (code %d)", system, code), Fix: "Read the log of the relay", Err: err}
	}
}
