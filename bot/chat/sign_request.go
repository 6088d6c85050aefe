package chat

import (
	"context"
	"strconv"
	"strings"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// MessageSigners asks people in direct messages to sign for a department. It sends
// nothing if the request is closed.
func (c *Effects) MessageSigners(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	request, _ := strconv.Atoi(e.Args["request"])
	if !b.Incident.AsksToSign(incident.Department(e.Args["department"]), request) {
		return noCommand, nil
	}
	var people []incident.PersonID
	for _, id := range strings.Split(e.Args["people"], ",") {
		people = append(people, incident.PersonID(id))
	}
	_, err := c.sendToEach(ctx, b, people, SignerMessage(b, e.Args))
	return noCommand, err
}

// SignerMessage returns the direct message of [Effects.MessageSigners].
func SignerMessage(b incident.Brief, args map[string]string) Message {
	m := newBuilder(b)
	r := templates.SignRequestText(args, b)
	m.iconLine("lower_left_fountain_pen", "%s", Strong{Plain(r.Heading)})
	for _, line := range r.Lines {
		m.line("%s", Plain(line))
	}
	if r.CanSign && m.inc.Submission != nil {
		m.buttons(m.signButtons(incident.Department(args["department"]), m.inc.Submission.Digest)...)
	}
	return m.message()
}

// signButtons returns the buttons to sign a record or to object to it.
func (m *builder) signButtons(team incident.Department, digest string) []Action {
	sign := m.action("Read and sign", incident.Command{Verb: incident.VerbSign, Department: team, Expect: digest})
	object := m.action("Object", incident.Command{Verb: incident.VerbObject, Department: team, Expect: digest})
	sign.Style, object.Style = StylePrimary, StyleDanger
	return []Action{sign, object}
}
