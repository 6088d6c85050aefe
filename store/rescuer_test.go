package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"tocsin/store/storetest"
)

// A job that is running in the database but not in this process is rescued after missingJobTimeout. Jobs that this
// process works, later attempts and jobs of other replicas are not.
func TestRescuer_RequeuesMissingJobs(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url, func(c *testConfig) { c.ReplicaID = "one" })
		err := s.tx(t.Context(), func(tx *tx) error {
			return errors.Join(tx.enqueue(job{kind: "missing"}, job{kind: "worked"}, job{kind: "again"}, job{kind: "waiting"}),
				tx.setRunning("kind <> 'waiting'", "two", "one"))
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.inFlight.begin(s.jobID(t, "worked"))()
		r, start := rescuer{store: s}, time.Now()
		runningAfter := func(after time.Duration) int64 {
			t.Helper()
			if err := r.scan(t.Context(), start.Add(after)); err != nil {
				t.Fatal(err)
			}
			return s.countJobs(t, "state = 'running'")
		}
		if n := runningAfter(0); n != 3 {
			t.Fatalf("got %d running jobs at the start, want 3", n)
		}
		if n := runningAfter(missingJobTimeout - time.Second); n != 3 {
			t.Fatalf("before the timeout: got %d running jobs, want 3", n)
		}
		if err := s.tx(t.Context(), func(tx *tx) error { return tx.updateJobs("attempt = 2 WHERE kind = 'again'") }); err != nil {
			t.Fatal(err)
		}
		if n := runningAfter(missingJobTimeout); n != 2 {
			t.Errorf("after the timeout: got %d running jobs, want 2", n)
		}
		if n := s.countJobs(t, "kind = 'missing' AND state = 'available' AND attempt = 1"); n != 1 {
			t.Error("got the missing job not rescued")
		}
		if n := runningAfter(2*missingJobTimeout - time.Second); n != 2 {
			t.Errorf("before the timeout of the second attempt: got %d running jobs, want 2", n)
		}
		if n := runningAfter(2 * missingJobTimeout); n != 1 {
			t.Errorf("at the end: got %d running jobs, want only the one in this process", n)
		}
	})
}

// TestRescuer_ZombieCannotFinishSurvivor blocks a worker until its job is rescued and the second attempt runs, and then
// lets it return. Its result must not apply to the second attempt, which must commit.
func TestRescuer_ZombieCannotFinishSurvivor(t *testing.T) {
	results := map[string]func(s *Store, ctx context.Context, task Task) error{
		"returns nil":      func(*Store, context.Context, Task) error { return nil },
		"returns an error": func(*Store, context.Context, Task) error { return errors.New("no") },
		"commits": func(s *Store, ctx context.Context, task Task) error {
			err := s.tx(ctx, func(tx *tx) error { return errors.Join(addMarkerRow(tx, "zombie"), tx.complete(task)) })
			if !errors.Is(err, errStale) {
				err = fmt.Errorf("complete: got %w, want %w", err, errStale)
			}
			return err
		},
	}
	rescues := map[string]func(s *Store, ctx context.Context) error{
		"stuck job": func(s *Store, ctx context.Context) error {
			return (&rescuer{store: s}).scan(ctx, time.Now().Add(stuckJobTimeout+time.Minute))
		},
		"restarted replica": (*Store).requeueOrphans,
	}
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		zombies, survivors, zombieDone := make(chan Task), make(chan Task), make(chan error, 1)
		wake, finish := make(chan func(*Store, context.Context, Task) error), make(chan struct{})
		s.mustRun(t, handlers{"plain": func(ctx context.Context, task Task) error {
			if task.Attempt == 1 {
				zombies <- task
				err := (<-wake)(s, context.WithoutCancel(ctx), task)
				zombieDone <- err
				return err
			}
			survivors <- task
			<-finish
			return s.tx(ctx, func(tx *tx) error { return errors.Join(addMarkerRow(tx, fmt.Sprint(task.IDs[0])), tx.complete(task)) })
		}})
		n := int64(0)
		for rescueName, rescue := range rescues {
			for name, result := range results {
				n++
				s.mustEnqueue(t, job{kind: "plain", ids: []int64{n}})
				zombie := receive(t, zombies)
				if err := rescue(s, t.Context()); err != nil {
					t.Fatal(err)
				}
				survivor := receive(t, survivors)
				if survivor.Attempt != 2 || survivor.job.ID == zombie.job.ID || survivor.IDs[0] != n {
					t.Errorf("%s, %s: got %+v of job %d, want attempt 2 of another job than %d", rescueName, name, survivor, survivor.job.ID, zombie.job.ID)
				}
				wake <- result
				if err := receive(t, zombieDone); name == "commits" && !errors.Is(err, errStale) {
					t.Error(err)
				}
				// River processes results in order, so the zombie's was processed when a later job is completed.
				s.mustEnqueue(t, job{kind: "plain", ids: []int64{0}})
				later := receive(t, zombies)
				wake <- results["returns nil"]
				receive(t, zombieDone)
				s.waitForJobs(t, 1, "id = ? AND state = 'completed'", later.job.ID)
				s.wantJobs(t, 1, "id = ? AND state = 'running' AND attempt = 2", survivor.job.ID)
				finish <- struct{}{}
				s.waitForJobs(t, 1, "id = ? AND state = 'completed'", survivor.job.ID)
				s.wantJobs(t, 0, "id = ?", zombie.job.ID)
			}
		}
		if committed, all := s.count(t, "SELECT count(*) FROM schedules WHERE name <> 'zombie'"), s.count(t, "SELECT count(*) FROM schedules"); committed != n || all != n {
			t.Errorf("got %d of %d commits by survivors, want all %d", committed, all, n)
		}
	})
}

// A job whose replica is gone is rescued by any replica after stuckJobTimeout.
func TestRescuer_RequeuesStuckJobsOfOtherReplicas(t *testing.T) {
	s := openTest(t, storetest.Postgres(t), func(c *testConfig) { c.ReplicaID = "one" })
	s.mustEnqueue(t, job{kind: "plain"})
	if err := s.tx(t.Context(), func(tx *tx) error { return tx.setRunning("true", "two") }); err != nil {
		t.Fatal(err)
	}
	r, start := rescuer{store: s}, time.Now()
	for _, c := range []struct {
		after   time.Duration
		running int64
	}{{0, 1}, {missingJobTimeout + time.Second, 1}, {stuckJobTimeout - time.Minute, 1}, {stuckJobTimeout + time.Minute, 0}} {
		if err := r.scan(t.Context(), start.Add(c.after)); err != nil {
			t.Fatal(err)
		}
		s.wantJobs(t, c.running, "state = 'running'")
	}
	s.wantJobs(t, 1, "state = 'available' AND attempt = 1")
}
