package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// runEffects runs the store with a handler for effects.
func (s *Store) runEffects(t *testing.T, do func(ctx context.Context, job response.Job) error) {
	t.Helper()
	if err := s.Run(t.Context(), JobFuncs{Perform: do}); err != nil {
		t.Fatal(err)
	}
}

func newTestEffect(key, lane string) incident.Effect {
	return incident.Effect{Key: key, Kind: incident.EffectPost, Incident: 1, Seq: 1, Lane: lane, Args: map[string]string{"n": key}}
}

// performedEffect is an effect and its job as a handler received them.
type performedEffect struct {
	effect incident.Effect
	job    response.Job
}

// completeEffects returns a handler that completes all effects and sends them to performed.
func (s *Store) completeEffects(performed chan<- performedEffect) func(context.Context, response.Job) error {
	return func(ctx context.Context, job response.Job) error {
		var e incident.Effect
		err := s.Tx(ctx, func(tx response.Tx) (err error) {
			var done bool
			if e, done, err = tx.Effect(job); err != nil || done {
				return err
			}
			return tx.FinishEffect(job, response.EffectCompleted, "ok")
		})
		performed <- performedEffect{e, job}
		return err
	}
}

func TestEnqueue_DeduplicatesByKey(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		e := newTestEffect("INC-1/1/post", "")
		for range 2 {
			s.mustTx(t, func(tx response.Tx) error { return tx.Enqueue(e, e) })
		}
		performed := make(chan performedEffect, 10)
		s.runEffects(t, s.completeEffects(performed))
		got := receive(t, performed)
		e.ID = got.effect.ID
		if fmt.Sprint(got.effect) != fmt.Sprint(e) || got.job.Attempt != 1 {
			t.Errorf("got %+v, want %+v at attempt 1", got, e)
		}
		s.mustTx(t, func(tx response.Tx) error { return tx.Enqueue(e) })
		if jobs, ledger := s.countJobs(t, "kind = 'effect'"), s.count(t, "SELECT count(*) FROM ledger WHERE outcome = 'completed'"); jobs != 1 || ledger != 1 {
			t.Errorf("got %d jobs, %d ledger rows, want 1, 1", jobs, ledger)
		}
		s.mustTx(t, func(tx response.Tx) error {
			_, done, err := tx.Effect(response.Job{Effect: e.ID})
			if !done {
				t.Error("got done = false, want true for a completed effect")
			}
			return err
		})
	})
}

func TestEnqueue_UrgentEffectsUsePageQueue(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		page := newTestEffect("page", "")
		page.Urgent = true
		s.mustTx(t, func(tx response.Tx) error { return tx.Enqueue(page, newTestEffect("post", "")) })
		for queue := range map[string]bool{queuePage: true, queueEffects: true} {
			if n := s.countJobs(t, "queue = ?", queue); n != 1 {
				t.Errorf("got %d jobs in queue %s, want 1", n, queue)
			}
		}
	})
}

func TestLane_PreservesOrder(t *testing.T) {
	const n = 12
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		var want []string
		for i := range n { // one transaction per key, two lanes
			key := fmt.Sprintf("k%02d", i)
			want = append(want, key)
			s.mustTx(t, func(tx response.Tx) error {
				return tx.Enqueue(newTestEffect(key, "INC-1/channel"), newTestEffect("other"+key, "INC-2/channel"))
			})
		}
		performed := make(chan performedEffect, 100)
		finish := s.completeEffects(performed)
		s.runEffects(t, func(ctx context.Context, job response.Job) error {
			var e incident.Effect
			err := s.Tx(ctx, func(tx response.Tx) (err error) { e, _, err = tx.Effect(job); return err })
			if err != nil {
				return err
			}
			if n := s.count(t, "SELECT count(*) FROM effects WHERE lane = ? AND id < ? AND state IN ('available', 'pending')", e.Lane, e.ID); n > 0 {
				t.Errorf("%s started with %d earlier effects of its lane unfinished, want 0", e.Key, n)
			}
			switch {
			case e.Key == "k03" && job.Attempt == 1:
				return errors.New("failed once")
			case e.Key == "k05":
				performed <- performedEffect{e, job}
				return s.Tx(ctx, func(tx response.Tx) error { return tx.FinishEffect(job, response.EffectDiscarded, "discarded") })
			}
			return finish(ctx, job)
		})
		var got []string
		for range 2 * n {
			if p := receive(t, performed); p.effect.Lane == "INC-1/channel" {
				got = append(got, p.effect.Key)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got order %v, want %v", got, want)
		}
	})
}

