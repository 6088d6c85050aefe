package report

import (
	"context"
	"fmt"

	"github.com/emersion/go-message/mail"
)

// Acknowledgement tells a reporter that their mail arrived. Nothing of what they
// wrote is in it: whoever forges a sender makes us send a stranger three
// sentences of ours.
type Acknowledgement struct {
	To         string // one address
	Reference  string
	InReplyTo  string   // the Message-ID it answers, without brackets; may be empty
	References []string // of the thread, without brackets
}

// Acknowledger sends acknowledgements. The mail has the Message-ID AckID(reference,
// domain), so that an answer to it is known as one, and the header
// "Auto-Submitted: auto-replied", so that no machine answers it. An error means
// that nothing was sent and that it may be tried again.
type Acknowledger interface {
	Acknowledge(ctx context.Context, a Acknowledgement) error
}

// Subject of the mail.
func (a Acknowledgement) Subject() string {
	return "Your vulnerability report " + a.Reference + " has been received"
}

// Text of the mail.
func (a Acknowledgement) Text() string {
	return fmt.Sprintf(`Thank you for your report. It has been received and stored, and a person of
the security team will read it.

Your reference is %s. Answer this mail to add to the report.

This mail was sent by a machine; there will be no second one about this thread.
`, a.Reference)
}

// acknowledgement is due for a person's first mail of a thread: not for lists
// and machines, and not for an answer to an earlier acknowledgement.
func (t thread) acknowledgement(h mail.Header) (Acknowledgement, bool) {
	if t.automatic || t.list || t.answersOur {
		return Acknowledgement{}, false
	}
	from, err := h.AddressList("From")
	if err != nil || len(from) != 1 {
		return Acknowledgement{}, false
	}
	a := Acknowledgement{To: from[0].Address, Reference: t.reference, References: t.before}
	if id, err := h.MessageID(); err == nil && id != "" {
		a.InReplyTo = id
		a.References = append(a.References[:len(a.References):len(a.References)], id)
	}
	return a, true
}
