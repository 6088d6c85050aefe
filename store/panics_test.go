package store

import (
	"context"
	"testing"
	"time"
)

// TestPanicsAreReportedOncePerSite and minute.
func TestPanicsAreReportedOncePerSite(t *testing.T) {
	now := noon
	p := panicLimiter{clock: func() time.Time { return now }}
	w := worker{handle: func(_ context.Context, task Task) error {
		if task.Attempt == 1 {
			panic("one")
		}
		panic("another")
	}}
	at := func(attempt int) panicSite {
		_, at, _ := w.call(t.Context(), Task{Attempt: attempt})
		return at
	}
	for n, step := range []struct {
		attempt int
		after   time.Duration
		due     bool
	}{{1, 0, true}, {1, 0, false}, {2, 0, true}, {2, 59 * time.Second, false}, {1, time.Second, true}, {1, 0, false}} {
		now = now.Add(step.after)
		if got := p.allow(at(step.attempt)); got != step.due {
			t.Errorf("step %d: %v", n, got)
		}
	}
	if now = now.Add(panicReportInterval); !p.allow(at(1)) || len(p.lastReported) != 1 {
		t.Errorf("%d sites are remembered", len(p.lastReported))
	}
}
