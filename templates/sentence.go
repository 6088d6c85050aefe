package templates

import (
	"strings"

	"tocsin/bot/incident"
)

// phrase is an event in words: what happened, and what somebody wrote about it.
type phrase struct {
	line string // no full stop
	text string // as written; may have several lines
}

// sentenceText is how much of a text Sentence shows, in runes.
const sentenceText = 400

// Sentence tells an event in one line of plain English. Every kind of event
// has one. The line is plain text: whoever puts it into a message escapes it.
func Sentence(e incident.Event, dir incident.Directory) string {
	t := describe(e, dir)
	if text := clip(oneLine(t.text), sentenceText); text != "" {
		return oneLine(t.line) + ": “" + text + "”"
	}
	return oneLine(t.line) + "."
}

// describe finds the words for an event. A kind it does not know, which a test
// excludes, is named as it is.
func describe(e incident.Event, d incident.Directory) phrase {
	s := sentenceContext{Event: e, dir: d, who: name(d, e.By)}
	f, known := sentences[e.Kind]
	if !known {
		return phrase{line: s.who + ": " + humanize(e.Kind)}
	}
	return f(s)
}

// sentenceContext is an event with what its sentence needs.
type sentenceContext struct {
	incident.Event
	dir incident.Directory
	who string
}

// field is a field, readable; t is a text, or a remark that it was erased.
func (s sentenceContext) field(name string) string { return oneLine(humanize(s.Field(name))) }

func (s sentenceContext) text(name string) string {
	text, ok := s.Texts[name]
	if ok && text.Value == "" && text.Commitment != "" {
		return "(erased)"
	}
	return text.Value
}

func (s sentenceContext) person(field string) string {
	return name(s.dir, incident.PersonID(s.Field(field)))
}
func (s sentenceContext) department() string { return label(s.Field("department")) }
func (s sentenceContext) route() string {
	return "route " + next(s.Field("escalation_step")) + " of round " + s.field("round")
}

// step names a step. The brackets keep a playbook's name such as
// leaked-aws-credentials from looking like the name of a secret whose value
// follows, to whatever looks for those.
func (s sentenceContext) step() string {
	return "step " + oneLine(s.Field("step")) + " (playbook " + oneLine(s.Field("run")) + ")"
}

// next shows a route as people count, from 1.
func next(route string) string {
	n := 0
	for _, c := range route {
		if c < '0' || c > '9' || n > 1<<20 {
			return oneLine(route)
		}
		n = n*10 + int(c-'0')
	}
	return itoa(n + 1)
}

