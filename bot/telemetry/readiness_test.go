package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bot/health"
)

// The check of the database hangs and ignores its context. /readyz names it within
// 5 seconds, and the bot is ready again after the check returns.
func TestReadiness_HungPartIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang, calls := make(chan struct{}), atomic.Int32{}
		m := NewMetrics()
		r := NewReadiness(Health{Parts: NewParts(func() []Part { return nil }, time.Now, m), Metrics: m, Clock: time.Now, Logger: slog.New(slog.DiscardHandler), Required: map[string]func(context.Context) error{
			"database": func(context.Context) error { calls.Add(1); <-hang; return nil },
			"queue":    func(context.Context) error { return nil },
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.Watch(ctx); close(done) }()
		get := func() *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			return w
		}
		<-time.After(5 * time.Second)
		if w := get(); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "the database") || strings.Contains(w.Body.String(), "queue") {
			t.Errorf("got %d %s, want 503 naming only the database", w.Code, w.Body)
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("got %d calls of the hung check, want 1", n)
		}
		close(hang)
		<-time.After(5 * time.Second)
		if w := get(); w.Code != http.StatusOK {
			t.Errorf("after recovery: got %d %s, want 200", w.Code, w.Body)
		}
		cancel()
		<-done
	})
}

// The cause and the fix are separate, because a cause can have several sentences.
func TestReadiness_CauseAndFix(t *testing.T) {
	b := newBench(t, Part{Name: "mail", Check: func(time.Time) error { return &health.Problem{Cause: "One. Two", Fix: "Three. Four"} }})
	b.pass(0)
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if want := `{"status":"degraded","degraded":[{"part":"mail","since":"2026-11-03T12:00:00Z","cause":"One. Two","fix":"Three. Four"}]}` + "\n"; w.Body.String() != want {
		t.Errorf("got %s, want %s", w.Body, want)
	}
}
