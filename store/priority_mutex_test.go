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

// Who is ahead comes first, and after each of them one of the others.
func TestTheGateCallsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g priorityMutex
		said := make(chan string, 6)
		order := func() (names []string) {
			for len(said) > 0 {
				names = append(names, <-said)
			}
			return names
		}
		come := func(name string, ahead bool, patience time.Duration) {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if err := g.lock(ctx, ahead); err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s: %v", name, err)
					}
					said <- name + " gave up"
					return
				}
				said <- name
				g.unlock()
			}()
			synctest.Wait()
		}
		if err := g.lock(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		come("first", false, time.Hour)
		come("impatient", false, time.Second)
		come("second", false, time.Hour)
		come("ahead", true, time.Hour)
		come("ahead too", true, time.Hour)
		come("impatient ahead", true, time.Second)
		<-time.After(2 * time.Second) // of the bubble's clock
		if got, want := order(), []string{"impatient gave up", "impatient ahead gave up"}; !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Errorf("before: %v, want %v", got, want)
		}
		g.unlock()
		synctest.Wait()
		if got, want := order(), []string{"ahead", "first", "ahead too", "second"}; !slices.Equal(got, want) {
			t.Errorf("they came in as %v, want %v", got, want)
		}
		if g.locked || len(g.priorityWaiters)+len(g.waiters) != 0 {
			t.Errorf("in the end %v, %d and %d wait", g.locked, len(g.priorityWaiters), len(g.waiters))
		}
	})
}

// Whoever gives up just when it is called in passes the call on: nobody waits for ever, and no two are inside.
func TestNobodyIsLostAtTheGate(t *testing.T) {
	var g priorityMutex
	var all sync.WaitGroup
	inside, entered := 0, 0
	for n := range 8 {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		all.Go(func() {
			for range 2000 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(20))*time.Microsecond)
				if err := g.lock(ctx, random.IntN(4) == 0); err == nil {
					if inside++; inside != 1 {
						t.Errorf("%d are inside", inside)
					}
					entered++
					inside--
					g.unlock()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if entered == 0 || g.locked || len(g.priorityWaiters)+len(g.waiters) != 0 {
		t.Errorf("%d entered; in the end %v, %d and %d wait", entered, g.locked, len(g.priorityWaiters), len(g.waiters))
	}
}
