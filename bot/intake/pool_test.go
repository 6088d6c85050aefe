package intake

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// poolModel is a pool under test with the leases that its holders still use.
type poolModel struct {
	t        *testing.T
	p        pool
	now      time.Time
	verified map[netip.Addr]bool
	live     []*lease
	evicted  []*lease // during one call
}

func newPoolModel(t *testing.T, limit, perAddress, reserve int64) *poolModel {
	m := &poolModel{t: t, now: time.Unix(1e9, 0), verified: map[netip.Addr]bool{}}
	m.p = pool{limit: limit, perAddress: perAddress, reserve: reserve, isVerified: func(a netip.Addr) bool { return m.verified[a] },
		exempt: func(netip.Addr) bool { return false }, evicted: func() {}}
	return m
}

func (m *poolModel) take(from netip.Addr, size int64) *lease {
	var l *lease
	ended := func() { m.evicted = append(m.evicted, l) }
	l = m.p.take(m.now, from, size, ended)
	if l != nil {
		m.live = append(m.live, l)
	}
	return l
}

func poolAddr(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}) }

// units returns the units in the leases that match.
func (m *poolModel) units(match func(*lease) bool) (n int64) {
	for _, l := range m.live {
		if !l.ended && match(l) {
			n += l.size
		}
	}
	return n
}

// TestPool_Invariants runs random operations. After each one it checks that the
// units in use stay within the limit, that a verified address is not refused while
// strangers hold units, that it keeps its reserve, and that a sender at a normal
// rate is not evicted while another lease is stalled.
func TestPool_Invariants(t *testing.T) {
	const limit, perAddress, reserve, addresses = 100, 40, 12, 8
	refused, evictions := 0, 0
	for seed := range uint64(400) {
		random := rand.New(rand.NewPCG(seed, 1))
		m := newPoolModel(t, limit, perAddress, reserve)
		for range int(seed % 4) {
			m.verified[poolAddr(random.IntN(addresses))] = true
		}
		for step := range 600 {
			m.now = m.now.Add(time.Duration(random.IntN(1+int(seed%3)*100)) * time.Millisecond)
			m.live, m.evicted = slices.DeleteFunc(m.live, func(l *lease) bool { return l.ended }), nil
			from, n := poolAddr(random.IntN(addresses)), 1+int64(random.IntN(3))
			grow := (*lease)(nil)
			if len(m.live) > 0 && random.IntN(3) == 0 {
				grow = m.live[random.IntN(len(m.live))]
				from = grow.owner.addr
				grow.progress(m.now, random.IntN(8<<10))
			}
			before := map[netip.Addr]int64{}
			for a := range addresses {
				before[poolAddr(a)] = m.units(func(l *lease) bool { return l.owner.addr == poolAddr(a) })
			}
			strangers := m.units(func(l *lease) bool { return !m.verified[l.owner.addr] && l.owner.addr != from })
			stalled := m.units(func(l *lease) bool {
				return l.creditAt(m.now) < stalledBelow && (l != grow || !m.verified[from]) && (!m.verified[l.owner.addr] || l.owner.addr == from)
			})
			ok := true
			switch k := random.IntN(10); {
			case grow != nil:
				ok = grow.grow(m.now, n)
			case k < 5 || len(m.live) == 0:
				ok = m.take(from, n) != nil
			case k < 6:
				m.live[random.IntN(len(m.live))].release()
			default:
				m.live[random.IntN(len(m.live))].progress(m.now, random.IntN(8<<10))
			}
			where := fmt.Sprintf("seed %d, step %d", seed, step)
			if got := m.units(func(*lease) bool { return true }); got != m.p.used || got > limit {
				t.Fatalf("%s: got %d units in use and %d counted, want them equal and at most %d", where, got, m.p.used, limit)
			}
			if !ok {
				refused++
				if m.verified[from] && strangers > 0 && before[from]+n <= perAddress {
					t.Fatalf("%s: verified address refused while strangers hold %d units", where, strangers)
				}
			}
			for _, v := range m.evicted {
				evictions++
				a := v.owner.addr
				left := m.units(func(l *lease) bool { return l.owner.addr == a })
				if m.verified[a] && a != from && left < min(before[a], reserve) {
					t.Fatalf("%s: verified address keeps %d units of its reserve", where, left)
				}
				if v.creditAt(m.now) >= stalledBelow && stalled >= n && before[from]+n <= perAddress {
					t.Fatalf("%s: a sender at a normal rate was evicted while %d units were stalled", where, stalled)
				}
			}
		}
	}
	if refused == 0 || evictions == 0 {
		t.Errorf("got %d refusals and %d evictions, want some of both", refused, evictions)
	}
}

