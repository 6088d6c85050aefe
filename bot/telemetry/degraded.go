package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Health is what [NewReadiness] checks.
type Health struct {
	// Required are the parts without which the bot is not ready. A check that does not
	// return in time counts as failed.
	Required map[string]func(context.Context) error
	// Optional are the parts without which the bot stays ready. Their checks run every
	// second, so they must return at once.
	Optional map[string]func(now time.Time) error
	// WithoutNotice are the optional parts that send no notices.
	WithoutNotice []string
	// Notify sends a notice about an optional part that stays impaired. A notice with the
	// key of an earlier one must change nothing.
	Notify  func(ctx context.Context, key, part string, since time.Time) error
	Metrics *Metrics
	Clock   func() time.Time
	Logger  *slog.Logger
}

// NewReadiness returns a Readiness. It makes no checks before [Readiness.Watch].
func NewReadiness(h Health) *Readiness {
	r := &Readiness{metrics: h.Metrics, log: h.Logger.With("component", "readiness"), failing: map[string]bool{}, parts: h.Required}
	if len(h.Optional) > 0 {
		r.degradedWatch = &degradedWatch{parts: h.Optional, withoutNotice: h.WithoutNotice, clock: h.Clock, send: h.Notify}
	}
	return r
}

// degradedWatch checks the optional parts of the bot and notifies people if one
// stays impaired. The bot is ready without these parts.
type degradedWatch struct {
	parts         map[string]func(now time.Time) error
	withoutNotice []string // parts that set the metric and /readyz only
	clock         func() time.Time
	send          func(ctx context.Context, key, part string, since time.Time) error

	since      map[string]time.Time // start of the current impairment, by part
	nextNotice map[string]time.Time // time of the next notice, by part
}

// degradedWatch sends the first notice after notifyAfter and repeats it every
// notifyInterval. If a notice cannot be stored, it retries after notifyRetry.
const (
	notifyAfter    = 15 * time.Minute
	notifyInterval = 24 * time.Hour
	notifyRetry    = time.Minute
)

// check runs all checks, sends the notices that are due and returns the names of
// the impaired parts, sorted. It returns an error if it could not store a notice.
func (s *degradedWatch) check(ctx context.Context, m *Metrics) (degraded []string, err error) {
	if s.since == nil {
		s.since, s.nextNotice = map[string]time.Time{}, map[string]time.Time{}
	}
	now := s.clock()
	for _, part := range slices.Sorted(maps.Keys(s.parts)) {
		if s.parts[part](now) == nil {
			m.degraded.WithLabelValues(part).Set(0)
			delete(s.since, part)
			delete(s.nextNotice, part)
			continue
		}
		m.degraded.WithLabelValues(part).Set(1)
		degraded = append(degraded, part)
		if s.since[part].IsZero() {
			s.since[part], s.nextNotice[part] = now, now.Add(notifyAfter)
		}
		if !slices.Contains(s.withoutNotice, part) && !now.Before(s.nextNotice[part]) {
			err = errors.Join(err, s.notify(ctx, part, now))
		}
	}
	return degraded, err
}

// notify sends a notice about an impaired part. Its key contains the day, so a
// bot that restarts repeatedly sends at most one notice per part and day.
func (s *degradedWatch) notify(ctx context.Context, part string, now time.Time) error {
	err := s.send(ctx, "fault/"+part+"/"+now.UTC().Format(time.DateOnly), part, s.since[part])
	s.nextNotice[part] = now.Add(notifyInterval)
	if err != nil {
		s.nextNotice[part] = now.Add(notifyRetry)
	}
	return err
}
