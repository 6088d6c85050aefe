package store

import (
	"runtime"
	"sync"
	"time"
)

// panicReportInterval is how often a panic from the same site is reported.
const panicReportInterval = time.Minute

// panicLimiter remembers when a panic from each site was reported last: what fails thousands of times is one fault.
type panicLimiter struct {
	clock        func() time.Time
	mu           sync.Mutex
	lastReported map[panicSite]time.Time
}

// panicSite is the stack of a panic, without what differs from one to the next.
type panicSite [64]uintptr

// currentPanicSite is the site of the panic that is being recovered.
func currentPanicSite() (at panicSite) {
	runtime.Callers(2, at[:])
	return at
}

// allow reports whether a panic is to be reported, and remembers that it was. Sites of longer ago are forgotten.
func (p *panicLimiter) allow(at panicSite) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	for known, told := range p.lastReported {
		if now.Sub(told) >= panicReportInterval {
			delete(p.lastReported, known)
		}
	}
	if _, lately := p.lastReported[at]; lately {
		return false
	}
	if p.lastReported == nil {
		p.lastReported = map[panicSite]time.Time{}
	}
	p.lastReported[at] = now
	return true
}
