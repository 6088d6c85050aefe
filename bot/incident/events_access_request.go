package incident

// The kinds of events about temporary access.
const (
	EventAccessRequested      EventKind = "access_requested"
	EventAccessRequestExpired EventKind = "access_request_expired"
	EventAccessExpired        EventKind = "access_expired"
	EventBreakGlassUsed       EventKind = "break_glass_used"
)

var accessRequestEvents = eventTable{
	EventAccessRequested: {
		fields:     "until",
		repeatable: true,
		apply: func(i *Incident, e Event) {
			i.closeRequest(e.By)
			i.AccessRequests = append(i.AccessRequests, AccessRequest{By: e.By, Until: parseInstant(e.Field("until"))})
		},
		effects:  effects{timeAccess, postEvent},
		sentence: say("%s asked for access"),
		text:     "reason",
		lane:     laneCommunication,
	},
	EventAccessRequestExpired: {
		fields: "person",
		apply:  func(i *Incident, e Event) { i.closeRequest(e.person("person")) },
		sentence: func(e Event) Sentence {
			return Say("Nobody endorsed the request of %s for access in time", e.person("person"))
		},
		lane:  laneCommunication,
		minor: true,
	},
	EventAccessExpired: {
		fields:  "person still_reads",
		apply:   (*Incident).applyAccessExpired,
		effects: effects{removeExpired, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("The access of %s ended", e.person("person"))
		},
		lane:  laneCommunication,
		minor: true,
	},
	EventBreakGlassUsed: {
		fields:     "until",
		repeatable: true,
		apply: func(i *Incident, e Event) {
			i.BreakGlass = append(i.BreakGlass, BreakGlass{By: e.By, At: e.RecordedAt, Until: parseInstant(e.Field("until"))})
			i.closeRequest(e.By)
		},
		effects: effects{postEvent},
		sentence: func(e Event) Sentence {
			return Say("%s used break-glass: reading and notes until %s", e.By, parseInstant(e.Field("until")))
		},
		text: "reason",
		lane: laneCommunication,
	},
}

// applyAccessExpired ends granted access. A person who reads the incident for another
// reason keeps that reason.
func (i *Incident) applyAccessExpired(e Event) {
	p := e.person("person")
	if e.is("still_reads") {
		i.dropAccess(p, e.RecordedAt)
		return
	}
	i.revoke(p, e.RecordedAt)
}

// timeAccess builds the end of temporary access or of a request for it.
func timeAccess(c effectBuilder) []Effect {
	until := parseInstant(c.event.Field("until"))
	if until.IsZero() {
		return nil
	}
	return []Effect{c.deadline(Command{Verb: VerbAccessTimeout}, until, c.effect(EffectDeadline, nil, "access").Key)}
}

// removeExpired removes a person whose access ended from the channel.
func removeExpired(c effectBuilder) []Effect {
	if c.event.is("still_reads") {
		return nil
	}
	return removePerson(c)
}
