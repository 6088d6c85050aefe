package bot

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/store"
)

// Retention configures how long records are stored. The minimum is one year.
type Retention struct {
	Alerts Duration `koanf:"alerts"`
	Inbox  Duration `koanf:"inbox"`
	Audit  Duration `koanf:"audit"`
}

// Duration is a duration that may also be written in days, such as 400d.
type Duration struct{ time.Duration }

func days(n int) Duration { return Duration{time.Duration(n) * 24 * time.Hour} }

// UnmarshalText parses a number of days or a duration of package time.
func (d *Duration) UnmarshalText(b []byte) error {
	if count, ok := strings.CutSuffix(string(b), "d"); ok {
		n, err := strconv.Atoi(count)
		if err != nil || n < 0 || n > 100*365 {
			return fmt.Errorf("%q is not a number of days from 0 to 36500", b)
		}
		*d = days(n)
		return nil
	}
	var err error
	d.Duration, err = time.ParseDuration(string(b))
	return err
}

func (c Config) validateRetention(f *ConfigErrors) {
	for key, keep := range map[string]Duration{"alerts": c.Retention.Alerts, "inbox": c.Retention.Inbox, "audit": c.Retention.Audit} {
		if keep.Duration < store.MinRetention {
			f.add("retention."+key, "is too short. Evidence must be stored for at least a year, so write 365d or more")
		}
	}
}

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
	c := b.current.Load().config.Retention
	keep := store.Retention{Alerts: c.Alerts.Duration, Inbox: c.Inbox.Duration, Audit: c.Audit.Duration}
	done, err := b.store.Prune(ctx, keep, pruneTimeout)
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
