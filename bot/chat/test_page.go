package chat

import (
	"context"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// TestGroup returns the handler that sends a test page to a group of the chat, as
// [Effects.PageGroup] sends a real one.
func (c *Effects) TestGroup(group string) Handler {
	return func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		return noCommand, c.reachGroup(ctx, b, TestPage(group, e.TestPage()))
	}
}

// EndTestGroup edits the messages of a test page to a group: they have no button any more.
func (c *Effects) EndTestGroup(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	since, err := time.Parse(time.RFC3339, e.Args["started"])
	if err != nil {
		return noCommand, &incident.Permanent{Err: err}
	}
	return noCommand, c.editGroup(ctx, b, strings.TrimSuffix(e.Key, "/end"), EndedTestPage(b.Directory, incident.PersonID(e.Args["by"])), since)
}

// TestPage returns a test page to a group.
func TestPage(group string, t incident.TestPageText) Message {
	m := &builder{}
	m.iconLine("rotating_light", "%s: %s, this is a test page of Tocsin. Nothing is wrong. %s", Strong{"TEST"}, Group(group), Plain(t.Advice()))
	if !t.ByDoctor {
		button := ask("Acknowledge", t.AckCommand())
		button.Style = StylePrimary
		m.buttons(button)
	}
	return m.message()
}

// EndedTestPage returns a test page after its end.
func EndedTestPage(d incident.Directory, by incident.PersonID) Message {
	m := &builder{Message: Message{Directory: d}}
	if by == "" {
		m.iconLine("white_check_mark", "%s: a test page of Tocsin ended without an acknowledgement. Type %s to send another.", Strong{"TEST"}, Typed("page test"))
	} else {
		m.iconLine("white_check_mark", "%s: %s acknowledged a test page of Tocsin. You need not do anything.", Strong{"TEST"}, by)
	}
	return m.message()
}
