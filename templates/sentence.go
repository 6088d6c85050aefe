package templates

import (
	"strings"

	"tocsin/bot/incident"
)

// told is an event in words: what happened, and what somebody wrote about it.
type told struct {
	line string // no full stop
	text string // as written; may have several lines
}

// sentenceText is how much of a text Sentence shows, in runes.
const sentenceText = 400

// Sentence tells an event in one line of plain English. Every kind of event
// has one. The line is plain text: whoever puts it into a message escapes it.
func Sentence(e incident.Event, dir incident.Directory) string {
	t := tell(e, dir)
	if text := clip(flat(t.text), sentenceText); text != "" {
		return flat(t.line) + ": “" + text + "”"
	}
	return flat(t.line) + "."
}

// tell finds the words for an event. A kind it does not know, which a test
// excludes, is named as it is.
func tell(e incident.Event, d incident.Directory) told {
	s := saying{Event: e, dir: d, who: name(d, e.By)}
	f, known := sayings[e.Kind]
	if !known {
		return told{line: s.who + ": " + human(e.Kind)}
	}
	return f(s)
}

// saying is an event with what its sentence needs.
type saying struct {
	incident.Event
	dir incident.Directory
	who string
}

// f is a field, readable; t is a text, or a remark that it was erased.
func (s saying) f(name string) string { return flat(human(s.Field(name))) }

func (s saying) t(name string) string {
	text, ok := s.Texts[name]
	if ok && text.Value == "" && text.Commitment != "" {
		return "(erased)"
	}
	return text.Value
}

func (s saying) person(field string) string { return name(s.dir, incident.PersonID(s.Field(field))) }
func (s saying) department() string         { return label(s.Field("department")) }
func (s saying) route() string {
	return "route " + next(s.Field("route")) + " of round " + s.f("round")
}

// step names a step. The brackets keep a playbook's name such as
// leaked-aws-credentials from looking like the name of a secret whose value
// follows, to whatever looks for those.
func (s saying) step() string {
	return "step " + flat(s.Field("step")) + " (playbook " + flat(s.Field("run")) + ")"
}

// next shows a route as people count, from 1.
func next(route string) string {
	n := 0
	for _, c := range route {
		if c < '0' || c > '9' || n > 1<<20 {
			return flat(route)
		}
		n = n*10 + int(c-'0')
	}
	return itoa(n + 1)
}

