package intake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"tocsin/bot/incident"
)

// pathPrefix precedes the name of the source in a webhook's path.
const pathPrefix = "/hooks/"

const (
	defaultMaxBody  = 1 << 20
	defaultMaxQueue = 1024

	// responseTimeout is how long a request waits for the commit. EventBridge and
	// PagerDuty hang up after 5 s. If the commit finishes after the reply, the
	// sender's retry is recognised as a duplicate.
	responseTimeout = 4 * time.Second

	// maxID is the maximum length of a delivery ID in bytes. A longer ID is
	// replaced by its hash.
	maxID = 200
)

// Options configure an [Edge]. Store, Desk and Sources are required.
type Options struct {
	Store    Store
	Desk     Desk
	Sources  []Source
	Clock    func() time.Time  // default time.Now
	Logger   *slog.Logger      // default slog.Default
	Observer Observer          // default: no metrics
	MaxBody  int64             // maximum size of a request body in bytes, default 1 MiB
	MaxQueue int               // maximum of uncommitted deliveries per source, default 1024
	Limits   map[string]Limits // by name of the source
	// TrustedProxies are the networks of the proxies whose X-Forwarded-For header
	// names the sender.
	TrustedProxies []netip.Prefix
}

// Edge is the [http.Handler] of POST /hooks/{source}. It answers 202 only after
// the delivery is committed. For every other delivery, the status shows the
// sender whether a retry can succeed. An Edge is safe for concurrent use.
type Edge struct {
	store         Store
	desk          Desk
	sources       map[string]*endpoint
	proxies       []netip.Prefix
	clock         func() time.Time
	log           *slog.Logger
	observer      Observer
	warnProxyOnce sync.Once // for the warning about an untrusted proxy
	tarpit        tarpit

	queue   *queue
	stopped chan struct{} // closed when commitLoop has returned
}

// endpoint is the webhook of one source with its limits, senders and queue.
type endpoint struct {
	Source
	limits  Limits
	senders *senders
	queue   *sourceQueue
}

// New returns an Edge and starts its commit loop. The caller must call
// [Edge.Close].
func New(o Options) *Edge {
	e := &Edge{
		store: o.Store, desk: o.Desk, sources: make(map[string]*endpoint, len(o.Sources)), proxies: o.TrustedProxies,
		clock: o.Clock, log: o.Logger, observer: o.Observer, stopped: make(chan struct{}), tarpit: make(tarpit, maxTarpitted),
	}
	if e.clock == nil {
		e.clock = time.Now
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	e.log = e.log.With("component", "intake")
	if e.observer == nil {
		e.observer = noopObserver{}
	}
	if o.MaxBody <= 0 {
		o.MaxBody = defaultMaxBody
	}
	if o.MaxQueue <= 0 {
		o.MaxQueue = defaultMaxQueue
	}
	largest := o.MaxBody
	for _, s := range o.Sources {
		l := o.Limits[s.Name()]
		if l.MaxBody <= 0 {
			l.MaxBody = o.MaxBody
		}
		if l.MaxWaiting <= 0 {
			l.MaxWaiting = o.MaxQueue
		}
		largest = max(largest, l.MaxBody)
		e.sources[s.Name()] = &endpoint{Source: s, limits: l, senders: newSenders(l)}
	}
	e.queue = newQueue(largest)
	for _, ep := range e.sources {
		ep.queue = e.queue.addSource(ep.limits.MaxWaiting)
	}
	go e.commitLoop()
	return e
}

// Close rejects new deliveries with [ErrStopped], commits the waiting ones and
// then returns. The error is always nil.
func (e *Edge) Close() error {
	e.queue.close()
	<-e.stopped
	return nil
}

// ServeHTTP receives one delivery.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	name, _ := strings.CutPrefix(r.URL.Path, pathPrefix)
	source, known := e.sources[name]
	if !known {
		name = "" // a stranger must not be able to create metric labels
	}
	answer := e.handle(source, r)
	e.observer.Delivery(name, answer.outcome, time.Since(start))
	answer.write(w)
}

// clientGone returns the reply for a request whose context ended. The sender can
// still be connected, because the server's read timeout ends the context too. If
// the handler then wrote nothing, net/http would answer 200.
func clientGone(message string) reply {
	return reply{outcome: ClientGone, status: http.StatusServiceUnavailable, code: "too_slow", message: message}
}

