//go:build !race

package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// logSink is the reading end of the bot's standard error.
type logSink struct {
	read  *os.File
	write *os.File // for the bot
}

// newPipe returns a pipe with room for one page.
func newPipe(t *testing.T) logSink {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, w.Fd(), 1031 /* F_SETPIPE_SZ */, 4096); errno != 0 {
		t.Fatal(errno)
	}
	return logSink{r, w}
}

// newSocketPair returns a socket, as systemd connects a service with its journal.
func newSocketPair(t *testing.T) logSink {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetsockoptInt(fds[1], syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4096); err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		t.Fatal(err)
	}
	return logSink{os.NewFile(uintptr(fds[0]), "journal"), os.NewFile(uintptr(fds[1]), "stderr")}
}

// newTerminal returns a pseudo terminal. Without a reader it behaves as after ^S.
func newTerminal(t *testing.T) logSink {
	t.Helper()
	controller, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := controller.SyscallConn() // Fd would make reads block in Close
	if err != nil {
		t.Fatal(err)
	}
	var unlock, number int32
	for request, arg := range map[uintptr]*int32{0x40045431 /* TIOCSPTLCK */ : &unlock, 0x80045430 /* TIOCGPTN */ : &number} {
		err := raw.Control(func(fd uintptr) {
			if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(arg))); errno != 0 {
				t.Error(errno)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return logSink{controller, terminal}
}

var logSinks = map[string]func(*testing.T) logSink{"pipe": newPipe, "socket": newSocketPair, "terminal": newTerminal}

// fill writes until a pipe has no room. The bot enlarges the pipe at its start.
func (l logSink) fill(t *testing.T) {
	t.Helper()
	if info, err := l.write.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return // the buffers of the others are small enough
	}
	own, err := syscall.Open(fmt.Sprintf("/proc/self/fd/%d", l.write.Fd()), syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(own) }()
	for err == nil {
		_, err = syscall.Write(own, make([]byte, 4096))
	}
	if !errors.Is(err, syscall.EAGAIN) {
		t.Fatal(err)
	}
}

// startWithSink starts a bot whose standard error is the sink.
func startWithSink(t *testing.T, sink logSink) *botProcess {
	t.Helper()
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 51, HTTP: true, Limits: chat.Limits{Off: true}})
	s.stop()
	s.stderr = sink.write
	t.Cleanup(func() { _ = sink.read.Close(); _ = sink.write.Close() })
	s.start()
	return s
}

// checkWork requires that the bot accepts alerts and pages.
func (s *botProcess) checkWork(seed uint64) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	for n := range 8 { // their edits stay within the limit of a minute
		call := newStory(2 * (int(seed)*100 + n)).calls[0]
		if a, err := s.company.Trail.Deliver(ctx, call, feed.Copy{}); err != nil || a.Status != http.StatusAccepted {
			s.t.Fatalf("got response %+v, %v, want 202", a, err)
		}
	}
	if status, body := s.httpGet("/readyz"); status != http.StatusOK {
		s.t.Errorf("got /readyz %d %s, want 200", status, body)
	}
	s.waitIdle(time.Minute)
}

// TestServe_LogReaderGone closes the reader of the standard error, as when journald
// restarts. SIGPIPE would end the process with a status that systemd counts as clean.
func TestServe_LogReaderGone(t *testing.T) {
	for name, open := range logSinks {
		t.Run(name, func(t *testing.T) {
			sink := open(t)
			read := make(chan struct{})
			go func() { _, _ = io.Copy(io.Discard, sink.read); close(read) }()
			s := startWithSink(t, sink)
			_ = sink.read.Close()
			_ = sink.write.Close()
			<-read
			s.company.Chat.SetFault(chat.Fault{Method: "chat.postMessage", Kind: chat.FaultServerError, Count: 3}) // is logged
			s.checkWork(1)
			if _, metrics := s.httpGet("/metrics"); strings.Contains(metrics, "tocsin_log_lines_dropped_total 0\n") {
				t.Error("got no dropped lines in /metrics, want some")
			}
			s.stop()
		})
	}
}

// TestServe_LogReaderStalls never reads the log. The bot must accept alerts, page
// and stop.
func TestServe_LogReaderStalls(t *testing.T) {
	for name, open := range logSinks {
		t.Run(name, func(t *testing.T) {
			sink := open(t)
			s := startWithSink(t, sink)
			sink.fill(t)
			s.company.Chat.SetFault(chat.Fault{Method: "chat.postMessage", Kind: chat.FaultServerError, Count: 3}) // is logged
			s.checkWork(2)
			s.stop()
		})
	}
}

// TestServe_CrashWhileLogStalls requires that a crash ends the process although
// nothing reads its report. A process that hangs is not restarted.
func TestServe_CrashWhileLogStalls(t *testing.T) {
	for name, open := range logSinks {
		t.Run(name, func(t *testing.T) {
			sink := open(t)
			s := startWithSink(t, sink)
			sink.fill(t)
			s.checkWork(3)
			p := s.current()
			if err := p.cmd.Process.Signal(syscall.SIGABRT); err != nil { // the runtime reports it as a crash
				t.Fatal(err)
			}
			select {
			case <-p.ended:
			case <-time.After(20 * time.Second):
				t.Fatal("the process did not end within 20 s of its crash")
			}
		})
	}
}

