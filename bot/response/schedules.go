package response

import (
	"context"
	"fmt"
	"time"

	"github.com/robfig/cron/v3"

	"tocsin/bot/incident"
)

// ScheduleAgenda is the name of the schedule that posts what awaits review.
const ScheduleAgenda = "review_agenda"

// CheckSchedule says whether a cron expression of five fields (or @weekly and
// its like) and the name of a time zone can be used, and when it would fire
// first after now.
func CheckSchedule(expression, zone string, now time.Time) (time.Time, error) {
	location, err := time.LoadLocation(zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("time zone %q is unknown; use a name such as Europe/Paris", zone)
	}
	fires, err := cron.ParseStandard(expression)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no schedule; write five fields as in \"0 9 * * MON\": %w", expression, err)
	}
	next := fires.Next(now.In(location))
	if next.IsZero() {
		return time.Time{}, fmt.Errorf("%q never fires", expression)
	}
	return next, nil
}

// Sweep does what a schedule calls for at that time. A repeated sweep of the
// same hour changes nothing.
func (d *Desk) Sweep(ctx context.Context, schedule string, at time.Time) error {
	if schedule != ScheduleAgenda {
		return fmt.Errorf("sweep: there is no schedule %q", schedule)
	}
	agenda := incident.Effect{Key: "agenda/" + at.UTC().Format("2006-01-02T15"), Kind: incident.EffectAgenda, After: at}
	if err := d.Store.Tx(ctx, func(tx Tx) error { return tx.Enqueue(agenda) }); err != nil {
		return fmt.Errorf("sweep %s: %w", schedule, err)
	}
	return nil
}
