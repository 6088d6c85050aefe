package incident

import (
	"fmt"
	"strings"
)

// Erased replaces a text that was erased, in every sentence.
const Erased Quoted = "(erased)"

// Sentence returns the event in one sentence without a full stop, and the name
// of the text that a person wrote about the event, or "". Slack, mail, the
// command line and documents lay the two out; none of them has a sentence
// about an event elsewhere.
func (e Event) Sentence() (s Sentence, text string) {
	if f, known := eventSentences[e.Kind]; known {
		return f(e)
	}
	return Say("%s recorded %s", e.By, string(e.Kind)), ""
}

// say returns a function for an event whose sentence needs only its author.
func say(text, format string) func(Event) (Sentence, string) {
	return func(e Event) (Sentence, string) { return Say(format, e.By), text }
}

// quoted returns a text of the event for use inside a sentence.
func (e Event) quoted(name string) Quoted {
	text, ok := e.Texts[name]
	if ok && text.Value == "" && text.Commitment != "" {
		return Erased
	}
	return Quoted(text.Value)
}

func (e Event) person(field string) PersonID     { return PersonID(e.Field(field)) }
func (e Event) department() Department           { return Department(e.Field("department")) }
func (e Event) literal(field string) Literal     { return Literal(e.Field(field)) }
func (e Event) step() StepRef                    { return StepRef{Playbook: e.Field("run"), Step: e.Field("step")} }
func (e Event) is(field string) bool             { return e.Field(field) == "true" }
func (e Event) number(field string, add int) int { return atoi(e.Field(field)) + add }
func (e Event) severity(field string) Severity   { return Severity(e.Field(field)) }
func (e Event) escalationStep() (step, round int) {
	return e.number("escalation_step", 1), e.number("round", 0)
}

