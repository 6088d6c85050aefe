package telemetry

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"tocsin/bot/health"
	"tocsin/bot/outbound"
)

// ClockWatch compares the clock of the machine with those of outside systems. It is safe
// for concurrent use.
type ClockWatch struct {
	metrics  *Metrics
	mu       sync.Mutex
	measured map[string]measurement // by system
}

// measurement is the last comparison with one system.
type measurement struct {
	skew time.Duration // positive if the clock of the machine is ahead
	at   time.Time
}

const (
	// maxSkew is the difference that needs an administrator: signatures and deadlines
	// depend on the clock.
	maxSkew = 30 * time.Second
	// skewTTL is how long a measurement counts if there is a newer one.
	skewTTL = 15 * time.Minute
	// maxRoundTrip is the maximum duration of a request whose Date is compared.
	maxRoundTrip = 10 * time.Second
)

// NewClockWatch returns a ClockWatch without measurements.
func NewClockWatch(m *Metrics) *ClockWatch {
	return &ClockWatch{metrics: m, measured: map[string]measurement{}}
}

// Observe compares the Date of a response with the time of its receipt. A response from
// a cache is ignored.
func (w *ClockWatch) Observe(system string, x outbound.Exchange, now time.Time) {
	took := x.Received.Sub(x.Sent)
	if x.Response == nil || took > maxRoundTrip || x.Response.Header.Get("Age") != "" {
		return
	}
	date, err := http.ParseTime(x.Response.Header.Get("Date"))
	if err != nil {
		return
	}
	// The system wrote the date, whole seconds, about half of the round trip ago.
	skew := now.Add(-took / 2).Sub(date.Add(500 * time.Millisecond))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.measured[system] = measurement{skew, now}
	w.metrics.clockSkew.WithLabelValues(system).Set(skew.Seconds())
}

// Check returns an error if the clock differs from those of all systems by more than
// maxSkew. If only one system differs, its clock is wrong. If no system answers any more,
// the newest measurement counts: a wrong clock does not repair itself.
func (w *ClockWatch) Check(now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var newest time.Time
	for _, m := range w.measured {
		if m.at.After(newest) {
			newest = m.at
		}
	}
	var least *measurement
	for _, m := range w.measured {
		isCurrent := now.Sub(m.at) < skewTTL || m.at.Equal(newest)
		if isCurrent && (least == nil || m.skew.Abs() < least.skew.Abs()) {
			least = &m
		}
	}
	if least == nil || least.skew.Abs() <= maxSkew {
		return nil
	}
	direction := "ahead of"
	if least.skew < 0 {
		direction = "behind"
	}
	return &health.Problem{Cause: fmt.Sprintf("The clock of this machine is %s %s the clock of other systems", least.skew.Abs().Round(time.Second), direction),
		Fix: "Synchronize it with NTP: `timedatectl status` shows whether it is"}
}
