package chat

import (
	"slices"

	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// The replies to a command that failed without an [incident.Error].
const (
	NoReply  = "Tocsin did not answer in time. Run the command again. A repeat is recorded only once."
	NotSaved = "Not saved: Tocsin could not complete the request. Try again in a minute."
	NotRead  = "Tocsin could not read the answer from its database. Try again in a minute."
	// Unavailable is NotSaved for a known cause.
	Unavailable = "Not saved: the database of Tocsin does not answer. Nothing was recorded. Try again in a minute."
	// SendAgain introduces the text of the command. Slack has cleared the text at that time.
	SendAgain = "Your command, to copy and send again:"
	// SlackFailed has the call that failed, such as "open the form", its cause and the
	// command to type instead.
	SlackFailed = "Slack did not %s. %s. Nothing was saved. Tocsin works: try again, or type %s"
)

// Result returns the reply to a command: its result, events that the person may
// not expect, and the question for the severity after an acknowledgement without
// one.
func Result(cmd incident.Command, r incident.Result) Message {
	m := newBuilder(incident.Brief{Incident: r.Incident, Directory: r.Directory})
	if m.inc.ID == 0 {
		m.inc.ID, m.Incident = cmd.For, cmd.For
	}
	sentence, kind := command.ResultOf(cmd, r)
	m.add(Paragraph{resultIcons[kind], resultText(sentence)})
	if r.Reported || r.Requested {
		return m.message()
	}
	for _, echo := range command.TypedTimes(cmd, nil) {
		m.add(Paragraph{Text: resultText(echo)})
	}
	for _, e := range r.Events {
		m.sentenceLine(e.Kind.Hint())
		if e.Kind == incident.EventExcluded {
			m.exclusion(e, incident.SystemName(string(cmd.Via)))
		}
	}
	m.sentenceLine(implicitAcknowledgement(cmd.Verb, r.Events))
	if cmd.Verb == incident.VerbAcknowledge && cmd.Severity == "" && !r.Unchanged {
		m.line("Set the severity:")
		m.add(m.severityMenu())
	}
	return m.message()
}

// sentenceLine adds a sentence without arguments, unless it is empty.
func (m *builder) sentenceLine(format string) {
	if format != "" {
		m.add(Paragraph{Text: Text{Format: format}})
	}
}

// resultIcons mark the result of a command.
var resultIcons = map[command.ResultKind]Icon{command.ResultDone: "white_check_mark", command.ResultPaging: "pager", command.ResultPrivate: "lock"}

// resultText returns the result of a command with a full stop. It stresses the
// incident, its status and its severity.
func resultText(s incident.Sentence) Text {
	out := Text{Format: s.Format + ".", Args: slices.Clone(s.Args)}
	for n, arg := range out.Args {
		switch v := arg.(type) {
		case incident.ID:
			out.Args[n] = Strong{v}
		case incident.Status:
			out.Args[n] = Strong{string(v)}
		case incident.Severity:
			out.Args[n] = Strong{string(v)}
		}
	}
	return out
}

// implicitAcknowledgement tells a person that a command acknowledged the incident
// too, and whether it made them commander.
func implicitAcknowledgement(v incident.Verb, events []incident.Event) string {
	has := func(kind incident.EventKind, role incident.Role) bool {
		return slices.ContainsFunc(events, func(e incident.Event) bool { return e.Kind == kind && (role == "" || e.Field("role") == string(role)) })
	}
	switch {
	case v == incident.VerbAcknowledge || !has(incident.EventAcknowledged, ""):
		return ""
	case has(incident.EventRoleAssigned, incident.Commander):
		return "You also acknowledged the incident and are its commander now. Nobody is paged."
	}
	return "You also acknowledged the incident. Nobody is paged."
}

// exclusion tells legal or security what became of the excluded person's place in
// the channel.
func (m *builder) exclusion(e incident.Event, chat string) {
	switch {
	case e.Field("channel") == incident.ChannelRemove:
		m.line("Tocsin removes them from the channel. %s shows that to everybody in it.", chat)
	case e.Field("channel") == incident.ChannelNew:
		m.line("The incident continues in a new channel without them. The old channel stays as it is.")
	case e.Field("in_channel") == "true":
		m.iconLine("warning", "If they are in the channel, they can still read it. %s shows a removal to everybody in it. "+
			"Type the command again with %s after the person to remove them, or with %s to continue in a new channel.", chat, Code("--remove"), Code("--new-channel"))
	}
}
