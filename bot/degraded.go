package bot

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"tocsin/templates"
)

// degradedWatch checks the optional parts of the bot and notifies people if one
// stays impaired. The bot is ready without these parts. Their checks run every
// second, so they must return at once.
type degradedWatch struct {
	parts map[string]func(now time.Time) error
	// withoutNotice parts set the metric and /readyz but send no notices, because
	// reminders cover them.
	withoutNotice map[string]bool
	clock         func() time.Time
	send          func(ctx context.Context, key string, args map[string]string) error

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

// degradedWatch returns the watch for the configured optional parts.
func (b *Bot) degradedWatch() *degradedWatch {
	s := &degradedWatch{parts: map[string]func(time.Time) error{}, withoutNotice: map[string]bool{"security.txt": true}, clock: b.clock, send: liveDesk{&b.current}.Notify}
	s.parts["configuration"] = func(time.Time) error { return b.reloads.Err() }
	if b.mailbox != nil {
		s.parts["vulnerability mailbox"] = func(time.Time) error { _, err := b.mailbox.Err(); return err }
	}
	if b.trail != nil {
		s.parts["trail queue"] = func(time.Time) error { return b.trail.Err() }
	}
	if b.reportSource != nil {
		s.parts["pgp key"] = func(time.Time) error { return b.reportSource.Err() }
	}
	if b.securityTxt != nil {
		b.metrics.securityTxtExpires.Set(float64(b.securityTxt.Expires().Unix()))
		s.parts["security.txt"] = func(now time.Time) error {
			if warning := b.securityTxt.ExpiryWarning(now); warning != "" {
				return errors.New(warning)
			}
			return nil
		}
	}
	return s
}

// check runs all checks, sends the notices that are due and returns the names of
// the impaired parts, sorted. It returns an error if it could not store a notice.
func (s *degradedWatch) check(ctx context.Context, m *metrics) (degraded []string, err error) {
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
		if !s.withoutNotice[part] && !now.Before(s.nextNotice[part]) {
			err = errors.Join(err, s.notify(ctx, part, now))
		}
	}
	return degraded, err
}

// notify sends a notice about an impaired part. Its key contains the day, so a
// bot that restarts repeatedly sends at most one notice per part and day.
func (s *degradedWatch) notify(ctx context.Context, part string, now time.Time) error {
	err := s.send(ctx, "fault/"+part+"/"+now.UTC().Format(time.DateOnly),
		map[string]string{"about": templates.AboutFault, "part": part, "since": s.since[part].UTC().Format(time.RFC3339)})
	s.nextNotice[part] = now.Add(notifyInterval)
	if err != nil {
		s.nextNotice[part] = now.Add(notifyRetry)
	}
	return err
}
