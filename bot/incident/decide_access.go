package incident

import (
	"slices"
	"time"
)

// Values of [Command.Channel]: what happens to the place in the incident's channel
// of a person who is excluded.
const (
	ChannelRemove = "remove" // remove the person, which Slack shows to everybody in the channel
	ChannelNew    = "new"    // continue in a new channel without the person
)

// Exclusion shuts a suspected insider out of an incident. Its events and its
// content are for legal and security only.
type Exclusion struct {
	Person  PersonID  `json:"person"`
	By      PersonID  `json:"by"`
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
	Second  PersonID  `json:"second,omitempty"`  // who confirmed it, if it took legal and security
	Channel string    `json:"channel,omitempty"` // ChannelRemove, ChannelNew or "": still in the channel, if it was before
	Left    string    `json:"left,omitempty"`    // with ChannelNew: the channel that the incident leaves
	// Readmitter proposed to end an exclusion that took legal and security.
	Readmitter PersonID `json:"readmitter,omitempty"`
}

// Excludes reports whether a person is excluded from the incident. An excluded
// person is not invited, and may not read, sign or act, whatever role,
// department or grant the person has.
func (i Incident) Excludes(p PersonID) bool {
	return p != "" && slices.ContainsFunc(i.Exclusions, func(x Exclusion) bool { return x.Person == p })
}

// MayInvite reports whether a person may still be invited to the channel when an
// invitation is carried out. The person may have been excluded since it was queued.
// Access that was revoked or has ended does not come back with an invitation: the
// person must be able to read the incident for another reason than break-glass.
func (i Incident) MayInvite(d Directory, p PersonID, now time.Time) bool {
	ended := slices.Contains(i.Revoked, p) || slices.Contains(i.Access, p) && !i.hasAccess(p, now)
	return !i.Excludes(p) && (!ended || i.belongs(d, p, now))
}

// Reachable returns the directory for whoever writes to people about the incident.
// Excluded people keep their names and have neither accounts nor duties, so that
// nothing can be sent to them.
func (i Incident) Reachable(d Directory) Directory {
	if len(i.Exclusions) == 0 {
		return d
	}
	out := Directory{People: slices.Clone(d.People), Teams: slices.Clone(d.Teams), Former: d.Former, Audiences: d.Audiences, Statements: d.Statements}
	for n, p := range out.People {
		if i.Excludes(p.ID) {
			out.People[n] = Person{ID: p.ID, Name: p.Name}
		}
	}
	for n, t := range out.Teams {
		out.Teams[n].Members = slices.DeleteFunc(slices.Clone(t.Members), func(m Membership) bool { return i.Excludes(m.Person) })
		if i.Excludes(t.Head) {
			out.Teams[n].Head = ""
		}
	}
	return out
}

// WithoutExclusions returns the incident as people outside legal and security see
// it.
func (i Incident) WithoutExclusions() Incident {
	i.Exclusions, i.ExclusionProposed = nil, nil
	i.LocalProposals = slices.DeleteFunc(slices.Clone(i.LocalProposals), func(p LocalProposal) bool { return p.Verb == VerbExclude || p.Verb == VerbReadmit })
	return i
}

// grant gives a person read access, with a reason.
func (d *decider) grant() error {
	if err := d.requirePerson("person", d.cmd.Person); err != nil {
		return err
	}
	if err := d.requireText("text", d.cmd.Text, "access needs a reason. Type grant PERSON because REASON"); err != nil {
		return err
	}
	if _, ends := d.inc.AccessUntil[d.cmd.Person]; !ends && slices.Contains(d.inc.Access, d.cmd.Person) {
		return nil
	}
	d.emit(EventAccessGranted, fields{"person": string(d.cmd.Person)}, texts{"reason": d.cmd.Text})
	return nil
}

