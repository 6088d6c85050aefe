package intake

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// The default bounds of an [Admission].
const (
	defaultMaxConnections = 1024     // one uses about 40 KiB
	defaultPerAddress     = 256      // connections of one address that is not a trusted proxy
	defaultMaxBodies      = 32 << 20 // bytes of bodies that are not verified
	reservedConnections   = 16       // of an address that is verified
	reservedBytes         = 2 << 20  // of an address that is verified
	verifiedTTL           = 24 * time.Hour
	maxVerified           = 4096 // addresses that are verified
)

// AdmissionObserver records metrics of an [Admission]. Its methods are called
// concurrently and must not block.
type AdmissionObserver interface {
	// Evicted counts a stalled or slow holder that gave way to another sender.
	Evicted(Resource)
	// Refused counts a sender for whom no holder could give way.
	Refused(Resource)
}

// Resource is a resource that an [Admission] bounds. Its value is a metric label.
type Resource string

// The resources of an [Admission].
const (
	Connections Resource = "connections"
	BodyBytes   Resource = "body_bytes"
)

// AdmissionOptions configure an [Admission]. A zero field has its default.
type AdmissionOptions struct {
	MaxConnections        int64
	ConnectionsPerAddress int64
	MaxBodies             int64 // bytes, or two of the largest body if that is more
	LargestBody           int64 // largest body that may be read, in bytes
	// TrustedProxies are the networks of the proxies whose X-Forwarded-For header
	// names the sender. ConnectionsPerAddress does not apply to them.
	TrustedProxies []netip.Prefix
	Clock          func() time.Time  // default time.Now
	Observer       AdmissionObserver // default: no metrics
}

// Admission bounds the connections and the unverified bodies of a public
// listener. Strangers share what verified senders leave. A stalled connection or
// body gives way to a new one. It is safe for concurrent use.
//
// An address is verified for a day after [Admission.Verified]. It keeps a reserve
// of connections and bytes that no other address can take.
type Admission struct {
	proxies     []netip.Prefix
	clock       func() time.Time
	observer    AdmissionObserver
	connections pool
	bodies      pool
	verified    addressSet
}

// NewAdmission returns an Admission.
func NewAdmission(o AdmissionOptions) *Admission {
	a := &Admission{proxies: o.TrustedProxies, clock: o.Clock, observer: o.Observer}
	if a.clock == nil {
		a.clock = time.Now
	}
	if a.observer == nil {
		a.observer = noopObserver{}
	}
	isVerified := func(from netip.Addr) bool { return a.verified.has(from, a.clock()) }
	a.connections = pool{limit: orDefault(o.MaxConnections, defaultMaxConnections), perAddress: orDefault(o.ConnectionsPerAddress, defaultPerAddress),
		reserve: reservedConnections, isVerified: isVerified, exempt: a.isTrusted, evicted: func() { a.observer.Evicted(Connections) }}
	a.bodies = pool{limit: max(orDefault(o.MaxBodies, defaultMaxBodies), 2*o.LargestBody), reserve: reservedBytes, isVerified: isVerified,
		evicted: func() { a.observer.Evicted(BodyBytes) }}
	return a
}

func orDefault(n, fallback int64) int64 {
	if n > 0 {
		return n
	}
	return fallback
}

// Verified records that the sender of r presented a valid credential. If r came
// through a trusted proxy, the proxy is verified, too.
func (a *Admission) Verified(r *http.Request) {
	now := a.clock()
	for _, from := range []netip.Addr{a.Sender(r), parseAddr(r.RemoteAddr)} {
		a.verified.add(groupAddr(from), now)
	}
}

// isVerified reports whether from was verified within a day.
func (a *Admission) isVerified(from netip.Addr) bool {
	return a.verified.has(groupAddr(from), a.clock())
}

// errEvicted is the error of a body that gave way to another one.
var errEvicted = errors.New("the body gave way to another sender")

