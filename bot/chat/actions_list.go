package chat

import (
	"context"
	"slices"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/templates"
)

// The limits of a list of action items in one message. Each of the first ones has a
// button.
const (
	maxActionButtons = 15
	maxActionLines   = 30
)

// ActionItems returns the action items of a scope or, if the scope is empty, those of one
// incident.
func ActionItems(v incident.Overview, scope string, id incident.ID, now time.Time) Message {
	m := &builder{Message: Message{Directory: v.Directory}, brief: incident.Brief{Directory: v.Directory}}
	items := v.ListActions(scope, id, now)
	m.actionHeading(scope, id, len(items))
	var lines []string
	for n, a := range items[:min(len(items), maxActionLines)] {
		line := a.Incident.String() + " · " + templates.ActionLine(a.Action, v.Directory, now)
		if !a.MayFinish || n >= maxActionButtons {
			lines = append(lines, line)
			continue
		}
		m.line("%s", Plain(line))
		m.buttons(Action{Label: buttonLabels[incident.VerbFinishAction], Command: incident.Command{For: a.Incident, Verb: incident.VerbFinishAction, Item: a.ID}})
	}
	for chunk := range slices.Chunk(lines, 12) {
		m.bullets(chunk)
	}
	if more := len(items) - maxActionLines; more > 0 {
		m.note("%d more. Type %s to list those of one incident.", more, Typed("actions INC-42"))
	}
	if v.Cut {
		m.note("Older incidents were not searched. Type %s to list them.", Typed("list all"))
	}
	var others []Action
	for _, other := range incident.ActionScopes() {
		if other != scope {
			others = append(others, ask(map[string]string{incident.ActionsMy: "My action items", incident.ActionsOverdue: "Overdue", incident.ActionsAll: "All"}[other], command.QueryActions+" "+other))
		}
	}
	m.buttons(others...)
	return m.Message
}

// RemindActions reminds a person of action items in a direct message.
func (c *Effects) RemindActions(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	_, err := c.sendToEach(ctx, b, []incident.PersonID{incident.PersonID(e.Args["person"])}, ActionReminder(b, e.Args))
	return noCommand, err
}

// ActionReminder returns the direct message of [Effects.RemindActions].
func ActionReminder(b incident.Brief, args map[string]string) Message {
	heading, lines := templates.ReminderText(args, b.Directory)
	m := newBuilder(b)
	m.iconLine("alarm_clock", "%s", Strong{Plain(heading)})
	for chunk := range slices.Chunk(lines[:min(len(lines), maxActionLines)], 12) {
		m.bullets(chunk)
	}
	if more := len(lines) - maxActionLines; more > 0 {
		m.note("%d more", more)
	}
	m.note("%s", Plain(templates.ReminderAdvice))
	m.buttons(ask("My action items", command.QueryActions+" "+incident.ActionsMy))
	return m.Message
}

func (m *builder) actionHeading(scope string, id incident.ID, n int) {
	label := textf("Action items of %s", id)
	switch scope {
	case incident.ActionsMy:
		label = textf("Your open action items")
	case incident.ActionsOverdue:
		label = textf("Overdue action items")
	case incident.ActionsAll:
		label = textf("Action items of the incidents that you may read")
	}
	if n == 0 {
		m.line("%s: none.", Strong{label})
		return
	}
	m.line("%s: %d", Strong{label}, n)
}