// TestLane_JobContinues performs the effects of a lane in one job. During the second effect the process is taken for
// dead and the job is requeued: its attempt can no longer finish that effect, and the new one performs it again.
func TestLane_JobContinues(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.mustTx(t, func(tx response.Tx) error {
			return tx.Enqueue(newTestEffect("k0", "INC-1/channel"), newTestEffect("k1", "INC-1/channel"), newTestEffect("k2", "INC-1/channel"))
		})
		performed, jobs := make(chan performedEffect, 10), make(chan int64, 10)
		finish := s.completeEffects(performed)
		s.runEffects(t, func(ctx context.Context, job response.Job) error {
			if job.Effect == 2 && job.Attempt == 1 {
				requeued := int64(0)
				s.mustTx(t, func(tx response.Tx) error {
					n, err := tx.(domainTx).tx.requeueHeldBy(s.replica)
					requeued = int64(n)
					return err
				})
				jobs <- requeued
			}
			err := finish(ctx, job)
			if job.Effect == 2 && job.Attempt == 1 && !errors.Is(err, errStale) {
				t.Errorf("requeued attempt: got %v, want %v", err, errStale)
			}
			return err
		})
		if n := receive(t, jobs); n != 1 {
			t.Errorf("got %d jobs requeued during the second effect, want the one that runs", n)
		}
		var got []string
		for range 4 {
			p := receive(t, performed)
			got = append(got, fmt.Sprint(p.effect.Key, " ", p.job.Attempt))
		}
		if want := []string{"k0 1", "k1 1", "k1 2", "k2 1"}; !slices.Equal(got, want) {
			t.Errorf("got effects with attempts %v, want %v", got, want)
		}
		s.waitForCount(t, 3, "SELECT count(*) FROM ledger WHERE outcome = 'completed'")
		if n := s.countJobs(t, "kind = 'effect'"); n != 2 {
			t.Errorf("got %d jobs, want the requeued one and one for the last effect", n)
		}
	})
}

// TestLane_RolledBackFinish finishes an effect in a transaction that is rolled back, as after a conflict, and then snoozes
// the effect. Its job must not continue with the next effect of the lane, which is not due.
func TestLane_RolledBackFinish(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.mustTx(t, func(tx response.Tx) error {
			return tx.Enqueue(newTestEffect("k0", "INC-1/channel"), newTestEffect("k1", "INC-1/channel"))
		})
		performed := make(chan performedEffect, 10)
		finish, errConflict := s.completeEffects(performed), errors.New("conflict")
		snoozed := false
		s.runEffects(t, func(ctx context.Context, job response.Job) error {
			if job.Effect != 1 || snoozed {
				return finish(ctx, job)
			}
			snoozed = true
			err := s.Tx(ctx, func(tx response.Tx) error {
				_, _, err := tx.Effect(job)
				return errors.Join(err, tx.FinishEffect(job, response.EffectCompleted, "ok"), errConflict)
			})
			if !errors.Is(err, errConflict) {
				return err
			}
			return s.Tx(ctx, func(tx response.Tx) error {
				_, _, err := tx.Effect(job)
				return errors.Join(err, tx.SnoozeEffect(job, time.Now().Add(300*time.Millisecond)))
			})
		})
		for _, want := range []string{"k0", "k1"} {
			if got := receive(t, performed); got.effect.Key != want {
				t.Errorf("got %s, want %s", got.effect.Key, want)
			}
		}
		s.waitForCount(t, 2, "SELECT count(*) FROM ledger WHERE outcome = 'completed'")
	})
}

// Effects enqueued while others of the lane finish must all be performed.
func TestLane_ConcurrentEnqueueAndFinish(t *testing.T) {
	const writers, effects = 4, 8
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		performed := make(chan performedEffect, writers*effects)
		s.runEffects(t, s.completeEffects(performed))
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range effects {
					err := s.Tx(t.Context(), func(tx response.Tx) error { return tx.Enqueue(newTestEffect(fmt.Sprintf("%d-%d", w, i), "lane")) })
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for range writers * effects {
			receive(t, performed)
		}
		s.waitForCount(t, 0, "SELECT count(*) FROM effects WHERE state <> 'completed'")
	})
}

