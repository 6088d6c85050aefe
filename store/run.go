package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"tocsin/bot/response"
)

// JobFuncs says who does the jobs. The errors of all three are treated alike: an *incident.RetryAfter puts the job off
// without counting as a failure, any other error has it tried again, later each time.
type JobFuncs struct {
	// Drain decodes and reports the inbox rows in a range of ids.
	Drain func(ctx context.Context, from, to int64) error
	// Perform carries out one effect and commits what came of it, with Tx.Finish, GiveUp or Postpone, in a context
	// derived from ctx. An effect that fails to the very last attempt is given up by the store.
	Perform func(ctx context.Context, job response.Job) error
	// Scheduled is what each Schedule.Kind does; at is the time it was due, the same at every attempt.
	Scheduled map[string]func(ctx context.Context, at time.Time) error
}

// Run takes up what an earlier incarnation of this replica left running, and starts working the queues. It returns
// once that has begun. ErrInUse means that another process works under the same replica id.
func (s *Store) Run(ctx context.Context, work JobFuncs) error {
	all := handlers{
		kindDrain:  func(ctx context.Context, t Task) error { return work.Drain(ctx, t.IDs[0], t.IDs[1]) },
		kindEffect: s.effectHandler(work.Perform),
	}
	for kind, do := range work.Scheduled {
		all[kindScheduled(kind)] = func(ctx context.Context, t Task) error { return do(ctx, time.Unix(t.IDs[1], 0).UTC()) }
	}
	return s.run(ctx, all)
}

// handlers says what does each kind of job.
type handlers map[string]handler

func (s *Store) run(ctx context.Context, work handlers) error {
	s.mu.Lock()
	if s.running {
		s.mu.Unlock()
		return errors.New("run store: it runs already")
	}
	s.running, s.lockLostErr = true, nil
	s.mu.Unlock()

	release, err := s.backend.lockReplicaID(ctx, s.replica, s.stopOnLockLoss)
	var client runner
	if err == nil {
		if client, err = s.startWorker(ctx, work); err != nil {
			release() // outside the lock, for it waits for stopLost
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.running = false
		return fmt.Errorf("run store: %w", wrapUnavailable(err))
	}
	end := s.startRescuer()
	s.worker, s.release = client, func() { end(); release() }
	return nil
}

func (s *Store) startWorker(ctx context.Context, work handlers) (runner, error) {
	if err := s.requeueOrphans(ctx); err != nil {
		return nil, err
	}
	config := s.workerConfig(work)
	client, err := s.backend.client(config)
	if err != nil {
		return nil, err
	}
	// Work outlives ctx, which covers the start only; Stop ends it.
	return client, client.Start(context.WithoutCancel(ctx))
}

func (s *Store) workerConfig(work handlers) *river.Config {
	c := riverConfig(s.log, fetchCooldown)
	c.ID = s.replica
	c.Workers = river.NewWorkers()
	for kind, handle := range work {
		worker := s.newWorker(handle)
		if kind == kindDrain {
			worker.bisect = &bisector{s: s}
		}
		river.AddWorkerArgs(c.Workers, jobArgs{kind: kind}, worker)
	}
	river.AddWorkerArgs(c.Workers, jobArgs{kind: kindSweep}, s.newWorker(s.sweep))
	c.Queues = make(map[string]river.QueueConfig, len(queueWorkers))
	for name, workers := range queueWorkers {
		c.Queues[name] = river.QueueConfig{MaxWorkers: workers, FetchPollInterval: s.backend.pollInterval(lowLatencyQueues[name])}
	}
	c.JobTimeout, c.RescueStuckJobsAfter = jobTimeout, rescueAfter
	c.CompletedJobRetentionPeriod, c.CancelledJobRetentionPeriod, c.DiscardedJobRetentionPeriod = keepCompleted, keepCancelled, keepDiscarded
	c.PeriodicJobs = []*river.PeriodicJob{river.NewPeriodicJob(river.PeriodicInterval(sweepInterval),
		func() (river.JobArgs, *river.InsertOpts) {
			return jobArgs{kind: kindSweep}, &river.InsertOpts{MaxAttempts: 1} // the next sweep is the retry
		}, &river.PeriodicJobOpts{ID: kindSweep, RunOnStart: true})}
	return c
}

func (s *Store) newWorker(handle handler) *worker {
	return &worker{handle: handle, log: s.log.With("component", "queue"), onFailure: s.onFailure, underway: &s.underway, panics: &s.panics}
}

// requeueOrphans gives the queue back what a dead incarnation of this replica held: its running jobs, whose attempt stays
// counted, and its leadership.
func (s *Store) requeueOrphans(ctx context.Context) error {
	o := s.backend.orphans(s.replica)
	var recovered int64
	err := s.tx(ctx, func(tx *tx) error {
		jobs := tx.db.Exec("UPDATE river_job SET state = 'available' WHERE state = 'running' AND "+o.jobs, o.args...)
		if jobs.Error != nil {
			return jobs.Error
		}
		recovered = jobs.RowsAffected
		return tx.db.Exec("DELETE FROM river_leader WHERE "+o.leader, o.args...).Error
	})
	if err != nil {
		return fmt.Errorf("recover jobs: %w", err)
	}
	if recovered > 0 {
		s.log.Info("took up jobs that were left running", "jobs", recovered, "replica", s.replica)
	}
	return nil
}

// Stop takes no new jobs and waits for those that run; when ctx ends it cancels them. A cancelled job is tried again.
func (s *Store) Stop(ctx context.Context) error {
	s.mu.Lock()
	client, release := s.worker, s.release
	s.worker, s.release = nil, nil
	s.running = s.running && client == nil // a Run under way is left to its caller
	s.mu.Unlock()
	if client == nil {
		return nil
	}
	err := client.Stop(ctx)
	if err != nil {
		hard, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = client.StopAndCancel(hard)
	}
	release()
	if err != nil {
		return fmt.Errorf("stop store: %w", err)
	}
	return nil
}

// stopOnLockLoss ends the work at once because another process has taken the replica's name.
func (s *Store) stopOnLockLoss(cause error) {
	s.mu.Lock()
	s.lockLostErr = cause
	client := s.worker
	s.mu.Unlock()
	s.log.Error("another process works under this replica id; this one stops working", "replica", s.replica)
	if client != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = client.StopAndCancel(ctx)
	}
}

// PingQueue says why no jobs are worked, if so.
func (s *Store) PingQueue(ctx context.Context) error {
	s.mu.Lock()
	running, lost := s.worker != nil, s.lockLostErr
	s.mu.Unlock()
	switch {
	case lost != nil:
		return fmt.Errorf("the queue has stopped: %w", lost)
	case !running:
		return errors.New("the queue is not running")
	}
	db, _ := s.backend.reader()
	return wrapUnavailable(db.WithContext(ctx).Exec("SELECT 1 FROM river_job LIMIT 1").Error)
}
