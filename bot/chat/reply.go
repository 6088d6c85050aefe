package chat

import (
	"slices"

	"tocsin/bot/incident"
)

// The replies to a command that failed without an [incident.Error].
const (
	NoReply  = "Tocsin did not answer in time. Run the command again. A repeat is recorded only once."
	NotSaved = "Not saved: Tocsin could not complete the request. Try again in a minute."
)

// Result returns the reply to a command: its result, events that the person may
// not expect, and the question for the severity after an acknowledgement without
// one.
func Result(cmd incident.Command, r incident.Result) Message {
	m := newBuilder(incident.Brief{Incident: r.Incident})
	if m.inc.ID == 0 {
		m.inc.ID, m.Incident = cmd.For, cmd.For
	}
	const done = "white_check_mark"
	if r.Reported {
		m.iconLine(done, "%s.", incident.ReportReceived)
		return m.Message
	}
	number, severity := Strong{m.inc.ID}, Strong{string(m.inc.Severity)}
	format, known := resultTexts[cmd.Verb]
	switch {
	case r.Unchanged && cmd.Verb == incident.VerbPageAgain:
		m.iconLine("pager", "No change: paging round %d of %s is running already. Tocsin pages until a responder acknowledges.", m.inc.Paging.Round, number)
	case r.Unchanged:
		m.iconLine(done, "No change: the timeline of %s already has this. Its status is %s, its severity %s.", number, Strong{string(m.inc.Status)}, severity)
	case cmd.Verb == incident.VerbRestrict && cmd.Public:
		m.iconLine(done, "The whole company can now read %s.", number)
	case cmd.Verb == incident.VerbSetSeverity:
		m.iconLine(done, "The severity of %s is now %s.", number, severity)
	case known:
		m.add(Paragraph{resultIcon(cmd.Verb), Text{Format: format, Args: []any{number}}})
	default:
		m.iconLine(done, "Recorded in %s.", number)
	}
	for _, e := range r.Events {
		m.sentenceLine(eventTexts[e.Kind])
		if e.Kind == incident.EventExcluded {
			m.exclusion(e, properName(string(cmd.Via)))
		}
	}
	m.sentenceLine(implicitAcknowledgement(cmd.Verb, r.Events))
	if cmd.Verb == incident.VerbAcknowledge && cmd.Severity == "" && !r.Unchanged {
		m.line("Set the severity:")
		m.add(m.severityMenu())
	}
	return m.Message
}

// sentenceLine adds a sentence without arguments, unless it is empty.
func (m *builder) sentenceLine(format string) {
	if format != "" {
		m.add(Paragraph{Text: Text{Format: format}})
	}
}

func resultIcon(v incident.Verb) Icon {
	switch v {
	case incident.VerbExclude, incident.VerbReadmit:
		return "lock"
	case incident.VerbPageAgain:
		return "pager"
	}
	return "white_check_mark"
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

// resultTexts holds the replies to verbs. The argument is the number of the
// incident. Other verbs have a general reply.
var resultTexts = map[incident.Verb]string{
	incident.VerbOpen:             "%s is open. Tocsin is creating the channel and will invite you.",
	incident.VerbAcknowledge:      "You acknowledged %s. Paging stopped.",
	incident.VerbKeepSeverity:     "The severity of %s stays as it was.",
	incident.VerbEvidence:         "Recorded the evidence in the timeline of %s.",
	incident.VerbContain:          "%s is contained.",
	incident.VerbResolve:          "%s is resolved. Next: write the closing record.",
	incident.VerbSubmit:           "The closing record of %s is frozen. Tocsin requests the signatures of the departments.",
	incident.VerbSign:             "You signed the closing record of %s.",
	incident.VerbObject:           "You objected to the closing record of %s. Approval waits until you withdraw the objection or the record is amended.",
	incident.VerbAmend:            "You can edit the closing record of %s again. Its signatures are void.",
	incident.VerbReopen:           "%s is open again. A new paging round starts.",
	incident.VerbRestrict:         "Only participants can now read %s.",
	incident.VerbGrant:            "The person can now read %s.",
	incident.VerbPageAgain:        "A new paging round of %s starts. Tocsin pages until a responder acknowledges.",
	incident.VerbRevoke:           "The person can no longer read %s.",
	incident.VerbExclude:          "Recorded for %s. Only legal and security see this.",
	incident.VerbReadmit:          "Recorded for %s. Only legal and security see this.",
	incident.VerbAssignRole:       "The role in %s is assigned.",
	incident.VerbConsult:          "Tocsin is requesting an answer from the team in %s.",
	incident.VerbMerge:            "%s is merged. Continue in the other incident.",
	incident.VerbPromote:          "The alert is attached to %s.",
	incident.VerbSplit:            "The alerts of %s moved to a new incident. The timeline has its number.",
	incident.VerbSetLegalHold:     "%s is on legal hold. Retention deletes nothing until the hold is released.",
	incident.VerbReleaseLegalHold: "The legal hold of %s is released.",
	incident.VerbScheduleReview:   "The review meeting of %s is scheduled. Tocsin mails the invitations.",
}

// eventTexts explain events that a person may not expect of a command.
var eventTexts = map[incident.EventKind]string{
	incident.EventApproved:            "Every department has signed. The record is approved, and Tocsin is writing the postmortem.",
	incident.EventDismissProposed:     "A second, independent person must confirm the dismissal. One of the two must be from security.",
	incident.EventDismissed:           "The incident is dismissed as a false alarm.",
	incident.EventExclusionProposed:   "Excluding this person takes legal and security together. Ask the other department, in a direct message, to type the same command.",
	incident.EventReadmissionProposed: "The exclusion took legal and security, so both must end it. Ask the other department, in a direct message, to type the same command.",
	incident.EventReadmitted:          "The person is no longer excluded. Grants and roles do not come back by themselves.",
	incident.EventExcluded:            "The person is excluded: no reading, signing or acting in this incident.",
	incident.EventErasureProposed:     "Legal and security erase together: the other department must now erase the same texts.",
	incident.EventWaiverProposed:      "A member of security must now endorse the waiver.",
	incident.EventSignaturesVoided:    "The record changed, so its signatures are void.",
	incident.EventClosed:              "The incident is closed.",
}