// revokeAccess ends the read access of a person who was granted it, took it by
// break-glass, was invited or opened the incident. It declines a request for access.
func (d *decider) revokeAccess() error {
	p := d.cmd.Person
	if _, ok := d.env.Directory.Person(p); !ok {
		return Unknown("person", "unknown person %q. Mention them with @", p)
	}
	if err := d.requireText("text", d.cmd.Text, "revoking access needs a reason. Type revoke PERSON because REASON"); err != nil {
		return err
	}
	after := d.inc.clone()
	after.revoke(p, d.env.Now)
	if d.inc.Restricted && after.belongs(d.env.Directory, p, d.env.Now) {
		return Conflict("%s reads %s as a responder, by a role or for a department, which revoke does not end. Change the role, or ask legal or security to exclude them", d.env.Directory.Name(p), d.inc.ID)
	}
	asked := d.inc.accessRequest(p, d.env.Now) != nil || d.inc.breakGlass(p, d.env.Now) != nil
	if !asked && !slices.Contains(d.inc.Access, p) && (d.inc.OpenedBy != p || slices.Contains(d.inc.Revoked, p)) {
		return nil
	}
	d.emit(EventAccessRevoked, fields{"person": string(p)}, texts{"reason": d.cmd.Text})
	return nil
}

// exclude shuts a suspected insider out. One person from legal or security is
// enough, unless the incident then has no commander or a department no signer:
// that takes one person from each. A repeat with a value of Channel ends the
// place of the person in the channel.
func (d *decider) exclude() error {
	p := d.cmd.Person
	if _, ok := d.env.Directory.Person(p); !ok {
		return Unknown("person", "unknown person %q. Mention them with @", p)
	}
	switch d.cmd.Channel {
	case "", ChannelRemove, ChannelNew:
	default:
		return Invalid("channel", "unknown choice %q for the channel. Use remove or new", d.cmd.Channel)
	}
	if p == d.env.Actor {
		return Invalid("person", "you cannot exclude yourself. Name another person")
	}
	if n := slices.IndexFunc(d.inc.Exclusions, func(x Exclusion) bool { return x.Person == p }); n >= 0 {
		if have := d.inc.Exclusions[n].Channel; d.cmd.Channel != "" && d.cmd.Channel != have && have != ChannelNew {
			d.emit(EventExcluded, fields{"person": string(p), "channel": d.cmd.Channel}, texts{"reason": firstOf(d.cmd.Text, d.inc.Exclusions[n].Reason)})
		}
		return nil
	}
	proposed := d.inc.ExclusionProposed
	if proposed != nil && proposed.Person != p {
		proposed = nil
	}
	if proposed == nil {
		if err := d.requireText("text", d.cmd.Text, "excluding a person needs a reason. Type exclude PERSON because REASON"); err != nil {
			return err
		}
	}
	f, t := fields{"person": string(p), "channel": d.cmd.Channel}, texts{"reason": d.cmd.Text}
	if d.exclusionTakesTwo(p) {
		for _, without := range d.withoutSigner(p) {
			if without != Legal && without != Security {
				continue
			}
			return Conflict("%s is the only one who acts for %s in %s. An administrator must name a replacement first: tocsin incident replacement %[3]s %[2]s PERSON because REASON", d.env.Directory.Name(p), without, d.inc.ID)
		}
		if proposed == nil {
			d.emit(EventExclusionProposed, f, t)
			return nil
		}
		if !d.completes(proposed.By) {
			return Conflict("legal and security must exclude %s together. Ask the other department to type the same command", d.env.Directory.Name(p))
		}
		f["second"], f["channel"] = string(proposed.By), firstOf(d.cmd.Channel, proposed.Channel)
		t["reason"] = firstOf(d.cmd.Text, proposed.Reason)
	}
	d.shutOut(p, f, t)
	return nil
}

// shutOut excludes a person. The consequences that others see are events of the bot.
func (d *decider) shutOut(p PersonID, f fields, t texts) {
	answerable := d.inc.Paging.AcknowledgedBy == p || d.inc.Commander == p
	signatures := slices.DeleteFunc(slices.Clone(d.inc.Signatures), func(s Signature) bool { return s.By != p || d.inc.Status != InReview })
	if d.inc.Links[LinkChannel] != "" { // anyone can be in it: invited by hand, joined or readmitted earlier
		f["in_channel"] = "true"
	}
	d.emit(EventExcluded, f, t)
	actor := d.env.Actor
	d.env.Actor = ""
	for _, s := range signatures {
		d.emit(EventSignatureWithdrawn, fields{"department": string(s.Department), "digest": s.Digest}, nil)
	}
	if answerable && d.inc.Status.Responding() {
		d.startPaging()
	}
	d.env.Actor = actor
}

