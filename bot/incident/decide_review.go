package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func (j *decider) scheduleReview() error {
	if j.cmd.When.IsZero() {
		return Invalid("when", "the time of the review meeting is missing; type review 2026-11-24 10:00")
	}
	if j.cmd.When.Before(j.env.Now) {
		return Invalid("when", "%s has passed; give a time in the future", j.cmd.When.Format(time.RFC3339))
	}
	if j.inc.Review.At.Equal(stamp(j.cmd.When)) {
		return nil
	}
	j.emit(EventReviewScheduled, fields{"when": instant(j.cmd.When)}, texts{"text": j.cmd.Text})
	return nil
}

func (j *decider) conclude() error {
	c := j.cmd
	present := slices.Compact(slices.Sorted(slices.Values(c.Attendance)))
	if len(present) < 2 {
		return Invalid("attendance", "a review needs at least two people; name the people who attended")
	}
	for _, p := range present {
		if err := j.requirePerson("attendance", p); err != nil {
			return err
		}
	}
	if err := j.requireText("text", c.Text, "the decisions are missing; write down the decisions of the review"); err != nil {
		return err
	}
	for _, a := range c.Actions {
		if err := j.action(a); err != nil {
			return err
		}
	}
	if strings.TrimSpace(c.Waiver) != "" && j.inc.Review.WaivedBy == "" {
		j.emit(EventWaiverProposed, nil, texts{"reason": c.Waiver})
	}
	if kind := j.inc.closeBlocker(); kind != "" && j.inc.Review.WaivedBy == "" {
		return Invalid("actions", "closing needs a %s action item with an owner and a due date; add one, or type review waive REASON", kind)
	}
	j.emit(EventReviewConcluded, fields{"people": joinPeople(present)}, texts{"decisions": c.Text})
	j.close()
	return nil
}

// close closes an approved incident if its review is concluded and the required
// action items exist or are waived.
func (j *decider) close() {
	if j.inc.Status == Approved && !j.inc.Review.Concluded.IsZero() && j.inc.closeBlocker() == "" {
		j.emit(EventClosed, statusField(Closed), nil)
	}
}

// waiveActions proposes to close without the required action items. A second
// person, from security, endorses the waiver with the same command.
func (j *decider) waiveActions() error {
	r := j.inc.Review
	if r.WaivedBy == "" {
		if err := j.requireText("text", j.cmd.Text, "a waiver needs a reason; type review waive REASON"); err != nil {
			return err
		}
		j.emit(EventWaiverProposed, nil, texts{"reason": j.cmd.Text})
		return nil
	}
	if r.EndorsedBy != "" {
		return nil
	}
	if r.WaivedBy == j.env.Actor || !j.inc.represents(j.env.Directory, j.env.Actor, Security, j.env.Now) {
		return Conflict("the waiver needs a second person, from security; ask one to type review waive")
	}
	j.emit(EventWaiverEndorsed, nil, texts{"reason": j.cmd.Text})
	j.close()
	return nil
}

// action checks and adds one action item.
func (j *decider) action(a Action) error {
	if !slices.Contains(ActionKinds(), a.Kind) {
		return Invalid("kind", "unknown kind of action item %q; use detection, prevention, mitigation or process", a.Kind)
	}
	if err := j.requireText("title", a.Title, "the action item has no title; say what must be done"); err != nil {
		return err
	}
	if err := j.requirePerson("owner", a.Owner); err != nil {
		return err
	}
	if a.Due.IsZero() {
		return Invalid("due", "the action item has no due date; add one, such as due 2026-12-15")
	}
	if a.Due.Add(36 * time.Hour).Before(j.env.Now) { // the due day ends later in western time zones
		return Invalid("due", "%s has passed; give a due date in the future", a.Due.UTC().Format(time.DateOnly))
	}
	j.emit(EventActionAdded, fields{"action": fmt.Sprintf("A%d", len(j.inc.Actions)+1), "kind": string(a.Kind), "owner": string(a.Owner), "due": instant(a.Due)}, texts{"title": a.Title})
	return nil
}

func (j *decider) addAction() error {
	if j.cmd.Action == nil {
		return Invalid("action", "the action item is missing; type action add KIND TITLE owner PERSON due DATE")
	}
	if err := j.action(*j.cmd.Action); err != nil {
		return err
	}
	j.close()
	return nil
}

func (j *decider) finishAction() error {
	for _, a := range j.inc.Actions {
		if !strings.EqualFold(a.ID, j.cmd.Item) {
			continue
		}
		if !a.Done.IsZero() {
			return nil
		}
		j.emit(EventActionDone, fields{"action": a.ID}, texts{"text": j.cmd.Text})
		return nil
	}
	return Unknown("action", "%s has no action item %q; use a number such as A1", j.inc.ID, j.cmd.Item)
}
