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

// TestFullDisk takes the room on the disk away and gives it back. An alert that
// cannot be kept is answered 503, never 202; with room again it goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=6m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("a small disk cannot be mounted: %v", err)
		}
		t.Skipf("skipped: a small disk cannot be mounted (%v); run as root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	s := startBot(t, "sqlite:"+filepath.Join(disk, "tocsin.db"), company.Options{Seed: 41, HTTP: true, Limits: chat.Limits{Off: true}})
	n, kept := 0, 0
	send := func() int {
		n++
		answer, err := s.company.Trail.Deliver(t.Context(), feed.StopLogging(41), feed.Copy{N: n, PadKB: 100})
		switch {
		case err != nil:
			t.Fatal(err)
		case answer.Status == http.StatusAccepted:
			kept++
		case answer.Status != http.StatusServiceUnavailable:
			t.Fatalf("an alert was answered %d: %s", answer.Status, answer.Body)
		}
		return answer.Status
	}
	if send() != http.StatusAccepted {
		t.Fatal("not even the first alert was taken")
	}
	s.waitIdle(time.Minute)

	ballast := filepath.Join(disk, "ballast")
	fillDisk(t, ballast)
	refused := 0
	for range 60 { // the first may find room in the journal
		if send() == http.StatusServiceUnavailable {
			refused++
		}
	}
	if refused < 30 {
		t.Errorf("on a full disk %d of 60 alerts were refused", refused)
	}
	took := s.waitNotReady("database")
	t.Logf("on a full disk: %d of 60 refused with 503; /readyz said so %v later", refused, took.Round(time.Millisecond))

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.waitFor(10*time.Second, "the bot is ready again", func() bool { status, _ := s.httpGet("/readyz"); return status == http.StatusOK })
	if status := send(); status != http.StatusAccepted {
		t.Errorf("with room again an alert was answered %d", status)
	}
	s.waitIdle(time.Minute)
	v := s.view(1)
	if len(v.Alerts) != 1 || int(v.Alerts[0].Count) != kept {
		t.Errorf("%d alerts were answered 202; counted %+v", kept, v.Alerts)
	}
	s.stop()
	s.checkVerify()
}

// fillDisk writes until there is no room for another byte.
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

// waitNotReady waits until /readyz names a part, and returns how long that took.
// It may take five seconds.
func (s *botProcess) waitNotReady(part string) time.Duration {
	s.t.Helper()
	began := time.Now()
	var status int
	var body string
	if !eventually(5*time.Second, func() bool {
		status, body = s.httpGet("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, part)
	}) {
		s.t.Errorf("after 5 s /readyz says %d %s", status, body)
	}
	return time.Since(began)
}

// TestLostPostgres cuts the way to PostgreSQL, and then lets it fall silent,
// which is worse. /readyz says so within five seconds; nothing is answered 202;
// afterwards everything goes on by itself.
func TestLostPostgres(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(storetest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	g := newTCPProxy(t, u.Host)
	u.Host = g.addr
	s := startBot(t, u.String(), company.Options{Seed: 43, HTTP: true, Limits: chat.Limits{Off: true}})
	trail, n, kept := s.company.Trail, 0, 0
	trail.Timeout = 15 * time.Second
	send := func() int {
		n++
		answer, err := trail.Deliver(t.Context(), feed.StopLogging(43), feed.Copy{N: n})
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status == http.StatusAccepted {
			kept++
		}
		return answer.Status
	}
	if send() != http.StatusAccepted {
		t.Fatal("not even the first alert was taken")
	}
	s.waitIdle(time.Minute)
	channel := s.channelOf(1).ID
	for name, how := range map[string]proxyMode{"cut off": proxyCut, "silent": proxySilent} {
		g.setMode(how)
		took := s.waitNotReady("database")
		if status := send(); status != http.StatusServiceUnavailable {
			t.Errorf("%s: an alert was answered %d", name, status)
		}
		if answer, err := s.slash(s.company.In("engineering")[0], channel, "note while it is "+name); isRecorded(answer, err) {
			t.Errorf("%s: a note was answered with %q", name, answer)
		}
		g.setMode(proxyOpen)
		back := time.Now()
		s.waitFor(20*time.Second, "the bot is ready again", func() bool { status, _ := s.httpGet("/readyz"); return status == http.StatusOK })
		t.Logf("%s: /readyz said so after %v, and was ready %v after the way was free", name, took.Round(time.Millisecond), time.Since(back).Round(time.Millisecond))
		s.waitFor(20*time.Second, "alerts are taken again", func() bool { return send() == http.StatusAccepted })
	}
	s.waitIdle(time.Minute)
	v := s.view(1)
	if len(v.Alerts) != 1 || int(v.Alerts[0].Count) < kept || int(v.Alerts[0].Count) > n {
		t.Errorf("%d alerts were answered 202 of %d; counted %+v", kept, n, v.Alerts)
	}
	s.stop()
	s.checkVerify()
}

// tcpProxy is a way to a server that can be shut.
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
	proxyCut              // connections break, and new ones are refused
	proxySilent           // nothing breaks, and nothing comes through
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
