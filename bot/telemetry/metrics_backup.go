package telemetry

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// backupTimes are when backups were made and proven. It is a [prometheus.Collector] of
// ages, which grow between two probes.
type backupTimes struct {
	made, verified atomic.Pointer[time.Time]
	rto            atomic.Pointer[float64]
	gauges         []prometheus.GaugeFunc
}

func newBackupTimes() *backupTimes {
	t := &backupTimes{}
	gauge := func(name, help string, value func() float64) {
		t.gauges = append(t.gauges, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("tocsin_backup_age_seconds", "Age of the newest backup that enough destinations have, in seconds, or NaN without one.", func() float64 { return age(&t.made) })
	gauge("tocsin_backup_verified_age_seconds", "Age of the newest proof that a backup restores, in seconds, or NaN without one.", func() float64 { return age(&t.verified) })
	gauge("tocsin_backup_rto_seconds", "Time that the newest proof took to restore a backup, in seconds, or NaN without one.", func() float64 {
		if rto := t.rto.Load(); rto != nil {
			return *rto
		}
		return math.NaN()
	})
	return t
}

// age returns the age of a time in seconds. It is not negative.
func age(of *atomic.Pointer[time.Time]) float64 {
	if at := of.Load(); at != nil {
		return max(time.Since(*at).Seconds(), 0)
	}
	return math.NaN()
}

// Describe implements [prometheus.Collector].
func (t *backupTimes) Describe(out chan<- *prometheus.Desc) {
	for _, g := range t.gauges {
		g.Describe(out)
	}
}

// Collect implements [prometheus.Collector].
func (t *backupTimes) Collect(out chan<- prometheus.Metric) {
	for _, g := range t.gauges {
		g.Collect(out)
	}
}

// SetBackup sets when the newest backup was made. Zero means that there is none.
func (m *Metrics) SetBackup(at time.Time) {
	if at.IsZero() {
		m.backups.made.Store(nil)
		return
	}
	m.backups.made.Store(&at)
}

// SetBackupProof sets when a backup was proven last, and how many seconds its restore took.
func (m *Metrics) SetBackupProof(at time.Time, rtoSeconds float64) {
	m.backups.verified.Store(&at)
	m.backups.rto.Store(&rtoSeconds)
}
