package intake

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
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
	// Traffic records what the sources send. The default is not visible to anyone.
	Traffic *Traffic
	// Admission bounds the bodies that are being read. The default has no trusted
	// proxies.
	Admission *Admission
}

// Edge is the [http.Handler] of POST /hooks/{source}. It answers 202 only after
// the delivery is committed. For every other delivery, the status shows the
// sender whether a retry can succeed. An Edge is safe for concurrent use.
type Edge struct {
	store         Store
	desk          Desk
	sources       map[string]*endpoint
	admission     *Admission
	clock         func() time.Time
	log           *slog.Logger
	observer      Observer
	traffic       *Traffic
	warnProxyOnce sync.Once // for the warning about an untrusted proxy
	tarpit        tarpit
	large         chan struct{} // one element for each body that is being shortened

	queue   *queue
	stopped chan struct{} // closed when commitLoop has returned
}

// endpoint is the webhook of one source with its limits, senders and queue.
type endpoint struct {
	Source
	limits  Limits
	senders *senders
	queue   *sourceQueue
	slots   chan struct{} // one element for each delivery of a stranger that is being verified
}

// New returns an Edge and starts its commit loop. The caller must call
// [Edge.Close].
func New(o Options) *Edge {
	e := &Edge{
		store: o.Store, desk: o.Desk, sources: make(map[string]*endpoint, len(o.Sources)), admission: o.Admission,
		clock: o.Clock, log: o.Logger, observer: o.Observer, stopped: make(chan struct{}), tarpit: make(tarpit, maxTarpitted), large: make(chan struct{}, maxLargeBodies),
	}
	if e.clock == nil {
		e.clock = time.Now
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	if e.traffic = o.Traffic; e.traffic == nil {
		e.traffic = NewTraffic(e.clock(), e.log)
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
		e.sources[s.Name()] = &endpoint{Source: s, limits: l, senders: newSenders(l), slots: make(chan struct{}, maxStrangers)}
	}
	if e.admission == nil {
		e.admission = NewAdmission(AdmissionOptions{LargestBody: largest})
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
	answer := e.handle(source, w, r)
	e.observer.Delivery(name, answer.outcome, time.Since(start))
	if known {
		e.record(name, answer, r)
	}
	answer.write(w)
}

// record records the result of a request. A sender that disconnects or stalls, and a
// browser that opens the URL, are not traffic of the source.
func (e *Edge) record(source string, answer reply, r *http.Request) {
	from := senderName(e.admission.Sender(r), r)
	switch answer.outcome {
	case Accepted:
		e.traffic.Accept(source, from, e.clock())
	case ClientGone, Evicted, Disabled:
	case WrongMethod:
		if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions {
			e.traffic.Refuse(source, answer.outcome, from, answer.message, e.clock())
		}
	default:
		e.traffic.Refuse(source, answer.outcome, from, answer.message, e.clock())
	}
}

// clientGone returns the reply for a request whose context ended. The sender can
// still be connected, because the server's read timeout ends the context too. If
// the handler then wrote nothing, net/http would answer 200.
func clientGone(message string) reply {
	return reply{outcome: ClientGone, status: http.StatusServiceUnavailable, code: "too_slow", message: message}
}

// evictedReply returns the reply for a body that gave way to another one.
func evictedReply() reply {
	return reply{outcome: Evicted, status: http.StatusServiceUnavailable, code: "busy", message: "Tocsin receives too many bodies at the moment. Send this one again"}
}

// handle checks, verifies and commits one request and returns the reply. The
// cheapest checks run first, to reject a flood before its bodies are read.
func (e *Edge) handle(ep *endpoint, w http.ResponseWriter, r *http.Request) reply {
	switch {
	case ep == nil:
		return reply{outcome: UnknownSource, status: http.StatusNotFound, code: "unknown_source", message: "this path belongs to no source. Post deliveries to " + pathPrefix + "{source}"}
	case ep.limits.Off:
		return reply{outcome: Disabled, status: http.StatusNotFound, code: "disabled", message: "the source " + ep.Name() + " is disabled. Enable it in the configuration of Tocsin"}
	case r.Method != http.MethodPost:
		return reply{outcome: WrongMethod, status: http.StatusMethodNotAllowed, code: "method_not_allowed", message: "the method " + text.Truncate(r.Method, 20) + " is not allowed. Use POST"}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return reply{outcome: Malformed, status: http.StatusUnsupportedMediaType, code: "compressed", message: "the body is compressed (" + text.Truncate(strings.ToValidUTF8(encoding, "?"), 20) + "). Send it uncompressed"}
	}
	now, from := e.clock(), e.admission.Sender(r)
	if !isAllowed(ep.limits.Networks, from) {
		return reply{outcome: NetworkDenied, status: http.StatusForbidden, code: "network_denied", message: "the network of the sender is not allowed. Allow it in the configuration of Tocsin"}
	}
	v, bad := e.receive(ep, w, r, Delivery{Source: ep.Name(), Received: now, Sender: senderName(from, r)})
	if bad == nil {
		return e.commit(r.Context(), ep, v)
	}
	if bad.outcome == Refused && ep.senders.get(from).countFailure(now) {
		e.warnUnknownProxy(r, from)
		e.tarpit.wait(r.Context()) // without the body in memory
	}
	return *bad
}

// receive reads and verifies the body of v, and counts v against the rate of its
// sender.
func (e *Edge) receive(ep *endpoint, w http.ResponseWriter, r *http.Request, v Delivery) (Delivery, *reply) {
	v, bad := e.readVerified(ep, w, r, v)
	if bad != nil {
		return v, bad
	}
	if wait := ep.senders.get(e.admission.Sender(r)).countDelivery(v.Received); wait > 0 {
		return v, &reply{outcome: RateLimited, status: http.StatusTooManyRequests, code: "too_many_requests", message: "this address exceeds the rate limit of the source. Wait for Retry-After, then send the delivery again", retryAfter: wait}
	}
	return v, nil
}

// readVerified reads and verifies the body of v. A body above the limit is shortened if
// its sender is verified. A verified body that is not one JSON document is marked, and the
// drain reports it.
func (e *Edge) readVerified(ep *endpoint, w http.ResponseWriter, r *http.Request, v Delivery) (Delivery, *reply) {
	if r.ContentLength > ep.limits.MaxBody {
		allowed, byHeader, bad := e.canBeLarge(ep, r)
		switch {
		case bad != nil:
			return v, bad
		case allowed:
			v, bad = e.readLarge(ep, w, r, v, byHeader)
			if bad == nil {
				e.admission.Verified(r)
			}
			return v, bad
		}
	}
	b, bad := e.read(ep, w, r)
	defer b.release()
	if bad != nil {
		return v, bad
	}
	v.Header, v.Body = selectHeaders(r.Header, ep.Headers()), b.bytes
	if bad := e.verify(ep, r, &v, b); bad != nil {
		return v, bad
	}
	e.admission.Verified(r)
	if err := CheckJSON(v.Body); err != nil {
		v.markMalformed(ep, r.Header, err, v.Body)
	}
	return v, nil
}

// read returns the raw body, or a reply if the body is too large, incomplete, late
// or evicted. The caller must release the body in any case.
func (e *Edge) read(ep *endpoint, w http.ResponseWriter, r *http.Request) (*body, *reply) {
	if r.ContentLength > ep.limits.MaxBody {
		return nil, ep.tooLarge()
	}
	b, err := e.admission.read(w, r, e.admission.Sender(r), ep.limits.MaxBody)
	switch {
	case err != nil:
		return b, e.unread(r, err)
	case int64(len(b.bytes)) > ep.limits.MaxBody:
		return b, ep.tooLarge()
	}
	return b, nil
}

// verify authenticates a delivery and sets its ID. It returns nil on success.
// Deliveries of strangers wait until fewer than maxStrangers are being verified.
func (e *Edge) verify(ep *endpoint, r *http.Request, v *Delivery, b *body) *reply {
	if !e.admission.isVerified(e.admission.Sender(r)) {
		select {
		case ep.slots <- struct{}{}:
			defer func() { <-ep.slots }()
		case <-r.Context().Done():
			gone := clientGone("verifying the delivery takes too long. Send the delivery again")
			return &gone
		}
		if !b.alive() {
			evicted := evictedReply()
			return &evicted
		}
	}
	var id string
	var err error
	if source, ok := ep.Source.(SenderVerifier); ok {
		id, err = source.VerifyFrom(r.Context(), groupAddr(e.admission.Sender(r)), r.Header, v.Body, v.Received)
	} else {
		id, err = ep.Verify(r.Context(), r.Header, v.Body, v.Received)
	}
	if err != nil {
		rejected := e.verifyError(ep, err)
		return &rejected
	}
	v.ID, v.Verified = deliveryID(id, v.Body), "by the source's credential"
	return nil
}

// deliveryID returns an ID that every database can store. Without an ID, the hash of the
// body is used.
func deliveryID(id string, body []byte) string {
	if id == "" {
		return text.Digest(body)
	}
	return text.ID(id)
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

// commit queues a verified delivery and waits until its batch is committed or has
// failed, responseTimeout has passed, or ctx ends.
func (e *Edge) commit(ctx context.Context, ep *endpoint, v Delivery) reply {
	p := &pending{Delivery: v, queue: ep.queue, result: make(chan error, 1)}
	defer e.admission.hold(ctx)()
	if err := e.queue.put(p); err != nil {
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
	if v.Origin == incident.OriginLive { // the metrics count what senders send
		e.observer.Delivery(v.Source, outcome, time.Since(start))
		if outcome == Accepted {
			e.traffic.Accept(v.Source, v.Sender, v.Received)
		}
	}
	if err != nil {
		return fmt.Errorf("deliver to %s: %w", v.Source, err)
	}
	return nil
}

func (e *Edge) deliver(ctx context.Context, ep *endpoint, v Delivery) (Outcome, error) {
	if ep.limits.Off {
		return Disabled, incident.Conflict("the source %s is disabled. Enable it in the configuration of Tocsin", v.Source)
	}
	p := &pending{Delivery: v, queue: ep.queue, result: make(chan error, 1)}
	if err := e.queue.put(p); err != nil {
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
