package incident

import (
	"maps"
	"slices"
	"time"
)

// postsPerAckTimeout limits how often posts in the channel extend the acknowledgement: a
// busy channel must not fill the timeline.
const postsPerAckTimeout = 10

// here records that the actor is here, or that a message of the actor is in the channel.
// Only the first sign of a person and a post that extends the acknowledgement are events,
// so a repeated delivery changes nothing.
func (d *decider) here() error {
	if d.inc.readsByBreakGlass(d.env.Directory, d.env.Actor, d.env.Now) {
		return d.readsOnly() // has no part in the response
	}
	at := d.cmd.HappenedAt
	if at.IsZero() || at.After(d.env.Now) {
		at = d.env.Now
	}
	posted := d.cmd.Item != ""
	if posted && at.Before(d.inc.OpenedAt) {
		return nil // copied from another channel
	}
	extends := d.extendsAcknowledgement(at)
	if !d.inc.Here[d.env.Actor].IsZero() && !extends {
		return nil
	}
	f := fields{"how": PresenceSaid}
	if posted {
		f["how"] = PresencePosted
	}
	if extends {
		f["extends_acknowledgement"] = "true"
	}
	d.cmd.HappenedAt = at
	d.emit(EventPresence, f, nil)
	return nil
}

// extendsAcknowledgement reports whether an action of the actor at a time moves the
// deadline of the acknowledgement far enough to be recorded.
func (d *decider) extendsAcknowledgement(at time.Time) bool {
	if _, ok := d.inc.ackTimeoutAt(d.env.Policy); !ok || !d.isA(Responders) && !d.isA(TheCommander) {
		return false
	}
	return at.Sub(d.inc.Paging.LastAction) >= d.env.Policy.AckTimeout/postsPerAckTimeout
}

// call records that people are called. It leaves out people who cannot take part and
// people with an equal call.
func (d *decider) call(cause CallCause, role Role, people []PersonID) {
	people = slices.DeleteFunc(slices.Clone(people), func(p PersonID) bool {
		_, known := d.env.Directory.Person(p)
		return !known || d.inc.Excludes(p) || d.inc.called(p, cause, role)
	})
	slices.Sort(people)
	if people = slices.Compact(people); len(people) == 0 {
		return
	}
	by := d.env.Actor
	d.env.Actor = "" // a consequence of the command
	d.emit(EventCalled, fields{"people": joinList(people), "role": string(role), "cause": string(cause)}, nil)
	d.env.Actor = by
}

// callResponders calls every responder if no page reached a known person.
func (d *decider) callResponders() {
	if !slices.ContainsFunc(d.inc.Calls, func(c Call) bool { return c.Cause == CalledOnCall }) {
		d.call(CalledResponder, "", d.env.Directory.Responders())
	}
}

// callForRole calls the people of the role of a step: its holder, or the department that
// performs the steps of a vacant role.
func (d *decider) callForRole(role Role) {
	switch holder := d.inc.Roles[role]; {
	case role == "":
	case holder != "":
		d.call(CalledRole, role, []PersonID{holder})
	default:
		d.call(CalledRole, role, d.inc.Representatives(d.env.Directory, role.department(), d.env.Now))
	}
}

// pagesAbsent reports whether people who were called and show no sign are paged.
func (i Incident) pagesAbsent() bool {
	return i.Status.Responding() && i.Origin.Pages() && (i.Severity == Sev1 || i.Severity == Sev2)
}

// absenceTimeout pages the people who were called long enough ago and show no sign, each
// of them once in a paging round.
func (d *decider) absenceTimeout() error {
	if !d.inc.pagesAbsent() {
		return nil
	}
	due, next := map[PersonID]bool{}, NotDue{}
	for _, c := range d.inc.Calls {
		_, known := d.env.Directory.Person(c.Person)
		if known && !d.inc.Excludes(c.Person) && !d.inc.isAnswered(c) && c.PagedRound < d.inc.Paging.Round && next.isOver(c.At.Add(AbsenceTimeout), d.env.Now) {
			due[c.Person] = true
		}
	}
	if len(due) > 0 {
		d.emit(EventAbsencePageStarted, fields{"people": joinList(slices.Sorted(maps.Keys(due))), "round": num(d.inc.Paging.Round)}, nil)
	}
	return d.unlessDue(next)
}

// notInvited records the people who cannot be invited, by reason, and each reason of a
// person once.
func (d *decider) notInvited() {
	byReason := map[string][]PersonID{}
	for _, p := range slices.Sorted(maps.Keys(d.cmd.Refused)) {
		if reason := d.cmd.Refused[p]; d.inc.NotInvited[p] != reason {
			byReason[reason] = append(byReason[reason], p)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		d.emit(EventNotInvited, fields{"people": joinList(byReason[reason])}, texts{"reason": reason})
	}
}