// eventSentences holds one sentence for every kind of event. Steps of the
// escalation policy count from 1 for people.
var eventSentences = map[EventKind]func(Event) (Sentence, string){
	EventOpened: sayOpened,
	EventAlertAttached: func(e Event) (Sentence, string) {
		return Say("Alert %s from %s, level %s, was attached to the incident", e.literal("kind"), e.literal("source"), e.Field("level")), "title"
	},
	EventAlertCounted: func(e Event) (Sentence, string) {
		return Say("The alert occurred %s times", e.literal("count")), "title"
	},
	EventSourceNoted: saySourceNoted,

	EventAcknowledged: say("text", "%s acknowledged the incident"),
	EventAckTimedOut: func(e Event) (Sentence, string) {
		return Say("The acknowledgement by %s timed out without further activity", e.person("person")), ""
	},
	EventRoundStarted: func(e Event) (Sentence, string) { return Say("Paging round %s started", e.literal("round")), "reason" },
	EventPageStarted: func(e Event) (Sentence, string) {
		step, round := e.escalationStep()
		return Say("Paging of escalation step %d started (round %d)", step, round), ""
	},
	EventPaged: func(e Event) (Sentence, string) {
		step, round := e.escalationStep()
		return Say("Escalation step %d was paged (round %d)", step, round), ""
	},
	EventPageFailed: func(e Event) (Sentence, string) {
		step, round := e.escalationStep()
		return Say("The page to escalation step %d failed (round %d)", step, round), "reason"
	},
	EventPageUnanswered: func(e Event) (Sentence, string) {
		step, round := e.escalationStep()
		return Say("Escalation step %d did not acknowledge the page in time (round %d)", step, round), ""
	},

	EventSeveritySet: func(e Event) (Sentence, string) {
		return Say("%s changed the severity from %s to %s", e.By, e.severity("from"), e.severity("severity")), "reason"
	},
	EventSeverityProposed: func(e Event) (Sentence, string) {
		return Say("An alert of kind %s proposes %s. A person lowered the severity to %s, which holds until a responder answers, or until %s",
			e.literal("kind"), e.severity("severity"), e.severity("from"), parseInstant(e.Field("until"))), ""
	},
	EventSeverityKept: func(e Event) (Sentence, string) {
		return Say("%s kept the severity at %s, although an alert proposed %s", e.By, e.severity("severity"), e.severity("proposed")), "reason"
	},
	EventRoleAssigned: func(e Event) (Sentence, string) {
		if e.person("person") == e.By && e.By != "" {
			return Say("%s took the role %s", e.By, e.Field("role")), "reason"
		}
		return Say("%s assigned the role %s to %s", e.By, e.Field("role"), e.person("person")), "reason"
	},
	EventFactSet: sayFact,
	EventDepartmentsInvolved: func(e Event) (Sentence, string) {
		return Say("%s involved %s", e.By, Departments(splitList[Department](e.Field("departments")))), "reason"
	},
	EventNoted:     say("text", "%s added a note"),
	EventEvidence:  sayEvidence,
	EventUpdated:   say("text", "%s posted a status update"),
	EventContained: say("text", "%s marked the incident as contained"),
	EventResolved: func(e Event) (Sentence, string) {
		if e.Field("open_steps") != "" {
			return Say("%s marked the incident as resolved. Steps left open: %s", e.By, strings.ReplaceAll(e.Field("open_steps"), ",", ", ")), "text"
		}
		return Say("%s marked the incident as resolved", e.By), "text"
	},
	EventReopened:        say("reason", "%s reopened the incident"),
	EventDismissProposed: say("reason", "%s proposed to dismiss the incident as a false alarm"),
	EventDismissed: func(e Event) (Sentence, string) {
		if e.Field("person") != "" {
			return Say("%s and %s dismissed the incident as a false alarm", e.person("person"), e.By), "reason"
		}
		if e.Field("personal_data") == string(PersonalNo) {
			return Say("%s dismissed the incident as a false alarm without personal data", e.By), "reason"
		}
		return Say("%s dismissed the incident as a false alarm", e.By), "reason"
	},
	EventMergedInto: func(e Event) (Sentence, string) {
		return Say("%s merged this incident into %s", e.By, e.literal("target")), "reason"
	},
	EventMergedFrom: func(e Event) (Sentence, string) {
		return Say("%s merged %s into this incident", e.By, e.literal("source")), "reason"
	},
	EventSplitInto: func(e Event) (Sentence, string) {
		return Say("%s moved alerts to the new incident %s", e.By, e.literal("target")), "reason"
	},
	EventSplitFrom: func(e Event) (Sentence, string) {
		return Say("%s split this incident from %s", e.By, e.literal("source")), "reason"
	},
	EventLegalHoldSet:      say("reason", "%s set a legal hold on this incident"),
	EventLegalHoldReleased: say("reason", "%s released the legal hold"),

	EventPlaybookStarted: func(e Event) (Sentence, string) { return Say("Playbook %s started", PlaybookRef(e.Field("run"))), "" },
	EventStepStarted:     func(e Event) (Sentence, string) { return Say("Step %s is due", e.step()), "" },
	EventStepDone:        func(e Event) (Sentence, string) { return Say("%s completed step %s", e.By, e.step()), "outcome" },
	EventStepSkipped:     func(e Event) (Sentence, string) { return Say("%s skipped step %s", e.By, e.step()), "outcome" },
	EventStepLate:        func(e Event) (Sentence, string) { return Say("Step %s is late", e.step()), "" },

	EventRecordEdited: sayRecordEdited,
	EventSubmitted: func(e Event) (Sentence, string) {
		return Say("%s submitted revision %s of the closing record for signing (%s)", e.By, e.literal("revision"), e.literal("digest")), ""
	},
	EventSigned: saySigned,
	EventSignatureWithdrawn: func(e Event) (Sentence, string) {
		return Say("%s withdrew the signature of %s", e.By, e.department()), "reason"
	},
	EventSignaturesVoided: func(e Event) (Sentence, string) {
		return Say("The closing record changed. Signatures voided: %d", e.number("signatures", 0)), "reason"
	},
	EventAmended: say("reason", "%s reopened the closing record to amend it. Its signatures are void"),
	EventObjected: func(e Event) (Sentence, string) {
		return Say("%s objected for %s (%s)", e.By, e.department(), e.literal("objection")), "reason"
	},
	EventObjectionClosed: func(e Event) (Sentence, string) {
		if e.Field("how") == "amended" {
			return Say("Objection %s was closed by amending the record", e.literal("objection")), "reason"
		}
		return Say("%s withdrew objection %s", e.By, e.literal("objection")), "reason"
	},
	EventApproved: func(e Event) (Sentence, string) {
		return Say("Every required department signed. Revision %s of the closing record is approved", e.literal("revision")), ""
	},
	EventRevised: func(e Event) (Sentence, string) {
		return Say("%s submitted revision %s of the closing record, which supersedes the signed one (%s)", e.By, e.literal("revision"), e.literal("digest")), "reason"
	},
	EventConsulted: func(e Event) (Sentence, string) {
		if e.is("blocking") {
			return Say("%s consulted %s. The record cannot be approved without an answer", e.By, e.department()), ""
		}
		return Say("%s consulted %s", e.By, e.department()), ""
	},
	EventAnswered: func(e Event) (Sentence, string) { return Say("%s answered for %s", e.By, e.department()), "answer" },
	EventDelegated: func(e Event) (Sentence, string) {
		return Say("%s delegated signing for %s to %s until %s", e.By, e.department(), e.person("person"), parseInstant(e.Field("until"))), "reason"
	},

	EventActionAdded: func(e Event) (Sentence, string) {
		return Say("%s added action item %s (%s), owned by %s, due %s", e.By, e.literal("action"), e.Field("kind"), e.person("owner"), Day(parseInstant(e.Field("due")))), "title"
	},
	EventActionDone: func(e Event) (Sentence, string) {
		return Say("%s completed action item %s", e.By, e.literal("action")), "text"
	},
	EventAccessGranted: func(e Event) (Sentence, string) {
		return Say("%s granted %s access", e.By, e.person("person")), "reason"
	},
	EventAccessRevoked: func(e Event) (Sentence, string) {
		return Say("%s revoked the access of %s", e.By, e.person("person")), "reason"
	},
	EventExclusionProposed: func(e Event) (Sentence, string) {
		return Say("%s proposed to exclude %s. The other one of legal and security must type the same command", e.By, e.person("person")), "reason"
	},
	EventExcluded: sayExcluded,
	EventReadmissionProposed: func(e Event) (Sentence, string) {
		return Say("%s proposed to readmit %s. The other one of legal and security must type the same command", e.By, e.person("person")), "reason"
	},
	EventReadmitted: func(e Event) (Sentence, string) {
		return Say("%s readmitted %s", e.By, e.person("person")), "reason"
	},
	EventReplacementNamed: func(e Event) (Sentence, string) {
		return Say("The administrator %s named %s to act for %s until %s", e.literal("administrator"), e.person("person"), e.department(), parseInstant(e.Field("until"))), "reason"
	},
	EventRestricted: func(e Event) (Sentence, string) {
		if e.is("restricted") {
			return Say("%s restricted the incident to its participants", e.By), "reason"
		}
		return Say("%s made the incident public within the company", e.By), "reason"
	},
	EventReviewScheduled: func(e Event) (Sentence, string) {
		return Say("%s scheduled the review meeting for %s", e.By, parseInstant(e.Field("when"))), "text"
	},
	EventReviewConcluded: func(e Event) (Sentence, string) {
		return Say("%s concluded the review. Attendance: %s", e.By, People(splitList[PersonID](e.Field("people")))), "decisions"
	},
	EventWaiverProposed: say("reason", "%s proposed to close without both a detection and a prevention action item"),
	EventWaiverEndorsed: say("reason", "%s endorsed for security closing without both action items"),
	EventClosed:         func(Event) (Sentence, string) { return Say("The incident was closed"), "" },

	EventChannelReplaced: func(Event) (Sentence, string) { return Say("The incident continues in a new channel"), "" },
	EventChannelOpened:   func(Event) (Sentence, string) { return Say("The incident's channel was opened"), "" },
	EventInvited: func(e Event) (Sentence, string) {
		return Say("Tocsin invited %s to the channel", People(splitList[PersonID](e.Field("people")))), ""
	},
	EventLinked: sayLinked,
	EventPostmortemWritten: func(e Event) (Sentence, string) {
		return Say("The postmortem was written, revision %s (%s)", e.literal("revision"), e.literal("digest")), ""
	},
	EventPostmortemShared: func(e Event) (Sentence, string) {
		return Say("The postmortem, revision %s, was shared in the channel", e.literal("revision")), ""
	},
	EventEffectFailed: func(e Event) (Sentence, string) {
		return Say("Failed and will not be retried: %s (%s)", effectKind(e.Field("effect")), e.literal("effect")), "reason"
	},
	EventErasureProposed: say("reason", "%s proposed to erase texts. Legal and security must both agree"),
	EventErased: func(e Event) (Sentence, string) {
		return Say("%s and %s erased texts, for legal and security", e.By, e.person("person")), "reason"
	},
	EventPersonLeft: func(e Event) (Sentence, string) {
		if next := e.person("successor"); next != "" && e.Field(HeldAction) != "" {
			return Say("%s left the configuration. Ended: %s. %s takes over the action items", e.person("person"), e.ended(), next), ""
		}
		return Say("%s left the configuration. Ended: %s", e.person("person"), e.ended()), ""
	},
}

