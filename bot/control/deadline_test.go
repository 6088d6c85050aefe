package control

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestControlServer_ClientNeverReads requires that the handler's write fails. The
// server of the control socket has these deadlines.
func TestControlServer_ClientNeverReads(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: withDeadlines(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				failed <- err
				return
			}
		}
	}), time.Minute, 50*time.Millisecond)}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /export HTTP/1.1\r\nHost: tocsin\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if err := <-failed; !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want a timeout", err)
	}
}

// TestControlServer_SlowResponse requires that a response may take longer than the
// deadline of one write.
func TestControlServer_SlowResponse(t *testing.T) {
	const timeout = 200 * time.Millisecond
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: withDeadlines(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, "part\n")
		_ = http.NewResponseController(w).Flush()
		<-read
		<-time.After(2 * timeout) // the deadline of the first write passes
		if err := r.Context().Err(); err != nil {
			t.Errorf("got context %v, want it to continue", err)
		}
		_, _ = io.WriteString(w, "end\n")
	}), timeout, timeout)}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /verify HTTP/1.1\r\nHost: tocsin\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	close(read)
	if body, err := io.ReadAll(res.Body); err != nil || !strings.HasSuffix(string(body), "end\n") {
		t.Errorf("got %q, %v, want the complete response", body, err)
	}
}

// TestControlServer_ClientNeverSends announces a body and does not send it.
func TestControlServer_ClientNeverSends(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: withDeadlines((&Server{}).serve("incident", operations["incident"]), 50*time.Millisecond, time.Minute)}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /incident HTTP/1.1\r\nHost: tocsin\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
		t.Errorf("got %q, %v, want status 400 and the end of the connection", answer, err)
	}
}
