package bot

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
)

// A database that stands still, and does not even notice that nobody waits any
// longer, is lost within five seconds, named, and found again.
func TestAPartThatStandsStillIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		still, asked := make(chan struct{}), atomic.Int32{}
		r := &readiness{metrics: newMetrics(), log: slog.New(slog.DiscardHandler), faults: map[string]string{}, parts: map[string]func(context.Context) error{
			"database": func(context.Context) error { asked.Add(1); <-still; return nil },
			"queue":    func(context.Context) error { return nil },
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.watch(ctx); close(done) }()
		look := func() *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			return w
		}
		<-time.After(5 * time.Second)
		if w := look(); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "the database") || strings.Contains(w.Body.String(), "queue") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times without an answer", n)
		}
		close(still)
		<-time.After(5 * time.Second)
		if w := look(); w.Code != http.StatusOK {
			t.Errorf("it is back: %d %s", w.Code, w.Body)
		}
		cancel()
		<-done
	})
}
