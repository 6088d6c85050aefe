package incident

import (
	"fmt"
	"slices"
)

// The kinds of events about who may read the incident and act in it.
const (
	EventAccessGranted       EventKind = "access_granted"
	EventAccessRevoked       EventKind = "access_revoked"
	EventRestricted          EventKind = "restriction_set"
	EventExclusionProposed   EventKind = "exclusion_proposed" // for legal and security only, with the next two
	EventExcluded            EventKind = "excluded"
	EventReadmissionProposed EventKind = "readmission_proposed"
	EventReadmitted          EventKind = "readmitted"
	EventActProposed         EventKind = "act_proposed"        // by the command line
	EventSecretActProposed   EventKind = "secret_act_proposed" // the same, for legal and security only
	EventReplacementNamed    EventKind = "replacement_named"   // by an administrator
	EventPersonLeft          EventKind = "person_left"
)

var accessEvents = eventTable{
	EventAccessGranted: {
		fields:     "person until",
		repeatable: true,
		apply: func(i *Incident, e Event) {
			if until := parseInstant(e.Field("until")); !until.IsZero() {
				i.addAccessUntil(e.person("person"), until)
				return
			}
			i.addAccess(e.person("person"))
		},
		effects: effects{timeAccess, invitePerson},
		sentence: func(e Event) Sentence {
			if until := parseInstant(e.Field("until")); !until.IsZero() {
				return Say("%s gave %s the access that they asked for, until %s", e.By, e.person("person"), until)
			}
			return Say("%s granted %s access", e.By, e.person("person"))
		},
		text: "reason",
		lane: laneCommunication,
	},
	EventAccessRevoked: {
		fields:     "person",
		repeatable: true,
		apply:      func(i *Incident, e Event) { i.revoke(e.person("person"), e.RecordedAt) },
		effects:    effects{removePerson},
		sentence: func(e Event) Sentence {
			return Say("%s revoked the access of %s", e.By, e.person("person"))
		},
		text: "reason",
		lane: laneCommunication,
	},
	EventRestricted: {
		fields:     "restricted",
		repeatable: true,
		apply:      func(i *Incident, e Event) { i.Restricted = e.is("restricted") },
		effects:    effects{postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			if e.is("restricted") {
				return Say("%s restricted the incident to its participants", e.By)
			}
			return Say("%s made the incident public within the company", e.By)
		},
		text: "reason",
		lane: laneCommunication,
	},
	EventExclusionProposed: {
		fields: "channel person",
		secret: true,
		apply: func(i *Incident, e Event) {
			i.ExclusionProposed = &Exclusion{Person: e.person("person"), By: e.By, At: e.RecordedAt, Reason: e.Text("reason"), Channel: e.Field("channel")}
		},
		sentence: func(e Event) Sentence {
			return Say("%s proposed to exclude %s. The other one of legal and security must type the same command", e.By, e.person("person"))
		},
		text: "reason",
		hint: "Excluding this person takes legal and security together. Ask the other department, in a direct message, to type the same command.",
		lane: laneCommunication,
	},
	EventExcluded: {
		fields:   "channel in_channel person second",
		secret:   true,
		apply:    (*Incident).applyExcluded,
		effects:  effects{excludeFromChannel, refreshCard},
		sentence: sayExcluded,
		text:     "reason",
		hint:     "The person is excluded: no reading, signing or acting in this incident.",
		lane:     laneCommunication,
	},
	EventReadmissionProposed: {
		fields: "person",
		secret: true,
		apply:  (*Incident).applyReadmissionProposed,
		sentence: func(e Event) Sentence {
			return Say("%s proposed to readmit %s. The other one of legal and security must type the same command", e.By, e.person("person"))
		},
		text: "reason",
		hint: "The exclusion took legal and security, so both must end it. Ask the other department, in a direct message, to type the same command.",
		lane: laneCommunication,
	},
	EventReadmitted: {
		fields: "person",
		secret: true,
		apply:  (*Incident).applyReadmitted,
		sentence: func(e Event) Sentence {
			return Say("%s readmitted %s", e.By, e.person("person"))
		},
		text: "reason",
		hint: "The person is no longer excluded. Grants and roles do not come back by themselves.",
		lane: laneCommunication,
	},
	EventActProposed:       actProposed(false),
	EventSecretActProposed: actProposed(true),
	EventReplacementNamed: {
		fields: "department person until",
		apply: func(i *Incident, e Event) {
			i.addDelegation(Delegation{Department: e.department(), From: e.By, To: e.person("person"), Until: parseInstant(e.Field("until")), Replacement: true}, e.RecordedAt)
		},
		effects: effects{invitePerson, postEvent},
		sentence: func(e Event) Sentence {
			return Say("The administrator %s named %s to act for %s until %s", e.literal("administrator"), e.person("person"), e.department(), parseInstant(e.Field("until")))
		},
		text: "reason",
		lane: laneSignOff,
	},
	EventPersonLeft: {
		fields:  "action person role signatures successor",
		apply:   (*Incident).applyPersonLeft,
		effects: effects{postDeparture, askSignAgain},
		sentence: func(e Event) Sentence {
			if next := e.person("successor"); next != "" && e.Field(HeldAction) != "" {
				return Say("%s left the configuration. Ended: %s. %s takes over the action items", e.person("person"), e.ended(), next)
			}
			return Say("%s left the configuration. Ended: %s", e.person("person"), e.ended())
		},
		lane: laneResponse,
	},
}

