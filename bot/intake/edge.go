package intake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"tocsin/bot/incident"
)

// prefix of the path of every source.
const prefix = "/hooks/"

const (
	defaultMaxBody  = 1 << 20
	defaultMaxQueue = 1024

	// answerWithin is how long a sender is kept waiting for the commit. EventBridge
	// and PagerDuty hang up after 5 s; a delivery that commits later than we
	// answered is known when the sender repeats it.
	answerWithin = 4 * time.Second

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
	MaxQueue int              // deliveries that wait for their commit; default 1024
}

// Edge serves POST /hooks/{source}. A delivery is answered 202 only after it
// was committed; whatever cannot be kept is answered with a status that tells
// its sender whether to try again.
type Edge struct {
	store    Store
	desk     Desk
	sources  map[string]Source
	clock    func() time.Time
	log      *slog.Logger
	observer Observer
	maxBody  int64

	gate   sync.RWMutex // guards queue against a send after Close
	closed bool
	queue  chan *pending
	budget budget
	done   chan struct{} // closed when the committer has ended
}

// New starts an Edge, which must be closed in the end.
func New(o Options) *Edge {
	e := &Edge{
		store: o.Store, desk: o.Desk, sources: make(map[string]Source, len(o.Sources)),
		clock: o.Clock, log: o.Logger, observer: o.Observer, maxBody: o.MaxBody,
		done: make(chan struct{}),
	}
	for _, s := range o.Sources {
		e.sources[s.Name()] = s
	}
	if e.clock == nil {
		e.clock = time.Now
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	e.log = e.log.With("component", "intake")
	if e.observer == nil {
		e.observer = unobserved{}
	}
	if e.maxBody <= 0 {
		e.maxBody = defaultMaxBody
	}
	if o.MaxQueue <= 0 {
		o.MaxQueue = defaultMaxQueue
	}
	e.queue = make(chan *pending, o.MaxQueue)
	e.budget.left = max(maxQueuedBytes, e.maxBody)
	go e.commitLoop()
	return e
}

// Close refuses new deliveries, commits those that wait and returns when the
// last of them has its answer.
func (e *Edge) Close() error {
	e.gate.Lock()
	if !e.closed {
		e.closed = true
		close(e.queue)
	}
	e.gate.Unlock()
	<-e.done
	return nil
}

// ServeHTTP takes one delivery.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	name, _ := strings.CutPrefix(r.URL.Path, prefix)
	source, known := e.sources[name]
	if !known {
		name = "" // what a stranger types is no label
	}
	a := e.take(source, r)
	e.observer.Delivery(name, a.outcome, time.Since(start))
	if a.outcome != Gone {
		a.write(w)
	}
}

// take does everything but writing the answer.
func (e *Edge) take(source Source, r *http.Request) answer {
	if source == nil {
		return answer{UnknownSource, http.StatusNotFound, "unknown_source", "nothing listens at this path; deliveries are posted to " + prefix + "{source}"}
	}
	if r.Method != http.MethodPost {
		return answer{WrongMethod, http.StatusMethodNotAllowed, "method_not_allowed", "deliveries come by POST, not by " + clip(r.Method, 20)}
	}
	body, bad := e.read(r)
	if bad != nil {
		return *bad
	}
	now := e.clock()
	id, err := source.Verify(r.Header, body, now)
	if err != nil {
		return e.refuse(source, err)
	}
	if !json.Valid(body) {
		return answer{Malformed, http.StatusBadRequest, "not_json", "the body is not JSON; " + source.Name() + " sends one JSON document"}
	}
	return e.commit(r.Context(), Delivery{
		Source: source.Name(), ID: deliveryID(id, body), Header: pick(r.Header, source.Headers()),
		Body: body, Received: now, Sender: sender(r),
	})
}

// read takes the raw body, at most as much as is allowed.
func (e *Edge) read(r *http.Request) ([]byte, *answer) {
	tooLarge := &answer{TooLarge, http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body is larger than %d bytes", e.maxBody)}
	if r.ContentLength > e.maxBody {
		return nil, tooLarge
	}
	var buf bytes.Buffer
	buf.Grow(int(min(max(r.ContentLength, 0), 64<<10)) + bytes.MinRead)
	if _, err := buf.ReadFrom(io.LimitReader(r.Body, e.maxBody+1)); err != nil {
		if r.Context().Err() != nil {
			return nil, &answer{outcome: Gone}
		}
		return nil, &answer{Malformed, http.StatusBadRequest, "unreadable", "the body ended early"}
	}
	if int64(buf.Len()) > e.maxBody {
		return nil, tooLarge
	}
	return buf.Bytes(), nil
}

// refuse turns an error of Verify into an answer. What is not the sender's
// fault is a 5xx, so that the sender keeps the delivery and tries again.
func (e *Edge) refuse(source Source, err error) answer {
	switch {
	case errors.Is(err, &incident.Error{Code: incident.CodeForbidden}):
		return answer{Refused, http.StatusUnauthorized, "unauthorized", sentence(err)}
	case errors.Is(err, &incident.Error{Code: incident.CodeInvalid}):
		return answer{Malformed, http.StatusBadRequest, "invalid", sentence(err)}
	}
	e.log.Error("verify delivery", "source", source.Name(), "error", err)
	return answer{Failed, http.StatusServiceUnavailable, "unavailable", "deliveries of this source cannot be checked now; try again"}
}

func sentence(err error) string {
	var e *incident.Error
	errors.As(err, &e)
	return e.Message
}

// deliveryID is the id as it may stand in any database: short and printable. A
// source that gave none is told apart by the body.
func deliveryID(id string, body []byte) string {
	odd := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	switch {
	case id == "":
		return hashed(body)
	case len(id) > maxID || strings.ContainsFunc(id, odd):
		return hashed([]byte(id))
	}
	return id
}

func hashed(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func pick(h http.Header, names []string) map[string]string {
	kept := make(map[string]string, len(names))
	for _, n := range names {
		if v := h.Get(n); v != "" {
			kept[http.CanonicalHeaderKey(n)] = v
		}
	}
	return kept
}

func sender(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// commit waits until the delivery is on disk, or is known not to be.
func (e *Edge) commit(ctx context.Context, d Delivery) answer {
	p := &pending{Delivery: d, result: make(chan error, 1)}
	if a := e.enqueue(p); a != nil {
		return *a
	}
	patience := time.NewTimer(answerWithin)
	defer patience.Stop()
	select {
	case err := <-p.result:
		if err != nil {
			return answer{Failed, http.StatusServiceUnavailable, "not_stored", "the delivery could not be stored; try again"}
		}
		return answer{outcome: Accepted, status: http.StatusAccepted}
	case <-patience.C:
		return answer{Failed, http.StatusServiceUnavailable, "too_slow", "storing the delivery takes too long; try again"}
	case <-ctx.Done():
		return answer{outcome: Gone} // it is committed with its batch all the same
	}
}

// answer is what a sender is told.
type answer struct {
	outcome Outcome
	status  int
	code    string
	message string
}

func (a answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	switch a.status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case http.StatusRequestEntityTooLarge:
		w.Header().Set("Connection", "close") // the rest of the body is not read
	}
	w.WriteHeader(a.status)
	if a.status == http.StatusAccepted {
		_, _ = io.WriteString(w, "{\"status\":\"accepted\"}\n") // the sender may be gone
		return
	}
	var body struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message = a.code, a.message
	_ = json.NewEncoder(w).Encode(body) // the sender may be gone
}