// sayings has the words for every kind of event.
var sayings = map[incident.EventKind]func(saying) told{
	incident.EventOpened: func(s saying) told {
		line := s.who + " opened the incident at " + s.f("severity")
		if s.Field("restricted") == "true" {
			line += ", restricted"
		}
		return told{line + ", “" + flat(s.t("title")) + "”", s.t("text")}
	},
	incident.EventAlertAttached: func(s saying) told {
		return told{"An alert of " + s.f("source") + " (" + flat(s.Field("kind")) + ", " + s.f("level") + ") belongs to it", s.t("title")}
	},
	incident.EventAlertCounted: func(s saying) told {
		return told{"The alert has come " + s.f("count") + " times", s.t("title")}
	},
	incident.EventSourceNoted: func(s saying) told { return told{"Word from " + s.f("source"), s.t("text")} },

	incident.EventAcknowledged: func(s saying) told { return told{s.who + " acknowledged and has it", s.t("text")} },
	incident.EventLapsed: func(s saying) told {
		return told{"The acknowledgement of " + s.person("person") + " lapsed, because nothing more was heard", ""}
	},
	incident.EventRound:       func(s saying) told { return told{"Paging of the emergency alias began, round " + s.f("round"), ""} },
	incident.EventPageStarted: func(s saying) told { return told{"A page was started by " + s.route(), ""} },
	incident.EventPaged:       func(s saying) told { return told{"The page went out by " + s.route(), ""} },
	incident.EventPageFailed:  func(s saying) told { return told{"The page did not go out by " + s.route(), s.t("reason")} },
	incident.EventPageUnanswered: func(s saying) told {
		return told{"Nobody acknowledged the page by " + s.route() + " in time", ""}
	},

	incident.EventSeveritySet: func(s saying) told {
		return told{s.who + " changed the severity from " + s.f("from") + " to " + s.f("severity"), s.t("reason")}
	},
	incident.EventRoleAssigned: func(s saying) told {
		if s.Field("person") == string(s.By) && s.By != "" {
			return told{s.who + " took the role " + s.f("role"), s.t("reason")}
		}
		return told{s.who + " gave the role " + s.f("role") + " to " + s.person("person"), s.t("reason")}
	},
	incident.EventFactSet: sayFact,
	incident.EventCalled: func(s saying) told {
		var names []string
		for _, d := range strings.Split(s.Field("departments"), ",") {
			names = append(names, label(d))
		}
		return told{s.who + " called in " + and(names), s.t("reason")}
	},
	incident.EventNoted: func(s saying) told { return told{s.who + " noted", s.t("text")} },
	incident.EventEvidence: func(s saying) told {
		line := s.who + " added evidence " + s.f("evidence") + ", “" + flat(s.t("name")) + "”"
		if where := flat(s.t("where")); where != "" {
			line += ", kept in " + where
		}
		if sum := s.f("sha256"); sum != "" {
			line += ", SHA-256 " + sum
		}
		return told{line, s.t("text")}
	},
	incident.EventUpdated:   func(s saying) told { return told{s.who + " posted a status update", s.t("text")} },
	incident.EventContained: func(s saying) told { return told{s.who + " declared it contained", s.t("text")} },
	incident.EventResolved:  func(s saying) told { return told{s.who + " declared it resolved", s.t("text")} },
	incident.EventReopened:  func(s saying) told { return told{s.who + " reopened the incident", s.t("reason")} },
	incident.EventDismissProposed: func(s saying) told {
		return told{s.who + " proposed to dismiss it as a false alarm", s.t("reason")}
	},
	incident.EventDismissed: func(s saying) told {
		if s.Field("person") != "" {
			return told{s.who + " agreed with " + s.person("person") + " and dismissed it as a false alarm", s.t("reason")}
		}
		return told{s.who + " dismissed it as a false alarm", s.t("reason")}
	},
	incident.EventMergedInto: func(s saying) told {
		return told{s.who + " merged the incident into " + s.f("target"), s.t("reason")}
	},
	incident.EventMergedFrom: func(s saying) told { return told{s.who + " merged " + s.f("source") + " into this one", s.t("reason")} },
	incident.EventSplitInto: func(s saying) told {
		return told{s.who + " let alerts go on in an incident of their own, " + s.f("target"), s.t("reason")}
	},
	incident.EventSplitFrom: func(s saying) told {
		return told{s.who + " split this incident from " + s.f("source"), s.t("reason")}
	},
	incident.EventHeld:         func(s saying) told { return told{s.who + " set a legal hold: nothing of it is deleted", s.t("reason")} },
	incident.EventHoldReleased: func(s saying) told { return told{s.who + " released the legal hold", s.t("reason")} },

	incident.EventPlaybookStarted: func(s saying) told { return told{"The playbook " + flat(s.Field("run")) + " was started", ""} },
	incident.EventStepStarted:     func(s saying) told { return told{label(s.step()) + " became due", ""} },
	incident.EventStepDone:        func(s saying) told { return told{s.who + " did " + s.step(), s.t("outcome")} },
	incident.EventStepSkipped:     func(s saying) told { return told{s.who + " skipped " + s.step(), s.t("outcome")} },
	incident.EventStepLate:        func(s saying) told { return told{label(s.step()) + " is late", ""} },

	incident.EventRecordEdited: sayRecord,
	incident.EventSubmitted: func(s saying) told {
		return told{s.who + " submitted the record, revision " + s.f("revision") + ", for signing under " + s.f("digest"), ""}
	},
	incident.EventSigned: func(s saying) told {
		line := s.who + " signed for " + s.department()
		if s.Field("deputy") == "true" {
			line += ", as deputy"
		}
		if s.Field("submitter") == "true" {
			line += ", having submitted the record"
		}
		return told{line + ", under " + s.f("digest"), ""}
	},
	incident.EventSignatureWithdrawn: func(s saying) told {
		return told{s.who + " withdrew the signature of " + s.department(), s.t("reason")}
	},
	incident.EventSignaturesVoided: func(s saying) told {
		return told{"The record is open again and " + s.voided() + " void", s.t("reason")}
	},
	incident.EventAmended: func(s saying) told {
		return told{s.who + " took the record back to amend it; its signatures are void", s.t("reason")}
	},
	incident.EventObjected: func(s saying) told {
		return told{s.who + " objected for " + s.department() + " (" + s.f("objection") + ")", s.t("reason")}
	},
	incident.EventObjectionClosed: func(s saying) told {
		if s.Field("how") == "amended" {
			return told{"Objection " + s.f("objection") + " was met by amending the record", s.t("reason")}
		}
		return told{s.who + " withdrew objection " + s.f("objection"), s.t("reason")}
	},
	incident.EventApproved: func(s saying) told {
		return told{"Every required department has signed; revision " + s.f("revision") + " of the record is approved", ""}
	},
	incident.EventRevised: func(s saying) told {
		return told{s.who + " submitted revision " + s.f("revision") + " of the record, which replaces the signed one, under " + s.f("digest"), s.t("reason")}
	},
	incident.EventConsulted: func(s saying) told {
		if s.Field("blocking") == "true" {
			return told{s.who + " asked " + s.department() + " for an answer, without which nothing is approved", ""}
		}
		return told{s.who + " asked " + s.department() + " for an answer", ""}
	},
	incident.EventAnswered: func(s saying) told { return told{s.who + " answered for " + s.department(), s.t("answer")} },
	incident.EventDelegated: func(s saying) told {
		return told{s.who + " let " + s.person("person") + " sign for " + s.department() + " until " + instant(s.Field("until")), s.t("reason")}
	},

	incident.EventActionAdded: func(s saying) told {
		return told{s.who + " added action item " + s.f("action") + " (" + s.f("kind") + ") for " + s.person("owner") + ", due " + date(s.Field("due")), s.t("title")}
	},
	incident.EventActionDone:    func(s saying) told { return told{s.who + " finished action item " + s.f("action"), s.t("text")} },
	incident.EventAccessGranted: func(s saying) told { return told{s.who + " gave " + s.person("person") + " access", s.t("reason")} },
	incident.EventRestricted: func(s saying) told {
		if s.Field("restricted") == "true" {
			return told{s.who + " restricted the incident to those involved", s.t("reason")}
		}
		return told{s.who + " opened the incident to the whole company", s.t("reason")}
	},
	incident.EventReviewScheduled: func(s saying) told {
		return told{s.who + " set the review meeting for " + instant(s.Field("when")), s.t("text")}
	},
	incident.EventReviewConcluded: func(s saying) told {
		return told{s.who + " concluded the review; present were " + people(s.Field("people"), s.dir), s.t("decisions")}
	},
	incident.EventExceptionProposed: func(s saying) told {
		return told{s.who + " proposed to close without both kinds of action items", s.t("reason")}
	},
	incident.EventExceptionEndorsed: func(s saying) told {
		return told{s.who + " endorsed, for Security, closing without both kinds of action items", s.t("reason")}
	},
	incident.EventClosed: func(saying) told { return told{"The incident was closed", ""} },

	incident.EventChannelOpened: func(saying) told { return told{"The incident's channel was opened", ""} },
	incident.EventInvited: func(s saying) told {
		return told{people(s.Field("people"), s.dir) + " joined the channel by invitation", ""}
	},
	incident.EventLinked: func(s saying) told {
		switch s.Field("name") {
		case incident.LinkCard:
			return told{"The card was pinned in the channel", ""}
		case incident.LinkBookmark:
			return told{"The alert was bookmarked in the channel", ""}
		}
		return told{"Remembered where " + flat(s.Field("name")) + " is", ""}
	},
	incident.EventPostmortemWritten: func(s saying) told {
		return told{"The postmortem was written, revision " + s.f("revision") + ", under " + s.f("digest"), ""}
	},
	incident.EventPostmortemShared: func(s saying) told {
		return told{"The postmortem, revision " + s.f("revision") + ", was shared in the channel", ""}
	},
	incident.EventEffectFailed: func(s saying) told {
		return told{"Something could not be done outside (" + flat(s.Field("effect")) + ")", s.t("reason")}
	},
	incident.EventEraseProposed: func(s saying) told {
		return told{s.who + " asked for texts to be erased", s.t("reason")}
	},
	incident.EventErased: func(s saying) told {
		return told{s.who + " and " + s.person("person") + ", for Legal and Security, had texts erased", s.t("reason")}
	},
}

