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

// pathPrefix of the path of every source.
const pathPrefix = "/hooks/"

const (
	defaultMaxBody  = 1 << 20
	defaultMaxQueue = 1024

	// responseTimeout is how long a sender is kept waiting for the commit. EventBridge
	// and PagerDuty hang up after 5 s; a delivery that commits later than we
	// answered is known when the sender repeats it.
	responseTimeout = 4 * time.Second

	// maxID bounds a delivery id as it is stored; a longer one is replaced by its hash.
	maxID = 200
)

// Options are what an Edge is made of. Store, Desk and Sources are required.
type Options struct {
	Store    Store
	Desk     Desk
	Sources  []Source
	Clock    func() time.Time // default time.Now
	Logger   *slog.Logger     // default slog.Default
	Observer Observer         // default: nobody looks
	MaxBody  int64            // bytes of a request body; default 1 MiB
	MaxQueue int              // deliveries of each source that wait for their commit; default 1024
	Limits   map[string]Limits
	// TrustedProxies are those whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
}

// Edge serves POST /hooks/{source}. A delivery is answered 202 only after it
// was committed; whatever cannot be kept is answered with a status that tells
// its sender whether to try again.
type Edge struct {
	store         Store
	desk          Desk
	sources       map[string]*endpoint
	proxies       []netip.Prefix
	clock         func() time.Time
	log           *slog.Logger
	observer      Observer
	warnProxyOnce sync.Once // that an unknown proxy stands before us is said once
	tarpit        tarpit

	queue   *queue
	stopped chan struct{} // closed when the committer has ended
}

// endpoint is a source with what it may take and who sends to it.
type endpoint struct {
	Source
	limits  Limits
	senders *senders
	queue   *sourceQueue
}

// New starts an Edge, which must be closed in the end.
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
	for _, d := range e.sources {
		d.queue = e.queue.addSource(d.limits.MaxWaiting)
	}
	go e.commitLoop()
	return e
}

// Close refuses new deliveries, commits those that wait and returns when the
// last of them has its answer.
func (e *Edge) Close() error {
	e.queue.close()
	<-e.stopped
	return nil
}

// ServeHTTP takes one delivery.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	name, _ := strings.CutPrefix(r.URL.Path, pathPrefix)
	source, known := e.sources[name]
	if !known {
		name = "" // what a stranger types is no label
	}
	a := e.handle(source, r)
	e.observer.Delivery(name, a.outcome, time.Since(start))
	a.write(w)
}

// clientGone is said to whoever hung up, and to whoever is there after all: where
// the time for reading is over, the context ends as well, and a handler that
// writes nothing has said 200.
func clientGone(message string) reply {
	return reply{outcome: ClientGone, status: http.StatusServiceUnavailable, code: "too_slow", message: message}
}

// handle does everything but writing the answer. What costs least comes first: a
// flood is turned away before its bodies are read.
func (e *Edge) handle(d *endpoint, r *http.Request) reply {
	switch {
	case d == nil:
		return reply{outcome: UnknownSource, status: http.StatusNotFound, code: "unknown_source", message: "nothing listens at this path; deliveries are posted to " + pathPrefix + "{source}"}
	case d.limits.Off:
		return reply{outcome: Disabled, status: http.StatusNotFound, code: "switched_off", message: d.Name() + " is switched off here"}
	case r.Method != http.MethodPost:
		return reply{outcome: WrongMethod, status: http.StatusMethodNotAllowed, code: "method_not_allowed", message: "deliveries come by POST, not by " + truncate(r.Method, 20)}
	}
	if how := r.Header.Get("Content-Encoding"); how != "" && !strings.EqualFold(how, "identity") {
		return reply{outcome: Malformed, status: http.StatusUnsupportedMediaType, code: "compressed", message: "the body is compressed (" + truncate(strings.ToValidUTF8(how, "?"), 20) + "); " + d.Name() + " has to send it as it is"}
	}
	now, from := e.clock(), e.Sender(r)
	if !isAllowed(d.limits.Networks, from) {
		return reply{outcome: NetworkDenied, status: http.StatusForbidden, code: "foreign_network", message: "this address may not send here"}
	}
	sender := d.senders.get(from)
	if wait := sender.countRequest(now); wait > 0 {
		return reply{outcome: RateLimited, status: http.StatusTooManyRequests, code: "too_many_requests", message: "this address sends more than it may; try again later", retryAfter: wait}
	}
	if wait := sender.suspendedFor(now); wait > 0 && !e.behindUnknownProxy(r, from) {
		e.tarpit.wait(r.Context())
		return reply{outcome: Suspended, status: http.StatusTooManyRequests, code: "too_many_failures", message: "too many deliveries from this address were not genuine; try again later", retryAfter: wait}
	}
	p := &pending{queue: d.queue, result: make(chan error, 1)}
	body, bad := e.read(d, r)
	if bad != nil {
		return *bad
	}
	p.Delivery = Delivery{Source: d.Name(), Header: selectHeaders(r.Header, d.Headers()), Body: body, Received: now, Sender: senderName(from, r)}
	if bad := e.verify(d, r.Header, &p.Delivery); bad != nil {
		e.queue.release(d.queue, int64(len(body)))
		if bad.outcome == Refused {
			if sender.countFailure(now) {
				e.tarpit.wait(r.Context())
			}
		}
		return *bad
	}
	return e.commit(r.Context(), p)
}

