package incident

import (
	"fmt"
	"maps"
	"slices"
)

// The kinds of events about the people of the response.
const (
	EventCalled             EventKind = "people_called"        // people are invited and expected
	EventPresence           EventKind = "presence_shown"       // a person is here, or posted in the channel
	EventAbsencePageStarted EventKind = "absence_page_started" // people who were called showed no sign
	EventNotInvited         EventKind = "not_invited"          // people cannot be invited to the channel
)

// Values of the field how of [EventPresence].
const (
	PresenceSaid   = "said"   // by a command or a button
	PresencePosted = "posted" // by a message in the channel
)

var presenceEvents = eventTable{
	EventCalled: {
		fields:   "cause people role",
		apply:    (*Incident).applyCalled,
		effects:  effects{inviteCalled, timeAbsence, refreshCard},
		sentence: sayCalled,
		lane:     laneCommunication,
		minor:    true,
	},
	EventPresence: {
		fields:  "extends_acknowledgement how",
		apply:   (*Incident).applyPresence,
		effects: effects{inviteAuthor, refreshCard},
		sentence: func(e Event) Sentence {
			if e.Field("how") == PresencePosted {
				return Say("%s posted in the channel", e.By)
			}
			return Say("%s is here", e.By)
		},
		lane:  laneResponse,
		minor: true,
	},
	EventAbsencePageStarted: {
		fields:  "people round",
		apply:   (*Incident).applyAbsentPaged,
		effects: effects{pagePersons, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("Tocsin pages %s, who showed no sign", People(splitList[PersonID](e.Field("people"))))
		},
		lane: laneCommunication,
	},
	EventNotInvited: {
		fields:  "people",
		apply:   (*Incident).applyNotInvited,
		effects: effects{postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("Tocsin could not invite %s to the channel", People(splitList[PersonID](e.Field("people"))))
		},
		lane: laneCommunication,
	},
}

func sayCalled(e Event) Sentence {
	people := People(splitList[PersonID](e.Field("people")))
	switch CallCause(e.Field("cause")) {
	case CalledOnCall:
		return Say("The page reached %s", people)
	case CalledRole:
		return Say("Tocsin called %s for the role %s", people, e.Field("role"))
	default:
		return Say("The page reached no known person, and Tocsin called %s", people)
	}
}

func (i *Incident) applyCalled(e Event) {
	for _, p := range splitList[PersonID](e.Field("people")) {
		i.addCall(Call{Person: p, Seq: e.Seq, Cause: CallCause(e.Field("cause")), Role: Role(e.Field("role")), At: e.RecordedAt})
	}
}

// addCall adds a call, unless the person already has the same one.
func (i *Incident) addCall(c Call) {
	if !i.called(c.Person, c.Cause, c.Role) {
		i.Calls = append(i.Calls, c)
	}
}

// applyPresence lets a post extend the acknowledgement from its own time: Slack may have
// delivered it late.
func (i *Incident) applyPresence(e Event) {
	if e.is("extends_acknowledgement") && e.HappenedAt.After(i.Paging.LastAction) {
		i.Paging.LastAction = e.HappenedAt
	}
}

func (i *Incident) applyAbsentPaged(e Event) {
	people := splitList[PersonID](e.Field("people"))
	for n := range i.Calls {
		if c := &i.Calls[n]; slices.Contains(people, c.Person) {
			c.PagedAt, c.PagedRound = e.RecordedAt, e.number("round")
		}
	}
}

func (i *Incident) applyNotInvited(e Event) {
	if i.NotInvited == nil {
		i.NotInvited = map[PersonID]string{}
	}
	for _, p := range splitList[PersonID](e.Field("people")) {
		i.NotInvited[p] = e.Text("reason")
	}
}

// inviteCalled invites the people of a call. The opening of the channel invites
// the people of earlier calls.
func inviteCalled(c effectBuilder) []Effect {
	if c.inc.Links[LinkChannel] == "" {
		return nil
	}
	effects := c.invite(splitList[PersonID](c.event.Field("people")))
	for n := range effects {
		effects[n].Lane = "" // the invitations do not wait for posts
	}
	return effects
}

// inviteAuthor invites the author of a command who is not in the channel.
func inviteAuthor(c effectBuilder) []Effect {
	if c.event.Field("how") == PresencePosted || c.inc.Links[LinkChannel] == "" || slices.Contains(c.inc.Access, c.event.By) {
		return nil
	}
	return c.invite([]PersonID{c.event.By})
}

// timeAbsence builds the deadline of the people who were called.
func timeAbsence(c effectBuilder) []Effect {
	self := c.event.Kind == EventRoleAssigned && c.event.person("person") == c.event.By
	if !c.inc.pagesAbsent() || len(c.inc.Calls) == 0 || self {
		return nil
	}
	return []Effect{c.deadline(Command{Verb: VerbAbsenceTimeout}, c.env.Now.Add(AbsenceTimeout), fmt.Sprintf("%s/%d/absence_timer", c.inc.ID, c.event.Seq))}
}

// calledBefore returns the people of the calls before the event seq.
func (i Incident) calledBefore(seq int) []PersonID {
	people := map[PersonID]bool{}
	for _, c := range i.Calls {
		if c.Seq < seq {
			people[c.Person] = true
		}
	}
	return slices.Sorted(maps.Keys(people))
}
