package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gorm.io/gorm"
)

// A job can be lost between the database and this process: it was marked as running, and the connection broke before
// the answer with it came, or before the queue could write what became of it. The queue takes such jobs up again after
// rescueAfter, which is long, for it cannot tell them from those that run; this process can.
const (
	rescueInterval    = 5 * time.Second
	missingJobTimeout = 20 * time.Second // the queue may still be about to begin the job, or to write how it ended
)

// inFlight are the jobs that this process works.
type inFlight struct {
	mu   sync.Mutex
	jobs map[int64]bool
}

func (u *inFlight) begin(job int64) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.jobs == nil {
		u.jobs = map[int64]bool{}
	}
	u.jobs[job] = true
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.jobs, job)
	}
}

func (u *inFlight) contains(job int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.jobs[job]
}

// runningAttempt is one attempt of a job, as the database has it.
type runningAttempt struct {
	ID      int64
	Attempt int
}

// rescuer remembers since when an attempt runs for the database and not here.
type rescuer struct {
	store        *Store
	missingSince map[runningAttempt]time.Time
}

// scan takes up the jobs that have been lost for long enough.
func (l *rescuer) scan(ctx context.Context, now time.Time) error {
	s, o := l.store, l.store.backend.orphans(l.store.replica)
	var rows []runningAttempt
	err := s.view(ctx, func(db *gorm.DB) error {
		return db.Raw("SELECT id, attempt FROM river_job WHERE state = 'running' AND "+o.jobs, o.args...).Scan(&rows).Error
	})
	if err != nil {
		return fmt.Errorf("look for lost jobs: %w", err)
	}
	before := l.missingSince
	l.missingSince = map[runningAttempt]time.Time{}
	for _, row := range rows {
		first, known := before[row]
		switch {
		case s.underway.contains(row.ID):
		case !known:
			l.missingSince[row] = now
		case now.Sub(first) < missingJobTimeout:
			l.missingSince[row] = first
		default:
			if err := s.rescue(ctx, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// rescue has a job begun again; its attempt stays counted.
func (s *Store) rescue(ctx context.Context, lost runningAttempt) error {
	err := s.tx(ctx, func(t *tx) error {
		return t.db.Exec("UPDATE river_job SET state = 'available' WHERE id = ? AND state = 'running' AND attempt = ?", lost.ID, lost.Attempt).Error
	})
	if err != nil {
		return fmt.Errorf("take up a lost job: %w", err)
	}
	s.log.Warn("took up a job that was lost with its connection", "job", lost.ID, "attempt", lost.Attempt, "replica", s.replica)
	return nil
}

// startRescuer looks for lost jobs until it is ended.
func (s *Store) startRescuer() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(rescueInterval)
		defer ticker.Stop()
		l := rescuer{store: s}
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-ticker.C:
				if err := l.scan(ctx, now); err != nil && ctx.Err() == nil {
					s.log.Warn("lost jobs were not looked for", "reason", errorClass(err))
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}
