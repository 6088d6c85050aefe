package incident

import (
	"fmt"
	"time"
)

// PostmortemOf returns a revision of the postmortem. It returns the zero Postmortem if the
// revision was not written.
func (i Incident) PostmortemOf(revision int) Postmortem {
	for _, p := range i.Postmortems {
		if p.Revision == revision {
			return p
		}
	}
	return Postmortem{}
}

// currentPostmortem returns the postmortem of the signed record. It returns the zero
// Postmortem if there is none, or if the record changed since.
func (i Incident) currentPostmortem() Postmortem {
	if i.Submission == nil {
		return Postmortem{}
	}
	return i.PostmortemOf(i.Submission.Document.Revision)
}

// ReplacedPostmortem returns the revision of the last postmortem before a revision, or 0.
func (i Incident) ReplacedPostmortem(revision int) int {
	last := 0
	for _, p := range i.Postmortems {
		if p.Revision < revision {
			last = max(last, p.Revision)
		}
	}
	return last
}

// PostmortemKey identifies what is sent about a postmortem, so that its withdrawal is a
// reply.
func PostmortemKey(id ID, revision int) string { return fmt.Sprintf("%s/postmortem/%d", id, revision) }

// PostmortemReaders returns the people who get the postmortem of an audience. There are none if the
// audience is the whole company, which a list and a channel reach.
func (i Incident) PostmortemReaders(a Audience, d Directory, now time.Time) []PersonID {
	var out []PersonID
	switch a {
	case AudienceAll:
	case AudienceLegalSecurity:
		out = append(i.Representatives(d, Legal, now), i.Representatives(d, Security, now)...)
	default:
		out = i.Leads(d)
	}
	return i.notified(out)
}

// withdrawVoidedPostmortem withdraws the postmortem of before if the command left the
// incident without it: whoever got it must know.
func (d *decider) withdrawVoidedPostmortem(before Incident) {
	old := before.currentPostmortem()
	if len(d.events) == 0 || old.Revision == 0 || d.inc.currentPostmortem().Revision > 0 {
		return
	}
	cause := cancelRevised
	if d.inc.Status.Responding() {
		cause = cancelReopened
	}
	audience := before.Submission.Document.Record.Audience
	d.emit(EventPostmortemWithdrawn, fields{"revision": num(old.Revision), "digest": old.Digest, "cause": cause, "audience": string(audience),
		"people": joinList(before.PostmortemReaders(audience, d.env.Directory, d.env.Now))}, nil)
}

func (i *Incident) applyPostmortemWithdrawn(e Event) {
	for n := range i.Postmortems {
		if p := &i.Postmortems[n]; p.Revision == e.number("revision") {
			p.Superseded = true
		}
	}
}

// PostmortemReaders returns the people who got the withdrawn postmortem.
func (e Event) PostmortemReaders() []PersonID { return splitList[PersonID](e.Field("people")) }
