package incident

import (
	"slices"
	"time"
)

// How long temporary access lasts.
const (
	RequestTTL    = 7 * 24 * time.Hour // a request for access without an answer
	AccessTTL     = 7 * 24 * time.Hour // access after an endorsed request
	BreakGlassTTL = 4 * time.Hour
)

// AccessRequest is an open request of a person to read a restricted incident. The reason
// is in the timeline.
type AccessRequest struct {
	By    PersonID  `json:"by"`
	Until time.Time `json:"until"` // when the request lapses
}

// BreakGlass is read access that a person took without a second one. It allows reading
// and notes only.
type BreakGlass struct {
	By    PersonID  `json:"by"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
}

// BreakGlassUse is a use of break-glass for the agenda of the review meeting.
type BreakGlassUse struct {
	Incident ID        `json:"incident"`
	At       time.Time `json:"at"`
}

// AccessRequested is the answer to every request for access. It does not depend on whether
// the incident exists or the person is excluded from it.
func AccessRequested(id ID) Sentence {
	return Say("Your request was sent. If %s exists, security or its commander decides. If they agree, Tocsin invites you to its channel", id)
}

// MayBreakGlass reports whether a person may use break-glass: responders, members and
// deputies of security and legal, and heads of departments and teams.
func (d Directory) MayBreakGlass(p PersonID, now time.Time) bool {
	_, known := d.Person(p)
	return known && (d.Responder(p) || d.Represents(p, Security, now) || d.Represents(p, Legal, now) ||
		slices.ContainsFunc(d.Teams, func(t Team) bool { return t.Head == p }))
}

// MayRead reports whether a person may read the incident. Every known person may
// read a public one. A restricted one is for responders, its opener, people with
// a role or granted access, representatives of involved departments, and people who
// used break-glass.
func (i Incident) MayRead(d Directory, p PersonID, now time.Time) bool {
	return i.belongs(d, p, now) || i.readsByBreakGlass(d, p, now)
}

// belongs reports whether a person may read the incident for another reason than
// break-glass.
func (i Incident) belongs(d Directory, p PersonID, now time.Time) bool {
	person, known := d.Person(p)
	switch {
	case !known, i.Excludes(p):
		return false
	case !i.Restricted, person.Responder, i.OpenedBy == p && !slices.Contains(i.Revoked, p), i.hasAccess(p, now), len(i.RolesOf(p)) > 0:
		return true
	}
	return slices.ContainsFunc(i.departmentsWithAccess(), func(name Department) bool { return i.represents(d, p, name, now) })
}

// hasAccess reports whether a person was granted access that has not ended.
func (i Incident) hasAccess(p PersonID, now time.Time) bool {
	until, ends := i.AccessUntil[p]
	return slices.Contains(i.Access, p) && (!ends || now.Before(until))
}

// readsByBreakGlass reports whether a person reads the incident only because of
// break-glass. The person may add notes and do nothing else.
func (i Incident) readsByBreakGlass(d Directory, p PersonID, now time.Time) bool {
	_, known := d.Person(p)
	return known && !i.Excludes(p) && i.breakGlass(p, now) != nil && !i.belongs(d, p, now)
}

// breakGlass returns the use of break-glass of a person that is in force, or nil.
func (i Incident) breakGlass(p PersonID, now time.Time) *BreakGlass {
	for n := range i.BreakGlass {
		if b := &i.BreakGlass[n]; b.By == p && now.Before(b.Until) {
			return b
		}
	}
	return nil
}

// accessRequest returns the open request of a person, or nil.
func (i Incident) accessRequest(p PersonID, now time.Time) *AccessRequest {
	for n := range i.AccessRequests {
		if r := &i.AccessRequests[n]; r.By == p && now.Before(r.Until) {
			return r
		}
	}
	return nil
}

// addAccess gives people permanent access.
func (i *Incident) addAccess(people ...PersonID) {
	for _, p := range people {
		if !slices.Contains(i.Access, p) {
			i.Access = append(i.Access, p)
		}
		delete(i.AccessUntil, p)
		i.closeRequest(p)
	}
	i.Revoked = slices.DeleteFunc(i.Revoked, func(p PersonID) bool { return slices.Contains(people, p) })
}

// addAccessUntil gives a person temporary access.
func (i *Incident) addAccessUntil(p PersonID, until time.Time) {
	i.addAccess(p)
	if i.AccessUntil == nil {
		i.AccessUntil = map[PersonID]time.Time{}
	}
	i.AccessUntil[p] = until
}

// dropAccess ends the granted access, the request and the break-glass of a person.
func (i *Incident) dropAccess(p PersonID, now time.Time) {
	i.Access = slices.DeleteFunc(i.Access, func(have PersonID) bool { return have == p })
	delete(i.AccessUntil, p)
	i.closeRequest(p)
	for n := range i.BreakGlass {
		if b := &i.BreakGlass[n]; b.By == p && now.Before(b.Until) {
			b.Until = now
		}
	}
}

func (i *Incident) closeRequest(p PersonID) {
	i.AccessRequests = slices.DeleteFunc(i.AccessRequests, func(r AccessRequest) bool { return r.By == p })
}

// revoke removes the access that a person was granted or has as the opener.
func (i *Incident) revoke(p PersonID, now time.Time) {
	i.dropAccess(p, now)
	if !slices.Contains(i.Revoked, p) {
		i.Revoked = append(i.Revoked, p)
	}
}