// ended returns everything that ended because a person left.
func (e Event) ended() Labels {
	var out Labels
	add := func(format, field string) {
		for _, ref := range splitList[string](e.Field(field)) {
			out = append(out, fmt.Sprintf(format, ref))
		}
	}
	add("role %s", HeldRole)
	if e.is(HeldAccess) {
		out = append(out, "access")
	}
	add("delegation for %s", HeldDelegation)
	add("signature for %s", "signatures")
	add("proposed %s", "proposals")
	if e.Field("acknowledgement") != "" {
		out = append(out, "acknowledgement")
	}
	if len(out) == 0 {
		out = Labels{"nothing"}
	}
	return out
}

func sayOpened(e Event) (Sentence, string) {
	title, severity := e.quoted("title"), e.severity("severity")
	if e.is("reported") {
		return sayReported(e)
	}
	switch restricted := e.is("restricted"); {
	case e.By == "" && restricted:
		return Say("An alert opened this restricted incident at %s, “%s”", severity, title), "text"
	case e.By == "":
		return Say("An alert opened the incident at %s, “%s”", severity, title), "text"
	case restricted:
		return Say("%s opened this restricted incident at %s, “%s”", e.By, severity, title), "text"
	}
	return Say("%s opened the incident at %s, “%s”", e.By, severity, title), "text"
}

