package intake

import (
	"math"
	"net/netip"
	"sync"
	"time"
)

// A lease has up to maxCredit. Each byte of progress adds one, and half of the
// credit is lost every creditHalfLife. A lease below stalledBelow is stalled. A
// silent sender is therefore stalled after three seconds, and a sender of more
// than 2 KiB/s never is.
const (
	maxCredit      = 16 << 10
	stalledBelow   = 2 << 10
	creditHalfLife = time.Second
)

// pool shares a limited resource, such as bytes of memory, between addresses. A
// full pool evicts the slowest stalled lease instead of refusing a new one. An
// address that is verified keeps its reserve. A pool is safe for concurrent use.
type pool struct {
	limit      int64                 // units in all
	perAddress int64                 // units of one address, 0 means limit
	reserve    int64                 // units of a verified address that no other address can evict
	isVerified func(netip.Addr) bool // must not call the pool
	exempt     func(netip.Addr) bool // reports whether perAddress does not apply
	evicted    func()                // counts an eviction, must not block

	mu     sync.Mutex
	used   int64
	owners map[netip.Addr]*poolOwner
}

// poolOwner holds the leases of one address.
type poolOwner struct {
	addr   netip.Addr
	used   int64
	leases map[*lease]struct{}
}

// lease is the share of one connection or body. Its pool's mutex guards it.
type lease struct {
	pool   *pool
	owner  *poolOwner
	size   int64
	credit float64
	since  time.Time // time of credit
	held   bool      // must not be evicted
	ended  bool      // released or evicted
	evict  func()    // interrupts the holder, must not block or call the pool
}

// take returns a lease of size units for from. It returns nil if the pool is full
// of leases that must not be evicted.
func (p *pool) take(now time.Time, from netip.Addr, size int64, evict func()) *lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	owner := p.owners[from]
	if owner == nil {
		if p.owners == nil {
			p.owners = map[netip.Addr]*poolOwner{}
		}
		owner = &poolOwner{addr: from, leases: map[*lease]struct{}{}}
		p.owners[from] = owner
	}
	l := &lease{pool: p, owner: owner, credit: maxCredit, since: now, evict: evict}
	owner.leases[l] = struct{}{}
	if !p.add(now, l, size) {
		p.end(l)
		return nil
	}
	return l
}

// grow adds n units to the lease. It returns false if the lease was evicted or the
// pool has no room.
func (l *lease) grow(now time.Time, n int64) bool {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	return !l.ended && l.pool.add(now, l, n)
}

// progress counts n bytes that arrived or left. It returns false if the lease was
// evicted.
func (l *lease) progress(now time.Time, n int) bool {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	l.credit, l.since = min(maxCredit, l.creditAt(now)+float64(n)), now
	return !l.ended
}

// hold prevents the eviction of the lease until hold(false). It returns false if
// the lease was evicted before.
func (l *lease) hold(held bool) bool {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	l.held = held
	return !l.ended
}

// alive reports whether the lease was neither evicted nor released.
func (l *lease) alive() bool {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	return !l.ended
}

// release ends the lease. Repeated calls do nothing.
func (l *lease) release() {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	l.pool.end(l)
}

func (l *lease) creditAt(now time.Time) float64 {
	return l.credit * math.Exp2(-float64(now.Sub(l.since))/float64(creditHalfLife))
}

// add adds n units to l and evicts other leases until there is room. The caller
// holds the mutex.
func (p *pool) add(now time.Time, l *lease, n int64) bool {
	for {
		var victim *lease
		switch own := p.perAddress > 0 && l.owner.used+n > p.perAddress && !p.exempt(l.owner.addr); {
		case own:
			victim = p.victim(now, l, n, l.owner)
		case p.used+n > p.limit:
			victim = p.victim(now, l, n, nil)
		default:
			l.size += n
			l.owner.used += n
			p.used += n
			return true
		}
		if victim == nil {
			return false
		}
		p.end(victim)
		victim.evict()
		p.evicted()
		if victim == l {
			return false
		}
	}
}

// end removes l from the pool. The caller holds the mutex.
func (p *pool) end(l *lease) {
	if l.ended {
		return
	}
	l.ended = true
	p.used -= l.size
	l.owner.used -= l.size
	delete(l.owner.leases, l)
	if len(l.owner.leases) == 0 {
		delete(p.owners, l.owner.addr)
	}
}

// victim returns the lease that gives way to n units of l, or nil. It is the
// slowest stalled lease of the address that holds the most in stalled leases. If
// no lease is stalled, it is the slowest lease of the address that holds the most,
// if that is more than the address of l would hold or if only the address of l is
// verified. A verified address therefore always gets room from strangers, and a
// stranger cannot displace others by sending much. If only is set, the victim is a
// stalled lease of that address.
func (p *pool) victim(now time.Time, l *lease, n int64, only *poolOwner) *lease {
	verified := p.isVerified(l.owner.addr)
	var stalled, slowest *lease
	var stalledUnits, units int64
	for _, o := range p.owners {
		if only != nil && o != only {
			continue
		}
		stalledHere, unitsHere, slowestHere := p.survey(now, o, l, verified)
		if slowestHere == nil {
			continue
		}
		if slowestHere.creditAt(now) < stalledBelow && (stalled == nil || stalledHere > stalledUnits) {
			stalled, stalledUnits = slowestHere, stalledHere
		}
		preferred := unitsHere > l.owner.used+n || verified && !p.isVerified(o.addr)
		if o != l.owner && preferred && (slowest == nil || unitsHere > units) {
			slowest, units = slowestHere, unitsHere
		}
	}
	if stalled != nil || only != nil {
		return stalled
	}
	return slowest
}

// survey returns the units in stalled leases of o, its units in all, and the
// slowest lease that may be evicted for requester, or nil. Of a verified address,
// the requester itself does not give way.
func (p *pool) survey(now time.Time, o *poolOwner, requester *lease, verified bool) (stalledUnits, units int64, slowest *lease) {
	keep := int64(0)
	if o != requester.owner && p.isVerified(o.addr) {
		keep = p.reserve
	}
	for l := range o.leases {
		if l.held || l.size == 0 || o.used-l.size < keep || l == requester && verified {
			continue
		}
		credit := l.creditAt(now)
		if credit < stalledBelow {
			stalledUnits += l.size
		}
		if slowest == nil || credit < slowest.creditAt(now) {
			slowest = l
		}
	}
	return stalledUnits, o.used, slowest
}
