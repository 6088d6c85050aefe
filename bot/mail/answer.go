package mail

import (
	"context"
	"fmt"
	"net/mail"
	"strings"

	"tocsin/templates"
)

// Answer is an automatic answer to a mail that somebody sent us.
type Answer struct {
	To         string // one address
	Subject    string
	Text       string
	ID         string   // its Message-ID, without brackets; the same at each attempt
	InReplyTo  string   // the Message-ID it answers, without brackets
	References []string // of the thread, without brackets
}

// Answer sends it, marked as made by a machine, so that no machine answers it.
func (m *Mailer) Answer(ctx context.Context, a Answer) error {
	to, err := mail.ParseAddress(a.To)
	if err != nil {
		return fmt.Errorf("answer: the recipient is no address: %w", err)
	}
	l := letter{Message: templates.Message{Subject: a.Subject, Text: a.Text}, id: a.ID, at: m.cfg.Clock(),
		automatic: true, answers: strings.Trim(flat(a.InReplyTo), "<>")}
	for _, id := range a.References {
		l.thread = append(l.thread, "<"+strings.Trim(flat(id), "<>")+">")
	}
	return m.send(ctx, l, []*mail.Address{to})
}

// Domain is that of the sender's address.
func (m *Mailer) Domain() string { return m.domain }