func sayFact(e Event) (Sentence, string) {
	value, at := e.Field("value"), parseInstant(e.Field("value"))
	switch FactName(e.Field("fact")) {
	case FactOccurred:
		return Say("%s recorded that the incident began at %s", e.By, at), "reason"
	case FactDetected:
		return Say("%s recorded that the incident was detected at %s", e.By, at), "reason"
	case FactClassified:
		return Say("%s recorded that the incident was classified at %s", e.By, at), "reason"
	case FactAware:
		return Say("%s recorded awareness under %s at %s", e.By, e.Field("regime"), at), "reason"
	case FactPersonalData:
		return Say("%s set personal data to %s", e.By, value), "reason"
	case FactAffected:
		return sayAffected(e), "reason"
	}
	return Say("%s set %s to %s", e.By, e.Field("fact"), Literal(value)), "reason"
}

func sayAffected(e Event) Sentence {
	who, capacity := e.quoted("who"), e.Field("capacity")
	count, notified := e.number("count", 0), parseInstant(e.Field("notified_at"))
	switch {
	case count > 0 && !notified.IsZero():
		return Say("%s added the affected party “%s” (we are the %s), %d people, notified at %s", e.By, who, capacity, count, notified)
	case count > 0:
		return Say("%s added the affected party “%s” (we are the %s), %d people", e.By, who, capacity, count)
	case !notified.IsZero():
		return Say("%s added the affected party “%s” (we are the %s), notified at %s", e.By, who, capacity, notified)
	}
	return Say("%s added the affected party “%s” (we are the %s)", e.By, who, capacity)
}

