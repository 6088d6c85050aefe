package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The stages of the reminders of an action item: a week before the due day, on the due
// day, then one for each week after it.
const (
	remindBefore = 1
	remindOnDay  = 2
	// remindHead is the stage from which on the head of the owner's department gets the
	// reminder too: two weeks after the due day.
	remindHead = 4
)

// ReminderStage returns the last stage of the reminders that began at the day of now, in
// its zone, or 0.
func (a Action) ReminderStage(now time.Time) int {
	switch left := a.DaysLeft(now); {
	case a.IsDone(), left > 7:
		return 0
	case left > 0:
		return remindBefore
	default:
		return remindOnDay - left/7
	}
}

// ActionReminder is the reminder of one action item.
type ActionReminder struct {
	Incident ID
	Action
	Stage int
}

// ReminderRecipients returns who gets the reminder: the owner, and later the heads of the
// owner's departments. There are none if the owner left or is excluded.
func (i Incident) ReminderRecipients(r ActionReminder, d Directory) []PersonID {
	if _, known := d.Person(r.Owner); !known || i.Excludes(r.Owner) {
		return nil
	}
	out := []PersonID{r.Owner}
	if r.Stage >= remindHead {
		out = append(out, d.Successors(FormerPerson{ID: r.Owner, Teams: d.teamsOf(r.Owner)}, time.Time{})...)
	}
	return slices.DeleteFunc(out, i.Excludes)
}

// EncodeReminders returns reminders as an argument of an effect, which holds ids, dates
// and numbers only.
func EncodeReminders(list []ActionReminder, now time.Time) string {
	lines := make([]string, len(list))
	for n, r := range list {
		lines[n] = fmt.Sprintf("%s %s %s %d %s", r.Incident, r.ID, r.Due.UTC().Format(time.DateOnly), r.DaysLeft(now), r.Owner)
	}
	return strings.Join(lines, "; ")
}
