package mail

import (
	"context"
	"strings"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// Signers asks people by mail to sign for a department. It sends nothing if the request
// is closed.
func (m *Mailer) Signers(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	if !b.Incident.AsksToSign(incident.Department(e.Args["department"]), intArg(e, "request")) {
		return incident.Command{}, nil
	}
	var people []incident.PersonID
	for _, id := range strings.Split(e.Args["people"], ",") {
		people = append(people, incident.PersonID(id))
	}
	return incident.Command{}, m.send(ctx, m.newOutgoing(b, templates.SignRequestMail(e.Args, b)), m.addressesOf(b.Directory, people...))
}
