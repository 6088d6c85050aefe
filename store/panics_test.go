package store

import (
	"context"
	"testing"
	"time"
)

func TestPanicLimiter_OncePerSiteAndMinute(t *testing.T) {
	now := noon
	p := panicLimiter{clock: func() time.Time { return now }}
	w := worker{handle: func(_ context.Context, task Task) error {
		if task.Attempt == 1 {
			panic("one")
		}
		panic("another")
	}}
	siteOf := func(attempt int) panicSite {
		_, site, _ := w.call(t.Context(), Task{Attempt: attempt})
		return site
	}
	for n, step := range []struct {
		attempt int
		after   time.Duration
		want    bool
	}{{1, 0, true}, {1, 0, false}, {2, 0, true}, {2, 59 * time.Second, false}, {1, time.Second, true}, {1, 0, false}} {
		now = now.Add(step.after)
		if got := p.allow(siteOf(step.attempt)); got != step.want {
			t.Errorf("step %d: got %v, want %v", n, got, step.want)
		}
	}
	if now = now.Add(panicReportInterval); !p.allow(siteOf(1)) || len(p.lastReported) != 1 {
		t.Errorf("got %d stored sites, want 1 after the others expired", len(p.lastReported))
	}
}
