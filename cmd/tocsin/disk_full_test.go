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

// TestFullDisk_AlertsRejected fills the disk and frees it again. An alert that cannot
// be stored must be answered 503. With free space, the bot must accept alerts again
// without a restart.
func TestFullDisk_AlertsRejected(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=6m"); err != nil {
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

	mu     sync.Mutex
	change *sync.Cond
	mode   proxyMode
	conns  map[net.Conn]bool
}

type proxyMode int

const (
	proxyOpen   proxyMode = iota
	proxyCut              // connections are closed and new ones rejected
	proxySilent           // connections stay open without forwarding data
)

func newTCPProxy(t *testing.T, upstream string) *tcpProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &tcpProxy{addr: l.Addr().String(), conns: map[net.Conn]bool{}}
	g.change = sync.NewCond(&g.mu)
	t.Cleanup(func() { _ = l.Close(); g.setMode(proxyCut) })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", upstream)
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
	return g
}

func (g *tcpProxy) track(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		g.conns[c] = true
	}
	return g.mode != proxyCut
}

func (g *tcpProxy) forward(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		g.mu.Lock()
		for g.mode == proxySilent {
			g.change.Wait()
		}
		g.mu.Unlock()
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

func (g *tcpProxy) setMode(mode proxyMode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mode = mode
	if mode == proxyCut {
		for c := range g.conns {
			_ = c.Close()
		}
		clear(g.conns)
	}
	g.change.Broadcast()
}
