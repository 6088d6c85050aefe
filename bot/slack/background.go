package slack

import (
	"context"
	"sync"
	"time"
)

// background is what goes on after requests were answered. Unlike a sync.WaitGroup it
// may be waited for while more comes in.
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

// Wait returns when everything that goes on after an answer is done: forms
// being filled, people being told. Call it when nothing comes in any more.
func (s *Slack) Wait() { s.background.wait() }

// runInBackground goes on after the request was answered. It has its own deadline,
// because the request's context ends with the request.
func (s *Slack) runInBackground(f func(context.Context)) {
	s.background.start(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		f(ctx)
	})
}
