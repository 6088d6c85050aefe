package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func (d *decider) scheduleReview() error {
	if d.cmd.When.IsZero() {
		return Invalid("when", "the time of the review meeting is missing. Type review 2026-11-24 10:00")
	}
	if d.cmd.When.Before(d.env.Now) {
		return Invalid("when", "%s has passed. Give a time in the future", TimeText(d.cmd.When))
	}
	if d.inc.Review.At.Equal(stamp(d.cmd.When)) {
		return nil
	}
	people := d.inc.ReviewInvitees(d.env.Directory, d.env.Now)
	f := fields{"when": instant(d.cmd.When), "people": joinList(people)}
	if m := d.inc.Meeting; m != nil {
		f["cancel"] = joinList(without(m.Invited, people))
	}
	d.emit(EventReviewScheduled, f, texts{"text": d.cmd.Text})
	return nil
}

func (d *decider) conclude() error {
	c := d.cmd
	present := slices.Compact(slices.Sorted(slices.Values(c.Attendance)))
	if !d.env.Directory.severalHumans(present) {
		return Invalid("attendance", "a review needs at least two people. Name the people who attended")
	}
	for _, p := range present {
		if err := d.requirePerson("attendance", p); err != nil {
			return err
		}
	}
	if err := d.requireText("text", c.Text, "the decisions are missing. Write down the decisions of the review"); err != nil {
		return err
	}
	for _, a := range c.Actions {
		if err := d.action(a); err != nil {
			return err
		}
	}
	if err := d.requireReviewTime(); err != nil {
		return err
	}
	if strings.TrimSpace(c.Waiver) != "" && d.inc.Review.WaivedBy == "" {
		d.emit(EventWaiverProposed, nil, texts{"reason": c.Waiver})
	}
	if kind := d.inc.closeBlocker(); kind != "" && d.inc.Review.WaivedBy == "" {
		return Invalid("actions", "closing needs a %s action item with an owner and a due date. Add one, or type review waive REASON", kind)
	}
	f := fields{"people": joinList(present)}
	if at := d.inc.Review.At; !at.IsZero() {
		f["when"] = instant(at)
	}
	d.emit(EventReviewConcluded, f, texts{"decisions": c.Text, "reason": strings.TrimSpace(c.Reason)})
	d.close()
	return nil
}

// ReviewNeedsReason reports whether the review can be concluded only with a reason: its
// meeting has not begun, or none is scheduled.
func (i Incident) ReviewNeedsReason(now time.Time) bool {
	return i.Review.At.IsZero() || now.Before(i.Review.At)
}

// requireReviewTime returns an error if the review is concluded before its meeting without
// a reason.
func (d *decider) requireReviewTime() error {
	switch r := d.inc.Review; {
	case !d.inc.ReviewNeedsReason(d.env.Now), strings.TrimSpace(d.cmd.Reason) != "":
		return nil
	case r.At.IsZero():
		return Invalid("reason", "no review meeting is scheduled. Type review TIME, or conclude the review now with a reason: review conclude with PEOPLE because REASON: DECISIONS")
	default:
		return Invalid("reason", "the review meeting begins at %s. Conclude the review then, or now with a reason: review conclude with PEOPLE because REASON: DECISIONS", TimeText(r.At))
	}
}

// close closes an approved incident if its review is concluded and the required
// action items exist or are waived.
func (d *decider) close() {
	if d.inc.Status == Approved && !d.inc.Review.Concluded.IsZero() && d.inc.closeBlocker() == "" {
		d.emit(EventClosed, statusField(Closed), nil)
	}
}

// waiveActions proposes to close without the required action items. A second
// person, from security, endorses the waiver with the same command.
func (d *decider) waiveActions() error {
	r := d.inc.Review
	if r.WaivedBy == "" {
		if err := d.requireText("text", d.cmd.Text, "a waiver needs a reason. Type review waive REASON"); err != nil {
			return err
		}
		d.emit(EventWaiverProposed, nil, texts{"reason": d.cmd.Text})
		return nil
	}
	if r.EndorsedBy != "" {
		return nil
	}
	if !d.inc.represents(d.env.Directory, d.env.Actor, Security, d.env.Now) {
		return Conflict("the waiver needs a second person, from security. Ask one to type review waive")
	}
	if err := d.secondPerson(r.WaivedBy, "waive the action items, the second from security"); err != nil {
		return err
	}
	d.emit(EventWaiverEndorsed, nil, texts{"reason": d.cmd.Text})
	d.close()
	return nil
}

// action checks and adds one action item.
func (d *decider) action(a Action) error {
	if !slices.Contains(ActionKinds(), a.Kind) {
		return Invalid("kind", "unknown kind of action item %q. Use detection, prevention, mitigation or process", a.Kind)
	}
	if err := d.requireText("title", a.Title, "the action item has no title. Type action add KIND TITLE owner PERSON due DATE"); err != nil {
		return err
	}
	if err := d.requirePerson("owner", a.Owner); err != nil {
		return err
	}
	if a.Due.IsZero() {
		return Invalid("due", "the action item has no due date. Add one, such as due 2026-12-15")
	}
	if a.Due.Add(36 * time.Hour).Before(d.env.Now) { // the due day ends later in western time zones
		return Invalid("due", "%s has passed. Give a due date in the future", a.Due.UTC().Format(time.DateOnly))
	}
	f, t := d.messageContent()
	f["action"], f["kind"], f["owner"], f["due"] = fmt.Sprintf("A%d", len(d.inc.Actions)+1), string(a.Kind), string(a.Owner), instant(a.Due)
	t["title"] = a.Title
	d.emit(EventActionAdded, f, t)
	return nil
}

func (d *decider) addAction() error {
	if d.cmd.Action == nil {
		return Invalid("action", "the action item is missing. Type action add KIND TITLE owner PERSON due DATE")
	}
	if m := d.cmd.Message; m != nil && d.inc.Keeps(m.Ref, KeptAsAction) {
		return nil
	}
	if err := d.action(*d.cmd.Action); err != nil {
		return err
	}
	d.close()
	return nil
}

func (d *decider) finishAction() error {
	for _, a := range d.inc.Actions {
		if !strings.EqualFold(a.ID, d.cmd.Item) {
			continue
		}
		if a.IsDone() {
			return nil
		}
		d.emit(EventActionDone, fields{"action": a.ID}, texts{"text": d.cmd.Text})
		return nil
	}
	return Unknown("action", "%s has no action item %q. Use a number such as A1", d.inc.ID, d.cmd.Item)
}
