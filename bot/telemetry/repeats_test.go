package telemetry

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lockedBuffer is a buffer for concurrent writers.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.Reset()
	return b.String()
}

// logger returns a logger as the bot has it.
func testLogger(t *testing.T, out *lockedBuffer) *slog.Logger {
	log, _, _, err := newLogger(Defaults(), out, noRedaction{})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

type noRedaction struct{}

func (noRedaction) Text(s string) string { return s }

func TestLog_OneComponent(t *testing.T) {
	var out lockedBuffer
	log := testLogger(t, &out)
	store := log.With("component", "store")
	for want, write := range map[string]func(){
		"store":  func() { store.Info("x") },
		"queue":  func() { store.With("component", "queue").Info("x") },
		"call":   func() { store.Info("x", "component", "call") },
		"desk":   func() { log.Info("x", "component", "desk", "a", 1) },
		"slack":  func() { log.With("component", "slack", "a", 1).With("b", 2).Warn("x") },
		"inside": func() { log.With("component", "inside").WithGroup("g").Warn("x", "a", 1) },
	} {
		write()
		if got := out.take(); strings.Count(got, "component=") != 1 || !strings.Contains(got, " component="+want+" ") && !strings.HasSuffix(got, " component="+want+"\n") {
			t.Errorf("got %q, want the component %s once", got, want)
		}
	}
}

// A failure that repeats has one line a minute, with the number of suppressed lines.
// Other failures, and lines without a cause, are not suppressed.
func TestLog_OmitsNil(t *testing.T) {
	var out lockedBuffer
	var none error
	testLogger(t, &out).Warn("part degraded", "part", "mail", "err", none)
	if got := out.take(); !strings.HasSuffix(got, " part=mail\n") {
		t.Errorf("got %q, want no error", got)
	}
}

func TestLog_RepeatedFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		log := testLogger(t, &out).With("component", "desk")
		fail := func(kind, cause string, incident int) {
			log.Warn("effect failed", "kind", kind, "incident", incident, "attempt", incident, "err", errors.New(cause))
		}
		for n := range 100 {
			fail("post", "read 127.0.0.1:"+strings.Repeat("1", n%5+1)+": closed", n)
			log.Info("something", "err", errors.New("x"))
			log.Warn("rule warning", "rule", n)
		}
		fail("card", "closed", 7)
		got := out.take()
		if strings.Count(got, "kind=post") != 1 || strings.Count(got, "kind=card") != 1 || strings.Count(got, "something") != 100 || strings.Count(got, "rule warning") != 100 {
			t.Errorf("got\n%s", got)
		}
		<-time.After(repeatInterval)
		synctest.Wait()
		if got := out.take(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "kind=post incident=99") || !strings.Contains(got, "suppressed=98") {
			t.Errorf("got %q, want the last line with 98 suppressed ones", got)
		}
		fail("post", "read 127.0.0.1:1: closed", 200)
		if got := out.take(); got != "" {
			t.Errorf("got %q within the minute, want nothing", got)
		}
		<-time.After(repeatInterval)
		synctest.Wait()
		if got := out.take(); !strings.Contains(got, "incident=200") || strings.Contains(got, "suppressed") {
			t.Errorf("got %q, want the line of the last minute", got)
		}
		<-time.After(repeatInterval)
		synctest.Wait()
		fail("post", "read 127.0.0.1:1: closed", 300)
		if got := out.take(); !strings.Contains(got, "incident=300") {
			t.Errorf("got %q after a quiet minute, want the line at once", got)
		}
		<-time.After(repeatInterval) // end the timers
	})
}

// The end of the process logs the last line of each failure that repeated, and leaves no
// timer behind.
func TestLog_RepeatedFailureAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		l, err := OpenLog(Defaults(), &out, noRedaction{}, NewMetrics())
		if err != nil {
			t.Fatal(err)
		}
		for n := range 100 {
			l.Warn("effect failed", "kind", "post", "incident", n, "err", errors.New("closed"))
		}
		l.Warn("effect failed", "kind", "card", "incident", 7, "err", errors.New("closed"))
		l.Close()
		got := out.take()
		if strings.Count(got, "\n") != 3 || !strings.Contains(got, "kind=post incident=99 err=closed suppressed=98") {
			t.Errorf("got\n%s\nwant the first lines and the last suppressed one", got)
		}
	})
}
