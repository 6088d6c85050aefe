package mail

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"

	gomail "github.com/wneessen/go-mail"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// signInCodes are the reply codes of a relay that requires another sign-in.
var signInCodes = []int{530, 534, 535, 538}

// rejected is the error of a transaction with its recipients.
type rejected struct {
	error
	to string // their names and addresses
}

func (e rejected) Unwrap() error { return e.error }

// maxNamed is the maximum number of recipients that an error names.
const maxNamed = 3

// classify wraps an error of a transaction with the recipients in failed. A refusal of the
// relay is an [incident.Blocked]: a reply with a 5xx code, and a certificate that is not
// trusted. Any other error may be over at the next attempt.
//
// The error names the recipients, who are in the configuration, but not a reporter, who is
// not.
func (m *Mailer) classify(l outgoing, failed []*mail.Address, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("mail %s: %w", l.id, err)
	if !l.automatic && stageOf(err) == gomail.ErrSMTPRcptTo {
		err = rejected{err, describe(failed)}
	}
	if blocked := refusal(err); blocked != nil {
		return blocked
	}
	return err
}

// describe names recipients.
func describe(to []*mail.Address) string {
	var names []string
	for _, a := range to[:min(len(to), maxNamed)] {
		name := a.Address
		if a.Name != "" {
			name = text.Line(a.Name) + " <" + a.Address + ">"
		}
		names = append(names, name)
	}
	if more := len(to) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// refusal returns the refusal of the relay that err is about, or nil.
func refusal(err error) *incident.Blocked {
	if known := new(incident.Blocked); errors.As(err, &known) {
		return known
	}
	block := func(cause, fix incident.Sentence) *incident.Blocked {
		return &incident.Blocked{System: incident.SystemMail, Cause: cause, Fix: fix, Err: err}
	}
	if untrusted := new(tls.CertificateVerificationError); errors.As(err, &untrusted) {
		return block(incident.Say("the certificate of the mail relay is not trusted"),
			incident.Say("Renew the certificate, correct mail.host and reload Tocsin, or add the certificate authority to the trusted ones of this machine"))
	}
	if errors.Is(err, gomail.ErrNoSupportedAuthDiscovered) || errors.Is(err, gomail.ErrPlainAuthNotSupported) {
		return block(incident.Say("the mail relay offers no way to sign in that Tocsin may use"), incident.Say("Correct mail.tls and mail.port, or remove mail.username. Then reload Tocsin"))
	}
	code := replyCode(err)
	if code < 500 {
		return nil
	}
	if slices.Contains(signInCodes, code) {
		return block(incident.Say("the mail relay refuses the sign-in (code %d)", code), incident.Say("Correct mail.username and mail.password and reload Tocsin"))
	}
	switch stageOf(err) {
	case gomail.ErrSMTPMailFrom:
		return block(incident.Say("the mail relay does not accept the sender (code %d)", code), incident.Say("Correct mail.from and restart Tocsin, or allow the sender at the mail relay"))
	case gomail.ErrSMTPRcptTo:
		cause := incident.Say("the mail relay does not accept the recipients (code %d)", code)
		if to := new(rejected); errors.As(err, to) {
			cause = incident.Say("the mail relay does not accept mail to %s (code %d)", incident.Literal(to.to), code)
		}
		return block(cause, incident.Say("Correct the addresses in the configuration and reload Tocsin, or let the relay accept mail to them"))
	case gomail.ErrSMTPData, gomail.ErrSMTPDataClose:
		return block(incident.Say("the mail relay rejects the content of the mail (code %d)", code), incident.Say("Ask the administrator of the mail relay to accept the mail of Tocsin"))
	}
	return block(incident.Say("the mail relay refuses the connection (code %d)", code), incident.Say("Ask the administrator of the mail relay to accept the mail of Tocsin"))
}

// stageOf returns the stage at which a transaction failed, or [gomail.ErrAmbiguous].
func stageOf(err error) gomail.SendErrReason {
	var refused *gomail.SendError
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return gomail.ErrAmbiguous
}

// isUnknownAddress reports whether the relay rejected a recipient because the address
// does not exist.
func isUnknownAddress(err error) bool {
	var refused *gomail.SendError
	return errors.As(err, &refused) && refused.Reason == gomail.ErrSMTPRcptTo && strings.HasPrefix(refused.EnhancedStatusCode(), "5.1.")
}

// replyCode returns the code of the relay's reply, or 0 if there is none.
func replyCode(err error) int {
	var refused *gomail.SendError
	if errors.As(err, &refused) && refused.ErrorCode() != 0 {
		return refused.ErrorCode()
	}
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return reply.Code
	}
	return 0
}

// reduce returns the mail with its text and calendar alone, after the relay rejected the
// content. It reports false if the mail has no more to leave out.
func (l outgoing) reduce() (outgoing, bool) {
	if l.HTML == "" && len(l.files) == 0 {
		return l, false
	}
	l.Text += "\n\nThe mail relay rejected this mail in its full form, so this is the text alone."
	for _, f := range l.files {
		l.Text += "\nLeft out: " + f.Name
	}
	l.HTML, l.files = "", nil
	return l, true
}