// fill takes n leases of one unit for an address.
func (m *poolModel) fill(from netip.Addr, n int) (out []*lease) {
	for range n {
		l := m.take(from, 1)
		if l == nil {
			m.t.Fatal("got no lease, want one")
		}
		out = append(out, l)
	}
	return out
}

func TestPool_EvictsSlowestStalledOfLargestAddress(t *testing.T) {
	m := newPoolModel(t, 10, 0, 2)
	one, many := m.fill(poolAddr(1), 3), m.fill(poolAddr(2), 7)
	m.now = m.now.Add(4 * time.Second)
	for n, l := range many {
		l.progress(m.now, 10*n+10)
	}
	many[3].progress(m.now, maxCredit)
	m.fill(poolAddr(3), 1)
	if !many[0].ended || m.p.used != 10 {
		t.Errorf("got %d leases evicted, want the slowest of the address with the most stalled ones", len(m.evicted))
	}
	for _, l := range append(one, many[1:]...) {
		if l.ended {
			t.Error("got another lease evicted")
		}
	}
}

func TestPool_RefusesStrangerOnlyIfNoneIsStalled(t *testing.T) {
	m := newPoolModel(t, 4, 0, 2)
	m.fill(poolAddr(1), 2)
	m.fill(poolAddr(2), 2)
	if l := m.take(poolAddr(2), 1); l != nil {
		t.Error("got a lease, want a refusal, because the address would hold the most")
	}
	if l := m.take(poolAddr(3), 1); l == nil {
		t.Error("got a refusal, want a lease of a larger address")
	}
	m.verified[poolAddr(4)] = true
	m.fill(poolAddr(4), 3)
	m.now = m.now.Add(time.Minute)
	if l := m.take(poolAddr(2), 2); l == nil {
		t.Error("got a refusal, want a lease of the stalled ones")
	}
	if n := m.units(func(l *lease) bool { return l.owner.addr == poolAddr(4) }); n < 2 {
		t.Errorf("got %d units of the verified address, want its reserve of 2", n)
	}
}

func TestPool_AddressMakesRoomForItself(t *testing.T) {
	m := newPoolModel(t, 100, 4, 2)
	m.fill(poolAddr(1), 4)
	if l := m.take(poolAddr(1), 1); l != nil {
		t.Error("got a fifth lease, want a refusal while none is stalled")
	}
	m.now = m.now.Add(time.Minute)
	m.fill(poolAddr(1), 4)
	if len(m.evicted) != 4 || m.p.used != 4 {
		t.Errorf("got %d evictions and %d units, want 4 and 4", len(m.evicted), m.p.used)
	}
}

func TestPool_HeldLeaseIsNotEvicted(t *testing.T) {
	m := newPoolModel(t, 2, 0, 0)
	both := m.fill(poolAddr(1), 2)
	both[0].hold(true)
	m.now = m.now.Add(time.Minute)
	m.fill(poolAddr(2), 1)
	if both[0].ended || !both[1].ended {
		t.Errorf("got evicted %v and %v, want only the lease that is not held", both[0].ended, both[1].ended)
	}
}

// BenchmarkPool_Full measures the admission of one sender to a pool that is full
// of stalled leases.
func BenchmarkPool_Full(b *testing.B) {
	m := newPoolModel(&testing.T{}, defaultMaxConnections, defaultPerAddress, reservedConnections)
	for n := range defaultMaxConnections {
		m.take(poolAddr(n%50), 1)
	}
	m.now = m.now.Add(time.Minute)
	for b.Loop() {
		m.p.take(m.now, poolAddr(200), 1, func() {})
	}
}

func TestPool_EvictedLeaseGetsNothing(t *testing.T) {
	m := newPoolModel(t, 10, 0, 0)
	old := m.take(poolAddr(1), 10)
	m.now = m.now.Add(time.Hour) // stalls it
	m.take(poolAddr(2), 10)
	if old.alive() || old.grow(m.now, 0) || old.progress(m.now, 1) || old.hold(true) {
		t.Error("got an evicted lease that grows or is held, want it refused")
	}
	if old.release(); m.p.used != 10 {
		t.Errorf("got %d units in use after the release of an evicted lease, want 10", m.p.used)
	}
	fresh := m.live[1]
	if !fresh.hold(true) || fresh.grow(m.now, 1) {
		t.Error("got room above the limit, or a live lease that is not held")
	}
}

func TestPool_ExemptAddressHasNoCap(t *testing.T) {
	m := newPoolModel(t, 10, 2, 0)
	m.p.exempt = func(a netip.Addr) bool { return a == poolAddr(1) }
	for range 3 {
		if m.take(poolAddr(1), 1) == nil {
			t.Error("got no room for an exempt address, want some")
		}
	}
	m.take(poolAddr(2), 2)
	if m.take(poolAddr(2), 1) != nil {
		t.Error("got room above the cap of an address, want none")
	}
}