func (s saying) voided() string {
	if n := s.f("signatures"); n != "" && n != "1" {
		return n + " signatures are"
	}
	return "its signature is"
}

func sayFact(s saying) told {
	value := s.Field("value")
	switch incident.FactName(s.Field("fact")) {
	case incident.FactOccurred:
		return told{s.who + " stated that it began at " + instant(value), s.t("reason")}
	case incident.FactDetected:
		return told{s.who + " stated that it was noticed at " + instant(value), s.t("reason")}
	case incident.FactClassified:
		return told{s.who + " stated that it was classified at " + instant(value), s.t("reason")}
	case incident.FactAware:
		return told{s.who + " stated awareness under " + label(s.Field("regime")) + " at " + instant(value), s.t("reason")}
	case incident.FactPersonalData:
		return told{s.who + " set personal data to “" + flat(value) + "”", s.t("reason")}
	case incident.FactAffected:
		line := s.who + " named an affected party, “" + flat(s.t("who")) + "”, with us as " + s.f("capacity")
		if n := s.f("count"); n != "" && n != "0" {
			line += ", " + n + " people"
		}
		if when := s.Field("told"); when != "" {
			line += ", told at " + instant(when)
		}
		return told{line, s.t("reason")}
	}
	return told{s.who + " set " + s.f("fact") + " to " + flat(value), s.t("reason")}
}

// sayRecord names the fields that changed; their text stands in the record.
func sayRecord(s saying) told {
	var changed []string
	for _, f := range incident.RecordFields() {
		if _, ok := s.Texts[f.Name]; ok || s.Field(f.Name) != "" {
			changed = append(changed, strings.ToLower(f.Label))
		}
	}
	if len(changed) == 0 {
		return told{s.who + " edited the record", ""}
	}
	return told{s.who + " edited the record: " + and(changed), ""}
}