// handle checks, verifies and commits one request and returns the reply. The
// cheapest checks run first, to reject a flood before its bodies are read.
func (e *Edge) handle(ep *endpoint, r *http.Request) reply {
	switch {
	case ep == nil:
		return reply{outcome: UnknownSource, status: http.StatusNotFound, code: "unknown_source", message: "this path belongs to no source. Post deliveries to " + pathPrefix + "{source}"}
	case ep.limits.Off:
		return reply{outcome: Disabled, status: http.StatusNotFound, code: "disabled", message: "the source " + ep.Name() + " is disabled. Enable it in the configuration of Tocsin"}
	case r.Method != http.MethodPost:
		return reply{outcome: WrongMethod, status: http.StatusMethodNotAllowed, code: "method_not_allowed", message: "the method " + truncate(r.Method, 20) + " is not allowed. Use POST"}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return reply{outcome: Malformed, status: http.StatusUnsupportedMediaType, code: "compressed", message: "the body is compressed (" + truncate(strings.ToValidUTF8(encoding, "?"), 20) + "). Send it uncompressed"}
	}
	now, from := e.clock(), e.Sender(r)
	if !isAllowed(ep.limits.Networks, from) {
		return reply{outcome: NetworkDenied, status: http.StatusForbidden, code: "network_denied", message: "the network of the sender is not allowed. Allow it in the configuration of Tocsin"}
	}
	sender := ep.senders.get(from)
	if wait := sender.countRequest(now); wait > 0 {
		return reply{outcome: RateLimited, status: http.StatusTooManyRequests, code: "too_many_requests", message: "this address exceeds the rate limit of the source. Wait for Retry-After, then send the delivery again", retryAfter: wait}
	}
	if wait := sender.suspendedFor(now); wait > 0 && !e.behindUnknownProxy(r, from) {
		e.tarpit.wait(r.Context())
		return reply{outcome: Suspended, status: http.StatusTooManyRequests, code: "too_many_failures", message: "too many deliveries from this address failed verification. Correct the secret, wait for Retry-After, then send again", retryAfter: wait}
	}
	p := &pending{queue: ep.queue, result: make(chan error, 1)}
	body, bad := e.read(ep, r)
	if bad != nil {
		return *bad
	}
	p.Delivery = Delivery{Source: ep.Name(), Header: selectHeaders(r.Header, ep.Headers()), Body: body, Received: now, Sender: senderName(from, r)}
	if bad := e.verify(ep, r.Header, &p.Delivery); bad != nil {
		e.queue.release(ep.queue, int64(len(body)))
		if bad.outcome == Refused {
			if sender.countFailure(now) {
				e.tarpit.wait(r.Context())
			}
		}
		return *bad
	}
	return e.commit(r.Context(), p)
}

// read returns the raw body, or a reply if the body is too large, incomplete or
// late. The size of the body stays reserved in the memory budget of the
// endpoint's queue until the caller releases it.
func (e *Edge) read(ep *endpoint, r *http.Request) ([]byte, *reply) {
	limit := ep.limits.MaxBody
	tooLarge := &reply{outcome: TooLarge, status: http.StatusRequestEntityTooLarge, code: "too_large", message: fmt.Sprintf("the body is larger than %d bytes. Send less or raise limits.max_body of this source", limit)}
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	reserved := limit
	if r.ContentLength >= 0 {
		reserved = r.ContentLength
	}
	if !e.queue.reserve(ep.queue, reserved) {
		return nil, capacityError(ErrFull)
	}
	used := int64(0)
	defer func() { e.queue.release(ep.queue, reserved-used) }()
	var buf bytes.Buffer
	buf.Grow(int(min(max(r.ContentLength, 0), 64<<10)) + bytes.MinRead)
	if _, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1)); err != nil {
		if r.Context().Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
			late := clientGone("the body did not arrive in time. Send the delivery again")
			return nil, &late
		}
		return nil, &reply{outcome: Malformed, status: http.StatusBadRequest, code: "unreadable", message: "the body is incomplete. Send the whole body"}
	}
	if int64(buf.Len()) > reserved {
		return nil, tooLarge
	}
	used = int64(buf.Len())
	return buf.Bytes(), nil
}

