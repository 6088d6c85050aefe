package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gorm.io/gorm"
)

// A job is missing if the database has it as running but this process does not work it. That happens if the connection
// breaks before the process receives the job, or before the queue writes its result. A job is stuck if it has been
// running for stuckJobTimeout, which is longer than any attempt may take: its replica is gone, or its handler hangs.
//
// River's rescuer is disabled, because it cannot distinguish missing jobs from running jobs, and because it requeues a
// job under the same id.
const (
	rescueInterval = 5 * time.Second

	// missingJobTimeout is how long a job must be missing. River may be about to start it, or to write its result.
	missingJobTimeout = 20 * time.Second
)

// inFlight is the set of jobs that this process works. It is safe for concurrent use.
type inFlight struct {
	mu   sync.Mutex
	jobs map[int64]bool
}

// begin adds a job until end is called.
func (f *inFlight) begin(job int64) (end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.jobs == nil {
		f.jobs = map[int64]bool{}
	}
	f.jobs[job] = true
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.jobs, job)
	}
}

func (f *inFlight) contains(job int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.jobs[job]
}

// rescuer requeues missing and stuck jobs. missingSince is when each missing attempt was first seen.
type rescuer struct {
	store        *Store
	missingSince map[runningAttempt]time.Time
}

// scan rescues the jobs of this replica that have been missing for missingJobTimeout, and the stuck jobs of all
// replicas.
func (r *rescuer) scan(ctx context.Context, now time.Time) error {
	s := r.store
	var held, stuck []runningAttempt
	err := s.view(ctx, func(db *gorm.DB) (err error) {
		held, stuck, err = runningAttempts(db, s.backend.river(), s.replica, now.Add(-stuckJobTimeout))
		return err
	})
	if err != nil {
		return fmt.Errorf("find missing jobs: %w", err)
	}
	for _, attempt := range stuck {
		if err := s.rescue(ctx, attempt); err != nil {
			return err
		}
	}
	before := r.missingSince
	r.missingSince = map[runningAttempt]time.Time{}
	for _, row := range held {
		first, known := before[row]
		switch {
		case s.inFlight.contains(row.ID):
		case !known:
			r.missingSince[row] = now
		case now.Sub(first) < missingJobTimeout:
			r.missingSince[row] = first
		default:
			if err := s.rescue(ctx, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// rescue requeues a job if the attempt still runs. The attempt still counts towards the maximum.
func (s *Store) rescue(ctx context.Context, attempt runningAttempt) error {
	var rescued bool
	err := s.tx(ctx, func(t *tx) (err error) {
		rescued, err = t.requeueAttempt(attempt)
		return err
	})
	if err != nil {
		return fmt.Errorf("rescue job: %w", err)
	}
	if rescued {
		s.log.Warn("rescued job", "job", attempt.ID, "attempt", attempt.Attempt, "replica", s.replica)
	}
	return nil
}

// startRescuer starts a goroutine that scans for missing jobs every rescueInterval until stop is called.
func (s *Store) startRescuer() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(rescueInterval)
		defer ticker.Stop()
		r := rescuer{store: s}
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-ticker.C:
				if err := r.scan(ctx, now); err != nil && ctx.Err() == nil {
					s.log.Warn("find missing jobs failed", "err", err)
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}