// applyExcluded ends everything that the person has in the incident.
func (i *Incident) applyExcluded(e Event) {
	p := e.person("person")
	if n := slices.IndexFunc(i.Exclusions, func(x Exclusion) bool { return x.Person == p }); n >= 0 {
		i.Exclusions[n].Channel, i.Exclusions[n].Left = e.Field("channel"), i.leaves(e)
		return
	}
	i.Exclusions = append(i.Exclusions, Exclusion{Person: p, By: e.By, At: e.RecordedAt, Reason: e.Text("reason"), Second: e.person("second"), Channel: e.Field("channel"), Left: i.leaves(e)})
	i.ExclusionProposed = nil
	i.dropAccess(p, e.RecordedAt)
	i.forget(p)
	i.Delegations = slices.DeleteFunc(i.Delegations, func(g Delegation) bool { return g.To == p || g.From == p })
	for _, r := range i.RolesOf(p) {
		i.setRole(r, "")
	}
	if i.Paging.AcknowledgedBy == p {
		i.Paging.AcknowledgedBy = ""
	}
	if d := i.Dismissal; d != nil && d.By == p && i.Status != Dismissed {
		i.Dismissal = nil
	}
	if i.Erasure != nil && i.Erasure.By == p {
		i.Erasure = nil
	}
	if i.Review.WaivedBy == p && i.Review.EndorsedBy == "" {
		i.Review.Waiver, i.Review.WaivedBy = "", ""
	}
}

func (i *Incident) applyReadmissionProposed(e Event) {
	for n := range i.Exclusions {
		if x := &i.Exclusions[n]; x.Person == e.person("person") {
			x.Readmitter = e.By
		}
	}
}

func (i *Incident) applyReadmitted(e Event) {
	p := e.person("person")
	i.Exclusions = slices.DeleteFunc(i.Exclusions, func(x Exclusion) bool { return x.Person == p })
	if i.ExclusionProposed != nil && i.ExclusionProposed.Person == p {
		i.ExclusionProposed = nil
	}
}

// leaves returns the channel that an exclusion makes the incident leave, or "".
func (i Incident) leaves(e Event) string {
	if e.Field("channel") == ChannelNew {
		return i.Links[LinkChannel]
	}
	return ""
}

// applyPersonLeft removes the authority of a person and passes open action items
// on.
func (i *Incident) applyPersonLeft(e Event) {
	p := e.person("person")
	for _, r := range splitList[Role](e.Field(HeldRole)) {
		i.setRole(r, "")
	}
	i.dropAccess(p, e.RecordedAt)
	i.forget(p)
	i.Delegations = slices.DeleteFunc(i.Delegations, func(g Delegation) bool { return g.To == p || g.From == p })
	signed := splitList[Department](e.Field("signatures"))
	i.Signatures = slices.DeleteFunc(i.Signatures, func(s Signature) bool { return s.By == p && slices.Contains(signed, s.Department) })
	for _, name := range splitList[string](e.Field("proposals")) {
		switch name {
		case "dismissal":
			i.Dismissal = nil
		case "erasure":
			i.Erasure = nil
		case "waiver":
			i.Review.Waiver, i.Review.WaivedBy = "", ""
		}
	}
	if e.Field("acknowledgement") == "ended" {
		i.Paging.AcknowledgedBy = ""
	}
	for n := range i.Actions {
		if a := &i.Actions[n]; a.Owner == p && !a.IsDone() && e.Field("successor") != "" {
			a.Owner = e.person("successor")
		}
	}
}

