package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

var testFailure = response.Failure{System: incident.SystemSlack, Blocked: true, Cause: "the app lacks a scope", Fix: "Add the scope"}

// postpone postpones an effect until long after the test.
func (s *Store) postpone(ctx context.Context, job response.Job) error {
	return s.Tx(ctx, func(tx response.Tx) error {
		if _, done, err := tx.Effect(job); err != nil || done {
			return err
		}
		return tx.PostponeEffect(job, time.Now().Add(24*time.Hour), testFailure)
	})
}

// TestWaiting_ReleasedAtStart stops a store while effects wait. The next start tries them.
func TestWaiting_ReleasedAtStart(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.mustTx(t, func(tx response.Tx) error { return tx.Enqueue(newTestEffect("a", ""), newTestEffect("b", "lane")) })
		s.runEffects(t, s.postpone)
		s.waitForCount(t, 2, "SELECT count(*) FROM effects WHERE waiting_since IS NOT NULL")
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.wantJobs(t, 2, "kind = 'effect' AND state = 'scheduled'")
		performed := make(chan performedEffect, 10)
		s.runEffects(t, s.completeEffects(performed))
		for range 2 {
			if p := receive(t, performed); p.job.Attempt < 2 {
				t.Errorf("got attempt %d at %s, want a later one", p.job.Attempt, p.effect.Key)
			}
		}
		s.waitForCount(t, 0, "SELECT count(*) FROM effects WHERE waiting_since IS NOT NULL")
	})
}

// TestWaiting_ProcessDies takes a process for dead while an attempt runs and the effect is released. The stale attempt can
// neither postpone nor finish the effect, which is performed once.
func TestWaiting_ProcessDies(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.mustTx(t, func(tx response.Tx) error { return tx.Enqueue(newTestEffect("a", "lane"), newTestEffect("b", "lane")) })
		stale, performed := make(chan error, 1), make(chan performedEffect, 10)
		finish := s.completeEffects(performed)
		s.runEffects(t, func(ctx context.Context, job response.Job) error {
			if job.Effect != 1 || job.Attempt > 1 {
				return finish(ctx, job)
			}
			s.mustTx(t, func(tx response.Tx) error {
				if _, err := tx.(domainTx).tx.requeueHeldBy(s.replica); err != nil {
					return err
				}
				_, err := tx.ReleaseEffects(response.WaitingQuery{})
				return err
			})
			err := s.postpone(ctx, job)
			stale <- err
			return err
		})
		if err := receive(t, stale); !errors.Is(err, errStale) {
			t.Errorf("stale attempt: got %v, want %v", err, errStale)
		}
		for _, want := range []string{"a", "b"} {
			if p := receive(t, performed); p.effect.Key != want {
				t.Errorf("got %s, want %s", p.effect.Key, want)
			}
		}
		s.waitForCount(t, 2, "SELECT count(*) FROM ledger WHERE outcome = 'completed'")
		if n := s.count(t, "SELECT count(*) FROM effects WHERE waiting_since IS NOT NULL"); n != 0 {
			t.Errorf("got %d waiting effects, want none", n)
		}
	})
}

// TestWaiting_TwoReplicas lets effects wait on two replicas and repairs the cause. The first success of either replica
// releases all effects, and each is completed once.
func TestWaiting_TwoReplicas(t *testing.T) {
	const n = 40
	url := storetest.Postgres(t)
	var repaired atomic.Bool
	completed := make(chan string, 10*n)
	var replicas []*Store
	for _, id := range []string{"one", "two"} {
		s := openTest(t, url, func(c *testConfig) { c.ReplicaID = id })
		replicas = append(replicas, s)
		s.runEffects(t, func(ctx context.Context, job response.Job) error {
			if !repaired.Load() {
				return s.postpone(ctx, job)
			}
			var e incident.Effect
			finished := false
			err := s.Tx(ctx, func(tx response.Tx) error {
				var done bool
				var err error
				if e, done, err = tx.Effect(job); err != nil || done {
					return err
				}
				finished = true
				if err := tx.FinishEffect(job, response.EffectCompleted, "ok"); err != nil {
					return err
				}
				_, err = tx.ReleaseEffects(response.WaitingQuery{System: incident.SystemSlack})
				return err
			})
			if err == nil && finished {
				completed <- e.Key
			}
			return err
		})
	}
	one, two := replicas[0], replicas[1]
	for k := range n {
		one.mustTx(t, func(tx response.Tx) error { return tx.Enqueue(newTestEffect(fmt.Sprint(k), fmt.Sprint("lane ", k%7))) })
	}
	two.waitForCount(t, 7, "SELECT count(*) FROM effects WHERE waiting_since IS NOT NULL")
	repaired.Store(true)
	two.mustTx(t, func(tx response.Tx) error {
		_, err := tx.ReleaseEffects(response.WaitingQuery{Limit: 1})
		return err
	})
	seen := map[string]int{}
	for range n {
		seen[receive(t, completed)]++
	}
	for key, times := range seen {
		if times != 1 {
			t.Errorf("%s: completed %d times", key, times)
		}
	}
	one.waitForCount(t, n, "SELECT count(*) FROM ledger WHERE outcome = 'completed'")
	one.waitForCount(t, 0, "SELECT count(*) FROM effects WHERE waiting_since IS NOT NULL")
}