// body is a request body that counts towards Admission.bodies until it is released.
type body struct {
	*lease
	bytes  []byte
	chunks []*chunk
}

// chunk is a part of a body that is being read. Chunks are reused, because a flood
// of evicted bodies would otherwise grow the heap far beyond the limit.
type chunk [8 << 10]byte

var chunkPool = sync.Pool{New: func() any { return new(chunk) }}

// freeChunks returns the chunks to the pool.
func (b *body) freeChunks() {
	for _, c := range b.chunks {
		chunkPool.Put(c)
	}
	b.chunks = nil
}

// release stops counting b. Repeated calls, and a call for nil, do nothing.
func (b *body) release() {
	if b != nil {
		b.lease.release()
	}
}

// read reads at most limit+1 bytes of the body of r. The caller must release the
// result, which is not nil even with an error. The error is errEvicted if the body
// gave way to another one. Memory is counted when bytes arrive, not when they are
// announced.
func (a *Admission) read(w http.ResponseWriter, r *http.Request, from netip.Addr, limit int64) (*body, error) {
	control := http.NewResponseController(w)
	interrupt := func() { _ = control.SetReadDeadline(time.Unix(1, 0)) } // unsupported only in tests
	b := &body{lease: a.bodies.take(a.clock(), groupAddr(from), 0, interrupt)}
	defer b.freeChunks()
	size := limit + 1
	if r.ContentLength >= 0 {
		size = min(size, r.ContentLength)
	}
	length := int64(0)
	for length < size {
		offset := length % int64(len(chunk{}))
		if offset == 0 {
			if !b.grow(a.clock(), int64(len(chunk{}))) {
				return b, a.noRoom(b)
			}
			b.chunks = append(b.chunks, chunkPool.Get().(*chunk))
		}
		part := b.chunks[len(b.chunks)-1][offset:]
		n, err := r.Body.Read(part[:min(int64(len(part)), size-length)])
		length += int64(n)
		if !b.progress(a.clock(), n) {
			return b, errEvicted
		}
		switch {
		case errors.Is(err, io.EOF):
			size = length
		case err != nil:
			return b, err
		}
	}
	return b, a.join(b, length)
}

// join copies the chunks into one slice.
func (a *Admission) join(b *body, length int64) error {
	if !b.grow(a.clock(), length) {
		return a.noRoom(b)
	}
	b.bytes = make([]byte, 0, length)
	for _, c := range b.chunks {
		b.bytes = append(b.bytes, c[:min(len(c), int(length)-len(b.bytes))]...)
	}
	if !b.grow(a.clock(), -int64(len(b.chunks)*len(chunk{}))) {
		return errEvicted
	}
	return nil
}

// noRoom counts a body for which none gave way, unless b itself was evicted.
func (a *Admission) noRoom(b *body) error {
	if b.alive() {
		a.observer.Refused(BodyBytes)
	}
	return errEvicted
}

// Limit returns a handler that reads up to maxBody+1 bytes of the request's body
// before it calls next. While next runs, the body counts as unverified. Next
// rejects a longer body itself.
func (a *Admission) Limit(maxBody int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		if r.ContentLength > maxBody { // next must reject the body without reading it
			r.Body = io.NopCloser(failedReader{&http.MaxBytesError{Limit: maxBody}})
			next.ServeHTTP(w, r)
			return
		}
		b, err := a.read(w, r, a.Sender(r), maxBody)
		defer b.release()
		switch {
		case errors.Is(err, errEvicted):
			evictedReply().write(w)
			return
		case err != nil:
			clientGone("the body did not arrive in time. Send it again").write(w)
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b.bytes)), int64(len(b.bytes))
		next.ServeHTTP(w, r)
	})
}

// failedReader is a reader that only returns an error.
type failedReader struct{ err error }

func (r failedReader) Read([]byte) (int, error) { return 0, r.err }

// connKey is the context key of the connection's lease.
type connKey struct{}

