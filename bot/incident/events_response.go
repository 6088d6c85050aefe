package incident

import (
	"maps"
	"slices"
	"time"
)

// The kinds of events about the response.
const (
	EventRoleAssigned        EventKind = "role_assigned"
	EventDepartmentsInvolved EventKind = "departments_involved"
	EventNoted               EventKind = "noted"
	EventContained           EventKind = "contained"
	EventResolved            EventKind = "resolved"
	EventReopened            EventKind = "reopened"
	EventConsulted           EventKind = "consulted"
	EventAnswered            EventKind = "answered"
	EventDelegated           EventKind = "delegated"
	EventDelegationEnded     EventKind = "delegation_ended"
)

var responseEvents = eventTable{
	EventRoleAssigned: {
		fields:  "handover person role", // handover is set if the person gets a briefing
		apply:   (*Incident).applyRoleAssigned,
		effects: effects{invitePerson, timeAbsence, postEvent, refreshCard, refreshChecklist, editSteps, briefCommander},
		sentence: func(e Event) Sentence {
			if e.is("handover") {
				return Say("%s handed the command over to %s", e.By, e.person("person"))
			}
			if e.person("person") == e.By && e.By != "" {
				return Say("%s took the role %s", e.By, e.Field("role"))
			}
			return Say("%s assigned the role %s to %s", e.By, e.Field("role"), e.person("person"))
		},
		text: "reason",
		lane: laneResponse,
	},
	EventDepartmentsInvolved: {
		fields: "departments",
		apply: func(i *Incident, e Event) {
			i.InvolvedDepartments = append(i.InvolvedDepartments, splitList[Department](e.Field("departments"))...)
		},
		effects: effects{inviteDepartments, postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("%s involved %s", e.By, Departments(splitList[Department](e.Field("departments"))))
		},
		text:      "reason",
		lane:      laneCommunication,
		milestone: "Departments involved",
	},
	EventNoted: {
		fields:     "author message",
		repeatable: true,
		apply:      func(i *Incident, e Event) { i.keepMessage(e, KeptAsNote, "") },
		effects:    effects{postEvent},
		sentence:   sayNoted,
		text:       "text",
		lane:       laneResponse,
	},
	EventContained: {
		apply:     func(i *Incident, e Event) { i.setContainedAt(e.RecordedAt) },
		effects:   effects{updatePager, postEvent, refreshCard},
		sentence:  say("%s marked the incident as contained"),
		text:      "text",
		lane:      laneResponse,
		milestone: "Contained",
	},
	EventResolved: {
		fields:  "open_steps",
		apply:   (*Incident).applyResolved,
		effects: effects{announceIncident, updatePager, resolvePages, postEvent, refreshCard, refreshChecklist},
		sentence: func(e Event) Sentence {
			if e.Field("open_steps") != "" {
				return Say("%s marked the incident as resolved. Steps left open: %s", e.By, Steps(splitList[string](e.Field("open_steps"))))
			}
			return Say("%s marked the incident as resolved", e.By)
		},
		text:         "text",
		announcement: "%s (%s) is resolved.",
		broadcast:    true,
		lane:         laneResponse,
		milestone:    "Resolved",
	},
	EventReopened: {
		apply: func(i *Incident, e Event) {
			i.unfreeze()
			i.Dismissal, i.Unfinished = nil, nil
			i.Review = Review{}
			i.Calls = nil
			maps.DeleteFunc(i.Here, func(p PersonID, _ time.Time) bool { return p != e.By })
		},
		effects:      effects{announceIncident, postEvent, refreshCard, refreshChecklist, refreshSignoff},
		sentence:     say("%s reopened the incident"),
		text:         "reason",
		announcement: "%s (%s) was reopened.",
		lane:         laneDetection,
		milestone:    "Reopened",
	},
	EventConsulted: {
		fields:  "blocking department",
		apply:   (*Incident).applyConsulted,
		effects: effects{inviteRepresentatives, askConsult, refreshCard, refreshSignoff},
		sentence: func(e Event) Sentence {
			if e.is("blocking") {
				return Say("%s consulted %s. The record cannot be approved without an answer", e.By, e.department())
			}
			return Say("%s consulted %s", e.By, e.department())
		},
		lane: laneCommunication,
	},
	EventAnswered: {
		fields:     "department",
		repeatable: true,
		apply:      (*Incident).applyAnswered,
		effects:    effects{postEvent, refreshCard, refreshSignoff},
		sentence:   func(e Event) Sentence { return Say("%s answered for %s", e.By, e.department()) },
		text:       "answer",
		lane:       laneCommunication,
		item:       func(e Event) string { return "answer/" + e.Field("department") },
	},
	EventDelegated: {
		fields:     "department person until",
		repeatable: true,
		apply: func(i *Incident, e Event) {
			i.addDelegation(Delegation{Department: e.department(), From: e.By, To: e.person("person"), Until: parseInstant(e.Field("until"))}, e.RecordedAt)
		},
		effects: effects{invitePerson, postEvent, editSignRequests},
		sentence: func(e Event) Sentence {
			return Say("%s delegated signing for %s to %s until %s", e.By, e.department(), e.person("person"), e.stated("until"))
		},
		text: "reason",
		lane: laneSignOff,
	},
	EventDelegationEnded: {
		fields:     "department person",
		repeatable: true,
		apply:      (*Incident).applyDelegationEnded,
		effects:    effects{postEvent, editSignRequests},
		sentence: func(e Event) Sentence {
			return Say("%s ended the delegation of signing for %s to %s", e.By, e.department(), e.person("person"))
		},
		text: "reason",
		lane: laneSignOff,
	},
}

