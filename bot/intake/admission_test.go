package intake_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/bot/intake"
)

// admissionCounter counts evictions and refusals.
type admissionCounter struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *admissionCounter) Evicted(r intake.Resource) { c.add("evicted " + string(r)) }
func (c *admissionCounter) Refused(r intake.Resource) { c.add("refused " + string(r)) }

func (c *admissionCounter) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[what]++
}

func (c *admissionCounter) count(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[what]
}

// skewedClock is a clock that a test can move ahead.
type skewedClock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *skewedClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *skewedClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// admittedServer is an edge behind an admission, on a listener of 127.0.0.0/8.
type admittedServer struct {
	t       *testing.T
	edge    testEdge
	clock   *skewedClock
	counter *admissionCounter
	address string

	mu      sync.Mutex
	arrived sync.Cond
	read    map[string]int // bytes of bodies that the server has read, by address of the client
}

func startAdmitted(t *testing.T, o intake.AdmissionOptions, changes ...func(*intake.Options)) *admittedServer {
	s := &admittedServer{t: t, clock: &skewedClock{}, counter: &admissionCounter{}, read: map[string]int{}}
	s.arrived.L = &s.mu
	o.Clock, o.Observer = s.clock.now, s.counter
	a := intake.NewAdmission(o)
	s.edge = newTestEdge(t, func(e *intake.Options) {
		e.Admission = a
		for _, change := range changes {
			change(e)
		}
	})
	mux := http.NewServeMux()
	mux.Handle("/hooks/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &signalledBody{r.Body, s, r.RemoteAddr}
		s.edge.ServeHTTP(w, r)
	}))
	mux.Handle("/form", a.Limit(1000, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1000))
		if err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
		fmt.Fprintf(w, "%d bytes", len(body))
	})))
	server := httptest.NewUnstartedServer(mux)
	server.Config.ConnContext = a.ConnContext
	server.Listener = a.Listener(server.Listener)
	server.Start()
	t.Cleanup(server.Close)
	s.address = server.Listener.Addr().String()
	return s
}

// signalledBody signals each read of a body.
type signalledBody struct {
	io.ReadCloser
	s    *admittedServer
	from string
}

func (b *signalledBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	b.s.read[b.from] += n
	b.s.arrived.Broadcast()
	return n, err
}

// waitRead blocks until the server has read n bytes of the body that c sends.
func (s *admittedServer) waitRead(c net.Conn, n int) {
	s.t.Helper()
	late := time.Now().Add(20 * time.Second)
	defer time.AfterFunc(time.Until(late), s.arrived.Broadcast).Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.read[c.LocalAddr().String()] < n {
		if time.Now().After(late) {
			s.t.Fatalf("server did not read %d bytes of the body", n)
		}
		s.arrived.Wait()
	}
}