// TestOpen_KeepsJobsOfEarlierVersions migrates the effects of version 12, whose jobs are in every state in which an
// earlier version can leave them. Each effect is performed once.
func TestOpen_KeepsJobsOfEarlierVersions(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		db := openVersion(t, url, 12)
		states := []string{"available", "retryable", "scheduled", "running", "discarded", "lost"}
		for n, state := range states {
			_, err := db.Exec(`INSERT INTO effects (id, key, kind, incident_id, seq, lane, lane_pos, refresh, urgent, args, state, created_at)
				VALUES ($1, $2, 'post', 1, 1, '', 1, false, false, '{}', 'available', $3)`, n+1, state, noon)
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		s := openTest(t, url)
		err := s.tx(t.Context(), func(tx *tx) error {
			for n, state := range states[:5] {
				if err := tx.enqueue(effectRow{ID: int64(n + 1)}.job(time.Time{})); err != nil {
					return err
				}
				of := " WHERE " + argID(0) + " = " + fmt.Sprint(n+1)
				set := map[string]string{"retryable": "attempt = 40, state = 'retryable'", "running": "attempt = 2", "discarded": "attempt = max_attempts, state = 'discarded', finalized_at = " + tx.river.now}[state]
				if set == "" {
					continue
				}
				if err := tx.updateJobs(set + of); err != nil {
					return err
				}
			}
			return tx.setRunning(argID(0)+" = 4", s.replica)
		})
		if err != nil {
			t.Fatal(err)
		}
		performed := make(chan performedEffect, 20)
		s.runEffects(t, s.completeEffects(performed))
		got := map[string]int{}
		for range states {
			got[receive(t, performed).effect.Key]++
		}
		for _, state := range states {
			if got[state] != 1 {
				t.Errorf("job in state %s: performed %d times, want once", state, got[state])
			}
		}
		s.waitForCount(t, int64(len(states)), "SELECT count(*) FROM ledger WHERE outcome = 'completed'")
	})
}

// TestReleaseEffects_UsesIndex checks that a success of a system looks only at waiting effects.
func TestReleaseEffects_UsesIndex(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.openIncident(t, "x")
		s.fillTables(t, 20000)
		condition, args := waiting(response.WaitingQuery{System: incident.SystemSlack})
		plan := s.explain(t, "SELECT * FROM effects WHERE "+condition+" AND state = 'available' ORDER BY waiting_since LIMIT 10", args...)
		if !strings.Contains(plan, "effects_waiting") && !strings.Contains(plan, "effects_unfinished") { // both are small
			t.Errorf("got plan\n%s\nwant an index of effects that are not finished", plan)
		}
	})
}

// TestWaitingEffects_ListsThoseThatWaitedLongest lets more effects wait than an administrator
// reads at once.
func TestWaitingEffects_ListsThoseThatWaitedLongest(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.openIncident(t, "x")
		const more = 3
		var effects []incident.Effect
		for n := range MaxListedEffects + more {
			effects = append(effects, newTestEffect(fmt.Sprint("effect ", n), ""))
		}
		s.mustTx(t, func(tx response.Tx) error { return tx.Enqueue(effects...) })
		s.runEffects(t, s.postpone)
		s.waitForCount(t, MaxListedEffects+more, "SELECT count(*) FROM effects WHERE waiting_since IS NOT NULL")
		err := s.tx(t.Context(), func(t *tx) error {
			var rows []effectRow
			if err := t.db.Order("id").Find(&rows).Error; err != nil {
				return err
			}
			for n, row := range rows { // the last effect waits longest
				since := noon.Truncate(time.Second).Add(-time.Duration(n) * time.Minute)
				if err := t.db.Exec("UPDATE effects SET waiting_since = ? WHERE id = ?", since, row.ID).Error; err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		list, err := s.WaitingEffects(t.Context(), response.WaitingQuery{})
		if err != nil || len(list) != MaxListedEffects {
			t.Fatalf("got %d effects, %v, want %d", len(list), err, MaxListedEffects)
		}
		for n, w := range list {
			if want := noon.Truncate(time.Second).Add(-time.Duration(MaxListedEffects+more-1-n) * time.Minute); !w.Since.Equal(want) {
				t.Fatalf("effect %d of the list waits since %s, want %s", n, w.Since, want)
			}
		}
	})
}

// TestCountWaiting_SecretEvents lets effects of every kind of event wait. Everybody reads the
// cause of the first one, so it must not be about a secret event.
func TestCountWaiting_SecretEvents(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.openIncident(t, "x")
		s.mustTx(t, func(tx response.Tx) error { return tx.Enqueue(newTestEffect("a", "")) })
		s.runEffects(t, s.postpone)
		s.waitForCount(t, 1, "SELECT count(*) FROM effects WHERE waiting_since IS NOT NULL")
		for _, kind := range incident.EventKinds() {
			err := s.tx(t.Context(), func(t *tx) error { return t.db.Exec("UPDATE events SET kind = ? WHERE seq = 1", kind).Error })
			if err != nil {
				t.Fatal(err)
			}
			counts, first, err := s.CountWaiting(t.Context())
			if err != nil || len(counts) != 1 || counts[0].Blocked != 1 {
				t.Fatalf("%s: got %+v, %v, want one waiting effect", kind, counts, err)
			}
			if isPublic := counts[0].Public == 1 && first.Cause == testFailure.Cause; isPublic == kind.Secret() || kind.Secret() && first.ID != 0 {
				t.Errorf("%s: got %+v, first %+v, want a public effect: %t", kind, counts, first, !kind.Secret())
			}
		}
	})
}
