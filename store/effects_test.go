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

func (s *Store) perform(t *testing.T, do func(ctx context.Context, job response.Job) error) {
	t.Helper()
	if err := s.Run(t.Context(), JobFuncs{Perform: do}); err != nil {
		t.Fatal(err)
	}
}

func effectOf(key, lane string) incident.Effect {
	return incident.Effect{Key: key, Kind: incident.EffectPost, Incident: 1, Seq: 1, Lane: lane, Args: map[string]string{"n": key}}
}

// performed is what a handler saw.
type performed struct {
	effect incident.Effect
	job    response.Job
}

// finisher finishes whatever comes and tells of it.
func (s *Store) finisher(saw chan<- performed) func(context.Context, response.Job) error {
	return func(ctx context.Context, job response.Job) error {
		var e incident.Effect
		err := s.Tx(ctx, func(tx response.Tx) (err error) {
			var done bool
			if e, done, err = tx.Effect(job); err != nil || done {
				return err
			}
			return tx.CompleteEffect(job, "ok")
		})
		saw <- performed{e, job}
		return err
	}
}

func TestEffectIsSaidOnce(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		e := effectOf("INC-1/1/post", "")
		for range 2 {
			s.write(t, func(tx response.Tx) error { return tx.Enqueue(e, e) })
		}
		saw := make(chan performed, 10)
		s.perform(t, s.finisher(saw))
		got := receive(t, saw)
		e.ID = got.effect.ID
		if fmt.Sprint(got.effect) != fmt.Sprint(e) || got.job.Attempt != 1 {
			t.Errorf("performed %+v", got)
		}
		s.write(t, func(tx response.Tx) error { return tx.Enqueue(e) })
		if jobs, ledger := s.count(t, "SELECT count(*) FROM river_job WHERE kind = 'effect'"), s.count(t, "SELECT count(*) FROM ledger WHERE outcome = 'completed'"); jobs != 1 || ledger != 1 {
			t.Errorf("%d jobs, %d in the ledger", jobs, ledger)
		}
		s.write(t, func(tx response.Tx) error {
			_, done, err := tx.Effect(response.Job{Effect: e.ID})
			if !done {
				t.Error("a finished effect is not done")
			}
			return err
		})
	})
}

func TestUrgentEffectsHaveTheirOwnQueue(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		page := effectOf("page", "")
		page.Urgent = true
		s.write(t, func(tx response.Tx) error { return tx.Enqueue(page, effectOf("post", "")) })
		for queue := range map[string]bool{queuePage: true, queueEffects: true} {
			if n := s.count(t, "SELECT count(*) FROM river_job WHERE queue = ?", queue); n != 1 {
				t.Errorf("%d jobs in %s", n, queue)
			}
		}
	})
}

func TestLaneKeepsItsOrder(t *testing.T) {
	const n = 12
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		var want []string
		for i := range n { // some together, some apart, as a conversation goes
			key := fmt.Sprintf("k%02d", i)
			want = append(want, key)
			s.write(t, func(tx response.Tx) error {
				return tx.Enqueue(effectOf(key, "INC-1/channel"), effectOf("other"+key, "INC-2/channel"))
			})
		}
		saw := make(chan performed, 100)
		finish := s.finisher(saw)
		s.perform(t, func(ctx context.Context, job response.Job) error {
			var e incident.Effect
			err := s.Tx(ctx, func(tx response.Tx) (err error) { e, _, err = tx.Effect(job); return err })
			if err != nil {
				return err
			}
			if n := s.count(t, "SELECT count(*) FROM effects WHERE lane = ? AND id < ? AND state IN ('available', 'pending')", e.Lane, e.ID); n > 0 {
				t.Errorf("%s began before %d others of its lane", e.Key, n)
			}
			switch {
			case e.Key == "k03" && job.Attempt == 1:
				return errors.New("fails once; the lane waits")
			case e.Key == "k05":
				saw <- performed{e, job}
				return s.Tx(ctx, func(tx response.Tx) error { return tx.DiscardEffect(job, "hopeless; the lane goes on") })
			}
			return finish(ctx, job)
		})
		var got []string
		for range 2 * n {
			if p := receive(t, saw); p.effect.Lane == "INC-1/channel" {
				got = append(got, p.effect.Key)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("performed in the order %v", got)
		}
	})
}

// TestLaneSurvivesRaces enqueues while others finish: no effect may be left waiting for a turn that nobody gives.
func TestLaneSurvivesRaces(t *testing.T) {
	const writers, each = 4, 8
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		saw := make(chan performed, writers*each)
		s.perform(t, s.finisher(saw))
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					err := s.Tx(t.Context(), func(tx response.Tx) error { return tx.Enqueue(effectOf(fmt.Sprintf("%d-%d", w, i), "lane")) })
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for range writers * each {
			receive(t, saw)
		}
		s.settle(t, 0, "SELECT count(*) FROM effects WHERE state <> 'completed'")
	})
}