// dial connects from an address of the loopback network.
func (s *admittedServer) dial(from string) net.Conn {
	s.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(s.t.Context(), "tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // a test that waits this long has failed
	return c
}

// stall sends the head of a request and n bytes of a body of size bytes. It returns
// after the server has read them.
func (s *admittedServer) stall(from string, size, n int) net.Conn {
	s.t.Helper()
	c := s.dial(from)
	_, _ = fmt.Fprintf(c, "POST /hooks/signed HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("a", n))
	s.waitRead(c, n)
	return c
}

// deliver posts a genuine delivery on a new connection and returns the status.
func (s *admittedServer) deliver(from, id string, body []byte) int {
	s.t.Helper()
	c := s.dial(from)
	_, _ = fmt.Fprintf(c, "POST /hooks/signed HTTP/1.1\r\nHost: x\r\nX-Delivery: %s\r\nX-Signature: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", id, sign(body), len(body), body)
	return status(c)
}

// status returns the status of the next response, or 0 if the connection ended.
func status(c net.Conn) int {
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// Announced bytes do not count, and stalled bodies give way to genuine deliveries.
func TestAdmission_StalledBodiesGiveWay(t *testing.T) {
	s := startAdmitted(t, intake.AdmissionOptions{MaxBodies: 512 << 10, LargestBody: 128 << 10})
	var stalled []net.Conn
	for n := range 40 {
		stalled = append(stalled, s.stall(fmt.Sprintf("127.0.1.%d", n%4+1), 1<<20, 1))
	}
	for n := range 20 {
		if got := s.deliver("127.0.0.1", fmt.Sprint("a", n), jsonString(7<<10)); got != 202 {
			t.Fatalf("got status %d beside announced bodies, want 202", got)
		}
	}
	stalled = append(stalled, s.stall("127.0.1.9", 1<<20, 120<<10))
	s.clock.add(time.Minute)
	if got := s.deliver("127.0.2.1", "large", jsonString(100<<10)); got != 202 {
		t.Errorf("got status %d for a large body beside stalled ones, want 202", got)
	}
	if n := s.counter.count("evicted body_bytes"); n == 0 {
		t.Error("got no eviction, want some")
	}
	// It held the most, and therefore gave way first.
	if got := status(stalled[len(stalled)-1]); got != http.StatusServiceUnavailable {
		t.Errorf("got status %d for the evicted body, want 503", got)
	}
	if n := s.edge.metrics.count("signed/evicted"); n == 0 {
		t.Errorf("got outcomes %v, want evicted", s.edge.metrics.outcomes)
	}
}

// A connection of a new sender takes the place of a stalled one, wherever that is
// stalled: before the request, in its header, in its body or after a response.
func TestAdmission_StalledConnectionsGiveWay(t *testing.T) {
	s := startAdmitted(t, intake.AdmissionOptions{MaxConnections: 8, ConnectionsPerAddress: 4})
	var stalled []net.Conn
	for n := range 2 {
		from := fmt.Sprintf("127.0.1.%d", n+1)
		header, idle := s.dial(from), s.dial(from)
		_, _ = io.WriteString(header, "POST /hooks/signed HTTP/1.1\r\nHost: x\r\nX-A")
		stalled = append(stalled, header, idle, s.dial(from), s.stall(from, 1<<20, 1))
		_, _ = io.WriteString(idle, "GET /hooks/none HTTP/1.1\r\nHost: x\r\n\r\n")
		if got := status(idle); got != http.StatusNotFound {
			t.Fatalf("got status %d, want 404", got)
		}
	}
	s.clock.add(time.Minute)
	for n := range 8 {
		if got := s.deliver(fmt.Sprintf("127.0.2.%d", n+1), fmt.Sprint(n), []byte(`{}`)); got != 202 {
			t.Errorf("got status %d for delivery %d, want 202", got, n)
		}
	}
	if n := s.counter.count("evicted connections"); n == 0 {
		t.Error("got no eviction, want some")
	}
	// The evicted connections end, although nothing arrives on them.
	ended := make(chan error, len(stalled))
	for _, c := range stalled {
		go func() {
			_, err := c.Read(make([]byte, 1))
			ended <- err
		}()
	}
	if err := <-ended; errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("got no closed connection, want the evicted one closed")
	}
}

func TestAdmission_ConnectionsOfOneAddressAreCapped(t *testing.T) {
	s := startAdmitted(t, intake.AdmissionOptions{MaxConnections: 100, ConnectionsPerAddress: 4})
	for range 4 {
		s.stall("127.0.1.1", 1<<20, 1)
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.1.1")}, Timeout: 20 * time.Second}
	if fifth, err := dialer.DialContext(t.Context(), "tcp", s.address); err == nil { // or the reset arrives earlier
		_ = fifth.SetDeadline(time.Now().Add(20 * time.Second))
		if got := status(fifth); got != 0 {
			t.Errorf("got status %d on a fifth connection of one address, want it closed", got)
		}
		_ = fifth.Close()
	}
	if n := s.counter.count("refused connections"); n != 1 {
		t.Errorf("got %d refused connections, want 1", n)
	}
	if got := s.deliver("127.0.0.1", "d", []byte(`{}`)); got != 202 {
		t.Errorf("got status %d from another address, want 202", got)
	}
	s.clock.add(time.Minute)
	if got := s.deliver("127.0.1.1", "e", []byte(`{}`)); got != 202 {
		t.Errorf("got status %d from the address whose connections are stalled, want 202", got)
	}
}

// Strangers cannot take the reserve of an address that verified within a day.
func TestAdmission_VerifiedAddressKeepsItsReserve(t *testing.T) {
	s := startAdmitted(t, intake.AdmissionOptions{MaxConnections: 24})
	if got := s.deliver("127.0.0.1", "first", []byte(`{}`)); got != 202 {
		t.Fatalf("got status %d, want 202", got)
	}
	slow := s.dial("127.0.0.1")
	body := jsonString(5000)
	_, _ = fmt.Fprintf(slow, "POST /hooks/signed HTTP/1.1\r\nHost: x\r\nX-Delivery: slow\r\nX-Signature: %s\r\nContent-Length: %d\r\n\r\n%s", sign(body), len(body), body[:10])
	s.waitRead(slow, 10)
	for n := range 20 {
		s.stall(fmt.Sprintf("127.0.1.%d", n+1), 1<<20, 1)
	}
	s.clock.add(time.Hour)
	for n := range 60 { // every one displaces a stalled stranger
		s.stall(fmt.Sprintf("127.0.3.%d", n+1), 1<<20, 1)
		s.clock.add(10 * time.Second)
	}
	_, _ = slow.Write(body[10:])
	if got := status(slow); got != 202 {
		t.Errorf("got status %d for the slow delivery of a verified address, want 202", got)
	}
}

// A connection is not closed while its verified delivery is being committed, even if
// its address has no reserve left.
func TestAdmission_CommitIsNotInterrupted(t *testing.T) {
	s := startAdmitted(t, intake.AdmissionOptions{MaxConnections: 20}, func(o *intake.Options) {
		o.Store = &memoryStore{entered: make(chan int), hold: make(chan struct{})}
	})
	waiting := s.dial("127.0.0.1")
	body := []byte(`{}`)
	_, _ = fmt.Fprintf(waiting, "POST /hooks/signed HTTP/1.1\r\nHost: x\r\nX-Delivery: d\r\nX-Signature: %s\r\nContent-Length: %d\r\n\r\n%s", sign(body), len(body), body)
	<-s.edge.store.entered
	s.clock.add(25 * time.Hour) // the address is not verified any more
	for n := range 60 {
		s.stall(fmt.Sprintf("127.0.1.%d", n+1), 1<<20, 1)
		s.clock.add(10 * time.Second)
	}
	s.edge.store.hold <- struct{}{}
	if got := status(waiting); got != 202 {
		t.Errorf("got status %d, want 202", got)
	}
}

func TestAdmission_LimitPassesWholeBodies(t *testing.T) {
	s := startAdmitted(t, intake.AdmissionOptions{})
	for _, tt := range []struct {
		head, body string
		want       int
	}{
		{"Content-Length: 1000", strings.Repeat("a", 1000), 200},
		{"Content-Length: 1001", strings.Repeat("a", 1001), 413},
		{"Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 1000, strings.Repeat("a", 1000)), 200},
		{"Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 1001, strings.Repeat("a", 1001)), 413},
		{"Content-Length: 0", "", 200},
	} {
		c := s.dial("127.0.0.1")
		_, _ = fmt.Fprintf(c, "POST /form HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n%s", tt.head, tt.body)
		if got := status(c); got != tt.want {
			t.Errorf("%s with %d bytes: got status %d, want %d", tt.head, len(tt.body), got, tt.want)
		}
	}
}