// sentences has the words for every kind of event.
var sentences = map[incident.EventKind]func(sentenceContext) phrase{
	incident.EventOpened: func(s sentenceContext) phrase {
		line := s.who + " opened the incident at " + s.field("severity")
		if s.Field("restricted") == "true" {
			line += ", restricted"
		}
		return phrase{line + ", “" + oneLine(s.text("title")) + "”", s.text("text")}
	},
	incident.EventAlertAttached: func(s sentenceContext) phrase {
		return phrase{"An alert of " + s.field("source") + " (" + oneLine(s.Field("kind")) + ", " + s.field("level") + ") belongs to it", s.text("title")}
	},
	incident.EventAlertCounted: func(s sentenceContext) phrase {
		return phrase{"The alert has come " + s.field("count") + " times", s.text("title")}
	},
	incident.EventSourceNoted: func(s sentenceContext) phrase { return phrase{"Word from " + s.field("source"), s.text("text")} },

	incident.EventAcknowledged: func(s sentenceContext) phrase { return phrase{s.who + " acknowledged and has it", s.text("text")} },
	incident.EventAckTimedOut: func(s sentenceContext) phrase {
		return phrase{"The acknowledgement of " + s.person("person") + " lapsed, because nothing more was heard", ""}
	},
	incident.EventRoundStarted: func(s sentenceContext) phrase {
		return phrase{"Paging of the emergency alias began, round " + s.field("round"), ""}
	},
	incident.EventPageStarted: func(s sentenceContext) phrase { return phrase{"A page was started by " + s.route(), ""} },
	incident.EventPaged:       func(s sentenceContext) phrase { return phrase{"The page went out by " + s.route(), ""} },
	incident.EventPageFailed: func(s sentenceContext) phrase {
		return phrase{"The page did not go out by " + s.route(), s.text("reason")}
	},
	incident.EventPageUnanswered: func(s sentenceContext) phrase {
		return phrase{"Nobody acknowledged the page by " + s.route() + " in time", ""}
	},

	incident.EventSeveritySet: func(s sentenceContext) phrase {
		return phrase{s.who + " changed the severity from " + s.field("from") + " to " + s.field("severity"), s.text("reason")}
	},
	incident.EventRoleAssigned: func(s sentenceContext) phrase {
		if s.Field("person") == string(s.By) && s.By != "" {
			return phrase{s.who + " took the role " + s.field("role"), s.text("reason")}
		}
		return phrase{s.who + " gave the role " + s.field("role") + " to " + s.person("person"), s.text("reason")}
	},
	incident.EventFactSet: sayFact,
	incident.EventDepartmentsInvolved: func(s sentenceContext) phrase {
		var names []string
		for _, d := range strings.Split(s.Field("departments"), ",") {
			names = append(names, label(d))
		}
		return phrase{s.who + " called in " + joinAnd(names), s.text("reason")}
	},
	incident.EventNoted: func(s sentenceContext) phrase { return phrase{s.who + " noted", s.text("text")} },
	incident.EventEvidence: func(s sentenceContext) phrase {
		line := s.who + " added evidence " + s.field("evidence") + ", “" + oneLine(s.text("name")) + "”"
		if where := oneLine(s.text("where")); where != "" {
			line += ", kept in " + where
		}
		if sum := s.field("sha256"); sum != "" {
			line += ", SHA-256 " + sum
		}
		return phrase{line, s.text("text")}
	},
	incident.EventUpdated:   func(s sentenceContext) phrase { return phrase{s.who + " posted a status update", s.text("text")} },
	incident.EventContained: func(s sentenceContext) phrase { return phrase{s.who + " declared it contained", s.text("text")} },
	incident.EventResolved:  func(s sentenceContext) phrase { return phrase{s.who + " declared it resolved", s.text("text")} },
	incident.EventReopened:  func(s sentenceContext) phrase { return phrase{s.who + " reopened the incident", s.text("reason")} },
	incident.EventDismissProposed: func(s sentenceContext) phrase {
		return phrase{s.who + " proposed to dismiss it as a false alarm", s.text("reason")}
	},
	incident.EventDismissed: func(s sentenceContext) phrase {
		if s.Field("person") != "" {
			return phrase{s.who + " agreed with " + s.person("person") + " and dismissed it as a false alarm", s.text("reason")}
		}
		return phrase{s.who + " dismissed it as a false alarm", s.text("reason")}
	},
	incident.EventMergedInto: func(s sentenceContext) phrase {
		return phrase{s.who + " merged the incident into " + s.field("target"), s.text("reason")}
	},
	incident.EventMergedFrom: func(s sentenceContext) phrase {
		return phrase{s.who + " merged " + s.field("source") + " into this one", s.text("reason")}
	},
	incident.EventSplitInto: func(s sentenceContext) phrase {
		return phrase{s.who + " let alerts go on in an incident of their own, " + s.field("target"), s.text("reason")}
	},
	incident.EventSplitFrom: func(s sentenceContext) phrase {
		return phrase{s.who + " split this incident from " + s.field("source"), s.text("reason")}
	},
	incident.EventLegalHoldSet: func(s sentenceContext) phrase {
		return phrase{s.who + " set a legal hold: nothing of it is deleted", s.text("reason")}
	},
	incident.EventLegalHoldReleased: func(s sentenceContext) phrase { return phrase{s.who + " released the legal hold", s.text("reason")} },

	incident.EventPlaybookStarted: func(s sentenceContext) phrase {
		return phrase{"The playbook " + oneLine(s.Field("run")) + " was started", ""}
	},
	incident.EventStepStarted: func(s sentenceContext) phrase { return phrase{label(s.step()) + " became due", ""} },
	incident.EventStepDone:    func(s sentenceContext) phrase { return phrase{s.who + " did " + s.step(), s.text("outcome")} },
	incident.EventStepSkipped: func(s sentenceContext) phrase { return phrase{s.who + " skipped " + s.step(), s.text("outcome")} },
	incident.EventStepLate:    func(s sentenceContext) phrase { return phrase{label(s.step()) + " is late", ""} },

	incident.EventRecordEdited: sayRecord,
	incident.EventSubmitted: func(s sentenceContext) phrase {
		return phrase{s.who + " submitted the record, revision " + s.field("revision") + ", for signing under " + s.field("digest"), ""}
	},
	incident.EventSigned: func(s sentenceContext) phrase {
		line := s.who + " signed for " + s.department()
		if s.Field("deputy") == "true" {
			line += ", as deputy"
		}
		if s.Field("submitter") == "true" {
			line += ", having submitted the record"
		}
		return phrase{line + ", under " + s.field("digest"), ""}
	},
	incident.EventSignatureWithdrawn: func(s sentenceContext) phrase {
		return phrase{s.who + " withdrew the signature of " + s.department(), s.text("reason")}
	},
	incident.EventSignaturesVoided: func(s sentenceContext) phrase {
		return phrase{"The record is open again and " + s.voided() + " void", s.text("reason")}
	},
	incident.EventAmended: func(s sentenceContext) phrase {
		return phrase{s.who + " took the record back to amend it; its signatures are void", s.text("reason")}
	},
	incident.EventObjected: func(s sentenceContext) phrase {
		return phrase{s.who + " objected for " + s.department() + " (" + s.field("objection") + ")", s.text("reason")}
	},
	incident.EventObjectionClosed: func(s sentenceContext) phrase {
		if s.Field("how") == "amended" {
			return phrase{"Objection " + s.field("objection") + " was met by amending the record", s.text("reason")}
		}
		return phrase{s.who + " withdrew objection " + s.field("objection"), s.text("reason")}
	},
	incident.EventApproved: func(s sentenceContext) phrase {
		return phrase{"Every required department has signed; revision " + s.field("revision") + " of the record is approved", ""}
	},
	incident.EventRevised: func(s sentenceContext) phrase {
		return phrase{s.who + " submitted revision " + s.field("revision") + " of the record, which replaces the signed one, under " + s.field("digest"), s.text("reason")}
	},
	incident.EventConsulted: func(s sentenceContext) phrase {
		if s.Field("blocking") == "true" {
			return phrase{s.who + " asked " + s.department() + " for an answer, without which nothing is approved", ""}
		}
		return phrase{s.who + " asked " + s.department() + " for an answer", ""}
	},
	incident.EventAnswered: func(s sentenceContext) phrase {
		return phrase{s.who + " answered for " + s.department(), s.text("answer")}
	},
	incident.EventDelegated: func(s sentenceContext) phrase {
		return phrase{s.who + " let " + s.person("person") + " sign for " + s.department() + " until " + instant(s.Field("until")), s.text("reason")}
	},

	incident.EventActionAdded: func(s sentenceContext) phrase {
		return phrase{s.who + " added action item " + s.field("action") + " (" + s.field("kind") + ") for " + s.person("owner") + ", due " + date(s.Field("due")), s.text("title")}
	},
	incident.EventActionDone: func(s sentenceContext) phrase {
		return phrase{s.who + " finished action item " + s.field("action"), s.text("text")}
	},
	incident.EventAccessGranted: func(s sentenceContext) phrase {
		return phrase{s.who + " gave " + s.person("person") + " access", s.text("reason")}
	},
	incident.EventRestricted: func(s sentenceContext) phrase {
		if s.Field("restricted") == "true" {
			return phrase{s.who + " restricted the incident to those involved", s.text("reason")}
		}
		return phrase{s.who + " opened the incident to the whole company", s.text("reason")}
	},
	incident.EventReviewScheduled: func(s sentenceContext) phrase {
		return phrase{s.who + " set the review meeting for " + instant(s.Field("when")), s.text("text")}
	},
	incident.EventReviewConcluded: func(s sentenceContext) phrase {
		return phrase{s.who + " concluded the review; present were " + people(s.Field("people"), s.dir), s.text("decisions")}
	},
	incident.EventWaiverProposed: func(s sentenceContext) phrase {
		return phrase{s.who + " proposed to close without both kinds of action items", s.text("reason")}
	},
	incident.EventWaiverEndorsed: func(s sentenceContext) phrase {
		return phrase{s.who + " endorsed, for Security, closing without both kinds of action items", s.text("reason")}
	},
	incident.EventClosed: func(sentenceContext) phrase { return phrase{"The incident was closed", ""} },

	incident.EventChannelOpened: func(sentenceContext) phrase { return phrase{"The incident's channel was opened", ""} },
	incident.EventInvited: func(s sentenceContext) phrase {
		return phrase{people(s.Field("people"), s.dir) + " joined the channel by invitation", ""}
	},
	incident.EventLinked: func(s sentenceContext) phrase {
		switch s.Field("name") {
		case incident.LinkCard:
			return phrase{"The card was pinned in the channel", ""}
		case incident.LinkBookmark:
			return phrase{"The alert was bookmarked in the channel", ""}
		}
		return phrase{"Remembered where " + oneLine(s.Field("name")) + " is", ""}
	},
	incident.EventPostmortemWritten: func(s sentenceContext) phrase {
		return phrase{"The postmortem was written, revision " + s.field("revision") + ", under " + s.field("digest"), ""}
	},
	incident.EventPostmortemShared: func(s sentenceContext) phrase {
		return phrase{"The postmortem, revision " + s.field("revision") + ", was shared in the channel", ""}
	},
	incident.EventEffectFailed: func(s sentenceContext) phrase {
		return phrase{"Something could not be done outside (" + oneLine(s.Field("effect")) + ")", s.text("reason")}
	},
	incident.EventErasureProposed: func(s sentenceContext) phrase {
		return phrase{s.who + " asked for texts to be erased", s.text("reason")}
	},
	incident.EventErased: func(s sentenceContext) phrase {
		return phrase{s.who + " and " + s.person("person") + ", for Legal and Security, had texts erased", s.text("reason")}
	},
}

