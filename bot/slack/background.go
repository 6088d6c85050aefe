package slack

import (
	"context"
	"sync"
	"time"
)

// background tracks goroutines that continue after a request was answered.
// Unlike with [sync.WaitGroup], new goroutines may start while wait blocks.
type background struct {
	mu    sync.Mutex
	ended sync.Cond
	n     int
}

func (w *background) start(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	go func() {
		defer w.end()
		f()
	}()
}

func (w *background) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n--
	w.ended.Broadcast()
}

func (w *background) wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.n > 0 {
		w.ended.Wait()
	}
}

// Wait blocks until all background work is done, such as building forms and
// sending replies. It does not wait for the time of the next refresh of home tabs: the
// refresh starts at once, and so does the save of drafts. Call Wait when no more requests arrive.
func (s *Slack) Wait() {
	s.homes.flush(s.publishHomes)
	for _, view := range s.drafts.views() {
		s.saveDraft(view)
	}
	s.background.wait()
}

// runInBackground starts f in a goroutine. The context of f is independent of
// the request and ends after 30 seconds.
func (s *Slack) runInBackground(f func(context.Context)) {
	s.background.start(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		f(ctx)
	})
}
