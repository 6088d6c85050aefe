package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func (j *decider) scheduleReview() error {
	if j.cmd.When.IsZero() {
		return Invalid("when", "say when the review meeting is, as in 2026-11-24 10:00")
	}
	if j.cmd.When.Before(j.env.Now) {
		return Invalid("when", "%s has passed", j.cmd.When.Format(time.RFC3339))
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
		return Invalid("attendance", "a review is held in person: name at least two who were there")
	}
	for _, p := range present {
		if err := j.requirePerson("attendance", p); err != nil {
			return err
		}
	}
	if err := j.requireText("text", c.Text, "write down what was decided"); err != nil {
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
	if open := j.inc.closeBlocker(); open != "" && j.inc.Review.WaivedBy == "" {
		return Invalid("actions", "closing needs %s", open)
	}
	j.emit(EventReviewConcluded, fields{"people": joinPeople(present)}, texts{"decisions": c.Text})
	j.close()
	return nil
}

// close ends the incident once the review is concluded and its gate is passed.
func (j *decider) close() {
	if j.inc.Status == Approved && !j.inc.Review.Concluded.IsZero() && j.inc.closeBlocker() == "" {
		j.emit(EventClosed, statusField(Closed), nil)
	}
}

// waiveActions proposes to close without both kinds of actions, and endorses it when
// a second person, from security, says the same.
func (j *decider) waiveActions() error {
	r := j.inc.Review
	if r.WaivedBy == "" {
		if err := j.requireText("text", j.cmd.Text, "an exception needs a reason"); err != nil {
			return err
		}
		j.emit(EventWaiverProposed, nil, texts{"reason": j.cmd.Text})
		return nil
	}
	if r.EndorsedBy != "" {
		return nil
	}
	if r.WaivedBy == j.env.Actor || !j.inc.represents(j.env.Directory, j.env.Actor, Security, j.env.Now) {
		return Conflict("a second person, from security, endorses the exception")
	}
	j.emit(EventWaiverEndorsed, nil, texts{"reason": j.cmd.Text})
	j.close()
	return nil
}

// action checks and adds one action item.
func (j *decider) action(a Action) error {
	if !slices.Contains(ActionKinds(), a.Kind) {
		return Invalid("kind", "%q is no kind of action item; use detection, prevention, mitigation or process", a.Kind)
	}
	if err := j.requireText("title", a.Title, "say what is to be done"); err != nil {
		return err
	}
	if err := j.requirePerson("owner", a.Owner); err != nil {
		return err
	}
	if a.Due.IsZero() {
		return Invalid("due", "an action item has a due date, as in 2026-12-15")
	}
	if a.Due.Add(36 * time.Hour).Before(j.env.Now) { // a day is not over everywhere at once
		return Invalid("due", "%s has passed; say until when it will be done", a.Due.UTC().Format(time.DateOnly))
	}
	j.emit(EventActionAdded, fields{"action": fmt.Sprintf("A%d", len(j.inc.Actions)+1), "kind": string(a.Kind), "owner": string(a.Owner), "due": instant(a.Due)}, texts{"title": a.Title})
	return nil
}

func (j *decider) addAction() error {
	if j.cmd.Action == nil {
		return Invalid("action", "say what is to be done, by whom and until when")
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
	return Unknown("action", "%s has no action item %q", j.inc.ID, j.cmd.Item)
}
