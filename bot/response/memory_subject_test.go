package response

import (
	"context"
	"sync"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// Memory is the store of this package's tests, with a lock and a queue that performs
// due effects. The conformance test of the stores uses it.
type Memory struct {
	mu sync.Mutex
	m  *memory
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{m: newMemory(incident.Directory{})} }

// Tx implements [Store].
func (s *Memory) Tx(ctx context.Context, f func(Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.Tx(ctx, f)
}

// View implements [Store].
func (s *Memory) View(ctx context.Context, f func(Reader) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.View(ctx, f)
}

// Hold holds all effects, as a restore from a backup does.
func (s *Memory) Hold(_ *testing.T, r incident.Restore) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m.hold(r)
}

// Work calls perform for each due effect until the test ends.
func (s *Memory) Work(t *testing.T, perform func(context.Context, Job) error) {
	next := func() (job Job, ok bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		due := s.m.runnable(time.Now())
		if len(due) == 0 {
			return Job{}, false
		}
		return s.m.start(due[0]), true
	}
	done := make(chan struct{})
	t.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for {
			for job, ok := next(); ok; job, ok = next() {
				if err := perform(t.Context(), job); err != nil {
					t.Errorf("effect %d: %v", job.Effect, err)
					return
				}
			}
			select {
			case <-t.Context().Done():
				return
			case <-ticker.C:
			}
		}
	}()
}
