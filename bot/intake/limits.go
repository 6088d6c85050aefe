package intake

import (
	"context"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what one source may take of the edge. A field that is zero has
// its default.
type Limits struct {
	Off      bool           // nothing is taken any more; what is stored already is still decoded
	Networks []netip.Prefix // where its senders may be; none: anywhere
	MaxBody  int64          // bytes of a body; default Options.MaxBody
	// Rate is how many requests a second one sender may make in the long run;
	// zero: any number. Think twice before setting it for a system that does not
	// repeat what was refused, as Sentry does not.
	Rate       float64
	Burst      int // requests of one sender at once; default two seconds' worth
	MaxWaiting int // deliveries that wait for their commit; default Options.MaxQueue
}

// Failed verifications that one address may make before it is refused unheard,
// and how soon it may make another. Somebody who enters a new secret on one side
// first stays below it; a flood from a thousand addresses costs a thousand times
// maxFailures HMACs and hardly anything after that.
const (
	maxFailures     = 20
	failureInterval = 5 * time.Second
)

// Whoever was not genuine more than a few times waits for the next refusal. A
// sender that has it at once asks again at once, and a thousand of them keep a
// thousand requests before everybody else's; so each asks once in a while, and
// not all at the same time. Only so many wait, for they take memory.
const (
	freeFailures = 3 // failures that are answered at once: somebody is setting up a source
	tarpitDelay  = time.Second
	maxTarpitted = 2048
)

// tarpit has a place for each refusal that is held back.
type tarpit chan struct{}

// wait waits, where there is a place, until the refusal may go out: about as long
// as stallFor says.
func (s tarpit) wait(ctx context.Context) {
	select {
	case s <- struct{}{}:
	default:
		return
	}
	defer func() { <-s }()
	timer := time.NewTimer(tarpitDelay/2 + rand.N(tarpitDelay))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// maxSenders is how many addresses a source remembers for sure, and half of
// those that it remembers at most.
const maxSenders = 4096

// senderState is what is known of one sender.
type senderState struct {
	rate     *rate.Limiter // of its requests; nil: no limit
	failures *rate.Limiter // of its failed verifications
}

// senders remembers the latest addresses in two generations: when the young is
// full it becomes the old one, and who is not seen for a whole generation is
// forgotten. So memory stays bounded whoever comes, and whoever is forgotten
// begins anew with a full budget.
type senders struct {
	limit rate.Limit
	burst int

	mu               sync.Mutex
	recent, previous map[netip.Addr]*senderState
}

func newSenders(l Limits) *senders {
	s := &senders{limit: rate.Limit(l.Rate), burst: l.Burst, recent: map[netip.Addr]*senderState{}}
	if s.burst <= 0 {
		s.burst = max(1, int(math.Ceil(2*l.Rate)))
	}
	return s
}

func (s *senders) get(from netip.Addr) *senderState {
	if from.Is6() {
		// One host has a whole /64 to take addresses from.
		from = netip.PrefixFrom(from, 64).Masked().Addr()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.recent[from]
	if a != nil {
		return a
	}
	if a = s.previous[from]; a == nil {
		a = &senderState{failures: rate.NewLimiter(rate.Every(failureInterval), maxFailures)}
		if s.limit > 0 {
			a.rate = rate.NewLimiter(s.limit, s.burst)
		}
	}
	if len(s.recent) >= maxSenders {
		s.recent, s.previous = make(map[netip.Addr]*senderState, maxSenders), s.recent
	}
	s.recent[from] = a
	return a
}

// countRequest counts a request against the sender's rate, and says how long to wait if
// it is one too many.
func (a *senderState) countRequest(now time.Time) time.Duration {
	if a.rate == nil || a.rate.AllowN(now, 1) {
		return 0
	}
	return tokenDelay(a.rate, now)
}

// suspendedFor says how long nothing of this address is verified.
func (a *senderState) suspendedFor(now time.Time) time.Duration {
	if a.failures.TokensAt(now) >= 1 {
		return 0
	}
	return tokenDelay(a.failures, now)
}

// countFailure counts a failed verification, and reports whether it is one of several.
func (a *senderState) countFailure(now time.Time) (again bool) {
	a.failures.AllowN(now, 1)
	return a.failures.TokensAt(now) < maxFailures-freeFailures
}

// tokenDelay is when the limiter has a whole token again.
func tokenDelay(l *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - l.TokensAt(now)
	return max(time.Millisecond, time.Duration(missing/float64(l.Limit())*float64(time.Second)))
}

// isAllowed reports whether an address is in one of the networks.
func isAllowed(networks []netip.Prefix, from netip.Addr) bool {
	return len(networks) == 0 || slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(from) })
}

// Sender is the address that a request came from: the peer's, or, where that is
// a trusted proxy, the last one in X-Forwarded-For that no trusted proxy has. It
// is the zero Addr if the peer has none (a unix socket).
func (e *Edge) Sender(r *http.Request) netip.Addr {
	from := parseAddr(r.RemoteAddr)
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(forwarded) {
		if !e.isTrusted(from) {
			break
		}
		next := parseAddr(strings.TrimSpace(hop))
		if !next.IsValid() {
			break // whatever stands before this was not written by a proxy
		}
		from = next
	}
	return from
}

func (e *Edge) isTrusted(peer netip.Addr) bool {
	return slices.ContainsFunc(e.proxies, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// behindUnknownProxy reports whether all of a proxy's clients look like one sender,
// because nobody told us of the proxy. Then the failures of one of them must not
// silence the others.
func (e *Edge) behindUnknownProxy(r *http.Request, from netip.Addr) bool {
	if r.Header.Get("X-Forwarded-For") == "" || from != parseAddr(r.RemoteAddr) || !from.IsPrivate() && !from.IsLoopback() || e.isTrusted(from) {
		return false
	}
	e.warnProxyOnce.Do(func() {
		e.log.Warn("requests come through a proxy that is not among the trusted ones: its clients share one rate, and networks cannot be told apart", "proxy", from)
	})
	return true
}

// parseAddr reads an address with or without a port.
func parseAddr(s string) netip.Addr {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	} else if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