// briefCommander builds the briefing of a person who takes the command over.
func briefCommander(c effectBuilder) []Effect {
	if !c.event.is("handover") {
		return nil
	}
	return []Effect{c.effect(EffectBriefing, map[string]string{"person": c.event.Field("person")})}
}

// applyDelegationEnded ends the delegations of a person. They still show who named the
// deputy: see [Independent].
func (i *Incident) applyDelegationEnded(e Event) {
	for n := range i.Delegations {
		if g := &i.Delegations[n]; g.Department == e.department() && g.To == e.person("person") && g.Until.After(e.RecordedAt) {
			g.Until = e.RecordedAt
		}
	}
}

// editSignRequests builds an edit of each open request to a department to sign, which
// mentions the people who may sign now.
func editSignRequests(c effectBuilder) []Effect {
	var out []Effect
	for _, r := range c.inc.Requests {
		if r.Effect == EffectAskSign && r.Department == c.event.department() {
			out = append(out, c.retract(r))
		}
	}
	return out
}

// applyRoleAssigned assigns a role. A person who gets it from somebody else is called.
func (i *Incident) applyRoleAssigned(e Event) {
	role, p := Role(e.Field("role")), e.person("person")
	i.setRole(role, p)
	if p != "" && p != e.By {
		i.addCall(Call{Person: p, Seq: e.Seq, Cause: CalledRole, Role: role, At: e.RecordedAt})
	}
}

func (i *Incident) setRole(r Role, p PersonID) {
	if i.Roles == nil {
		i.Roles = map[Role]PersonID{}
	}
	if p == "" {
		delete(i.Roles, r)
	} else {
		i.Roles[r] = p
	}
	if r == Commander {
		i.Commander = p
	}
}

// setContainedAt sets ContainedAt if it is not set yet.
func (i *Incident) setContainedAt(at time.Time) {
	if i.ContainedAt.IsZero() {
		i.ContainedAt = at
	}
}

func (i *Incident) applyResolved(e Event) {
	i.setContainedAt(e.RecordedAt)
	i.ResolvedAt = e.HappenedAt
	i.Unfinished = nil
	if steps := splitList[string](e.Field("open_steps")); len(steps) > 0 {
		i.Unfinished = &Unfinished{Steps: steps, By: e.By, At: e.RecordedAt, Reason: e.Text("reason")}
	}
}

func (i *Incident) applyConsulted(e Event) {
	c := i.consultation(e)
	c.Blocking = c.Blocking || e.is("blocking")
}

func (i *Incident) applyAnswered(e Event) {
	c := i.consultation(e)
	c.By, c.At, c.Answer = e.By, e.RecordedAt, e.Text("answer")
}

// consultation returns the consultation of the department of an event, and adds it
// if it is new.
func (i *Incident) consultation(e Event) *Consultation {
	n := slices.IndexFunc(i.Consultations, func(c Consultation) bool { return c.Team == e.department() })
	if n < 0 {
		n = len(i.Consultations)
		i.Consultations = append(i.Consultations, Consultation{Team: e.department(), AskedBy: e.By, AskedAt: e.RecordedAt})
	}
	return &i.Consultations[n]
}

// addDelegation adds a delegation. It replaces one of the same person and ends one
// of another person, to allow an earlier end. The ended one still shows who named
// the deputy: see [Independent].
func (i *Incident) addDelegation(next Delegation, now time.Time) {
	same := func(g Delegation) bool { return g.Department == next.Department && g.To == next.To }
	i.Delegations = slices.DeleteFunc(i.Delegations, func(g Delegation) bool { return same(g) && g.From == next.From })
	for n := range i.Delegations {
		if g := &i.Delegations[n]; same(*g) && g.Until.After(now) {
			g.Until = now
		}
	}
	i.Delegations = append(i.Delegations, next)
}

func inviteDepartments(c effectBuilder) []Effect {
	return c.invite(c.representatives(splitList[Department](c.event.Field("departments"))...))
}

func inviteRepresentatives(c effectBuilder) []Effect {
	return c.invite(c.representatives(c.event.department()))
}

func askConsult(c effectBuilder) []Effect {
	return []Effect{c.ask(EffectAskConsult, c.event.department())}
}