func (s sentenceContext) voided() string {
	if n := s.field("signatures"); n != "" && n != "1" {
		return n + " signatures are"
	}
	return "its signature is"
}

func sayFact(s sentenceContext) phrase {
	value := s.Field("value")
	switch incident.FactName(s.Field("fact")) {
	case incident.FactOccurred:
		return phrase{s.who + " stated that it began at " + instant(value), s.text("reason")}
	case incident.FactDetected:
		return phrase{s.who + " stated that it was noticed at " + instant(value), s.text("reason")}
	case incident.FactClassified:
		return phrase{s.who + " stated that it was classified at " + instant(value), s.text("reason")}
	case incident.FactAware:
		return phrase{s.who + " stated awareness under " + label(s.Field("regime")) + " at " + instant(value), s.text("reason")}
	case incident.FactPersonalData:
		return phrase{s.who + " set personal data to “" + oneLine(value) + "”", s.text("reason")}
	case incident.FactAffected:
		line := s.who + " named an affected party, “" + oneLine(s.text("who")) + "”, with us as " + s.field("capacity")
		if n := s.field("count"); n != "" && n != "0" {
			line += ", " + n + " people"
		}
		if when := s.Field("notified_at"); when != "" {
			line += ", told at " + instant(when)
		}
		return phrase{line, s.text("reason")}
	}
	return phrase{s.who + " set " + s.field("fact") + " to " + oneLine(value), s.text("reason")}
}

// sayRecord names the fields that changed; their text stands in the record.
func sayRecord(s sentenceContext) phrase {
	var changed []string
	for _, f := range incident.RecordFields() {
		if _, ok := s.Texts[f.Name]; ok || s.Field(f.Name) != "" {
			changed = append(changed, strings.ToLower(f.Label))
		}
	}
	if len(changed) == 0 {
		return phrase{s.who + " edited the record", ""}
	}
	return phrase{s.who + " edited the record: " + joinAnd(changed), ""}
}
