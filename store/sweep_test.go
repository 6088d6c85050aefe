package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// TestSweepEffects_RequeuesEffectsWithoutJob deletes the jobs of effects. Only the due effect without a job must get a
// job, and its attempt must not be the first.
func TestSweepEffects_RequeuesEffectsWithoutJob(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		later := newTestEffect("later", "")
		later.After = time.Now().Add(time.Hour)
		s.mustTx(t, func(tx response.Tx) error {
			return tx.Enqueue(newTestEffect("lost", "lane"), newTestEffect("next", "lane"), newTestEffect("waiting", ""), later)
		})
		s.mustDeleteJobs(t, argID(0)+" IN (SELECT id FROM effects WHERE key IN ('lost', 'later'))")
		for range 2 {
			if err := s.sweepEffects(t.Context(), Task{}); err != nil {
				t.Fatal(err)
			}
			s.wantJobs(t, 2, "kind = 'effect'")
			s.wantJobs(t, 1, "kind = 'effect' AND attempt = 1 AND "+argID(0)+" = (SELECT id FROM effects WHERE key = 'lost')")
		}
		s.mustDeleteJobs(t, "true")
		performed := make(chan performedEffect, 10)
		s.runEffects(t, s.completeEffects(performed)) // sweeps at the start
		attempts := map[string]int{}
		for range 3 {
			p := receive(t, performed)
			attempts[p.effect.Key] = p.job.Attempt
		}
		if want := map[string]int{"lost": 2, "next": 1, "waiting": 2}; !cmp.Equal(attempts, want) {
			t.Errorf("got attempts %v, want %v", attempts, want)
		}
	})
}

// TestSweepEffects_Concurrent sweeps in several transactions at the same time. The effect must get one job.
func TestSweepEffects_Concurrent(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.mustTx(t, func(tx response.Tx) error { return tx.Enqueue(newTestEffect("lost", "")) })
		s.mustDeleteJobs(t, "true")
		done := make(chan error)
		for range 8 {
			go func() { done <- s.sweepEffects(t.Context(), Task{}) }()
		}
		for range 8 {
			if err := receive(t, done); err != nil {
				t.Error(err)
			}
		}
		s.wantJobs(t, 1, "kind = 'effect'")
	})
}

// TestSweepDrains_RequeuesDeliveriesWithoutDrain deletes the drains of deliveries. Only these must get one drain, also
// if several processes sweep at the same time, and their deliveries must be handled.
func TestSweepDrains_RequeuesDeliveriesWithoutDrain(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		acceptLarge(t, s, 3, 10)
		if err := s.sweepDrains(t.Context(), Task{}); err != nil {
			t.Fatal(err)
		}
		s.wantJobs(t, 1, "kind = 'drain'") // its own drain reads them
		s.mustDeleteJobs(t, "true")
		s.mustTx(t, func(tx response.Tx) error {
			return tx.MarkHandled([]response.DeliveryOutcome{{Row: 1, Outcome: "watched"}})
		})
		done := make(chan error)
		for range 8 {
			go func() { done <- s.sweepDrains(t.Context(), Task{}) }()
		}
		for range 8 {
			if err := receive(t, done); err != nil {
				t.Error(err)
			}
		}
		s.wantJobs(t, 1, "kind = 'drain' AND "+argID(0)+" = 2 AND "+argID(1)+" = 3")
	})
}