func TestRefreshEffect_RerunsForMissedRequests(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		card := incident.Effect{Key: "INC-1/card", Kind: incident.EffectCard, Incident: 1, Seq: 1, Refresh: true}
		started, resume := make(chan time.Time, 10), make(chan struct{})
		s.runEffects(t, func(ctx context.Context, job response.Job) error {
			err := s.Tx(ctx, func(tx response.Tx) error { _, _, err := tx.Effect(job); return err })
			started <- time.Now()
			<-resume
			return errors.Join(err, s.Tx(ctx, func(tx response.Tx) error { return tx.FinishEffect(job, response.EffectCompleted, "ts") }))
		})
		enqueue := func(seq int) {
			t.Helper()
			card.Seq = seq
			s.mustTx(t, func(tx response.Tx) error { return tx.Enqueue(card) })
		}
		enqueue(1)
		receive(t, started)
		for seq := range 5 { // five requests during one run cause one more run
			enqueue(seq + 2)
		}
		ended := time.Now()
		resume <- struct{}{}
		if next := receive(t, started); next.Before(ended.Add(refreshInterval)) {
			t.Errorf("got the next run at %v, want it at least %v after %v", next, refreshInterval, ended)
		}
		resume <- struct{}{}
		s.waitForCount(t, 1, "SELECT count(*) FROM effects WHERE state = 'idle' AND requested = 6 AND seq = 6")
		enqueue(9) // an idle effect becomes available again
		receive(t, started)
		resume <- struct{}{}
		s.waitForJobs(t, 3, "kind = 'effect' AND state = 'completed'")
		s.waitForCount(t, 1, "SELECT count(*) FROM effects WHERE state = 'idle'")
		if n := s.countJobs(t, "kind = 'effect'"); n != 3 {
			t.Errorf("got %d runs, want 3", n)
		}
	})
}

func TestSnoozeEffect_RunsLater(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		timer := newTestEffect("timer", "")
		timer.Kind, timer.After = incident.EffectDeadline, time.Now().Add(300*time.Millisecond).Truncate(time.Millisecond) // as stored
		s.mustTx(t, func(tx response.Tx) error { return tx.Enqueue(timer) })
		type run struct{ due, at time.Time }
		performed := make(chan run, 10)
		due := timer.After
		s.runEffects(t, func(ctx context.Context, job response.Job) error {
			this := run{due, time.Now()}
			err := s.Tx(ctx, func(tx response.Tx) error {
				if _, done, err := tx.Effect(job); err != nil || done {
					return err
				}
				if this.due.Equal(timer.After) {
					due = time.Now().Add(500 * time.Millisecond).Truncate(time.Millisecond)
					return tx.SnoozeEffect(job, due)
				}
				return tx.FinishEffect(job, response.EffectCompleted, "")
			})
			performed <- this
			return err
		})
		for range 2 {
			if got := receive(t, performed); got.at.Before(got.due) {
				t.Errorf("got a run at %v, want it at %v or later", got.at, got.due)
			}
		}
		s.waitForCount(t, 1, "SELECT count(*) FROM effects WHERE state = 'completed'")
	})
}

// TestEffect_KeptAfterLastAttempt makes the last attempt of a job fail. The effect gets another job.
func TestEffect_KeptAfterLastAttempt(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.mustTx(t, func(tx response.Tx) error {
			return tx.Enqueue(newTestEffect("bad", "lane"), newTestEffect("good", "lane"))
		})
		err := s.tx(t.Context(), func(tx *tx) error { return tx.updateJobs("max_attempts = 1 WHERE true") })
		if err != nil {
			t.Fatal(err)
		}
		performed := make(chan performedEffect, 10)
		finish := s.completeEffects(performed)
		s.runEffects(t, func(ctx context.Context, job response.Job) error {
			if job.Attempt == 1 && job.Effect == 1 {
				return errors.New("no")
			}
			return finish(ctx, job)
		})
		s.waitForJobs(t, 1, "kind = 'effect' AND state = 'discarded'")
		if err := s.sweepEffects(t.Context(), Task{}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"bad", "good"} {
			if got := receive(t, performed); got.effect.Key != want || want == "bad" && got.job.Attempt < 2 {
				t.Errorf("got effect %+v, want key %s", got, want)
			}
		}
		s.waitForCount(t, 2, "SELECT count(*) FROM ledger WHERE outcome = 'completed'")
	})
}

func TestEffect_RejectsForeignJobs(t *testing.T) {
	s := openTest(t, storetest.SQLite(t))
	s.mustTx(t, func(tx response.Tx) error { return tx.Enqueue(newTestEffect("k", "")) })
	for _, f := range []func(response.Tx) error{
		func(tx response.Tx) error {
			return tx.FinishEffect(response.Job{Effect: 1}, response.EffectCompleted, "")
		},
		func(tx response.Tx) error { return tx.SnoozeEffect(response.Job{Effect: 1}, noon) },
		func(tx response.Tx) error { _, _, err := tx.Effect(response.Job{Effect: 99}); return err },
	} {
		if err := s.Tx(t.Context(), f); err == nil {
			t.Error("got no error")
		}
	}
}

