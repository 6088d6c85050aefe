package bot

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// A fault beside the bot is shown at once and leaves it ready; people are told
// when it has lasted, and once a day then, however often the bot is started.
func TestAFaultBesideIsShownAndToldOf(t *testing.T) {
	now := time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)
	var fault, refused error
	told := map[string]map[string]string{}
	var keys []string
	started := func() *degradedWatch {
		return &degradedWatch{clock: func() time.Time { return now }, onlyAfterDelay: map[string]bool{"security.txt": true}, parts: map[string]func(time.Time) error{
			"vulnerability mailbox": func(time.Time) error { return fault },
			"security.txt":          func(time.Time) error { return errors.New("expires soon") },
		}, tell: func(_ context.Context, key string, args map[string]string) error {
			if refused != nil {
				return refused
			}
			if told[key] == nil {
				keys = append(keys, key)
			}
			told[key] = args
			return nil
		}}
	}
	m := newMetrics()
	r := &readiness{metrics: m, log: slog.New(slog.DiscardHandler), faults: map[string]string{}, upkeep: started()}
	look := func() string {
		r.check(t.Context())
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if w.Code != http.StatusOK {
			t.Errorf("answered %d: %s", w.Code, w.Body)
		}
		return strings.TrimSpace(w.Body.String())
	}
	if got := look(); got != `{"status":"ready","degraded":["security.txt"]}` {
		t.Error(got)
	}
	fault = errors.New("login refused for imap.internal")
	if got := look(); got != `{"status":"ready","degraded":["security.txt","vulnerability mailbox"]}` {
		t.Error(got)
	}
	w := httptest.NewRecorder()
	m.handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if !strings.Contains(w.Body.String(), `tocsin_degraded{part="vulnerability mailbox"} 1`) {
		t.Error("the gauge does not show it")
	}
	now = now.Add(notifyAfter - time.Second)
	if look(); len(keys) != 0 {
		t.Errorf("told too early: %v", keys)
	}
	refused = errors.New("the database is away")
	now = now.Add(time.Second)
	look()
	refused = nil
	look()
	now = now.Add(notifyRetry)
	look()
	if !slices.Equal(keys, []string{"fault/vulnerability mailbox/2026-11-03"}) || told[keys[0]]["since"] != "2026-11-03T12:00:00Z" {
		t.Fatalf("told %v", told)
	}
	r.upkeep = started() // it was started anew, and does not know that it told
	look()
	now = now.Add(notifyAfter)
	look()
	now = now.Add(notifyInterval)
	look()
	if !slices.Equal(keys, []string{"fault/vulnerability mailbox/2026-11-03", "fault/vulnerability mailbox/2026-11-04"}) {
		t.Errorf("told %v", keys)
	}
	fault = nil
	if got := look(); got != `{"status":"ready","degraded":["security.txt"]}` {
		t.Error(got)
	}
	fault = errors.New("again")
	look()
	now = now.Add(notifyAfter / 2)
	if look(); len(keys) != 2 {
		t.Errorf("a new fault is told of at once: %v", keys)
	}
}
