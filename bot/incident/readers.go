package incident

import (
	"slices"
	"time"
)

// IncidentReader is a person who may read an incident, with the reason.
type IncidentReader struct {
	Person PersonID
	Why    Sentence
	Until  time.Time // when the access ends, or zero
}

// Readers returns the people who may read the incident, in the order of the directory.
func (i Incident) Readers(d Directory, now time.Time) []IncidentReader {
	var out []IncidentReader
	for _, p := range d.People {
		if i.MayRead(d, p.ID, now) {
			out = append(out, i.reader(d, p, now))
		}
	}
	return out
}

// reader returns the strongest reason for which a person may read the incident.
func (i Incident) reader(d Directory, p Person, now time.Time) IncidentReader {
	r := IncidentReader{Person: p.ID}
	switch roles := i.RolesOf(p.ID); {
	case len(roles) > 0:
		r.Why = Say("has the role %s", string(roles[0]))
	case i.OpenedBy == p.ID && !slices.Contains(i.Revoked, p.ID):
		r.Why = Say("opened the incident")
	case i.hasAccess(p.ID, now):
		r.Why, r.Until = Say("was granted access"), i.AccessUntil[p.ID]
	case p.Responder:
		r.Why = Say("is a responder")
	case !i.Restricted:
		r.Why = Say("the incident is open to the company")
	case i.breakGlass(p.ID, now) != nil && i.readsByBreakGlass(d, p.ID, now):
		r.Why, r.Until = Say("used break-glass"), i.breakGlass(p.ID, now).Until
	default:
		r.Why = Say("belongs to a department that is involved")
		for _, name := range i.departmentsWithAccess() {
			if i.represents(d, p.ID, name, now) {
				r.Why = Say("represents %s", name)
				break
			}
		}
	}
	return r
}
