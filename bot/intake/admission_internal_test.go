package intake

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func numberedAddr(n int) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24+uint32(n))))
}

// TestAddressSet_ExpiresAndIsBounded adds more addresses than fit. The oldest one
// gives way, and a known one takes no room.
func TestAddressSet_ExpiresAndIsBounded(t *testing.T) {
	var s addressSet
	now := time.Unix(1e9, 0)
	s.add(netip.Addr{}, now)
	for n := range maxVerified {
		s.add(numberedAddr(n), now.Add(time.Duration(n)*time.Millisecond))
	}
	s.add(numberedAddr(0), now.Add(time.Hour)) // known, and now the newest
	if len(s.at) != maxVerified || !s.has(numberedAddr(1), now) {
		t.Fatalf("got %d addresses, want %d with the second one", len(s.at), maxVerified)
	}
	s.add(numberedAddr(maxVerified), now.Add(time.Hour))
	if len(s.at) != maxVerified || s.has(numberedAddr(1), now) || !s.has(numberedAddr(0), now) || !s.has(numberedAddr(2), now) {
		t.Errorf("got %d addresses, want the second one to give way", len(s.at))
	}
	last := numberedAddr(maxVerified)
	if verified := now.Add(time.Hour); !s.has(last, verified.Add(verifiedTTL-1)) || s.has(last, verified.Add(verifiedTTL)) || s.has(numberedAddr(-1), time.Time{}) {
		t.Error("want an address verified until the end of its time, and no other")
	}
}

func TestSenders_RecentSenderKeepsItsState(t *testing.T) {
	s := newSenders(Limits{Rate: 3})
	if s.burst != 6 {
		t.Errorf("got a default burst of %d, want the deliveries of two seconds", s.burst)
	}
	first := s.get(numberedAddr(1))
	for n := range 100 {
		s.get(numberedAddr(10 + n))
	}
	if s.get(numberedAddr(1)) != first {
		t.Error("got a new state after 100 other senders, want the same")
	}
}

// TestAdmittedConn_ReleasesAndStops requires that a closed connection gives its room
// back, and that an evicted one neither reads nor writes.
func TestAdmittedConn_ReleasesAndStops(t *testing.T) {
	a := NewAdmission(AdmissionOptions{MaxConnections: 1})
	client, server := net.Pipe()
	defer client.Close()
	conn := &admittedConn{Conn: server, a: a}
	conn.lease = a.connections.take(time.Now(), numberedAddr(1), 1, conn.interrupt)
	release := a.hold(a.ConnContext(context.Background(), conn))
	if a.connections.take(time.Now(), numberedAddr(2), 1, func() {}) != nil {
		t.Fatal("got room, want the connection held while its request is committed")
	}
	release()
	if conn.lease.held {
		t.Error("got the connection held after its request, want it released")
	}
	if _, plain := a.ConnContext(context.Background(), client).Value(connKey{}).(*lease); plain {
		t.Error("got a lease of another connection, want none")
	}
	conn.interrupt()
	_ = conn.SetDeadline(time.Time{}) // as the server does between requests
	if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("evicted: got %v, want a closed connection", err)
	}
	if err := conn.Close(); err != nil || conn.lease.alive() || a.connections.used != 0 || len(a.connections.owners) != 0 {
		t.Errorf("closed: got %v and %d connections in use, want none", err, a.connections.used)
	}
}

// TestAdmission_LimitWithoutReading requires that a body that announces too much is
// not read, and that a body that fails does not reach the handler.
func TestAdmission_LimitWithoutReading(t *testing.T) {
	a := NewAdmission(AdmissionOptions{})
	called := 0
	handler := a.Limit(10, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		called++
		_, err := io.ReadAll(r.Body)
		var tooLarge *http.MaxBytesError
		if r.ContentLength > 10 && !errors.As(err, &tooLarge) {
			t.Errorf("got %v, want the maximum exceeded", err)
		}
	}))
	serve := func(body io.Reader, announced int64) int {
		r, w := httptest.NewRequest(http.MethodPost, "/", body), httptest.NewRecorder()
		r.ContentLength = announced
		handler.ServeHTTP(w, r)
		return w.Code
	}
	large := strings.NewReader(strings.Repeat("x", 100))
	if serve(large, 100); called != 1 || large.Len() != 100 {
		t.Errorf("got %d calls and %d bytes read, want the handler to refuse it unread", called, 100-large.Len())
	}
	if serve(http.NoBody, 0); called != 2 {
		t.Error("no body: got no call, want one")
	}
	if code := serve(io.MultiReader(strings.NewReader("abc"), failedReader{io.ErrUnexpectedEOF}), -1); called != 2 || code < 400 {
		t.Errorf("a failing body: got %d and %d calls, want it refused", code, called)
	}
	if a.bodies.used != 0 || len(a.bodies.owners) != 0 {
		t.Errorf("got %d bytes in use after all requests, want none", a.bodies.used)
	}
}
