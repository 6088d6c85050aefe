package response

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// ScheduleAgenda is the schedule that posts the agenda of the review meeting.
const ScheduleAgenda = "review_agenda"

// Sweep enqueues the effect of a schedule at a time. A repeat in the same hour
// changes nothing.
func (d *Desk) Sweep(ctx context.Context, schedule string, at time.Time) error {
	if schedule != ScheduleAgenda {
		return fmt.Errorf("sweep: unknown schedule %q", schedule)
	}
	agenda := incident.Effect{Key: "agenda/" + at.UTC().Format("2006-01-02T15"), Kind: incident.EffectAgenda, After: at}
	if err := d.Store.Tx(ctx, func(tx Tx) error { return tx.Enqueue(agenda) }); err != nil {
		return fmt.Errorf("sweep %s: %w", schedule, err)
	}
	return nil
}
