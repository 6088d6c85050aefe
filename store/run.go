package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"

	"tocsin/bot/response"
)

// JobFuncs are the functions that perform jobs. If a function returns an [incident.RetryAfter], the job is snoozed,
// which does not count as a failure. After any other error it is retried with an increasing delay.
type JobFuncs struct {
	// Drain decodes and ingests the inbox rows in a range of ids.
	Drain func(ctx context.Context, from, to int64) error
	// Perform performs one effect and commits the result with FinishEffect, SnoozeEffect or PostponeEffect of [response.Tx], in a context derived from ctx.
	Perform func(ctx context.Context, job response.Job) error
	// Scheduled has a function for each [Schedule] kind. at is the scheduled time, which is equal in all attempts.
	Scheduled map[string]func(ctx context.Context, at time.Time) error
	// LongScheduled are the kinds of Scheduled that may take up to [LongJobTimeout] instead of a minute.
	LongScheduled []string
}

// Run requeues jobs that an earlier process of this replica left running, and starts working the queues. It returns
// after the start. The error wraps [ErrInUse] if another process runs with the same replica id.
func (s *Store) Run(ctx context.Context, work JobFuncs) error {
	all := handlers{
		kindDrain:  func(ctx context.Context, t Task) error { return work.Drain(ctx, t.IDs[0], t.IDs[1]) },
		kindEffect: s.effectHandler(work.Perform),
	}
	for kind, do := range work.Scheduled {
		all[kindScheduled(kind)] = func(ctx context.Context, t Task) error { return do(ctx, time.Unix(t.IDs[1], 0).UTC()) }
	}
	long := make([]string, len(work.LongScheduled))
	for n, kind := range work.LongScheduled {
		long[n] = kindScheduled(kind)
	}
	return s.run(ctx, all, long...)
}

// handlers maps kinds of jobs to their handlers.
type handlers map[string]handler

// run works the queues. long are the kinds of jobs that may take up to [LongJobTimeout].
func (s *Store) run(ctx context.Context, work handlers, long ...string) error {
	s.mu.Lock()
	if s.running {
		s.mu.Unlock()
		return errors.New("run store: already running")
	}
	s.running, s.lockLostErr = true, nil
	s.mu.Unlock()

	release, err := s.backend.lockReplicaID(ctx, s.replica, s.stopOnLockLoss)
	var client runner
	if err == nil {
		if client, err = s.startWorker(ctx, work, long); err != nil {
			release() // without mu, because release waits for stopOnLockLoss
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.running = false
		return fmt.Errorf("run store: %w", wrapUnavailable(err))
	}
	stop := s.startRescuer()
	s.worker, s.release = client, func() { stop(); release() }
	return nil
}

func (s *Store) startWorker(ctx context.Context, work handlers, long []string) (runner, error) {
	if err := s.requeueOrphans(ctx); err != nil {
		return nil, err
	}
	if err := s.releaseAll(ctx); err != nil {
		return nil, err
	}
	config := s.workerConfig(work, long)
	client, err := s.backend.client(config)
	if err != nil {
		return nil, err
	}
	// ctx limits only the start. Stop ends the work.
	return client, client.Start(context.WithoutCancel(ctx))
}

func (s *Store) workerConfig(work handlers, long []string) *river.Config {
	c := riverConfig(s.log, fetchCooldown)
	c.ID = s.replica
	c.Workers = river.NewWorkers()
	for kind, handle := range work {
		worker := s.newWorker(handle)
		if kind == kindDrain {
			worker.bisect = &bisector{s: s}
		}
		if slices.Contains(long, kind) {
			worker.timeout = LongJobTimeout
		}
		river.AddWorkerArgs(c.Workers, jobArgs{kind: kind}, worker)
	}
	river.AddWorkerArgs(c.Workers, jobArgs{kind: kindSweep}, s.newWorker(s.sweep))
	river.AddWorkerArgs(c.Workers, jobArgs{kind: kindSweepEffects}, s.newWorker(s.sweepEffects))
	river.AddWorkerArgs(c.Workers, jobArgs{kind: kindSweepDrains}, s.newWorker(s.sweepDrains))
	c.Queues = make(map[string]river.QueueConfig, len(queueWorkers))
	for name, workers := range queueWorkers {
		c.Queues[name] = river.QueueConfig{MaxWorkers: workers, FetchPollInterval: s.backend.pollInterval(lowLatencyQueues[name])}
	}
	c.JobTimeout, c.RescueStuckJobsAfter = jobTimeout, riverRescueAfter
	c.CompletedJobRetentionPeriod, c.CancelledJobRetentionPeriod, c.DiscardedJobRetentionPeriod = completedRetention, cancelledRetention, discardedRetention
	c.PeriodicJobs = []*river.PeriodicJob{periodicJob(kindSweep, sweepInterval), periodicJob(kindSweepEffects, sweepEffectsInterval), periodicJob(kindSweepDrains, sweepEffectsInterval)}
	return c
}

// periodicJob returns a job that runs at the start and at each interval. It has one attempt, because the next interval
// is its retry.
func periodicJob(kind string, interval time.Duration) *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(interval), func() (river.JobArgs, *river.InsertOpts) {
		return jobArgs{kind: kind}, &river.InsertOpts{MaxAttempts: 1}
	}, &river.PeriodicJobOpts{ID: kind, RunOnStart: true})
}

func (s *Store) newWorker(handle handler) *worker {
	return &worker{handle: handle, log: s.log.With("component", "queue"), onFailure: s.onFailure, inFlight: &s.inFlight, panics: &s.panics}
}

// requeueOrphans requeues the running jobs of an earlier process of this replica and removes its River leadership. The
// interrupted attempts still count towards the maximum.
func (s *Store) requeueOrphans(ctx context.Context) error {
	var requeued int
	err := s.tx(ctx, func(tx *tx) (err error) {
		requeued, err = tx.requeueHeldBy(s.replica)
		return err
	})
	if err != nil {
		return fmt.Errorf("requeue orphaned jobs: %w", err)
	}
	if requeued > 0 {
		s.log.Info("requeued orphaned jobs", "jobs", requeued, "replica", s.replica)
	}
	return nil
}

// Stop stops taking new jobs and waits for running jobs. If ctx ends first, it cancels them. Cancelled jobs are retried
// later.
func (s *Store) Stop(ctx context.Context) error {
	s.mu.Lock()
	client, release := s.worker, s.release
	s.worker, s.release = nil, nil
	s.running = s.running && client == nil // a Run that is starting is not stopped
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

// stopOnLockLoss cancels all jobs, because another process runs with this replica id.
func (s *Store) stopOnLockLoss(cause error) {
	s.mu.Lock()
	s.lockLostErr = cause
	client := s.worker
	s.mu.Unlock()
	s.log.Error("worker stopped: replica id in use by another process", "replica", s.replica, "err", cause)
	if client != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = client.StopAndCancel(ctx)
	}
}

// PingQueue returns an error if this process does not work jobs or the queue cannot be read.
func (s *Store) PingQueue(ctx context.Context) error {
	s.mu.Lock()
	running, lost := s.worker != nil, s.lockLostErr
	s.mu.Unlock()
	switch {
	case lost != nil:
		return fmt.Errorf("queue stopped: %w", lost)
	case !running:
		return errors.New("queue is not running")
	}
	db, _ := s.backend.reader()
	return wrapUnavailable(pingJobs(db.WithContext(ctx)))
}
