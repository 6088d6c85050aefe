package store

import (
	"runtime"
	"sync"
	"time"
)

// panicReportInterval is the minimum time between two reports of panics from one site.
const panicReportInterval = time.Minute

// panicLimiter limits reports to one per site and panicReportInterval, because a bug can panic thousands of times.
type panicLimiter struct {
	clock        func() time.Time
	mu           sync.Mutex
	lastReported map[panicSite]time.Time
}

// panicSite identifies where a panic happened by the program counters of its stack.
type panicSite [64]uintptr

// currentPanicSite returns the site of the panic that is being recovered.
func currentPanicSite() (site panicSite) {
	runtime.Callers(2, site[:])
	return site
}

// allow reports whether a panic should be reported, and records the report. It removes expired sites.
func (p *panicLimiter) allow(site panicSite) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	for s, reported := range p.lastReported {
		if now.Sub(reported) >= panicReportInterval {
			delete(p.lastReported, s)
		}
	}
	if _, recent := p.lastReported[site]; recent {
		return false
	}
	if p.lastReported == nil {
		p.lastReported = map[panicSite]time.Time{}
	}
	p.lastReported[site] = now
	return true
}
