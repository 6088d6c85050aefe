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
	lostCheck = 5 * time.Second
	lostAfter = 20 * time.Second // the queue may still be about to begin the job, or to write how it ended
)

// underway are the jobs that this process works.
type underway struct {
	mu   sync.Mutex
	jobs map[int64]bool
}

func (u *underway) begin(job int64) (end func()) {
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

func (u *underway) has(job int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.jobs[job]
}

// running is one attempt of a job, as the database has it.
type running struct {
	ID      int64
	Attempt int
}

// lostJobs remembers since when an attempt runs for the database and not here.
type lostJobs struct {
	store *Store
	since map[running]time.Time
}

// look takes up the jobs that have been lost for long enough.
func (l *lostJobs) look(ctx context.Context, now time.Time) error {
	s, o := l.store, l.store.backend.orphans(l.store.replica)
	var rows []running
	err := s.view(ctx, func(db *gorm.DB) error {
		return db.Raw("SELECT id, attempt FROM river_job WHERE state = 'running' AND "+o.jobs, o.args...).Scan(&rows).Error
	})
	if err != nil {
		return fmt.Errorf("look for lost jobs: %w", err)
	}
	before := l.since
	l.since = map[running]time.Time{}
	for _, row := range rows {
		first, known := before[row]
		switch {
		case s.underway.has(row.ID):
		case !known:
			l.since[row] = now
		case now.Sub(first) < lostAfter:
			l.since[row] = first
		default:
			if err := s.takeUp(ctx, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeUp has a job begun again; its attempt stays counted.
func (s *Store) takeUp(ctx context.Context, lost running) error {
	err := s.tx(ctx, func(t *tx) error {
		return t.db.Exec("UPDATE river_job SET state = 'available' WHERE id = ? AND state = 'running' AND attempt = ?", lost.ID, lost.Attempt).Error
	})
	if err != nil {
		return fmt.Errorf("take up a lost job: %w", err)
	}
	s.log.Warn("took up a job that was lost with its connection", "job", lost.ID, "attempt", lost.Attempt, "replica", s.replica)
	return nil
}

// watchLost looks for lost jobs until it is ended.
func (s *Store) watchLost() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(lostCheck)
		defer ticker.Stop()
		l := lostJobs{store: s}
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-ticker.C:
				if err := l.look(ctx, now); err != nil && ctx.Err() == nil {
					s.log.Warn("lost jobs were not looked for", "reason", reason(err))
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}
