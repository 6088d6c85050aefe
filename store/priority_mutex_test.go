package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Priority callers go first, and the lock alternates while both kinds wait.
func TestPriorityMutex_AlternatesPriorityAndOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m priorityMutex
		events := make(chan string, 6)
		order := func() (names []string) {
			for len(events) > 0 {
				names = append(names, <-events)
			}
			return names
		}
		acquire := func(name string, priority bool, timeout time.Duration) {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				if err := m.lock(ctx, priority); err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s: %v", name, err)
					}
					events <- name + " timed out"
					return
				}
				events <- name
				m.unlock()
			}()
			synctest.Wait()
		}
		if err := m.lock(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		acquire("first", false, time.Hour)
		acquire("short", false, time.Second)
		acquire("second", false, time.Hour)
		acquire("priority 1", true, time.Hour)
		acquire("priority 2", true, time.Hour)
		acquire("short priority", true, time.Second)
		<-time.After(2 * time.Second) // on the fake clock
		if got, want := order(), []string{"short timed out", "short priority timed out"}; !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Errorf("before unlock: got %v, want %v", got, want)
		}
		m.unlock()
		synctest.Wait()
		if got, want := order(), []string{"priority 1", "first", "priority 2", "second"}; !slices.Equal(got, want) {
			t.Errorf("got order %v, want %v", got, want)
		}
		if m.locked || len(m.priorityWaiters)+len(m.waiters) != 0 {
			t.Errorf("at the end: got locked %v, %d and %d waiters, want an idle lock", m.locked, len(m.priorityWaiters), len(m.waiters))
		}
	})
}

// A caller whose context ends when the lock is granted passes the lock on. No caller waits forever, and only one holds
// it.
func TestPriorityMutex_CancelledWaitersPassTheLockOn(t *testing.T) {
	var m priorityMutex
	var all sync.WaitGroup
	holders, acquired := 0, 0
	for n := range 8 {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		all.Go(func() {
			for range 2000 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(20))*time.Microsecond)
				if err := m.lock(ctx, random.IntN(4) == 0); err == nil {
					if holders++; holders != 1 {
						t.Errorf("got %d holders, want 1", holders)
					}
					acquired++
					holders--
					m.unlock()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if acquired == 0 || m.locked || len(m.priorityWaiters)+len(m.waiters) != 0 {
		t.Errorf("got %d acquisitions, locked %v, %d and %d waiters, want an idle lock", acquired, m.locked, len(m.priorityWaiters), len(m.waiters))
	}
}
