package mail

import (
	"context"
	"errors"
	"fmt"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// Update mails the approved words of an update to the addresses of an audience.
func (m *Mailer) Update(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	audience, _ := b.Directory.Audience(e.Args["audience"])
	to, invalid := addresses(audience.Mail)
	switch {
	case len(to) == 0:
		return incident.Command{}, &incident.Permanent{Err: fmt.Errorf("mail update to audience %q: %w", e.Args["audience"], errors.Join(invalid, errNoAddress))}
	case b.Event.Text("text") == "":
		return incident.Command{}, &incident.Permanent{Err: errors.New("mail update: the text was erased")}
	}
	if err := m.send(ctx, m.newOutgoing(b, templates.UpdateMail(b)), to); err != nil {
		return incident.Command{}, fmt.Errorf("mail update: %w", err)
	}
	return incident.UpdateSentCommand(e, audience.Name), nil
}