// ConnContext is the ConnContext of the [http.Server] that serves
// [Admission.Listener].
func (a *Admission) ConnContext(ctx context.Context, c net.Conn) context.Context {
	if encrypted, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = encrypted.NetConn()
	}
	if admitted, ok := c.(*admittedConn); ok {
		return context.WithValue(ctx, connKey{}, admitted.lease)
	}
	return ctx
}

// hold prevents the eviction of the connection of a verified request until the
// returned function is called.
func (a *Admission) hold(ctx context.Context) (release func()) {
	l, ok := ctx.Value(connKey{}).(*lease)
	if !ok {
		return func() {}
	}
	l.hold(true)
	return func() { l.hold(false) }
}

// Listener returns l with bounded connections. If no connection can give way, a
// new one is closed at once.
func (a *Admission) Listener(l net.Listener) net.Listener { return &admittedListener{l, a} }

type admittedListener struct {
	net.Listener
	a *Admission
}

// Accept implements [net.Listener].
func (l *admittedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		admitted := &admittedConn{Conn: c, a: l.a}
		admitted.lease = l.a.connections.take(l.a.clock(), groupAddr(parseAddr(c.RemoteAddr().String())), 1, admitted.interrupt)
		if admitted.lease != nil {
			return admitted, nil
		}
		l.a.observer.Refused(Connections)
		admitted.reset()
		_ = c.Close()
	}
}

// admittedConn is a connection that counts towards Admission.connections until it
// is closed.
type admittedConn struct {
	net.Conn
	a       *Admission
	lease   *lease
	evicted atomic.Bool
}

// interrupt makes every call fail. The server then closes the connection. A direct
// Close could block until running calls return.
func (c *admittedConn) interrupt() {
	c.evicted.Store(true)
	c.reset()
	_ = c.SetDeadline(time.Unix(1, 0))
}

// reset makes Close discard unsent bytes, because a stalled peer would keep them in
// the memory of the kernel.
func (c *admittedConn) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// Read implements [net.Conn].
func (c *admittedConn) Read(p []byte) (int, error) { return c.count(c.Conn.Read, p) }

// Write implements [net.Conn].
func (c *admittedConn) Write(p []byte) (int, error) { return c.count(c.Conn.Write, p) }

// count counts the bytes of a call. The server may set a new deadline after
// interrupt, and the flag then ends the call.
func (c *admittedConn) count(call func([]byte) (int, error), p []byte) (int, error) {
	if c.evicted.Load() {
		return 0, net.ErrClosed
	}
	n, err := call(p)
	if n > 0 {
		c.lease.progress(c.a.clock(), n)
	}
	return n, err
}

// Close implements [net.Conn].
func (c *admittedConn) Close() error {
	c.lease.release()
	return c.Conn.Close()
}

// addressSet contains the addresses that were verified within verifiedTTL, at most
// maxVerified. Its zero value is an empty set. It is safe for concurrent use.
type addressSet struct {
	mu sync.Mutex
	at map[netip.Addr]time.Time
}

func (s *addressSet) add(from netip.Addr, now time.Time) {
	if !from.IsValid() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[netip.Addr]time.Time{}
	}
	if _, known := s.at[from]; !known && len(s.at) >= maxVerified {
		var oldest netip.Addr
		for addr, at := range s.at {
			if !oldest.IsValid() || at.Before(s.at[oldest]) {
				oldest = addr
			}
		}
		delete(s.at, oldest)
	}
	s.at[from] = now
}

func (s *addressSet) has(from netip.Addr, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, known := s.at[from]
	return known && now.Sub(at) < verifiedTTL
}

// groupAddr returns the address that stands for all addresses of one host. One host
// usually controls a whole IPv6 /64.
func groupAddr(from netip.Addr) netip.Addr {
	if from.Is6() {
		return netip.PrefixFrom(from, 64).Masked().Addr()
	}
	return from
}
