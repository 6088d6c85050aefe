//go:build !race

package main_test

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// mountDisk returns the folder of a small disk.
func mountDisk(t *testing.T, size string) string {
	t.Helper()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("mount a small disk: %v", err)
		}
		t.Skipf("mount a small disk: %v (run as root)", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return disk
}

// TestFullDisk_AlertsRejected fills the disk and frees it again. An alert that cannot
// be stored must be answered 503. With free space, the bot must accept alerts again
// without a restart.
func TestFullDisk_AlertsRejected(t *testing.T) {
	t.Parallel()
	disk := mountDisk(t, "6m")
	s := startBot(t, "sqlite:"+filepath.Join(disk, "tocsin.db"), company.Options{Seed: 41, HTTP: true, Limits: chat.Limits{Off: true}})
	n, accepted := 0, 0
	send := func() int {
		n++
		answer, err := s.company.Trail.Deliver(t.Context(), feed.StopLogging(41), feed.Copy{N: n, PadKB: 100})
		switch {
		case err != nil:
			t.Fatal(err)
		case answer.Status == http.StatusAccepted:
			accepted++
		case answer.Status != http.StatusServiceUnavailable:
			t.Fatalf("got status %d, want 202 or 503: %s", answer.Status, answer.Body)
		}
		return answer.Status
	}
	if send() != http.StatusAccepted {
		t.Fatal("first alert was not accepted")
	}
	s.waitIdle(time.Minute)

	ballast := filepath.Join(disk, "ballast")
	fillDisk(t, ballast)
	rejected := 0
	for range 60 { // the first alerts may fit into the journal
		if send() == http.StatusServiceUnavailable {
			rejected++
		}
	}
	if rejected < 30 {
		t.Errorf("full disk: got %d of 60 alerts rejected, want at least 30", rejected)
	}
	took := s.waitNotReady("database")
	t.Logf("full disk: %d of 60 alerts rejected, /readyz not ready after %v", rejected, took.Round(time.Millisecond))

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.waitFor(10*time.Second, "the bot to be ready again", func() bool { status, _ := s.httpGet("/readyz"); return status == http.StatusOK })
	if status := send(); status != http.StatusAccepted {
		t.Errorf("free disk: got status %d, want 202", status)
	}
	s.waitIdle(time.Minute)
	v := s.view(1)
	if len(v.Alerts) != 1 || int(v.Alerts[0].Count) != accepted {
		t.Errorf("got alerts %+v, want one with count %d", v.Alerts, accepted)
	}
	s.stop()
	s.checkVerify()
}

