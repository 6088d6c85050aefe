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

// Action is a button. Most give a command: a platform stores its verb, the
// incident and [command.ButtonArgs] in the button, and builds the command again
// with [command.Press]. A button with a URL opens the page.
//
// A button with Ask asks a question or opens a form: it means the same as the typed text,
// which a platform stores in the button. A text that would give a command at once is
// refused.
type Action struct {
	Label   string
	Style   Style
	Command incident.Command // For, Verb and the fields that [command.ButtonArgs] returns
	Ask     string           // such as "timeline INC-42 before 40", instead of a verb
	URL     string           // instead of a verb
	More    bool             // in the menu at the end of the row, with at most MaxMore others
}

// MaxMore is the maximum number of actions in the menu at the end of a row.
const MaxMore = 5

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

// detailsButton returns the button that shows everything about the event of the message.
func (m *builder) detailsButton() Action {
	return ask("Details…", timelineLine(m.inc.ID, incident.TimelineFilter{Entry: m.event.Seq}, m.Directory))
}

// action returns a button about the incident. For an act that chat cannot carry out, it opens
// the page of the act.
func (m *builder) action(label string, cmd incident.Command) Action {
	cmd.For = m.inc.ID
	if page := m.brief.Policy.PageURL(cmd.ActPath()); page != "" && m.inc.RequiredLevel(cmd, m.brief.Policy) != incident.AuthAny {
		return Action{Label: label, URL: page, Command: incident.Command{For: m.inc.ID}}
	}
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