// sayExcluded tells what became of the person's place in the channel, because Slack
// shows a removal to everybody in it.
func sayExcluded(e Event) Sentence {
	p := e.person("person")
	switch {
	case e.Field("channel") == ChannelRemove:
		return Say("%s excluded %s. Tocsin removes them from the channel, which Slack shows there", e.By, p)
	case e.Field("channel") == ChannelNew:
		return Say("%s excluded %s. The incident continues in a new channel without them", e.By, p)
	case e.is("in_channel"):
		return Say("%s excluded %s. If they are in the Slack channel, they can still read it. Slack shows a removal to everybody in it. Type exclude PERSON --remove to remove them, or exclude PERSON --new-channel to continue in a new channel", e.By, p)
	}
	return Say("%s excluded %s", e.By, p)
}

// ended returns everything that ended because a person left.
func (e Event) ended() Labels {
	var out Labels
	add := func(format, field string) {
		for _, ref := range splitList[string](e.Field(field)) {
			out = append(out, fmt.Sprintf(format, ref))
		}
	}
	add("role %s", HeldRole)
	if e.is(HeldAccess) {
		out = append(out, "access")
	}
	add("delegation for %s", HeldDelegation)
	add("signature for %s", "signatures")
	add("proposed %s", "proposals")
	if e.Field("acknowledgement") != "" {
		out = append(out, "acknowledgement")
	}
	if len(out) == 0 {
		out = Labels{"nothing"}
	}
	return out
}

// removePerson builds the removal of a person from the channel.
func removePerson(c effectBuilder) []Effect {
	return []Effect{c.closeChannel(EffectRemove, map[string]string{"person": c.event.Field("person")})}
}

// closeChannel builds an effect that ends the reading of a person in the channel. The
// person reads what others write there, so the effect does not wait for posts that the
// chat refuses. Posts about the consequences still come after it. Before the channel is
// open, nobody reads it, and the effect comes after the opening.
func (c effectBuilder) closeChannel(kind EffectKind, args map[string]string) Effect {
	e := c.inChannel(kind, args)
	e.Ahead = c.inc.Links[LinkChannel] != ""
	return e
}

// excludeFromChannel ends the place of an excluded person in the channel, in the
// way that legal or security chose.
func excludeFromChannel(c effectBuilder) []Effect {
	switch c.event.Field("channel") {
	case ChannelRemove:
		return removePerson(c)
	case ChannelNew:
		if old := c.inc.Links[LinkChannel]; old != "" {
			return []Effect{c.closeChannel(EffectReplaceChannel, map[string]string{"channel": old})}
		}
	}
	return nil
}

// ReplacesChannel reports whether the incident still has the channel that it leaves
// because of an exclusion, or because the channel is lost.
func (i Incident) ReplacesChannel() bool {
	return i.LostChannel != "" && i.LostChannel == i.Links[LinkChannel] || slices.ContainsFunc(i.Exclusions, func(x Exclusion) bool { return x.Left != "" && x.Left == i.Links[LinkChannel] })
}

// postDeparture posts that a person left, except in an ended incident that loses
// only a reader. Everybody who was ever invited is a reader.
func postDeparture(c effectBuilder) []Effect {
	if !c.inc.Status.Ended() {
		return slices.Concat(postEvent(c), refreshCard(c), refreshSignoff(c))
	}
	if c.event.Field(HeldAction) == "" {
		return nil
	}
	return slices.Concat(postEvent(c), refreshCard(c))
}

// askSignAgain asks the departments again whose signature ended with the person.
func askSignAgain(c effectBuilder) []Effect {
	var out []Effect
	for _, team := range splitList[Department](c.event.Field("signatures")) {
		out = append(out, c.ask(EffectAskSign, team))
		out = append(out, c.messageStage(team, SignerMembers, c.event.Seq)...)
	}
	return out
}