// TestServe_CrashReported requires the report of a crash if the log has a reader.
func TestServe_CrashReported(t *testing.T) {
	for name, open := range logSinks {
		t.Run(name, func(t *testing.T) {
			sink := open(t)
			var report bytes.Buffer
			read := make(chan struct{})
			go func() { _, _ = io.Copy(&report, sink.read); close(read) }()
			s := startWithSink(t, sink)
			p := s.current()
			_ = p.cmd.Process.Signal(syscall.SIGABRT)
			<-p.ended
			_ = sink.write.Close()
			<-read
			if !strings.Contains(report.String(), "SIGABRT: abort") || !strings.Contains(report.String(), "database opened") {
				t.Errorf("got %d bytes, %q, want the log and the report of the crash", report.Len(), report.String()[:min(report.Len(), 1500)])
			}
		})
	}
}

// TestServe_Signals sends every signal without a meaning for the bot.
func TestServe_Signals(t *testing.T) {
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 52, HTTP: true, Limits: chat.Limits{Off: true}})
	p := s.current()
	for _, signal := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGALRM, syscall.SIGVTALRM, syscall.SIGIO,
		syscall.SIGWINCH, syscall.SIGURG, syscall.SIGTTOU, syscall.SIGXCPU, syscall.SIGXFSZ, syscall.SIGPWR, syscall.SIGCHLD, syscall.SIGCONT} {
		for range 3 {
			if err := p.cmd.Process.Signal(signal); err != nil {
				t.Fatalf("%v: %v", signal, err)
			}
		}
		if status, body := s.httpGet("/readyz"); status != http.StatusOK {
			t.Fatalf("%v: got /readyz %d %s, want 200", signal, status, body)
		}
	}
	s.waitFor(10*time.Second, "the stacks in the log", func() bool { return strings.Contains(s.logText(), "SIGQUIT: stacks of all goroutines") })
	s.checkWork(4)
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-p.ended:
		if p.err != nil {
			t.Errorf("got %v after SIGINT, want a clean end", p.err)
		}
	case <-time.After(40 * time.Second):
		t.Error("the bot did not end within 40 s of SIGINT")
	}
}

// TestServe_ScraperNeverReads opens requests to /metrics whose responses are never
// read. Another scraper must get its response.
func TestServe_ScraperNeverReads(t *testing.T) {
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 53, HTTP: true, Limits: chat.Limits{Off: true}})
	for range 200 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.telemetry)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.(*net.TCPConn).SetReadBuffer(1024)
		if _, err := io.WriteString(conn, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: tocsin\r\n\r\n", 200)); err != nil {
			t.Fatal(err)
		}
	}
	s.checkWork(5)
	s.waitFor(30*time.Second, "a response of /metrics", func() bool { status, _ := s.httpGet("/metrics"); return status == http.StatusOK })
	s.stop()
}

// TestServe_ErrorReportsUnreachable lets the project for error reports answer with
// long pauses, not at all, or refuse connections, while errors occur.
func TestServe_ErrorReportsUnreachable(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	busy := http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "99999999999")
		w.WriteHeader(http.StatusTooManyRequests)
	})}
	busyListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = busy.Serve(busyListener) }()
	defer busy.Close()
	for name, address := range map[string]string{"refuses": freeAddress(t), "silent": silent.Addr().String(), "busy": busyListener.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			s := startBot(t, storetest.SQLite(t), company.Options{Seed: 54, HTTP: true, Limits: chat.Limits{Off: true}}, func(c map[string]any) {
				c["telemetry"].(map[string]any)["sentry_dsn"] = "http://key@" + address + "/1"
			})
			s.company.Chat.SetFault(chat.Fault{Method: "chat.postMessage", Kind: chat.FaultServerError, Count: 3})
			s.checkWork(6)
			s.stop()
		})
	}
}

// TestCommands_OutputClosed requires that a command whose reader goes away ends, as
// in `tocsin incident list | head`.
func TestCommands_OutputClosed(t *testing.T) {
	binary, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "trail.json")
	record := `{"eventVersion":"1.08","eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging","eventTime":"2026-11-20T02:31:00Z","awsRegion":"eu-west-1","eventID":"e","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/a"},"eventType":"AwsApiCall","readOnly":false}` + "\n"
	if err := os.WriteFile(file, []byte(strings.Repeat(record, 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	sink := newPipe(t)
	defer sink.write.Close()
	cmd := exec.CommandContext(t.Context(), binary, "detect", file)
	cmd.Stdout = sink.write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := sink.read.Read(make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	_ = sink.read.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Errorf("got %v, want an end by SIGPIPE or an error", err)
		}
	case <-time.After(30 * time.Second):
		_ = cmd.Process.Kill()
		t.Error("the command did not end within 30 s")
	}
}
