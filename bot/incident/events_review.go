package incident

// The kinds of events about the postmortem and its review.
const (
	EventPostmortemWritten EventKind = "postmortem_written"
	EventPostmortemShared  EventKind = "postmortem_shared"
	// EventPostmortemWithdrawn follows a command after which the signed postmortem no longer
	// applies.
	EventPostmortemWithdrawn EventKind = "postmortem_withdrawn"
	EventReviewScheduled     EventKind = "review_scheduled"
	EventReviewConcluded     EventKind = "review_concluded"
	EventActionAdded         EventKind = "action_added"
	EventActionDone          EventKind = "action_done"
	EventWaiverProposed      EventKind = "waiver_proposed"
	EventWaiverEndorsed      EventKind = "waiver_endorsed"
	EventClosed              EventKind = "closed"
)

var reviewEvents = eventTable{
	EventPostmortemWritten: {
		fields: "alerts digest occurrences revision",
		apply: func(i *Incident, e Event) {
			i.Postmortems = append(i.Postmortems, Postmortem{Revision: e.number("revision"), Digest: e.Field("digest"), At: e.RecordedAt})
		},
		effects: effects{uploadPostmortem, announcePostmortem, mailPostmortem, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("The postmortem was written, revision %s%s", e.literal("revision"), e.detail(" (%s)", "digest"))
		},
		lane: laneSignOff,
	},
	EventPostmortemShared: {
		fields:  "file revision",
		apply:   (*Incident).applyPostmortemShared,
		effects: effects{refreshCard},
		sentence: func(e Event) Sentence {
			return Say("The postmortem, revision %s, was shared in the channel", e.literal("revision"))
		},
		lane:  laneCommunication,
		minor: true,
	},
	EventPostmortemWithdrawn: {
		fields:  "audience cause digest people revision",
		apply:   (*Incident).applyPostmortemWithdrawn,
		effects: effects{announceWithdrawal, mailWithdrawal, postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			if e.Field("cause") == cancelReopened {
				return Say("The postmortem, revision %s, no longer applies because the incident was reopened", e.literal("revision"))
			}
			return Say("The postmortem, revision %s, no longer applies because the closing record is being revised", e.literal("revision"))
		},
		lane: laneCommunication,
	},
	EventReviewScheduled: {
		fields:     "cancel people when",
		repeatable: true,
		apply:      (*Incident).applyReviewScheduled,
		effects:    effects{mailInvitation, mailCancellation, postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("%s scheduled the review meeting for %s", e.By, e.stated("when"))
		},
		text: "text",
		lane: laneCommunication,
	},
	EventReviewConcluded: {
		fields: "people when", // when is the time of the meeting, if one was scheduled
		apply: func(i *Incident, e Event) {
			if e.concludesEarly() {
				i.Review.EarlyReason = e.Text("reason")
			}
			i.Review.Concluded, i.Review.By = e.RecordedAt, e.By
			i.Review.Attendance, i.Review.Decisions = splitList[PersonID](e.Field("people")), e.Text("decisions")
		},
		effects:  effects{postEvent, refreshCard},
		sentence: sayConcluded,
		text:     "decisions",
		lane:     laneSignOff,
		item:     func(Event) string { return "review/" },
	},
	EventActionAdded: {
		fields:     "action author due message owner",
		repeatable: true,
		apply: func(i *Incident, e Event) {
			i.Actions = append(i.Actions, Action{ID: e.Field("action"), Kind: ActionKind(e.Field("kind")), Title: e.Text("title"), Owner: e.person("owner"), Due: parseInstant(e.Field("due"))})
			i.keepMessage(e, KeptAsAction, e.Field("action"))
		},
		effects: effects{postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("%s added action item %s (%s), owned by %s, due %s", e.By, e.literal("action"), e.Field("kind"), e.person("owner"), Day(parseInstant(e.Field("due"))))
		},
		text: "title",
		lane: laneSignOff,
		item: func(e Event) string { return "action/" + e.Field("action") },
	},
	EventActionDone: {
		fields:  "action",
		apply:   (*Incident).applyActionDone,
		effects: effects{postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("%s completed action item %s", e.By, e.literal("action"))
		},
		text: "text",
		lane: laneSignOff,
	},
	EventWaiverProposed: {
		apply:    func(i *Incident, e Event) { i.Review.Waiver, i.Review.WaivedBy = e.Text("reason"), e.By },
		effects:  effects{postEvent, refreshCard},
		sentence: say("%s proposed to close without both a detection and a prevention action item"),
		text:     "reason",
		hint:     "A member of security must now endorse the waiver.",
		lane:     laneSignOff,
		item:     func(e Event) string { return "review/" },
	},
	EventWaiverEndorsed: {
		apply:    func(i *Incident, e Event) { i.Review.EndorsedBy = e.By },
		effects:  effects{postEvent, refreshCard},
		sentence: say("%s endorsed for security closing without both action items"),
		text:     "reason",
		lane:     laneSignOff,
	},
	EventClosed: {
		effects:      effects{announceIncident, resolvePages, postEvent, refreshCard},
		sentence:     func(Event) Sentence { return Say("The incident was closed") },
		hint:         "The incident is closed.",
		announcement: "%s (%s) was closed.",
		broadcast:    true,
		lane:         laneSignOff,
	},
}

