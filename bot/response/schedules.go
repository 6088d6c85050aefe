package response

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// ScheduleAgenda is the name of the schedule that posts what awaits review.
const ScheduleAgenda = "review_agenda"

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