func sayEvidence(e Event) (Sentence, string) {
	id, name, where, sum := e.literal("evidence"), e.quoted("name"), e.quoted("where"), e.literal("sha256")
	switch {
	case where != "" && sum != "":
		return Say("%s added evidence %s, “%s”, stored in “%s”, SHA-256 %s", e.By, id, name, where, sum), "text"
	case where != "":
		return Say("%s added evidence %s, “%s”, stored in “%s”", e.By, id, name, where), "text"
	case sum != "":
		return Say("%s added evidence %s, “%s”, SHA-256 %s", e.By, id, name, sum), "text"
	}
	return Say("%s added evidence %s, “%s”", e.By, id, name), "text"
}

// sayRecordEdited names the fields that changed; the record has their text.
func sayRecordEdited(e Event) (Sentence, string) {
	var changed Labels
	for _, f := range RecordFields() {
		if _, ok := e.Texts[f.Name]; ok || e.Field(f.Name) != "" {
			changed = append(changed, strings.ToLower(f.Label))
		}
	}
	if len(changed) == 0 {
		return Say("%s edited the closing record", e.By), ""
	}
	return Say("%s edited the closing record: %s", e.By, changed), ""
}

func saySigned(e Event) (Sentence, string) {
	team, digest := e.department(), e.literal("digest")
	switch deputy, submitter := e.is("deputy"), e.is("submitter"); {
	case deputy && submitter:
		return Say("%s signed for %s as deputy, having submitted the record (%s)", e.By, team, digest), ""
	case deputy:
		return Say("%s signed for %s as deputy (%s)", e.By, team, digest), ""
	case submitter:
		return Say("%s signed for %s, having submitted the record (%s)", e.By, team, digest), ""
	}
	return Say("%s signed for %s (%s)", e.By, team, digest), ""
}

func sayLinked(e Event) (Sentence, string) {
	switch e.Field("name") {
	case LinkCard:
		return Say("The card was pinned in the channel"), ""
	case LinkBookmark:
		return Say("The alert was bookmarked in the channel"), ""
	}
	return Say("The location of %s was recorded", e.literal("name")), ""
}

// effectKind returns the kind of effect in an effect's key, "INC-42/17/open_channel".
func effectKind(key string) string {
	parts := strings.SplitN(key, "/", 4)
	return parts[min(2, len(parts)-1)]
}

// sayExcluded tells what became of the person's place in the channel, because Slack
// shows a removal to everybody in it.
func sayExcluded(e Event) (Sentence, string) {
	p := e.person("person")
	switch {
	case e.Field("channel") == ChannelRemove:
		return Say("%s excluded %s. Tocsin removes them from the channel, which Slack shows there", e.By, p), "reason"
	case e.Field("channel") == ChannelNew:
		return Say("%s excluded %s. The incident continues in a new channel without them", e.By, p), "reason"
	case e.is("in_channel"):
		return Say("%s excluded %s. If they are in the Slack channel, they can still read it. Slack shows a removal to everybody in it. Type exclude PERSON --remove to remove them, or exclude PERSON --new-channel to continue in a new channel", e.By, p), "reason"
	}
	return Say("%s excluded %s", e.By, p), "reason"
}
