package mail

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// Checkpoint mails a signed checkpoint of the notary, and its public key, to the addresses in list. Its mail has
// the same Message-ID whenever it is sent.
func (m *Mailer) Checkpoint(ctx context.Context, list []string, at time.Time, size int64, note, key string) error {
	to, err := addresses(list)
	if err != nil {
		return fmt.Errorf("mail checkpoint: %w", err)
	}
	l := outgoing{Message: templates.CheckpointMail(at, size, note, key), id: m.messageID(fmt.Sprintf("checkpoint/%d/%d", size, at.Unix())), date: at,
		files: []incident.File{{Name: fmt.Sprintf("checkpoint-%d.txt", size), MediaType: "text/plain", Content: note}}}
	if err := m.send(ctx, l, to); err != nil {
		return fmt.Errorf("mail checkpoint: %w", err)
	}
	return nil
}
