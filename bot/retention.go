package bot

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// The schedule that deletes expired records.
const (
	scheduleRetention = "retention"
	retentionCron     = "23 3 * * *"
	// pruneTimeout bounds one run. It is shorter than the minute that a job may
	// take.
	pruneTimeout = 40 * time.Second
	// pruneRetryDelay is the delay before the next run if records remain.
	pruneRetryDelay = 5 * time.Second
)

// prune deletes expired records. If some remain, it returns an
// [*incident.RetryAfter], and the job runs again.
func (b *Bot) prune(ctx context.Context, _ time.Time) error {
	done, err := b.store.Prune(ctx, b.current.Load().config.Retention, pruneTimeout)
	for table, n := range done.Deleted {
		b.log.Info("pruned expired rows", "component", "retention", "table", table, "rows", n)
	}
	if err != nil {
		return fmt.Errorf("prune expired rows: %w", err)
	}
	if done.More {
		return &incident.RetryAfter{After: pruneRetryDelay}
	}
	return nil
}
