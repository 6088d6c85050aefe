package syslog

import (
	"bufio"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var example = Message{At: time.Date(2026, 11, 30, 21, 0, 0, 123456789, time.FixedZone("", 3600)), Severity: Warning, Host: "a host", ID: "audit",
	Data: [][2]string{{"person", "p1"}, {"action", `a "b" [c] \d`}}, Text: "why\nnot"}

func TestMessage_String(t *testing.T) {
	want := `<108>1 2026-11-30T20:00:00.123456Z a_host tocsin - audit [tocsin@32473 person="p1" action="a \"b\" [c\] \\d"] why` + "\nnot"
	if got := example.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := example.Line(); strings.ContainsAny(got, "\n\r") || !strings.HasSuffix(got, "why not") {
		t.Errorf("got %q, want one line", got)
	}
	if got := (Message{At: example.At, Severity: Notice}).String(); got != "<109>1 2026-11-30T20:00:00.123456Z - tocsin - - -" {
		t.Errorf("got %q, want nil values", got)
	}
	if got := (Message{At: example.At, Host: strings.Repeat("h", 300), Text: "\xff"}).String(); len(strings.Fields(got)[2]) != 255 || !strings.HasSuffix(got, "\uFFFD") {
		t.Errorf("got %q, want limited fields and valid text", got)
	}
}

func TestOpen_Addresses(t *testing.T) {
	for _, address := range []string{"udp://host:514", "tcp://[::1]:601", "unix:///dev/log", "unix:/run/log"} {
		if _, err := Open(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"", "host:514", "udp://host", "tcp://host:601/path", "tls://host:6514", "unix:log", "unix://", "tcp://user@host:1"} {
		if _, err := Open(address); err == nil || !strings.Contains(err.Error(), "Write ") {
			t.Errorf("%s: got %v, want it refused with the fix", address, err)
		}
	}
}

func send(t *testing.T, address string) {
	t.Helper()
	s, err := Open(address)
	if err == nil {
		err = s.Send(t.Context(), example)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestSend_Datagrams(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "log")
	unix, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	for address, conn := range map[string]net.PacketConn{"udp://" + udp.LocalAddr().String(): udp, "unix:" + path: unix} {
		send(t, address)
		got := make([]byte, 4096)
		n, _, err := conn.ReadFrom(got)
		if err != nil || string(got[:n]) != example.String() {
			t.Errorf("%s: got %q, %v", address, got[:n], err)
		}
		_ = conn.Close()
	}
}

// TestSend_Streams checks the length before a message, over TCP and over a socket that is
// a stream.
func TestSend_Streams(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "log")
	unix, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	for address, listener := range map[string]net.Listener{"tcp://" + tcp.Addr().String(): tcp, "unix:" + path: unix} {
		send(t, address)
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(conn)
		length, err := in.ReadString(' ')
		if err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(in)
		if n, _ := strconv.Atoi(strings.TrimSpace(length)); err != nil || n != len(rest) || string(rest) != example.String() {
			t.Errorf("%s: got %s%q, %v, want the message after its length", address, length, rest, err)
		}
		_, _ = conn.Close(), listener.Close()
	}
}

func TestSend_NoServer(t *testing.T) {
	s, err := Open("unix:" + filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), example); err == nil {
		t.Error("got no error without a server")
	}
}
