package incident

import (
	"slices"
	"strings"
	"time"
)

// LocalProposal is an act by the command line that waits for a second person.
type LocalProposal struct {
	Verb   Verb      `json:"verb"`
	By     PersonID  `json:"by"`
	At     time.Time `json:"at"`
	Digest string    `json:"digest"` // see [Command.ActDigest]
}

// localTTL is how long the second person has, and maxLocalProposals how many proposals an
// incident stores.
const (
	localTTL          = time.Hour
	maxLocalProposals = 20
)

// localProposal returns who proposed an act with the digest, or "".
func (i Incident) localProposal(digest string, now time.Time) PersonID {
	for _, p := range i.LocalProposals {
		if p.Digest == digest && now.Sub(p.At) < localTTL {
			return p.By
		}
	}
	return ""
}

// secondLocal lets two people carry out an act by the command line that needs a higher level
// than an account. The act of the first person becomes a proposal. An act that needs two
// people anyway has its own proposal.
func (d *decider) secondLocal(before Incident) error {
	if !d.local || len(d.events) == 0 || byTwo(before, d.events) {
		return nil
	}
	if d.localFirst != "" {
		return d.secondPerson(d.localFirst, d.cmd.Verb.CommandName()+" "+before.ID.String()+" by the command line")
	}
	d.inc, d.events = before.clone(), nil
	kind := EventActProposed
	if d.cmd.Verb == VerbExclude || d.cmd.Verb == VerbReadmit {
		kind = EventSecretActProposed
	}
	d.emit(kind, fields{"act": string(d.cmd.Verb), "act_digest": d.cmdDigest, "department": string(d.cmd.Department), "item": d.cmd.Item, "person": string(d.cmd.Person)}, texts{"reason": d.cmd.Text})
	return nil
}

// byTwo reports whether the events are a proposal to another person, or the confirmation of
// one.
func byTwo(before Incident, events []Event) bool {
	return slices.ContainsFunc(events, func(e Event) bool {
		switch e.Kind {
		case EventDismissProposed, EventWaiverProposed, EventWaiverEndorsed, EventErasureProposed, EventErased, EventExclusionProposed, EventReadmissionProposed:
			return true
		case EventDismissed:
			return e.Field("person") != ""
		case EventExcluded:
			return e.Field("second") != ""
		case EventReadmitted:
			return slices.ContainsFunc(before.Exclusions, func(x Exclusion) bool { return x.Person == e.person("person") && x.Second != "" })
		}
		return false
	})
}

// trackLocal stores a proposal by the command line, and removes it when it is carried out.
func (i *Incident) trackLocal(e Event) {
	digest := e.Field("act_digest")
	if digest == "" {
		return
	}
	kept := slices.DeleteFunc(slices.Clone(i.LocalProposals), func(p LocalProposal) bool {
		return p.Digest == digest || e.RecordedAt.Sub(p.At) >= localTTL
	})
	if e.Kind == EventActProposed || e.Kind == EventSecretActProposed {
		kept = append(kept, LocalProposal{Verb: Verb(e.Field("act")), By: e.By, At: e.RecordedAt, Digest: digest})
	}
	i.LocalProposals = kept[max(0, len(kept)-maxLocalProposals):]
}

// markLevel adds to an event how the author was recognised. The first event of a command has
// the proof, and the digest of an act by the command line that a second person carries out.
func (d *decider) markLevel(e *Event) {
	if d.cmd.SecondFactor {
		e.Fields["second_factor"] = "true"
	}
	if d.local {
		e.Fields["local"] = "true"
	}
	if len(d.events) > 0 {
		return
	}
	if d.cmd.Proof != nil {
		e.Fields["proof"] = string(canonical(d.cmd.Proof))
	}
	if d.localFirst != "" {
		e.Fields["local_first"], e.Fields["act_digest"] = string(d.localFirst), d.cmdDigest
	}
}

// actProposed describes the event of a proposal by the command line.
func actProposed(secret bool) eventSpec {
	spec := eventSpec{
		fields: "act act_digest department item person",
		secret: secret,
		sentence: func(e Event) Sentence {
			return Say("%s proposed %s by the command line. Another person must give the same command within an hour", e.By, strings.ReplaceAll(e.Field("act"), "_", " "))
		},
		text: "reason",
		hint: "By the command line this act takes two people. Another person must type the same command, with the same words, within an hour.",
		lane: laneResponse,
	}
	if !secret {
		spec.effects = effects{postEvent, refreshCard}
	}
	return spec
}
