package incident

import "fmt"

// The kinds of events about pages to chosen people.
const (
	EventPersonalPageStarted EventKind = "personal_page_started" // a person asks Tocsin to page people
	EventPersonPaged         EventKind = "person_paged"          // the page was sent
)

var personalPageEvents = eventTable{
	EventPersonalPageStarted: {
		fields:  "medium people",
		apply:   (*Incident).applyPersonalPageStarted,
		effects: effects{pagePersons, invitePeople, timeAbsence, postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("%s pages %s %s", e.By, People(splitList[PersonID](e.Field("people"))), Literal(Provider(e.Field("medium")).pageWay()))
		},
		text: "reason",
		lane: laneCommunication,
	},
	EventPersonPaged: {
		fields:  "medium person",
		effects: effects{refreshCard},
		sentence: func(e Event) Sentence {
			return Say("%s was paged %s", e.person("person"), Literal(Provider(e.Field("medium")).pageWay()))
		},
		lane:  laneCommunication,
		minor: true,
	},
}

// applyPersonalPageStarted records the people as called.
func (i *Incident) applyPersonalPageStarted(e Event) {
	for _, p := range splitList[PersonID](e.Field("people")) {
		i.addCall(Call{Person: p, Seq: e.Seq, Cause: CalledByPerson, At: e.RecordedAt})
	}
}

// PagedPeople returns the people whom the event pages, each with the way, for the answer
// to the command.
func (e Event) PagedPeople(d Directory) []string {
	if e.Kind != EventPersonalPageStarted {
		return nil
	}
	var out []string
	for _, p := range splitList[PersonID](e.Field("people")) {
		out = append(out, fmt.Sprintf("%s %s", d.Name(p), Provider(e.Field("medium")).pageWay()))
	}
	return out
}

// pagePersons builds one page for each person of the event. A person without an answer delays no other.
func pagePersons(c effectBuilder) []Effect {
	var out []Effect
	for _, p := range splitList[string](c.event.Field("people")) {
		e := c.effect(EffectPagePerson, map[string]string{"person": p}, p)
		e.Urgent = true
		out = append(out, e)
	}
	return out
}

// invitePeople invites the people of the event, once the channel is open.
func invitePeople(c effectBuilder) []Effect {
	return c.invite(splitList[PersonID](c.event.Field("people")))
}
