package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bot/redact"
)

// gate is a log's reader that can stall, fail and accept parts of a write.
type gate struct {
	mu     sync.Mutex
	cond   *sync.Cond
	stall  bool
	limit  int // bytes to accept before the next error, if positive
	err    error
	output bytes.Buffer
}

func newGate() *gate {
	g := &gate{}
	g.cond = sync.NewCond(&g.mu)
	return g
}

func (g *gate) set(stall bool, limit int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stall, g.limit, g.err = stall, limit, err
	g.cond.Broadcast()
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.stall {
		g.cond.Wait()
	}
	if g.err == nil {
		return g.output.Write(p)
	}
	n := min(g.limit, len(p))
	g.output.Write(p[:n])
	return n, g.err
}

func (g *gate) text() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.output.String()
}

// counter counts dropped lines. It is safe for concurrent use.
type counter struct{ atomic.Int64 }

func (c *counter) drop(lines int) { c.Add(int64(lines)) }
func (c *counter) n() int         { return int(c.Load()) }

func testNotice(n int) []byte { return fmt.Appendf(nil, "dropped %d\n", n) }

func TestLogWriter_StalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, dropped := newGate(), new(counter)
		w := newLogWriter(g, 100, testNotice, dropped.drop)
		g.set(true, 0, nil)
		fmt.Fprintln(w, "first") // the goroutine blocks in this write
		synctest.Wait()
		for n := range 1000 { // Write returns although nothing is read
			fmt.Fprintf(w, "line %d\n", n)
		}
		fmt.Fprintln(w, "x") // would fit, but follows dropped lines
		g.set(false, 0, nil)
		synctest.Wait()
		fmt.Fprintln(w, "last")
		w.close()
		synctest.Wait()
		var want strings.Builder
		want.WriteString("first\n")
		queued := 0
		for ; len(want.String())+len(fmt.Sprintf("line %d\n", queued)) <= 100+len("first\n"); queued++ {
			fmt.Fprintf(&want, "line %d\n", queued)
		}
		fmt.Fprintf(&want, "dropped %d\nlast\n", 1001-queued)
		if g.text() != want.String() || dropped.n() != 1001-queued {
			t.Errorf("got %d dropped and:\n%s\nwant %d and:\n%s", dropped.n(), g.text(), 1001-queued, want.String())
		}
	})
}

func TestLogWriter_ReaderGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, dropped := newGate(), new(counter)
		w := newLogWriter(g, 100, testNotice, dropped.drop)
		g.set(false, 0, io.ErrClosedPipe)
		for n := range 5 {
			fmt.Fprintf(w, "lost %d\n", n)
			synctest.Wait()
		}
		g.set(false, 9, errors.New("disk full")) // accepts the report but only a part of the line
		fmt.Fprintln(w, "dropped?")
		synctest.Wait()
		g.set(false, 0, nil)
		fmt.Fprintln(w, "back")
		w.close()
		synctest.Wait()
		if got, want := g.text(), "dropped 5\nd"[:9]+"\ndropped 6\nback\n"; got != want || dropped.n() != 6 {
			t.Errorf("got %d dropped and %q, want 6 and %q", dropped.n(), got, want)
		}
	})
}

func TestLogWriter_OversizedLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		w := newLogWriter(g, 100, testNotice, func(int) {})
		fmt.Fprintln(w, strings.Repeat("x", 200))
		synctest.Wait()
		fmt.Fprintln(w, "next")
		w.close()
		synctest.Wait()
		if got := g.text(); got != "dropped 1\nnext\n" {
			t.Errorf("got %q, want a report and the next line", got)
		}
	})
}

// TestLogWriter_CloseBounded closes while the reader stalls.
func TestLogWriter_CloseBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		w := newLogWriter(g, 100, testNotice, func(int) {})
		g.set(true, 0, nil)
		fmt.Fprintln(w, "stalled")
		began := time.Now()
		w.close()
		if took := time.Since(began); took != logFlushTimeout {
			t.Errorf("close took %v, want %v", took, logFlushTimeout)
		}
		fmt.Fprintln(w, "late")
		g.set(false, 0, nil)
		synctest.Wait()
		if got := g.text(); got != "stalled\n" {
			t.Errorf("got %q, want the pending line", got)
		}
	})
}

