package incident

import (
	"cmp"
	"slices"
	"time"
)

// FormerPerson is a person who left the configuration, stored to keep the name
// readable.
type FormerPerson struct {
	ID     PersonID     `json:"id"`
	Name   string       `json:"name"`
	LeftAt time.Time    `json:"left_at"`
	Teams  []Department `json:"teams,omitempty"` // memberships at that time
	// Pending means that the incidents were not searched completely yet for
	// everything that the person holds.
	Pending bool   `json:"pending,omitempty"`
	Held    []Held `json:"held,omitempty"` // held at that time, at most MaxHeld
	More    int    `json:"more,omitempty"` // entries that Held leaves out
}

// MaxHeld is the maximum number of entries in [FormerPerson.Held].
const MaxHeld = 200

// AddHeld adds entries to Held, or to More if there is no room. It does not modify
// copies of p that were made before.
func (p *FormerPerson) AddHeld(held ...Held) {
	room := min(len(held), max(0, MaxHeld-len(p.Held)))
	p.Held = append(slices.Clip(p.Held), held[:room]...)
	p.More += len(held) - room
}

// FormerPerson returns the former person with an id.
func (d Directory) FormerPerson(id PersonID) (FormerPerson, bool) {
	n := slices.IndexFunc(d.Former, func(p FormerPerson) bool { return p.ID == id })
	if n < 0 {
		return FormerPerson{}, false
	}
	return d.Former[n], true
}

// Succeed returns next with the former people of d and the people of d who are not
// in next. A person who returned leaves the list, once nothing is pending.
func (d Directory) Succeed(next Directory, now time.Time) Directory {
	next.Former = nil
	for _, p := range d.Former {
		if _, returned := next.Person(p.ID); !returned || p.Pending {
			next.Former = append(next.Former, p)
		}
	}
	for _, p := range d.People {
		if _, stays := next.Person(p.ID); stays {
			continue
		}
		left := FormerPerson{ID: p.ID, Name: p.Name, LeftAt: stamp(now), Teams: d.teamsOf(p.ID), Pending: true}
		if n := slices.IndexFunc(next.Former, func(f FormerPerson) bool { return f.ID == p.ID }); n >= 0 {
			left.Held, left.More = next.Former[n].Held, next.Former[n].More
			next.Former[n] = left
			continue
		}
		next.Former = append(next.Former, left)
	}
	return next
}

// teamsOf returns the teams of which a person is a member, not a deputy.
func (d Directory) teamsOf(p PersonID) []Department {
	var out []Department
	for _, t := range d.Teams {
		if d.Member(p, t.Name) {
			out = append(out, t.Name)
		}
	}
	return out
}

// Successors returns who takes over from a former person: the heads of the
// departments and teams, or else the head of security, or else its members.
func (d Directory) Successors(p FormerPerson, now time.Time) []PersonID {
	heads := func(teams ...Department) []PersonID {
		var out []PersonID
		for _, name := range teams {
			t, _ := d.Team(name)
			if _, known := d.Person(t.Head); known && t.Head != p.ID && !slices.Contains(out, t.Head) {
				out = append(out, t.Head)
			}
		}
		return out
	}
	if out := heads(p.Teams...); len(out) > 0 {
		return out
	}
	if out := heads(Security); len(out) > 0 {
		return out
	}
	return d.Representatives(Security, now)
}

// The kinds of [Held].
const (
	HeldRole       = "role"       // Ref: the role
	HeldAccess     = "access"     // granted access
	HeldDelegation = "delegation" // Ref: the department
	HeldSignature  = "signature"  // Ref: the department
	HeldObjection  = "objection"  // Ref: its number
	HeldProposal   = "proposal"   // Ref: dismissal, erasure or waiver
	HeldStep       = "step"       // Ref: an open step of a role, with its playbook
	HeldAction     = "action"     // Ref: the number of an open action item
	HeldReview     = "review"     // Ref: the date of the review meeting
)

// Held is one thing that a person holds in an incident: an authority or open
// work.
type Held struct {
	Incident ID     `json:"incident"`
	Kind     string `json:"kind"`
	Ref      string `json:"ref,omitempty"`
	// Withheld means that somebody who takes over is excluded from the incident
	// and must not learn about it.
	Withheld bool `json:"withheld,omitempty"`
}

