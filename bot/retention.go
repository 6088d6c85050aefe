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

// Retention says how long what is kept. The minimum is a year.
type Retention struct {
	Alerts Duration `koanf:"alerts"`
	Inbox  Duration `koanf:"inbox"`
	Audit  Duration `koanf:"audit"`
}

// Duration is a duration that may be given in days: 400d, 24h.
type Duration struct{ time.Duration }

func days(n int) Duration { return Duration{time.Duration(n) * 24 * time.Hour} }

// UnmarshalText reads a span.
func (s *Duration) UnmarshalText(b []byte) error {
	if count, ok := strings.CutSuffix(string(b), "d"); ok {
		n, err := strconv.Atoi(count)
		if err != nil || n < 0 || n > 100*365 {
			return fmt.Errorf("%q is no number of days", b)
		}
		*s = days(n)
		return nil
	}
	var err error
	s.Duration, err = time.ParseDuration(string(b))
	return err
}

func (c Config) validateRetention(f *ConfigErrors) {
	for key, keep := range map[string]Duration{"alerts": c.Retention.Alerts, "inbox": c.Retention.Inbox, "audit": c.Retention.Audit} {
		if keep.Duration < store.MinRetention {
			f.add("retention."+key, "is too short: evidence is kept for a year at least; write 365d or more")
		}
	}
}

// The schedule of what is deleted when its time is over.
const (
	scheduleRetention = "retention"
	retentionCron     = "23 3 * * *"
	// pruneTimeout is how long one run goes on; a job may take a minute.
	pruneTimeout = 40 * time.Second
	// pruneRetryDelay is when the rest is taken on.
	pruneRetryDelay = 5 * time.Second
)

// prune deletes what was kept long enough, and comes again until it is through.
func (b *Bot) prune(ctx context.Context, _ time.Time) error {
	keep := store.Retention{Alerts: b.config.Retention.Alerts.Duration, Inbox: b.config.Retention.Inbox.Duration, Audit: b.config.Retention.Audit.Duration}
	done, err := b.store.Prune(ctx, keep, pruneTimeout)
	for what, n := range done.Deleted {
		b.log.Info("deleted what was kept long enough", "component", "retention", "what", what, "rows", n)
	}
	if err != nil {
		return fmt.Errorf("delete what was kept long enough: %w", err)
	}
	if done.More {
		return &incident.RetryAfter{After: pruneRetryDelay}
	}
	return nil
}