var (
	wholeLine   = regexp.MustCompile(`(?m)^line (\d{5}) end$`)
	wholeReport = regexp.MustCompile(`(?m)^dropped (\d+)$`)
)

// TestLogWriter_Property checks for random stalls and failures that lines arrive
// in order and once, and that every line that is missing was counted. With even
// seeds no write ends within a line, so the reports must add up, too.
func TestLogWriter_Property(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			r, g, dropped, total := rand.New(rand.NewPCG(seed, 1)), newGate(), new(counter), 0
			w := newLogWriter(g, 120, testNotice, dropped.drop)
			write := func() {
				fmt.Fprintf(w, "line %05d end\n", total)
				total++
			}
			for range 200 {
				switch r.IntN(10) {
				case 0:
					g.set(true, 0, nil)
				case 1:
					g.set(false, r.IntN(40)*int(seed%2), io.ErrClosedPipe)
				case 2, 3:
					g.set(false, 0, nil)
				case 4:
					synctest.Wait()
				}
				write()
			}
			g.set(false, 0, nil)
			synctest.Wait()
			write()
			w.close()
			synctest.Wait()
			last, reported := -1, 0
			lines := wholeLine.FindAllStringSubmatch(g.text(), -1)
			for _, line := range lines {
				n, err := strconv.Atoi(line[1])
				if err != nil || n <= last {
					t.Errorf("seed %d: got line %d after %d", seed, n, last)
				}
				last = n
			}
			for _, report := range wholeReport.FindAllStringSubmatch(g.text(), -1) {
				n, err := strconv.Atoi(report[1])
				if err != nil {
					t.Error(err)
				}
				reported += n
			}
			// A line that lacks only its line feed counts as dropped, too.
			if sum := len(lines) + dropped.n(); sum < total || seed%2 == 0 && sum != total || last != total-1 {
				t.Errorf("seed %d: got %d lines and %d dropped, last %d, want %d in all", seed, len(lines), dropped.n(), last, total)
			}
			if seed%2 == 0 && reported != dropped.n() {
				t.Errorf("seed %d: got %d lines reported, want %d", seed, reported, dropped.n())
			}
		})
	}
}

// TestOpenLog_ReportFormat checks the report and the escaping in both formats.
func TestOpenLog_ReportFormat(t *testing.T) {
	for format, want := range map[string][]string{
		"text": {`level=WARN msg="log lines dropped" component=log lines=1`, `title="a\u009bb\u202ec"`},
		"json": {`"level":"WARN","msg":"log lines dropped","component":"log","lines":1}`, `"title":"a\u009bb\u202ec"`},
	} {
		synctest.Test(t, func(t *testing.T) {
			g, dropped := newGate(), new(counter)
			lines, closeLog := openLines(Config{LogFormat: format, LogLevel: "error"}, g, dropped.drop)
			log, _, _, err := newLogger(Config{LogFormat: format, LogLevel: "info"}, lines, redact.New(redact.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			g.set(false, 0, io.ErrClosedPipe)
			log.Info("lost")
			synctest.Wait()
			g.set(false, 0, nil)
			log.Info("shown", slog.String("title", "a\u009bb\u202ec"))
			closeLog()
			synctest.Wait()
			for _, w := range want {
				if !strings.Contains(g.text(), w) {
					t.Errorf("%s: got %q, want it to contain %s", format, g.text(), w)
				}
			}
			if strings.ContainsAny(g.text(), "\u009b\u202e") || dropped.n() != 1 {
				t.Errorf("%s: got %d dropped and %q, want 1 and escaped characters", format, dropped.n(), g.text())
			}
		})
	}
}
