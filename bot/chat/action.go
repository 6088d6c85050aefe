package chat

import (
	"slices"

	"tocsin/bot/incident"
)

// Style is the emphasis of a button.
type Style string

// The styles of buttons.
const (
	StylePlain   Style = ""
	StylePrimary Style = "primary"
	StyleDanger  Style = "danger"
)

// Action is a button that gives a command. A platform stores its verb, the
// incident and [Action.Args] in the button, and builds the command again with
// [Press].
type Action struct {
	Label   string
	Style   Style
	Command incident.Command // For, Verb and the fields that Args returns
}

// Args returns the arguments of the command that the button carries.
func (a Action) Args() []string {
	c := a.Command
	switch c.Verb {
	case incident.VerbSetSeverity:
		return []string{string(c.Severity)}
	case incident.VerbStepDone, incident.VerbStepSkip:
		return []string{c.Step}
	case incident.VerbSign, incident.VerbObject:
		return []string{string(c.Department), c.Expect}
	case incident.VerbAnswer:
		return []string{string(c.Department)}
	case incident.VerbWithdraw:
		return []string{c.Item}
	}
	return nil
}

// Press returns the command of a pressed button. Missing arguments are empty.
// The Desk checks the command like a typed one, because the sender can change
// a button.
func Press(v incident.Verb, id incident.ID, args []string) incident.Command {
	c := incident.Command{Verb: v, For: id}
	arg := func(n int) string {
		if n < len(args) {
			return args[n]
		}
		return ""
	}
	switch v {
	case incident.VerbSetSeverity:
		c.Severity = incident.Severity(arg(0))
	case incident.VerbStepDone, incident.VerbStepSkip:
		c.Step = arg(0)
	case incident.VerbSign, incident.VerbObject:
		c.Department, c.Expect = incident.Department(arg(0)), arg(1)
	case incident.VerbAnswer:
		c.Department = incident.Department(arg(0))
	case incident.VerbWithdraw:
		c.Item = arg(0)
	}
	return c
}

// isAllowed reports whether the status of the incident allows a verb.
func isAllowed(inc incident.Incident, v incident.Verb) bool {
	return slices.Contains(incident.AllowedVerbs(inc.Status), v)
}

// button returns a button about the incident, or nothing if the status does
// not allow the verb. The command needs no incident.
func (m *builder) button(label string, cmd incident.Command) []Action {
	if !isAllowed(m.inc, cmd.Verb) {
		return nil
	}
	return []Action{m.action(label, cmd)}
}

// verbButton returns a button whose command has no arguments.
func (m *builder) verbButton(label string, v incident.Verb) []Action {
	return m.button(label, incident.Command{Verb: v})
}

// action returns a button about the incident.
func (m *builder) action(label string, cmd incident.Command) Action {
	cmd.For = m.inc.ID
	return Action{Label: label, Command: cmd}
}

// ackButton returns the button Acknowledge, or nothing if the status does not
// allow it.
func (m *builder) ackButton() []Action {
	buttons := m.verbButton("Acknowledge", incident.VerbAcknowledge)
	for n := range buttons {
		buttons[n].Style = StylePrimary
	}
	return buttons
}

// severityMenu returns the menu of severities. The current one is chosen.
func (m *builder) severityMenu() Choice {
	menu := Choice{Label: "Severity", Selected: -1}
	for n, s := range incident.Severities() {
		if s == m.inc.Severity {
			menu.Selected = n
		}
		menu.Options = append(menu.Options, m.action(string(s), incident.Command{Verb: incident.VerbSetSeverity, Severity: s}))
	}
	return menu
}