// inheritExclusions excludes the people who are excluded from the incident that a
// merge or split took alerts from, because its content continues in this one. The
// author of the command may not know about them, so the bot excludes them.
func (d *decider) inheritExclusions(source Incident) {
	actor := d.env.Actor
	d.env.Actor = ""
	for _, x := range source.Exclusions {
		reason := "excluded from " + source.ID.String()
		if x.Reason != "" {
			reason += ": " + x.Reason
		}
		if !d.inc.Excludes(x.Person) {
			d.shutOut(x.Person, fields{"person": string(x.Person)}, texts{"reason": reason})
		}
	}
	d.env.Actor = actor
}

// completes reports whether the actor is the independent second person, from the
// other one of legal and security than the first.
func (d *decider) completes(first PersonID) bool {
	represents := func(p PersonID, team Department) bool { return d.inc.represents(d.env.Directory, p, team, d.env.Now) }
	actor := d.env.Actor
	return d.inc.Independent(d.env.Directory, first, actor) && (represents(first, Legal) && represents(actor, Security) || represents(first, Security) && represents(actor, Legal))
}

// exclusionTakesTwo reports whether legal and security must exclude a person
// together: the commander, and the last signer of a department. A replacement does
// not count, so that an administrator and one person do not take over a department.
func (d *decider) exclusionTakesTwo(p PersonID) bool {
	if d.inc.Commander == p || len(d.withoutSigner(p)) > 0 {
		return true
	}
	own := d.inc
	own.Delegations = slices.DeleteFunc(slices.Clone(own.Delegations), func(g Delegation) bool { return g.Replacement })
	return slices.ContainsFunc(RequiredDepartments(), func(team Department) bool {
		who := own.Representatives(d.env.Directory, team, d.env.Now)
		return len(who) == 1 && who[0] == p
	})
}

// withoutSigner returns the required departments that nobody but p represents.
func (d *decider) withoutSigner(p PersonID) []Department {
	return slices.DeleteFunc(RequiredDepartments(), func(team Department) bool {
		who := d.inc.Representatives(d.env.Directory, team, d.env.Now)
		return len(who) != 1 || who[0] != p
	})
}

// readmit ends the exclusion of a person, or a proposal of it. An exclusion by legal
// and security takes both of them again. Grants and roles do not come back.
func (d *decider) readmit() error {
	p := d.cmd.Person
	proposed := d.inc.ExclusionProposed != nil && d.inc.ExclusionProposed.Person == p
	if !d.inc.Excludes(p) && !proposed {
		return Unknown("person", "this person is not excluded from %s. Type status %[1]s to see who is", d.inc.ID)
	}
	if err := d.requireText("text", d.cmd.Text, "readmitting a person needs a reason. Type readmit PERSON because REASON"); err != nil {
		return err
	}
	for _, x := range d.inc.Exclusions {
		switch {
		case x.Person != p || x.Second == "":
		case x.Readmitter == "":
			d.emit(EventReadmissionProposed, fields{"person": string(p)}, texts{"reason": d.cmd.Text})
			return nil
		case !d.completes(x.Readmitter):
			return Conflict("legal and security must readmit %s together. Ask the other department to type the same command", d.env.Directory.Name(p))
		}
	}
	d.emit(EventReadmitted, fields{"person": string(p)}, texts{"reason": d.cmd.Text})
	return nil
}

// nameReplacement lets an administrator name a person who acts for a department in
// this incident. It is possible only while at most one person does, so that
// nobody can outvote a department from the command line of the host.
func (d *decider) nameReplacement() error {
	if err := d.requireTeam(); err != nil {
		return err
	}
	p, team := d.cmd.Person, d.cmd.Department
	if err := d.requirePerson("person", p); err != nil {
		return err
	}
	if err := d.requireText("text", d.cmd.Text, "a replacement needs a reason. Type replacement %s %s PERSON because REASON", d.inc.ID, team); err != nil {
		return err
	}
	who := d.inc.Representatives(d.env.Directory, team, d.env.Now)
	switch {
	case slices.Contains(who, p):
		return nil
	case len(who) > 1:
		return Conflict("%d people act for %s in %s. A replacement is possible only while at most one does", len(who), team, d.inc.ID)
	}
	d.emit(EventReplacementNamed, fields{"department": string(team), "person": string(p), "until": instant(d.env.Now.Add(maxDelegation)), "administrator": d.cmd.By.ID},
		texts{"reason": d.cmd.Text})
	return nil
}
