package incident

import (
	"slices"
	"time"
)

// The kinds of events about the review meeting in the calendars of people.
const (
	EventReviewInvited   EventKind = "review_invited"   // the invitation was mailed
	EventReviewCancelled EventKind = "review_cancelled" // the meeting does not take place
)

var meetingEvents = eventTable{
	EventReviewInvited: {
		fields:  "cancel people when",
		apply:   (*Incident).applyReviewInvited,
		effects: effects{mailCancellation},
		sentence: func(e Event) Sentence {
			return Say("Tocsin invited %s to the review meeting on %s", People(splitList[PersonID](e.Field("people"))), parseInstant(e.Field("when")))
		},
		lane:  laneCommunication,
		minor: true,
	},
	EventReviewCancelled: {
		fields:   "cancel cause when",
		apply:    func(i *Incident, _ Event) { i.Review.At, i.Meeting = time.Time{}, nil },
		effects:  effects{mailCancellation, postEvent, refreshCard},
		sentence: sayReviewCancelled,
		lane:     laneCommunication,
	},
}

func (i *Incident) applyReviewScheduled(e Event) {
	i.Review.At = parseInstant(e.Field("when"))
	if e.Field("people") == "" {
		return // by an earlier version
	}
	next := Meeting{At: i.Review.At, People: splitList[PersonID](e.Field("people"))}
	if i.Meeting != nil {
		next.Invited = slices.DeleteFunc(i.Meeting.Invited, func(p PersonID) bool { return !slices.Contains(next.People, p) })
	}
	i.Meeting = &next
}

// applyReviewInvited records the invited people, unless the meeting was cancelled since
// or moved without them. The invitation to a meeting that an earlier version scheduled also
// records whom it is for.
func (i *Incident) applyReviewInvited(e Event) {
	if i.Meeting == nil && e.Field("cancel") == "" {
		i.Meeting = &Meeting{At: i.Review.At, People: splitList[PersonID](e.Field("people"))}
	}
	m := i.Meeting
	if m == nil {
		return
	}
	for _, p := range splitList[PersonID](e.Field("people")) {
		if slices.Contains(m.People, p) && !slices.Contains(m.Invited, p) {
			m.Invited = append(m.Invited, p)
		}
	}
}

// Invitees returns the people whom an invitation to the review meeting is for, or nil if
// an earlier version scheduled the meeting.
func (e Event) Invitees() []PersonID {
	if e.Kind != EventReviewScheduled {
		return nil
	}
	return splitList[PersonID](e.Field("people"))
}

func sayReviewCancelled(e Event) Sentence {
	when := parseInstant(e.Field("when"))
	switch e.Field("cause") {
	case cancelRevised:
		return Say("The review meeting on %s was cancelled because the closing record is being revised", when)
	case cancelConcluded:
		return Say("The review meeting on %s was cancelled because the review is already concluded", when)
	case cancelEnded:
		return Say("The review meeting on %s was cancelled because the incident has ended", when)
	}
	return Say("The review meeting on %s was cancelled because the incident was reopened", when)
}

// inReviewLane returns an effect in the lane of the meeting: its mails leave in order.
func (c effectBuilder) inReviewLane(kind EffectKind, args map[string]string) []Effect {
	e := c.effect(kind, args)
	e.Lane = c.inc.ID.String() + "/review"
	return []Effect{e}
}

func mailInvitation(c effectBuilder) []Effect { return c.inReviewLane(EffectMailInvitation, nil) }

// mailCancellation builds the cancellation of the meeting for the people of the event.
func mailCancellation(c effectBuilder) []Effect {
	if c.event.Field("cancel") == "" {
		return nil
	}
	return c.inReviewLane(EffectMailCancellation, map[string]string{"people": c.event.Field("cancel"), "when": c.event.Field("when")})
}
