package incident

import (
	"maps"
	"slices"
	"time"
)

// CallCause is why Tocsin called a person to an incident.
type CallCause string

// The reasons.
const (
	CalledOnCall    CallCause = "on_call"   // a page of the escalation policy reached the person
	CalledResponder CallCause = "responder" // no page reached a known person, so Tocsin called every responder
	CalledRole      CallCause = "role"      // a playbook needs the role, or a person assigned it
	CalledByPerson  CallCause = "person"    // a person paged the person
)

// AbsenceTimeout is how long a person who was called has to show a sign before Tocsin
// pages the person.
const AbsenceTimeout = 5 * time.Minute

// Call records that Tocsin called a person to an incident.
type Call struct {
	Person     PersonID  `json:"person"`
	Seq        int       `json:"seq"` // number of the event
	Cause      CallCause `json:"cause"`
	Role       Role      `json:"role,omitempty"` // of CalledRole
	At         time.Time `json:"at"`
	PagedAt    time.Time `json:"paged_at,omitzero"`     // when the person was last paged because of absence
	PagedRound int       `json:"paged_round,omitempty"` // the paging round of PagedAt
}

// Presence is one person of the response: why the person was called, and since when the
// person is here.
type Presence struct {
	Person     PersonID
	Calls      []Call    // in order, empty for a person without a call
	Here       time.Time // of the first sign, zero without one
	PagedAt    time.Time // the last page because of absence
	Absent     bool      // called, without a sign, and no other person answered the call
	NotInvited string    // why the person cannot be invited to the channel, or ""
}

// CalledAt returns when the person was first called, or the zero time.
func (p Presence) CalledAt() time.Time {
	if len(p.Calls) == 0 {
		return time.Time{}
	}
	return p.Calls[0].At
}

// Roster returns the people who were called or are here. The people who are here are
// first, then the absent people, each in the order of their time.
func (i Incident) Roster() []Presence {
	var out []Presence
	at := map[PersonID]int{}
	of := func(p PersonID) *Presence {
		n, known := at[p]
		if !known {
			n = len(out)
			at[p] = n
			out = append(out, Presence{Person: p, Here: i.Here[p], NotInvited: i.NotInvited[p]})
		}
		return &out[n]
	}
	for _, c := range i.Calls {
		p := of(c.Person)
		p.Calls = append(p.Calls, c)
		p.Absent = p.Absent || !i.isAnswered(c)
		if c.PagedAt.After(p.PagedAt) {
			p.PagedAt = c.PagedAt
		}
	}
	for _, p := range slices.Sorted(maps.Keys(i.Here)) {
		of(p)
	}
	for _, p := range slices.Sorted(maps.Keys(i.NotInvited)) {
		of(p)
	}
	slices.SortStableFunc(out, func(a, b Presence) int {
		switch {
		case a.Here.IsZero() != b.Here.IsZero():
			if b.Here.IsZero() {
				return -1
			}
			return 1
		case !a.Here.IsZero():
			return a.Here.Compare(b.Here)
		case a.Absent != b.Absent:
			if a.Absent {
				return -1
			}
			return 1
		}
		return a.CalledAt().Compare(b.CalledAt())
	})
	return out
}

// Present returns the number of people who are here.
func (i Incident) Present() int { return len(i.Here) }

// Absent returns the people who were called and show no sign after [AbsenceTimeout], in
// the order of their calls. The list is empty if the incident needs no response.
func (i Incident) Absent(now time.Time) []Presence {
	if !i.Status.Responding() {
		return nil
	}
	return slices.DeleteFunc(i.Roster(), func(p Presence) bool { return !p.Absent || now.Before(p.CalledAt().Add(AbsenceTimeout)) })
}

// isAnswered reports whether a call needs no further sign. One person answers for
// all people of the same role, and one responder for all responders who were called
// because no page reached a known person.
func (i Incident) isAnswered(c Call) bool {
	if !i.Here[c.Person].IsZero() {
		return true
	}
	if c.Cause != CalledRole && c.Cause != CalledResponder {
		return false
	}
	if holder := i.Roles[c.Role]; c.Cause == CalledRole && holder != "" && holder != c.Person {
		return true
	}
	return slices.ContainsFunc(i.Calls, func(o Call) bool { return o.Cause == c.Cause && o.Role == c.Role && !i.Here[o.Person].IsZero() })
}

// called reports whether a person has a call for a reason and a role.
func (i Incident) called(p PersonID, cause CallCause, role Role) bool {
	return slices.ContainsFunc(i.Calls, func(c Call) bool { return c.Person == p && c.Cause == cause && c.Role == role })
}

// forget removes a person from the calls and from the people who are here.
func (i *Incident) forget(p PersonID) {
	i.Calls = slices.DeleteFunc(i.Calls, func(c Call) bool { return c.Person == p })
	delete(i.Here, p)
	delete(i.NotInvited, p)
}

// noPresence are the events whose author requests access or left. Such an author does not
// take part in the response.
var noPresence = []EventKind{EventPersonLeft, EventAccessRequested, EventBreakGlassUsed}

// markHere records the first sign of the author of an event. A reader by break-glass does
// not take part in the response, except with an [EventPresence], which Decide refuses to
// such a reader.
func (i *Incident) markHere(e Event) {
	p, at := e.By, e.RecordedAt
	if p == "" || !i.Here[p].IsZero() || slices.Contains(noPresence, e.Kind) || e.Kind != EventPresence && i.breakGlass(p, at) != nil {
		return
	}
	if i.Here == nil {
		i.Here = map[PersonID]time.Time{}
	}
	i.Here[p] = at
}