// verify authenticates a delivery, checks that its body is JSON, and sets its
// ID. It returns nil on success.
func (e *Edge) verify(ep *endpoint, h http.Header, v *Delivery) *reply {
	id, err := ep.Verify(h, v.Body, v.Received)
	if err != nil {
		rejected := e.verifyError(ep, err)
		return &rejected
	}
	if err := validateJSON(v.Body); err != nil {
		return &reply{outcome: Malformed, status: http.StatusBadRequest, code: "not_json", message: err.Error()}
	}
	v.ID, v.Verified = deliveryID(id, v.Body), "by the source's credential"
	return nil
}

// deliveryID returns an ID that every database can store: short and printable.
// A long or unprintable ID is hashed. Without an ID, the hash of the body is used.
func deliveryID(id string, body []byte) string {
	unprintable := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	switch {
	case id == "":
		return sha256ID(body)
	case len(id) > maxID || strings.ContainsFunc(id, unprintable):
		return sha256ID([]byte(id))
	}
	return id
}

func sha256ID(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func selectHeaders(h http.Header, names []string) map[string]string {
	selected := make(map[string]string, len(names))
	for _, n := range names {
		if v := h.Get(n); v != "" {
			selected[http.CanonicalHeaderKey(n)] = v
		}
	}
	return selected
}

func senderName(from netip.Addr, r *http.Request) string {
	if !from.IsValid() {
		return r.RemoteAddr
	}
	return from.String()
}

// commit queues a delivery and waits until its batch is committed or has failed,
// responseTimeout has passed, or ctx ends. It releases the bytes of the delivery if
// it cannot queue it.
func (e *Edge) commit(ctx context.Context, p *pending) reply {
	if err := e.queue.put(p); err != nil {
		e.queue.release(p.queue, int64(len(p.Body)))
		return *capacityError(err)
	}
	timeout := time.NewTimer(responseTimeout)
	defer timeout.Stop()
	select {
	case err := <-p.result:
		if err != nil {
			return reply{outcome: Failed, status: http.StatusServiceUnavailable, code: "not_stored", message: "the delivery could not be stored. Send it again"}
		}
		return reply{outcome: Accepted, status: http.StatusAccepted}
	case <-timeout.C:
		return reply{outcome: Failed, status: http.StatusServiceUnavailable, code: "too_slow", message: "storing the delivery takes too long. Send it again"}
	case <-ctx.Done():
		return clientGone("storing the delivery takes too long. Send it again") // the delivery may still be committed
	}
}

// Deliver stores a delivery that did not arrive as a POST to /hooks/, for
// example from a mailbox or a form. It blocks until the delivery is committed or
// ctx ends. The caller must have verified the delivery and bounded its size.
//
// After an error, the delivery may or may not be stored. A second call with the
// identical ID is safe.
func (e *Edge) Deliver(ctx context.Context, v Delivery) error {
	start := time.Now()
	ep, known := e.sources[v.Source]
	if !known {
		return incident.Unknown("source", "unknown source %q. Enable it under sources in the configuration", v.Source)
	}
	v.ID = deliveryID(v.ID, v.Body)
	if v.Received.IsZero() {
		v.Received = e.clock()
	}
	outcome, err := e.deliver(ctx, ep, v)
	e.observer.Delivery(v.Source, outcome, time.Since(start))
	if err != nil {
		return fmt.Errorf("deliver to %s: %w", v.Source, err)
	}
	return nil
}

func (e *Edge) deliver(ctx context.Context, ep *endpoint, v Delivery) (Outcome, error) {
	size := int64(len(v.Body))
	if ep.limits.Off {
		return Disabled, incident.Conflict("the source %s is disabled. Enable it in the configuration of Tocsin", v.Source)
	}
	if !e.queue.reserve(ep.queue, size) {
		return QueueFull, ErrFull
	}
	p := &pending{Delivery: v, queue: ep.queue, result: make(chan error, 1)}
	if err := e.queue.put(p); err != nil {
		e.queue.release(ep.queue, size)
		return capacityError(err).outcome, err
	}
	select {
	case err := <-p.result:
		if err != nil {
			return Failed, err
		}
		return Accepted, nil
	case <-ctx.Done():
		return ClientGone, ctx.Err()
	}
}
