package telemetry

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

// An impaired optional part appears in /readyz at once, but the bot stays ready.
// Notices start after notifyAfter and repeat daily, even if the bot restarts.
func TestDegradedWatch_NotifiesAfterDelayAndDaily(t *testing.T) {
	now := time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)
	var mailboxErr, notifyErr error
	sent := map[string]map[string]string{}
	var keys []string
	newWatch := func() *degradedWatch {
		return &degradedWatch{clock: func() time.Time { return now }, withoutNotice: []string{"security.txt"}, parts: map[string]func(time.Time) error{
			"vulnerability mailbox": func(time.Time) error { return mailboxErr },
			"security.txt":          func(time.Time) error { return errors.New("expires soon") },
		}, send: func(_ context.Context, key, part string, since time.Time) error {
			if notifyErr != nil {
				return notifyErr
			}
			if sent[key] == nil {
				keys = append(keys, key)
			}
			sent[key] = map[string]string{"part": part, "since": since.UTC().Format(time.RFC3339)}
			return nil
		}}
	}
	m := NewMetrics()
	r := &Readiness{metrics: m, log: slog.New(slog.DiscardHandler), failing: map[string]bool{}, degradedWatch: newWatch()}
	check := func() string {
		r.check(t.Context())
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if w.Code != http.StatusOK {
			t.Errorf("got %d %s, want 200", w.Code, w.Body)
		}
		return strings.TrimSpace(w.Body.String())
	}
	if got := check(); got != `{"status":"ready","degraded":["security.txt"]}` {
		t.Errorf("got /readyz %s", got)
	}
	mailboxErr = errors.New("login rejected by imap.internal")
	if got := check(); got != `{"status":"ready","degraded":["security.txt","vulnerability mailbox"]}` {
		t.Errorf("got /readyz %s", got)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if !strings.Contains(w.Body.String(), `tocsin_degraded{part="vulnerability mailbox"} 1`) {
		t.Error("the gauge tocsin_degraded is not 1")
	}
	now = now.Add(notifyAfter - time.Second)
	if check(); len(keys) != 0 {
		t.Errorf("got notices %v before the delay, want none", keys)
	}
	notifyErr = errors.New("database unavailable")
	now = now.Add(time.Second)
	check()
	notifyErr = nil
	check()
	now = now.Add(notifyRetry)
	check()
	if !slices.Equal(keys, []string{"fault/vulnerability mailbox/2026-11-03"}) || sent[keys[0]]["since"] != "2026-11-03T12:00:00Z" {
		t.Fatalf("got notices %v, want one since 12:00", sent)
	}
	r.degradedWatch = newWatch() // after a restart it does not remember the notice
	check()
	now = now.Add(notifyAfter)
	check()
	now = now.Add(notifyInterval)
	check()
	if !slices.Equal(keys, []string{"fault/vulnerability mailbox/2026-11-03", "fault/vulnerability mailbox/2026-11-04"}) {
		t.Errorf("got notices %v, want one per day", keys)
	}
	mailboxErr = nil
	if got := check(); got != `{"status":"ready","degraded":["security.txt"]}` {
		t.Errorf("got /readyz %s", got)
	}
	mailboxErr = errors.New("again")
	check()
	now = now.Add(notifyAfter / 2)
	if check(); len(keys) != 2 {
		t.Errorf("got notices %v, want none for the new failure yet", keys)
	}
}