// HeldBy returns everything that a person holds in the incident. Roles in an
// ended incident are history.
func (i Incident) HeldBy(p PersonID, now time.Time) []Held {
	var out []Held
	add := func(kind, ref string) { out = append(out, Held{Incident: i.ID, Kind: kind, Ref: ref}) }
	var roles []Role
	if !i.Status.Ended() {
		roles = i.RolesOf(p)
	}
	for _, r := range roles {
		add(HeldRole, string(r))
	}
	if slices.Contains(i.Access, p) {
		add(HeldAccess, "")
	}
	for _, g := range i.Delegations {
		if (g.To == p || g.From == p) && now.Before(g.Until) {
			add(HeldDelegation, string(g.Department))
		}
	}
	for _, s := range i.signaturesOf(p) {
		add(HeldSignature, string(s))
	}
	for _, o := range i.Objections {
		if o.By == p && o.Open() && i.Status == InReview {
			add(HeldObjection, o.ID)
		}
	}
	for _, name := range i.proposalsOf(p) {
		add(HeldProposal, name)
	}
	for _, run := range i.Runs {
		for _, s := range run.Plan {
			if s.Action == "" && !s.Started.IsZero() && !s.Finished() && slices.Contains(roles, s.Role) {
				add(HeldStep, StepRef{run.Playbook, s.ID}.String())
			}
		}
	}
	for _, a := range i.Actions {
		if a.Owner == p && !a.IsDone() {
			add(HeldAction, a.ID)
		}
	}
	if len(roles) > 0 && i.Review.At.After(now) && i.Review.Concluded.IsZero() {
		add(HeldReview, Day(i.Review.At).String())
	}
	return out
}

// signaturesOf returns the departments for which a person signed a record that
// is still in review.
func (i Incident) signaturesOf(p PersonID) []Department {
	var out []Department
	for _, s := range i.Signatures {
		if i.Status == InReview && s.By == p {
			out = append(out, s.Department)
		}
	}
	return out
}

// proposalsOf returns the proposals of a person that wait for a second person.
func (i Incident) proposalsOf(p PersonID) []string {
	var out []string
	if i.Dismissal != nil && i.Dismissal.By == p && i.Dismissal.Second == "" && i.Status.Responding() {
		out = append(out, "dismissal")
	}
	if i.Erasure != nil && i.Erasure.By == p {
		out = append(out, "erasure")
	}
	if i.Review.WaivedBy == p && i.Review.EndorsedBy == "" && !i.Status.Ended() {
		out = append(out, "waiver")
	}
	return out
}

// personLeft ends everything that a person holds who left the configuration. A
// live incident without a commander and an acknowledgement is paged again.
func (d *decider) personLeft() error {
	p := d.cmd.Person
	if p == "" {
		return Invalid("person", "no person given. Name the person who left")
	}
	if x := d.inc.ExclusionProposed; x != nil && x.By == p {
		d.emit(EventReadmitted, fields{"person": string(x.Person)}, texts{"reason": "the person who proposed the exclusion left the configuration"})
	}
	held := d.inc.HeldBy(p, d.env.Now)
	acknowledged := d.inc.Status.Responding() && d.inc.Paging.AcknowledgedBy == p && !d.present(d.inc.Commander)
	if len(held) == 0 && !acknowledged {
		return nil
	}
	f := fields{"person": string(p), "signatures": joinList(d.inc.signaturesOf(p)), "proposals": joinList(d.inc.proposalsOf(p))}
	for _, kind := range []string{HeldRole, HeldAccess, HeldDelegation, HeldAction} {
		var refs []string
		for _, h := range held {
			if h.Kind == kind {
				refs = append(refs, cmp.Or(h.Ref, "true"))
			}
		}
		f[kind] = joinList(refs)
	}
	for _, successor := range d.cmd.People {
		if f["successor"] == "" && !d.inc.Excludes(successor) {
			f["successor"] = string(successor)
		}
	}
	command := d.inc.Commander == p
	abandoned := acknowledged || command && d.inc.Status.Responding() && !d.present(d.inc.Paging.AcknowledgedBy)
	if abandoned && d.inc.Paging.Acknowledged() {
		f["acknowledgement"] = "ended"
	}
	paging := d.inc.NeedsPage()
	d.emit(EventPersonLeft, f, nil)
	switch {
	case !abandoned || paging: // somebody is responsible, or is being paged
	case d.inc.Paging.Round > 0:
		d.startRound("")
	default:
		d.startPaging()
	}
	return nil
}

// present reports whether a person is known and did not just leave.
func (d *decider) present(p PersonID) bool {
	_, known := d.env.Directory.Person(p)
	return known && p != d.cmd.Person && !d.inc.Excludes(p)
}