// fillDisk writes to path until the disk is full.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(bytes.Repeat([]byte{1}, size)); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			size /= 2
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// waitNotReady waits up to 5 seconds until /readyz fails and names part. It returns
// the time that took.
func (s *botProcess) waitNotReady(part string) time.Duration {
	s.t.Helper()
	began := time.Now()
	var status int
	var body string
	if !eventually(5*time.Second, func() bool {
		status, body = s.httpGet("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, part)
	}) {
		s.t.Errorf("/readyz after 5 s: got %d %s, want 503 with %s", status, body, part)
	}
	return time.Since(began)
}

// TestPostgresLost_AlertsRejected breaks the connections to PostgreSQL, and in
// another case stalls them. /readyz must fail within five seconds, and no alert may
// be answered 202. When the connection works again, the bot must recover.
func TestPostgresLost_AlertsRejected(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(storetest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	g := newTCPProxy(t, u.Host)
	u.Host = g.addr
	s := startBot(t, u.String(), company.Options{Seed: 43, HTTP: true, Limits: chat.Limits{Off: true}})
	trail, n, accepted := s.company.Trail, 0, 0
	trail.Timeout = 15 * time.Second
	send := func() int {
		n++
		answer, err := trail.Deliver(t.Context(), feed.StopLogging(43), feed.Copy{N: n})
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status == http.StatusAccepted {
			accepted++
		}
		return answer.Status
	}
	if send() != http.StatusAccepted {
		t.Fatal("first alert was not accepted")
	}
	s.waitIdle(time.Minute)
	channel := s.channelOf(1).ID
	for name, mode := range map[string]proxyMode{"cut": proxyCut, "silent": proxySilent} {
		g.setMode(mode)
		took := s.waitNotReady("database")
		if status := send(); status != http.StatusServiceUnavailable {
			t.Errorf("%s: got status %d, want 503", name, status)
		}
		if answer, err := s.slash(s.company.In("engineering")[0], channel, "note while it is "+name); isRecorded(answer, err) {
			t.Errorf("%s: got note recorded: %q", name, answer)
		}
		g.setMode(proxyOpen)
		back := time.Now()
		s.waitFor(20*time.Second, "the bot to be ready again", func() bool { status, _ := s.httpGet("/readyz"); return status == http.StatusOK })
		t.Logf("%s: /readyz failed after %v and succeeded %v after the connection worked", name, took.Round(time.Millisecond), time.Since(back).Round(time.Millisecond))
		s.waitFor(20*time.Second, "an accepted alert", func() bool { return send() == http.StatusAccepted })
	}
	s.waitIdle(time.Minute)
	v := s.view(1)
	if len(v.Alerts) != 1 || int(v.Alerts[0].Count) < accepted || int(v.Alerts[0].Count) > n {
		t.Errorf("got alerts %+v, want one with a count from %d to %d", v.Alerts, accepted, n)
	}
	s.stop()
	s.checkVerify()
}

// tcpProxy is a TCP proxy that can break or stall its connections.
type tcpProxy struct {
	addr string

	upstream string

	mu       sync.Mutex
	change   *sync.Cond
	mode     proxyMode
	conns    map[net.Conn]bool
	listener net.Listener
	reserved int // socket that keeps the address while nothing listens, or -1
}

type proxyMode int

const (
	proxyOpen    proxyMode = iota
	proxyCut               // connections are closed, also new ones
	proxySilent            // connections stay open without forwarding data
	proxyRefused           // connections are closed, and nothing listens
)

func newTCPProxy(t *testing.T, upstream string) *tcpProxy {
	t.Helper()
	g := &tcpProxy{upstream: upstream, addr: "127.0.0.1:0", conns: map[net.Conn]bool{}, reserved: -1}
	g.change = sync.NewCond(&g.mu)
	if err := g.listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.setMode(proxyCut)
		_ = g.listener.Close()
		_ = syscall.Close(g.reserved)
	})
	return g
}

// listen accepts connections at the address of the proxy.
func (g *tcpProxy) listen() error {
	l, err := net.Listen("tcp", g.addr)
	if err != nil {
		return err
	}
	g.listener, g.addr = l, l.Addr().String()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", g.upstream)
			if err != nil || !g.track(in, out) {
				_ = in.Close()
				if out != nil {
					_ = out.Close()
				}
				continue
			}
			go g.forward(in, out)
			go g.forward(out, in)
		}
	}()
	return nil
}

// refuse closes the listener and keeps the address.
func (g *tcpProxy) refuse() {
	_ = g.listener.Close()
	fd, err := reservePort(g.listener.Addr().(*net.TCPAddr).Port)
	if err != nil {
		panic(err)
	}
	g.reserved = fd
}

// reservePort binds a loopback port to a socket that does not listen. Connections to the
// port are refused, and no socket gets the port by chance, but a server can listen on it.
func reservePort(port int) (fd int, err error) {
	if fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		_ = syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (g *tcpProxy) track(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		g.conns[c] = true
	}
	return g.mode != proxyCut && g.mode != proxyRefused
}

func (g *tcpProxy) forward(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer[:len(buffer)-1])
		if g.waitWhileSilent() && err == nil {
			_ = from.SetReadDeadline(time.Now().Add(time.Millisecond))
			more, closed := from.Read(buffer[n : n+1])
			_ = from.SetReadDeadline(time.Time{})
			if n += more; closed != nil && !errors.Is(closed, os.ErrDeadlineExceeded) {
				return // a network does not deliver what its sender gave up
			}
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// waitWhileSilent reports whether it had to wait.
func (g *tcpProxy) waitWhileSilent() (waited bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.mode == proxySilent {
		waited = true
		g.change.Wait()
	}
	return waited
}

func (g *tcpProxy) setMode(mode proxyMode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.mode
	g.mode = mode
	switch {
	case mode == proxyRefused && before != proxyRefused:
		g.refuse()
	case mode != proxyRefused && before == proxyRefused:
		if err := g.listen(); err != nil {
			panic(err)
		}
		_ = syscall.Close(g.reserved)
		g.reserved = -1
	}
	if mode == proxyCut || mode == proxyRefused {
		for c := range g.conns {
			_ = c.Close()
		}
		clear(g.conns)
	}
	g.change.Broadcast()
}