// read takes the raw body, at most as much as is allowed. The bytes that it
// returns are reserved for the lane.
func (e *Edge) read(d *endpoint, r *http.Request) ([]byte, *reply) {
	most := d.limits.MaxBody
	tooLarge := &reply{outcome: TooLarge, status: http.StatusRequestEntityTooLarge, code: "too_large", message: fmt.Sprintf("the body is larger than %d bytes", most)}
	if r.ContentLength > most {
		return nil, tooLarge
	}
	reserved := most
	if r.ContentLength >= 0 {
		reserved = r.ContentLength
	}
	if !e.queue.reserve(d.queue, reserved) {
		return nil, capacityError(ErrFull)
	}
	keep := int64(0)
	defer func() { e.queue.release(d.queue, reserved-keep) }()
	var buf bytes.Buffer
	buf.Grow(int(min(max(r.ContentLength, 0), 64<<10)) + bytes.MinRead)
	if _, err := buf.ReadFrom(io.LimitReader(r.Body, most+1)); err != nil {
		if r.Context().Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
			a := clientGone("the body did not come in time; try again")
			return nil, &a
		}
		return nil, &reply{outcome: Malformed, status: http.StatusBadRequest, code: "unreadable", message: "the body ended early"}
	}
	if int64(buf.Len()) > reserved {
		return nil, tooLarge
	}
	keep = int64(buf.Len())
	return buf.Bytes(), nil
}

// verify checks that a delivery is genuine, and gives it its id.
func (e *Edge) verify(d *endpoint, h http.Header, v *Delivery) *reply {
	id, err := d.Verify(h, v.Body, v.Received)
	if err != nil {
		a := e.verifyError(d, err)
		return &a
	}
	if err := validateJSON(v.Body); err != nil {
		return &reply{outcome: Malformed, status: http.StatusBadRequest, code: "not_json", message: err.Error()}
	}
	v.ID, v.Verified = deliveryID(id, v.Body), "by the source's credential"
	return nil
}

// deliveryID is the id as it may stand in any database: short and printable. A
// source that gave none is told apart by the body.
func deliveryID(id string, body []byte) string {
	odd := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	switch {
	case id == "":
		return sha256ID(body)
	case len(id) > maxID || strings.ContainsFunc(id, odd):
		return sha256ID([]byte(id))
	}
	return id
}

func sha256ID(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func selectHeaders(h http.Header, names []string) map[string]string {
	kept := make(map[string]string, len(names))
	for _, n := range names {
		if v := h.Get(n); v != "" {
			kept[http.CanonicalHeaderKey(n)] = v
		}
	}
	return kept
}

func senderName(from netip.Addr, r *http.Request) string {
	if !from.IsValid() {
		return r.RemoteAddr
	}
	return from.String()
}

// commit waits until the delivery is on disk, or is known not to be.
func (e *Edge) commit(ctx context.Context, p *pending) reply {
	if err := e.queue.put(p); err != nil {
		e.queue.release(p.queue, int64(len(p.Body)))
		return *capacityError(err)
	}
	patience := time.NewTimer(responseTimeout)
	defer patience.Stop()
	select {
	case err := <-p.result:
		if err != nil {
			return reply{outcome: Failed, status: http.StatusServiceUnavailable, code: "not_stored", message: "the delivery could not be stored; try again"}
		}
		return reply{outcome: Accepted, status: http.StatusAccepted}
	case <-patience.C:
		return reply{outcome: Failed, status: http.StatusServiceUnavailable, code: "too_slow", message: "storing the delivery takes too long; try again"}
	case <-ctx.Done():
		return clientGone("storing the delivery takes too long; try again") // it is committed with its batch all the same
	}
}

// Deliver takes a delivery that came by another way than a POST to /hooks/ – from
// a mailbox, a form, a queue – and returns when it is on disk, with what else
// waits. Whoever calls it has verified it and bounded its size. After an error
// it may be stored or not; delivering it again under the same id is safe.
func (e *Edge) Deliver(ctx context.Context, v Delivery) error {
	start := time.Now()
	d, known := e.sources[v.Source]
	if !known {
		return incident.Unknown("source", "no source is called %s", v.Source)
	}
	v.ID = deliveryID(v.ID, v.Body)
	if v.Received.IsZero() {
		v.Received = e.clock()
	}
	outcome, err := e.deliver(ctx, d, v)
	e.observer.Delivery(v.Source, outcome, time.Since(start))
	if err != nil {
		return fmt.Errorf("deliver to %s: %w", v.Source, err)
	}
	return nil
}

func (e *Edge) deliver(ctx context.Context, d *endpoint, v Delivery) (Outcome, error) {
	size := int64(len(v.Body))
	if d.limits.Off {
		return Disabled, incident.Conflict("%s is switched off here", v.Source)
	}
	if !e.queue.reserve(d.queue, size) {
		return QueueFull, ErrFull
	}
	p := &pending{Delivery: v, queue: d.queue, result: make(chan error, 1)}
	if err := e.queue.put(p); err != nil {
		e.queue.release(d.queue, size)
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
