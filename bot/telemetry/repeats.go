package telemetry

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	// repeatInterval is the minimum time between two lines about one failure.
	repeatInterval = time.Minute
	// maxRepeats is the maximum number of failures whose repeats are counted.
	maxRepeats = 1000
)

// lineHandler is a [slog.Handler] that gives each line one component, the innermost one,
// omits attributes that are nil, and limits the lines about a failure that repeats. A line
// that follows suppressed ones has their number.
type lineHandler struct {
	slog.Handler
	component string
	key       string // of the attributes of the logger
	isGroup   bool   // within a group, a component is an ordinary attribute
	repeats   *repeats
}

// repeats holds the failures of the last repeatInterval. It is safe for concurrent use.
type repeats struct {
	mu       sync.Mutex
	failures map[string]*repeat // nil after close
}

// repeat is a failure that was logged.
type repeat struct {
	suppressed int
	last       slog.Record // the last suppressed line
	next       slog.Handler
	timer      *time.Timer // calls flush
}

func newLineHandler(next slog.Handler) *lineHandler {
	return &lineHandler{Handler: next, repeats: &repeats{failures: map[string]*repeat{}}}
}

// Handle passes the record with its component first, unless it repeats a failure.
func (h *lineHandler) Handle(ctx context.Context, rec slog.Record) error {
	component, attrs := h.component, []slog.Attr(nil)
	rec.Attrs(func(a slog.Attr) bool {
		switch {
		case a.Key == "component" && !h.isGroup:
			component = a.Value.String()
		case a.Value.Kind() == slog.KindAny && a.Value.Any() == nil: // such as an error that is nil
		default:
			attrs = append(attrs, a)
		}
		return true
	})
	out := slog.NewRecord(rec.Time, rec.Level, rec.Message, rec.PC)
	if component != "" && !h.isGroup {
		out.AddAttrs(slog.String("component", component))
	}
	out.AddAttrs(attrs...)
	if key, ok := failureKey(rec, component+h.key, attrs); ok && h.repeats.suppress(key, out, h.Handler) {
		return nil
	}
	return h.Handler.Handle(ctx, out)
}

// varying are the attributes that differ between repeats of a failure.
var varying = []string{"incident", "job", "effect", "attempt", "retry_in", "since", "delivery", "id"}

// failureKey returns the key of a failure: the message and its attributes, except those
// that vary, and without numbers. Only warnings and errors with a cause are failures.
func failureKey(rec slog.Record, key string, attrs []slog.Attr) (string, bool) {
	hasCause := false
	var text strings.Builder
	text.WriteString(rec.Level.String() + "\x00" + rec.Message + "\x00" + key)
	for _, a := range attrs {
		hasCause = hasCause || a.Key == "err" || a.Key == "cause"
		if !slices.Contains(varying, a.Key) {
			text.WriteString("\x00" + a.Key + "=" + a.Value.String())
		}
	}
	withoutNumbers := strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, text.String())
	return withoutNumbers, hasCause && rec.Level >= slog.LevelWarn
}

// suppress reports whether a line repeats a failure. The first suppressed line of a
// failure is logged with their number at the end of the interval.
func (r *repeats) suppress(key string, rec slog.Record, next slog.Handler) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.failures[key]
	if known == nil {
		if r.failures != nil && len(r.failures) < maxRepeats {
			r.failures[key] = &repeat{timer: time.AfterFunc(repeatInterval, func() { r.flush(key) })}
		}
		return false
	}
	known.suppressed++
	known.last, known.next = rec.Clone(), next
	return true
}

// flush logs the last suppressed line of a failure with the number of suppressed ones. If
// there are none, the failure no longer repeats.
func (r *repeats) flush(key string) {
	r.mu.Lock()
	known := r.failures[key]
	if known == nil || known.suppressed == 0 { // nil after close
		delete(r.failures, key)
		r.mu.Unlock()
		return
	}
	line := *known
	known.suppressed = 0
	known.timer.Reset(repeatInterval)
	r.mu.Unlock()
	line.log()
}

// close logs the last suppressed line of each failure. Later lines are not suppressed.
func (r *repeats) close() {
	r.mu.Lock()
	failures := r.failures
	r.failures = nil
	r.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(failures)) {
		failures[key].timer.Stop()
		if failures[key].suppressed > 0 {
			failures[key].log()
		}
	}
}

// log writes the last suppressed line.
func (r *repeat) log() {
	rec := r.last
	if r.suppressed > 1 {
		rec.AddAttrs(slog.Int("suppressed", r.suppressed-1))
	}
	_ = r.next.Handle(context.Background(), rec) // there is nobody to report a failure of the log to
}

// WithAttrs implements [slog.Handler].
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *h
	var rest []slog.Attr
	for _, a := range attrs {
		if a.Key == "component" && !h.isGroup {
			out.component = a.Value.String()
			continue
		}
		rest = append(rest, a)
		out.key += "\x00" + a.Key + "=" + a.Value.String()
	}
	if len(rest) > 0 {
		out.Handler = h.Handler.WithAttrs(rest)
	}
	return &out
}

// WithGroup implements [slog.Handler].
func (h *lineHandler) WithGroup(name string) slog.Handler {
	out := *h
	out.Handler, out.isGroup = h.Handler.WithGroup(name), true
	if h.component != "" && !h.isGroup {
		out.Handler = h.Handler.WithAttrs([]slog.Attr{slog.String("component", h.component)}).WithGroup(name)
	}
	return &out
}