// concludesEarly reports whether the review was concluded with a reason before its meeting,
// or without one. Events of earlier versions have no reason.
func (e Event) concludesEarly() bool {
	meeting := parseInstant(e.Field("when"))
	_, given := e.Texts["reason"]
	return given && (meeting.IsZero() || e.RecordedAt.Before(meeting))
}

func sayConcluded(e Event) Sentence {
	people := People(splitList[PersonID](e.Field("people")))
	switch meeting := parseInstant(e.Field("when")); {
	case !e.concludesEarly():
		return Say("%s concluded the review. Attendance: %s", e.By, people)
	case meeting.IsZero():
		return Say("%s concluded the review without a scheduled meeting, because “%s”. Attendance: %s", e.By, e.quoted("reason"), people)
	default:
		return Say("%s concluded the review before its meeting at %s, because “%s”. Attendance: %s", e.By, meeting, e.quoted("reason"), people)
	}
}

func (i *Incident) applyPostmortemShared(e Event) {
	for n := range i.Postmortems {
		if p := &i.Postmortems[n]; p.Revision == e.number("revision") {
			p.Shared, p.FileID = true, e.Field("file")
		}
	}
}

func (i *Incident) applyActionDone(e Event) {
	for n := range i.Actions {
		if a := &i.Actions[n]; a.ID == e.Field("action") {
			a.Done, a.DoneBy, a.How = e.RecordedAt, e.By, e.Text("text")
		}
	}
}

// revision returns the arguments of an effect about a document.
func (c effectBuilder) revision() map[string]string {
	return map[string]string{"revision": c.event.Field("revision"), "digest": c.event.Field("digest")}
}

func uploadPostmortem(c effectBuilder) []Effect {
	return []Effect{c.inChannel(EffectUpload, c.revision())}
}

// aboutPostmortem returns an effect in the lane of its mails or of its
// announcements, because a withdrawal must not come before the postmortem.
func (c effectBuilder) aboutPostmortem(kind EffectKind, way string) []Effect {
	e := c.effect(kind, c.revision())
	e.Lane = c.inc.ID.String() + "/postmortem_" + way
	return []Effect{e}
}

func announcePostmortem(c effectBuilder) []Effect {
	return c.aboutPostmortem(EffectAnnouncePostmortem, "announcement")
}

func announceWithdrawal(c effectBuilder) []Effect {
	return c.aboutPostmortem(EffectAnnounceWithdrawal, "announcement")
}

func mailPostmortem(c effectBuilder) []Effect {
	return c.aboutPostmortem(EffectMailPostmortem, "mail")
}

func mailWithdrawal(c effectBuilder) []Effect {
	return c.aboutPostmortem(EffectMailWithdrawal, "mail")
}
