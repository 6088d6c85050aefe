package telemetry

import (
	"net/http"
	"testing"
	"time"

	"tocsin/bot/outbound"
)

// The clock is judged by the systems that answered lately. If none does, the last answer
// counts, because a wrong clock does not repair itself.
func TestClockWatch_Check(t *testing.T) {
	start := time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)
	w := NewClockWatch(NewMetrics())
	observe := func(system string, now time.Time, skew time.Duration) {
		w.Observe(system, outbound.Exchange{Sent: now, Received: now, Response: &http.Response{Header: http.Header{"Date": {now.Add(-skew).Format(http.TimeFormat)}}}}, now)
	}
	want := func(after time.Duration, isWrong bool) {
		t.Helper()
		if err := w.Check(start.Add(after)); (err != nil) != isWrong {
			t.Errorf("got %v after %s, want an error: %v", err, after, isWrong)
		}
	}
	want(0, false)
	observe("PagerDuty", start, 0)
	observe("Slack", start, 10*time.Minute)
	want(0, false) // only the clock of Slack is wrong
	observe("Slack", start.Add(skewTTL), 10*time.Minute)
	want(skewTTL, true)
	want(24*time.Hour, true)
	observe("Slack", start.Add(25*time.Hour), 0)
	want(25*time.Hour, false)
	want(50*time.Hour, false)
}