func TestKeptEffectRunsAgainForWhatItMissed(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		card := incident.Effect{Key: "INC-1/card", Kind: incident.EffectCard, Incident: 1, Seq: 1, Refresh: true}
		began, goOn := make(chan time.Time, 10), make(chan struct{})
		s.perform(t, func(ctx context.Context, job response.Job) error {
			err := s.Tx(ctx, func(tx response.Tx) error { _, _, err := tx.Effect(job); return err })
			began <- time.Now()
			<-goOn
			return errors.Join(err, s.Tx(ctx, func(tx response.Tx) error { return tx.CompleteEffect(job, "ts") }))
		})
		enqueue := func(seq int) {
			t.Helper()
			card.Seq = seq
			s.write(t, func(tx response.Tx) error { return tx.Enqueue(card) })
		}
		enqueue(1)
		receive(t, began)
		for seq := range 5 { // while it runs: one more run is owed, not five
			enqueue(seq + 2)
		}
		goOn <- struct{}{}
		ended := time.Now()
		if pause := receive(t, began).Sub(ended); pause < 800*time.Millisecond || pause > 4*time.Second {
			t.Errorf("ran again after %v", pause)
		}
		goOn <- struct{}{}
		s.settle(t, 1, "SELECT count(*) FROM effects WHERE state = 'idle' AND requested = 6 AND seq = 6")
		enqueue(9) // idle, it becomes due again
		receive(t, began)
		goOn <- struct{}{}
		s.settle(t, 3, "SELECT count(*) FROM river_job WHERE kind = 'effect' AND state = 'completed'")
		s.settle(t, 1, "SELECT count(*) FROM effects WHERE state = 'idle'")
		if n := s.count(t, "SELECT count(*) FROM river_job WHERE kind = 'effect'"); n != 3 {
			t.Errorf("%d runs", n)
		}
	})
}

func TestPostponedEffectComesBack(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		timer := effectOf("timer", "")
		timer.Kind, timer.After = incident.EffectEscalationTimer, time.Now().Add(300*time.Millisecond)
		began := time.Now()
		s.write(t, func(tx response.Tx) error { return tx.Enqueue(timer) })
		saw := make(chan time.Duration, 10)
		runs := 0
		s.perform(t, func(ctx context.Context, job response.Job) error {
			runs++
			err := s.Tx(ctx, func(tx response.Tx) error {
				if _, done, err := tx.Effect(job); err != nil || done {
					return err
				}
				if runs == 1 {
					return tx.SnoozeEffect(job, time.Now().Add(500*time.Millisecond))
				}
				return tx.CompleteEffect(job, "")
			})
			saw <- time.Since(began)
			return err
		})
		if first, second := receive(t, saw), receive(t, saw); first < 300*time.Millisecond || second-first < 490*time.Millisecond || second > 5*time.Second {
			t.Errorf("ran after %v and %v", first, second)
		}
		s.settle(t, 1, "SELECT count(*) FROM effects WHERE state = 'completed'")
	})
}

func TestLastAttemptGivesTheEffectUp(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.write(t, func(tx response.Tx) error { return tx.Enqueue(effectOf("bad", "lane"), effectOf("good", "lane")) })
		err := s.tx(t.Context(), func(tx *tx) error { return tx.db.Exec("UPDATE river_job SET max_attempts = 1").Error })
		if err != nil {
			t.Fatal(err)
		}
		saw := make(chan performed, 10)
		finish := s.finisher(saw)
		s.perform(t, func(ctx context.Context, job response.Job) error {
			if job.Effect == 1 {
				return errors.New("no")
			}
			return finish(ctx, job)
		})
		if got := receive(t, saw); got.effect.Key != "good" {
			t.Errorf("performed %+v", got)
		}
		if n := s.count(t, "SELECT count(*) FROM effects e JOIN ledger l ON l.effect_id = e.id WHERE e.key = 'bad' AND e.state = 'discarded' AND l.outcome = 'discarded'"); n != 1 {
			t.Error("the first was not given up")
		}
	})
}

