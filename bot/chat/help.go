package chat

import (
	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// ShortHelp answers a message to Tocsin that is not a command.
func ShortHelp() Message {
	m := &builder{}
	m.line("Tocsin runs security incidents. Write a command here, such as %s.", Code("status INC-42"))
	m.line("%s reports an incident. %s shows the live ones.", Typed("open"), Typed("list"))
	m.line("%s explains every command.", Typed("help"))
	return m.Message
}

// FormNeeded answers a command that a form completes, where no form can be opened. The
// button opens the form.
func FormNeeded(cmd incident.Command) Message {
	m := newBuilder(incident.Brief{Incident: incident.Incident{ID: cmd.For}})
	m.line("Arguments are missing. Type %s, or use the form.", Typed(command.UsageOf(cmd.Verb, cmd.For)))
	if form, ok := command.FormOf(cmd.Verb); ok && cmd.For != 0 {
		m.buttons(m.action(form.Title, cmd))
	}
	return m.message()
}
