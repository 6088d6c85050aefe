package incident

import (
	"maps"
	"slices"
	"time"
)

// ReviewDuration is the length of the review meeting.
const ReviewDuration = time.Hour

// The causes of [EventReviewCancelled] and [EventPostmortemWithdrawn].
const (
	cancelReopened  = "reopened"
	cancelRevised   = "revised"
	cancelEnded     = "ended"
	cancelConcluded = "concluded"
)

// Leads returns the commander, the holders of roles, the signers and the heads of the
// departments that must sign.
func (i Incident) Leads(d Directory) []PersonID {
	out := []PersonID{i.Commander}
	for _, role := range slices.Sorted(maps.Keys(i.Roles)) {
		out = append(out, i.Roles[role])
	}
	for _, s := range i.Signatures {
		out = append(out, s.By)
	}
	for _, name := range RequiredDepartments() {
		if team, ok := d.Team(name); ok {
			out = append(out, team.Head)
		}
	}
	return out
}

// ReviewInvitees returns the people to invite to the review meeting: the leads, and
// those who were invited before while they may read the incident, so that a meeting
// moves in their calendars too.
func (i Incident) ReviewInvitees(d Directory, now time.Time) []PersonID {
	out := i.Leads(d)
	if i.Meeting != nil {
		for _, p := range slices.Concat(i.Meeting.People, i.Meeting.Invited) {
			if i.belongs(d, p, now) {
				out = append(out, p)
			}
		}
	}
	return i.notified(out)
}

// notified returns the people whom Tocsin may send something about the incident, once
// each.
func (i Incident) notified(people []PersonID) []PersonID {
	seen := map[PersonID]bool{"": true}
	return slices.DeleteFunc(people, func(p PersonID) bool {
		known := seen[p]
		seen[p] = true
		return known || i.Excludes(p)
	})
}

// hasMeeting reports whether people expect the review meeting of at: it is not over, and
// the review was not concluded.
func (i Incident) hasMeeting(now time.Time) bool {
	return !i.Review.At.IsZero() && i.Review.Concluded.IsZero() && i.Review.At.Add(ReviewDuration).After(now)
}

// cancelVoidedMeeting cancels the review meeting of before if the command left the
// incident without it.
func (d *decider) cancelVoidedMeeting(before Incident) {
	if len(d.events) == 0 || !before.hasMeeting(d.env.Now) {
		return
	}
	cause := ""
	switch r := d.inc.Review; {
	case r.At.IsZero() && transition(VerbSign, d.inc.Status) != nil:
		cause = cancelRevised
	case r.At.IsZero():
		cause = cancelReopened
	case !r.Concluded.IsZero() && before.Review.At.After(d.env.Now.Add(ReviewDuration)):
		cause = cancelConcluded
	case transition(VerbScheduleReview, d.inc.Status) == nil && r.Concluded.IsZero():
		cause = cancelEnded
	default:
		return
	}
	var invited []PersonID
	switch {
	case before.Meeting != nil:
		invited = before.Meeting.Invited
	default: // an earlier version did not record whom it invited
		invited = before.ReviewInvitees(d.env.Directory, d.env.Now)
	}
	d.emit(EventReviewCancelled, fields{"when": instant(before.Review.At), "cancel": joinList(invited), "cause": cause}, nil)
}

// reviewInvited records who was invited to the review meeting. The invitation may have
// been on its way when the meeting was cancelled, or moved without some of the people:
// then they get a cancellation at once.
func (d *decider) reviewInvited() error {
	when, people, m := stamp(d.cmd.When), d.cmd.People, d.inc.Meeting
	f := fields{"when": instant(when), "people": joinList(people)}
	switch {
	case m != nil && len(without(people, m.Invited)) == 0:
		return nil
	case m != nil:
		f["cancel"] = joinList(without(people, m.People))
	case d.inc.hasMeeting(d.env.Now) && d.inc.Review.At.Equal(when): // scheduled by an earlier version
	case when.Add(ReviewDuration).After(d.env.Now):
		f["cancel"] = joinList(people)
	}
	d.emit(EventReviewInvited, f, nil)
	return nil
}

// without returns the people who are not among others.
func without(people, others []PersonID) []PersonID {
	return slices.DeleteFunc(slices.Clone(people), func(p PersonID) bool { return slices.Contains(others, p) })
}
