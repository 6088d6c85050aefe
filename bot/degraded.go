package bot

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"tocsin/templates"
)

// degradedWatch watches parts whose faults people must hear of, and without which the bot
// keeps its promises all the same: it stays ready. They are asked every second
// and answer from memory.
type degradedWatch struct {
	parts map[string]func(now time.Time) error
	// silent parts are shown and not told of: something else tells.
	onlyAfterDelay map[string]bool
	clock          func() time.Time
	tell           func(ctx context.Context, key string, args map[string]string) error

	since map[string]time.Time // of the present fault
	next  map[string]time.Time // when people are told, if it lasts
}

// A fault is told of when it has lasted for a while, then once a day; and again
// soon where that could not be written.
const (
	notifyAfter    = 15 * time.Minute
	notifyInterval = 24 * time.Hour
	notifyRetry    = time.Minute
)

// degradedWatch lists the parts there are.
func (b *Bot) degradedWatch() *degradedWatch {
	s := &degradedWatch{parts: map[string]func(time.Time) error{}, onlyAfterDelay: map[string]bool{"security.txt": true}, clock: b.clock, tell: b.desk.Notify}
	if b.mailbox != nil {
		s.parts["vulnerability mailbox"] = func(time.Time) error { _, err := b.mailbox.Err(); return err }
	}
	if b.trail != nil {
		s.parts["trail queue"] = func(time.Time) error { return b.trail.Err() }
	}
	if b.reports != nil {
		s.parts["pgp key"] = func(time.Time) error { return b.reports.Err() }
	}
	if b.txt != nil {
		b.metrics.expires.Set(float64(b.txt.Expires().Unix()))
		s.parts["security.txt"] = func(now time.Time) error {
			if says := b.txt.ExpiryWarning(now); says != "" {
				return errors.New(says)
			}
			return nil
		}
	}
	return s
}

// check asks every part and returns the names of those that are out of order.
// What people cannot be told now is tried again; the error says so.
func (s *degradedWatch) check(ctx context.Context, m *metrics) (degraded []string, err error) {
	if s.since == nil {
		s.since, s.next = map[string]time.Time{}, map[string]time.Time{}
	}
	now := s.clock()
	for _, part := range slices.Sorted(maps.Keys(s.parts)) {
		if s.parts[part](now) == nil {
			m.degraded.WithLabelValues(part).Set(0)
			delete(s.since, part)
			delete(s.next, part)
			continue
		}
		m.degraded.WithLabelValues(part).Set(1)
		degraded = append(degraded, part)
		if s.since[part].IsZero() {
			s.since[part], s.next[part] = now, now.Add(notifyAfter)
		}
		if !s.onlyAfterDelay[part] && !now.Before(s.next[part]) {
			err = errors.Join(err, s.notify(ctx, part, now))
		}
	}
	return degraded, err
}

// notify tells of a fault. The key has the day: a bot that is started again and
// again, and each time waits anew, tells it once a day all the same.
func (s *degradedWatch) notify(ctx context.Context, part string, now time.Time) error {
	err := s.tell(ctx, "fault/"+part+"/"+now.UTC().Format(time.DateOnly),
		map[string]string{"about": templates.AboutFault, "part": part, "since": s.since[part].UTC().Format(time.RFC3339)})
	s.next[part] = now.Add(notifyInterval)
	if err != nil {
		s.next[part] = now.Add(notifyRetry)
	}
	return err
}
