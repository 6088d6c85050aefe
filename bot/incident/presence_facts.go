package incident

import "time"

// Facts returns the parts of a line about a person: whether the person is here, the roles,
// the calls, and why the person cannot be invited.
func (p Presence) Facts(i Incident, now time.Time) []Sentence {
	var out []Sentence
	expected := p.CalledAt().Add(AbsenceTimeout)
	switch {
	case !p.Here.IsZero():
		out = append(out, Say("here since %s", p.Here))
	case p.Absent && now.Before(expected):
		out = append(out, Say("expected until %s", expected))
	case p.Absent:
		out = append(out, Say("no sign"))
	case len(p.Calls) > 0:
		out = append(out, Say("another person answered the call"))
	}
	for _, role := range i.RolesOf(p.Person) {
		out = append(out, Say("%s", string(role)))
	}
	for _, c := range p.Calls {
		out = append(out, c.sentence())
	}
	if !p.PagedAt.IsZero() {
		out = append(out, Say("paged again %s", p.PagedAt))
	}
	if p.NotInvited != "" {
		out = append(out, Say("cannot be invited: %s", Quoted(p.NotInvited)))
	}
	return out
}

// sentence returns when and how the person was called.
func (c Call) sentence() Sentence {
	switch c.Cause {
	case CalledOnCall:
		return Say("paged %s", c.At)
	case CalledRole:
		return Say("called %s for the role %s", c.At, string(c.Role))
	case CalledByPerson:
		return Say("paged by a person %s", c.At)
	}
	return Say("called %s as a responder", c.At)
}