func TestForeignJobsAreRefused(t *testing.T) {
	s := openTest(t, storetest.SQLite(t))
	s.write(t, func(tx response.Tx) error { return tx.Enqueue(effectOf("k", "")) })
	for _, f := range []func(response.Tx) error{
		func(tx response.Tx) error { return tx.CompleteEffect(response.Job{Effect: 1}, "") },
		func(tx response.Tx) error { return tx.SnoozeEffect(response.Job{Effect: 1}, noon) },
		func(tx response.Tx) error { _, _, err := tx.Effect(response.Job{Effect: 99}); return err },
	} {
		if err := s.Tx(t.Context(), f); err == nil {
			t.Error("accepted")
		}
	}
}

func TestRotationLeavesEverythingReadable(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		path := t.TempDir() + "/keyset"
		if err := CreateKeyset(path); err != nil {
			t.Fatal(err)
		}
		keys, err := LoadKeyset(path)
		if err != nil {
			t.Fatal(err)
		}
		s := openTest(t, url, func(c *Config) { c.Keyset = keys })
		inc := s.open(t, "title")
		s.write(t, func(tx response.Tx) error {
			_, _, err := tx.CountAlert(inc.ID, incident.Alert{Source: "s", Title: "boom", Fingerprint: "f"}, 1, noon, response.RoutingDecision{})
			return errors.Join(err, tx.PutDirectory(incident.Directory{}), tx.PutDocument(inc.ID, incident.Document{Revision: 1}), tx.Audit(response.Access{Action: "show"}))
		})
		n, err := s.Rotate(t.Context(), true)
		if err != nil || n != 8 { // title, state, event, alert, directory, document, audit, the keyset's mark
			t.Errorf("%d rewritten, %v", n, err)
		}
		again, err := LoadKeyset(path)
		if err != nil || again.Keys() != 1 {
			t.Fatalf("%d keys, %v", again.Keys(), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		reopened := openTest(t, url, func(c *Config) { c.Keyset = again })
		if v, err := reopened.Verify(t.Context()); err != nil || len(v.Problems) > 0 || v.Ciphertexts != 8 {
			t.Errorf("%+v, %v", v, err)
		}
		reopened.write(t, func(tx response.Tx) error { // fingerprints are the same: the copy is recognized
			_, before, err := tx.CountAlert(inc.ID, incident.Alert{Source: "s", Title: "boom", Fingerprint: "f"}, 1, noon, response.RoutingDecision{})
			if before != 1 {
				t.Errorf("before %d", before)
			}
			return err
		})
	})
}

func TestVerifyFindsWhatWasChanged(t *testing.T) {
	for name, c := range map[string]struct{ tamper, where string }{
		"changed state":         {"UPDATE incidents SET sealed_state = substr(sealed_state, 1, length(sealed_state) - 1) WHERE id = 1", "sealed_state"},
		"changed status":        {"UPDATE incidents SET status = 'closed' WHERE id = 1", "state"},
		"cut tail":              {"DELETE FROM events WHERE incident_id = 1 AND seq = 2", "event"},
		"removed event":         {"DELETE FROM events WHERE incident_id = 1 AND seq = 1", "event"},
		"reordered events":      {"UPDATE events SET seq = 3 - seq + 10 WHERE incident_id = 1", "sealed_body"},
		"head moved back":       {"UPDATE incidents SET head_seq = 1, head_hash = (SELECT hash FROM events WHERE incident_id = 1 AND seq = 1) WHERE id = 1", "head"},
		"swapped head":          {"UPDATE incidents SET head_mac = (SELECT i.head_mac FROM incidents i WHERE i.id = 2) WHERE id = 1", "head"},
		"another's event":       {"UPDATE events SET sealed_body = (SELECT e.sealed_body FROM events e WHERE e.incident_id = 2 AND e.seq = 1) WHERE incident_id = 1 AND seq = 1", "sealed_body"},
		"delivery without body": {"INSERT INTO inbox (source, delivery_hash, received_at) VALUES ('sentry', 'h', '2026-11-20 02:31:00+00:00')", "inbox"},
		"removed with its rows": {"DELETE FROM events WHERE incident_id = 2; DELETE FROM incidents WHERE id = 2", "incidents"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, storetest.SQLite(t))
			for range 2 {
				inc := s.open(t, "x")
				s.write(t, func(tx response.Tx) error {
					_, err := grow(tx, inc, event(incident.EventNoted, nil, "text", "y"))
					return err
				})
			}
			if v, err := s.Verify(t.Context()); err != nil || len(v.Problems) > 0 {
				t.Fatalf("before: %+v, %v", v, err)
			}
			if err := s.tx(t.Context(), func(tx *tx) error { return tx.db.Exec(c.tamper).Error }); err != nil {
				t.Fatal(err)
			}
			v, err := s.Verify(t.Context())
			if err != nil || !slices.ContainsFunc(v.Problems, func(f VerifyProblem) bool { return strings.Contains(f.Where, c.where) }) {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
}