func TestRotate_AllRowsStayReadable(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		path := t.TempDir() + "/keyset"
		if err := CreateKeyset(path); err != nil {
			t.Fatal(err)
		}
		keys, err := LoadKeyset(path)
		if err != nil {
			t.Fatal(err)
		}
		s := openTest(t, url, func(c *testConfig) { c.Keyset = keys })
		inc := s.openIncident(t, "title")
		s.mustTx(t, func(tx response.Tx) error {
			_, _, err := tx.CountAlert(inc.ID, incident.Alert{Source: "s", Title: "boom", Fingerprint: "f"}, 1, noon, response.RoutingDecision{})
			return errors.Join(err, tx.PutDirectory(incident.Directory{}), tx.PutDocument(inc.ID, incident.Document{Revision: 1}), tx.Audit(response.Access{Action: "show"}))
		})
		n, err := s.Rotate(t.Context(), true)
		if err != nil || n != 8 { // title, state, event, alert, directory, document, audit, the keyset's mark
			t.Errorf("got %d rewritten, %v, want 8", n, err)
		}
		again, err := LoadKeyset(path)
		if err != nil || again.Keys() != 1 {
			t.Fatalf("got %d keys, %v, want 1", again.Keys(), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		reopened := openTest(t, url, func(c *testConfig) { c.Keyset = again })
		if v, err := reopened.Verify(t.Context()); err != nil || len(v.Problems) > 0 || v.Ciphertexts != 8 {
			t.Errorf("got %+v, %v, want 8 ciphertexts without problems", v, err)
		}
		reopened.mustTx(t, func(tx response.Tx) error { // a rotation does not change fingerprints
			_, before, err := tx.CountAlert(inc.ID, incident.Alert{Source: "s", Title: "boom", Fingerprint: "f"}, 1, noon, response.RoutingDecision{})
			if before != 1 {
				t.Errorf("got %d earlier occurrences, want 1", before)
			}
			return err
		})
	})
}

func TestVerify_DetectsTampering(t *testing.T) {
	for name, c := range map[string]struct{ tamper, where string }{
		"changed state":             {"UPDATE incidents SET sealed_state = substr(sealed_state, 1, length(sealed_state) - 1) WHERE id = 1", "sealed_state"},
		"changed status":            {"UPDATE incidents SET status = 'closed' WHERE id = 1", "status"},
		"removed tail":              {"DELETE FROM events WHERE incident_id = 1 AND seq = 2", "event"},
		"removed event":             {"DELETE FROM events WHERE incident_id = 1 AND seq = 1", "event"},
		"reordered events":          {"UPDATE events SET seq = 3 - seq + 10 WHERE incident_id = 1", "sealed_body"},
		"head moved back":           {"UPDATE incidents SET head_seq = 1, head_hash = (SELECT hash FROM events WHERE incident_id = 1 AND seq = 1) WHERE id = 1", "head"},
		"swapped head":              {"UPDATE incidents SET head_mac = (SELECT i.head_mac FROM incidents i WHERE i.id = 2) WHERE id = 1", "head"},
		"event of another incident": {"UPDATE events SET sealed_body = (SELECT e.sealed_body FROM events e WHERE e.incident_id = 2 AND e.seq = 1) WHERE incident_id = 1 AND seq = 1", "sealed_body"},
		"delivery without body":     {"INSERT INTO inbox (source, delivery_hash, received_at) VALUES ('sentry', 'h', '2026-11-20 02:31:00+00:00')", "inbox"},
		"removed incident":          {"DELETE FROM events WHERE incident_id = 2; DELETE FROM incidents WHERE id = 2", "incidents"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, storetest.SQLite(t))
			for range 2 {
				inc := s.openIncident(t, "x")
				s.mustTx(t, func(tx response.Tx) error {
					_, err := saveEvents(tx, inc, newEvent(incident.EventNoted, nil, "text", "y"))
					return err
				})
			}
			if v, err := s.Verify(t.Context()); err != nil || len(v.Problems) > 0 {
				t.Fatalf("before tampering: got %+v, %v, want no problems", v, err)
			}
			if err := s.tx(t.Context(), func(tx *tx) error { return tx.db.Exec(c.tamper).Error }); err != nil {
				t.Fatal(err)
			}
			v, err := s.Verify(t.Context())
			if err != nil || !slices.ContainsFunc(v.Problems, func(f VerifyProblem) bool { return strings.Contains(f.Where, c.where) }) {
				t.Errorf("got %+v, %v, want a problem in %s", v, err, c.where)
			}
		})
	}
}
