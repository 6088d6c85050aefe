package telemetry

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"tocsin/bot/terminal"
)

// logWriter writes log lines from a goroutine. Write never blocks and never
// fails, because a reader of the log that stalls or goes away must not stop the
// bot. While the reader stalls, up to maxPending bytes wait. Further lines are
// dropped and counted. When the reader continues, one line reports how many were
// dropped, in their place. Lines are never reordered.
//
// Each Write must be one complete line. A logWriter is safe for concurrent use.
type logWriter struct {
	out        io.Writer
	maxPending int
	notice     func(dropped int) []byte // formats the report as a line
	onDrop     func(lines int)          // must be safe for concurrent use
	wake       chan struct{}

	mu      sync.Mutex
	pending []byte        // complete lines
	missed  int           // lines dropped after the pending ones
	idle    chan struct{} // closed while nothing is pending or being written
	isIdle  bool
	closed  bool
}

const (
	// maxPendingLog is the maximum size of lines that wait for the reader, in bytes.
	maxPendingLog = 1 << 20
	// logFlushTimeout is how long a shutdown waits for the reader of the log.
	logFlushTimeout = 2 * time.Second
)

// newLogWriter returns a logWriter and starts its goroutine, which ends after
// close.
func newLogWriter(out io.Writer, maxPending int, notice func(int) []byte, onDrop func(int)) *logWriter {
	w := &logWriter{out: out, maxPending: maxPending, notice: notice, onDrop: onDrop, wake: make(chan struct{}, 1), idle: make(chan struct{}), isIdle: true}
	close(w.idle)
	go w.run()
	return w
}

// Write queues a line. It always returns len(line) and nil.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		w.onDrop(1)
		return len(line), nil
	}
	// After a dropped line all lines are dropped until the goroutine takes the
	// pending ones. Otherwise a short line could pass before the report.
	if w.missed > 0 || len(w.pending)+len(line) > w.maxPending {
		w.missed++
		w.onDrop(1)
	} else {
		w.pending = append(w.pending, line...)
	}
	if w.isIdle {
		w.isIdle, w.idle = false, make(chan struct{})
	}
	w.signal()
	return len(line), nil
}

func (w *logWriter) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run writes the pending lines until close.
func (w *logWriter) run() {
	var spare, batch []byte
	var lost int     // lines to report before the next ones
	failed := false  // the last write failed
	midLine := false // the last write ended within a line
	for {
		// A report alone is not written to a reader that has gone away.
		lines, missed, ok := w.take(spare[:0], lost > 0 && !failed)
		if !ok {
			return
		}
		batch = batch[:0]
		if midLine {
			batch = append(batch, '\n')
		}
		if lost > 0 {
			batch = append(batch, w.notice(lost)...)
		}
		head := len(batch)
		batch = append(batch, lines...)
		n, err := w.out.Write(batch)
		spare = lines
		failed = err != nil
		if !failed {
			lost, midLine = missed, false
			continue
		}
		midLine = n > 0 && batch[n-1] != '\n' || n == 0 && midLine
		dropped := bytes.Count(batch[max(n, head):], []byte("\n"))
		w.onDrop(dropped)
		if n >= head {
			lost = 0
		}
		lost += dropped + missed
	}
}

// take waits until lines are pending or dropped, and returns the lines and the
// number of lines dropped after them. With report it does not wait. It returns
// false after close, when nothing is pending.
func (w *logWriter) take(spare []byte, report bool) (lines []byte, missed int, ok bool) {
	for {
		w.mu.Lock()
		if len(w.pending) > 0 || w.missed > 0 || report {
			lines, missed = w.pending, w.missed
			w.pending, w.missed = spare, 0
			w.mu.Unlock()
			return lines, missed, true
		}
		if !w.isIdle {
			w.isIdle = true
			close(w.idle)
		}
		closed := w.closed
		w.mu.Unlock()
		if closed {
			return nil, 0, false
		}
		<-w.wake
	}
}

// flush waits until the reader has taken every line, or until ctx ends. It reports
// whether the reader has taken all.
func (w *logWriter) flush(ctx context.Context) bool {
	w.mu.Lock()
	idle := w.idle
	w.mu.Unlock()
	select {
	case <-idle:
		return true
	case <-ctx.Done():
		return false
	}
}

// close flushes for at most logFlushTimeout and ends the goroutine. If the reader
// stalls, the goroutine ends when the pending write does. Later lines are dropped.
func (w *logWriter) close() {
	ctx, cancel := context.WithTimeout(context.Background(), logFlushTimeout)
	defer cancel()
	w.flush(ctx)
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.signal()
}

// openLines returns a writer for the lines of a logger that writes to out. onDrop
// counts the lines that a reader did not take. The caller must call close.
func openLines(c Config, out io.Writer, onDrop func(lines int)) (lines io.Writer, closeLog func()) {
	var report bytes.Buffer // only the goroutine of the writer uses it
	var h slog.Handler = slog.NewTextHandler(&report, nil)
	if c.LogFormat == "json" {
		h = slog.NewJSONHandler(&report, nil)
	}
	log := slog.New(h)
	w := newLogWriter(out, maxPendingLog, func(dropped int) []byte {
		report.Reset()
		log.Warn("log lines dropped", "component", "log", "lines", dropped)
		return report.Bytes()
	}, onDrop)
	if c.LogFormat == "json" {
		return jsonLines{w}, w.close
	}
	return w, w.close
}

// jsonLines escapes characters that are harmful on a terminal. The text format
// quotes them already.
type jsonLines struct{ out io.Writer }

func (j jsonLines) Write(line []byte) (int, error) {
	if _, err := j.out.Write(terminal.JSON(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}
