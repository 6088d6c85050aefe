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

	"tocsin/bot/setting"
)

// Limits bound the resources that one source may use. A zero field has its
// default.
type Limits struct {
	// Off rejects new deliveries, but still decodes stored ones.
	Off bool `yaml:"off"`
	// Networks are the networks of the senders, default all.
	Networks []netip.Prefix `yaml:"networks"`
	// MaxBody is the maximum size of a body in bytes, default Options.MaxBody.
	MaxBody int64 `yaml:"max_body"`
	// Rate is the sustained number of verified deliveries per second of one sender.
	// Zero means no limit. A limit loses deliveries of a system that does not retry after
	// status 429, such as Sentry.
	Rate float64 `yaml:"rate"`
	// Burst is the number of deliveries of one sender at once, default Rate × 2 s.
	Burst int `yaml:"burst"`
	// MaxWaiting is the maximum of uncommitted deliveries, default Options.MaxQueue.
	MaxWaiting int `yaml:"max_waiting"`
}

// maxBodyLimit is the maximum of Limits.MaxBody.
const maxBodyLimit = 16 << 20

// Validate returns the problems of the limits, by key.
func (l Limits) Validate() setting.Problems {
	var p setting.Problems
	if l.MaxBody < 0 || l.MaxBody > maxBodyLimit {
		p.Add("max_body", "is out of range. Write a number of bytes from 0 to %d", maxBodyLimit)
	}
	for _, one := range []struct {
		key      string
		negative bool
	}{{"rate", l.Rate < 0}, {"burst", l.Burst < 0}, {"max_waiting", l.MaxWaiting < 0}} {
		if one.negative {
			p.Add(one.key, "is negative. Write 0 or more")
		}
	}
	if l.Burst > 0 && l.Rate == 0 {
		p.Add("burst", "has no effect without a rate. Set rate, in requests per second and sender")
	}
	return p
}

// Every delivery is verified, because genuine senders may share an address with a
// stranger. At most maxStrangers deliveries of one source are verified at the same
// time, apart from those of verified addresses. A flood therefore leaves processor
// time to genuine senders, and one verification costs at most an HMAC of the largest
// body.
const maxStrangers = 16

// After freeFailures failed verifications, each rejection to an address is delayed
// by about tarpitDelay. Without a delay, an attacker sends the next request at
// once, and many attackers delay genuine requests. The delay is random, because
// attackers must not send in step.
const (
	freeFailures    = 3               // failures without a delay, for administrators who set up a source
	failureInterval = 5 * time.Second // one more failure without a delay
	tarpitDelay     = time.Second
	maxTarpitted    = 2048 // delayed rejections at one time, because each uses memory
)

// tarpit contains one element for each rejection that is being delayed.
type tarpit chan struct{}

// wait blocks for 0.5 to 1.5 × tarpitDelay, or until ctx ends. It returns at once
// if maxTarpitted rejections are already waiting.
func (t tarpit) wait(ctx context.Context) {
	select {
	case t <- struct{}{}:
	default:
		return
	}
	defer func() { <-t }()
	timer := time.NewTimer(tarpitDelay/2 + rand.N(tarpitDelay))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// maxSenders is the maximum number of addresses in one generation of a source. A
// source stores two generations.
const maxSenders = 4096

// senderState holds the rate limits of one sender.
type senderState struct {
	rate     *rate.Limiter // for verified deliveries, nil without a limit
	failures *rate.Limiter // for failed verifications that are rejected without a delay
}

// senders stores the state of recent senders in two generations. A full recent
// generation replaces the previous one, and senders without a request in between
// are dropped. The memory is therefore bounded. A dropped sender starts with a full
// budget. It is safe for concurrent use.
//
// An LRU cache would bound the memory too, but it moves an element of a list at each
// request, and a flood of addresses would evict one sender at a time.
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

// get returns the state of an address, and creates it if necessary. All addresses
// of an IPv6 /64 have one state.
func (s *senders) get(from netip.Addr) *senderState {
	from = groupAddr(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.recent[from]
	if state != nil {
		return state
	}
	if state = s.previous[from]; state == nil {
		state = &senderState{failures: rate.NewLimiter(rate.Every(failureInterval), freeFailures)}
		if s.limit > 0 {
			state.rate = rate.NewLimiter(s.limit, s.burst)
		}
	}
	if len(s.recent) >= maxSenders {
		s.recent, s.previous = make(map[netip.Addr]*senderState, maxSenders), s.recent
	}
	s.recent[from] = state
	return state
}

// countDelivery counts a verified delivery against the sender's rate. It returns 0,
// or the time until the next delivery if this one exceeds the rate.
func (s *senderState) countDelivery(now time.Time) time.Duration {
	if s.rate == nil || s.rate.AllowN(now, 1) {
		return 0
	}
	return tokenDelay(s.rate, now)
}

// countFailure counts a failed verification and reports whether the sender has
// exceeded freeFailures.
func (s *senderState) countFailure(now time.Time) (repeated bool) {
	return !s.failures.AllowN(now, 1)
}

// tokenDelay returns the time until l has a whole token, at least 1 ms.
func tokenDelay(l *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - l.TokensAt(now)
	return max(time.Millisecond, time.Duration(missing/float64(l.Limit())*float64(time.Second)))
}

// isAllowed reports whether an address is in one of the networks. Without
// networks, every address is allowed.
func isAllowed(networks []netip.Prefix, from netip.Addr) bool {
	return len(networks) == 0 || slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(from) })
}

// Sender returns the address of the client that sent r. If the peer is a trusted
// proxy, the client is the last address in X-Forwarded-For that does not belong to
// a trusted proxy. Sender returns the zero Addr if the peer has no address, for
// example on a unix socket.
func (a *Admission) Sender(r *http.Request) netip.Addr {
	from := parseAddr(r.RemoteAddr)
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(forwarded) {
		if !a.isTrusted(from) {
			break
		}
		next := parseAddr(strings.TrimSpace(hop))
		if !next.IsValid() {
			break // the entries before a malformed one are not from a trusted proxy
		}
		from = next
	}
	return from
}

func (a *Admission) isTrusted(peer netip.Addr) bool {
	return slices.ContainsFunc(a.proxies, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// warnUnknownProxy logs a warning if a rejected request probably arrived through a
// proxy that is not configured as trusted. All clients of such a proxy have one
// address and share its connections.
func (e *Edge) warnUnknownProxy(r *http.Request, from netip.Addr) {
	if r.Header.Get("X-Forwarded-For") == "" || from != parseAddr(r.RemoteAddr) || !from.IsPrivate() && !from.IsLoopback() || e.admission.isTrusted(from) {
		return
	}
	e.warnProxyOnce.Do(func() {
		e.log.Warn("request from untrusted proxy. Limits apply to the proxy", "proxy", from)
	})
}

// parseAddr parses an IP address with or without a port. It returns the zero Addr
// if s is invalid.
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
