package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/getsentry/sentry-go"

	"tocsin/bot/outbound"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
)

// Config configures the logs and error reports of the bot.
type Config struct {
	// Listen is the address of /metrics, /readyz and pprof. It is not public.
	Listen      string        `yaml:"listen"`
	SentryDSN   secret.String `yaml:"sentry_dsn"`
	LogFormat   string        `yaml:"log_format"`
	LogLevel    string        `yaml:"log_level"`
	Environment string        `yaml:"environment"`
	// HeartbeatURL is the URL of a service that alerts people when requests to it stop.
	HeartbeatURL      secret.String `yaml:"heartbeat_url"`
	HeartbeatInterval time.Duration `yaml:"heartbeat_interval"`
	HeartbeatMethod   string        `yaml:"heartbeat_method"` // POST or GET
}

// Defaults returns the configuration that a file completes.
func Defaults() Config {
	return Config{Listen: "127.0.0.1:9464", LogFormat: "text", LogLevel: "info", HeartbeatInterval: time.Minute, HeartbeatMethod: http.MethodPost}
}

// Bounds of heartbeat_interval. The queue starts jobs every few seconds.
const (
	minHeartbeat = 10 * time.Second
	maxHeartbeat = time.Hour
)

// Validate returns the problems of the configuration.
func (c Config) Validate() setting.Problems {
	var p setting.Problems
	if host, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" || strings.Contains(host, "/") {
		p.Add("listen", "is not an address with a port. Write one such as 127.0.0.1:9464")
	}
	if !slices.Contains([]string{"text", "json"}, c.LogFormat) {
		p.Add("log_format", "unknown format. Write text or json")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		p.Add("log_level", "unknown level. Write debug, info, warn or error")
	}
	if dsn := c.SentryDSN; !dsn.IsZero() {
		if u, err := url.Parse(dsn.Reveal()); err != nil || u.User == nil || u.Host == "" {
			p.Add("sentry_dsn", "is not a DSN. Copy it from Client Keys in the settings of the Sentry project")
		}
	}
	if u := c.HeartbeatURL; !u.IsZero() && !setting.IsURL(u.Reveal()) {
		p.Add("heartbeat_url", "is not a URL. Copy the ping URL of the check in the heartbeat service")
	}
	if d := c.HeartbeatInterval; d < minHeartbeat || d > maxHeartbeat {
		p.Add("heartbeat_interval", "is out of range. Write a duration between %s and %s", "10s", "1h")
	}
	if m := c.HeartbeatMethod; m != http.MethodPost && m != http.MethodGet {
		p.Add("heartbeat_method", "unknown method. Write POST or GET")
	}
	return p
}

// Redactor removes personal data and secrets from a text. It must be safe for
// concurrent use.
type Redactor interface{ Text(string) string }

// Log is the log of the bot, with its reports to Sentry. A Log with only a Logger
// reports nothing.
type Log struct {
	*slog.Logger
	report errorReporter // nil without Sentry
	flush  func()        // logs suppressed lines and sends pending reports, or nil
	close  func()
}

// OpenLog returns a Log that writes redacted lines to out. If out blocks or fails,
// lines are dropped and counted, and the bot continues. The caller must call
// [Log.Close].
func OpenLog(c Config, out io.Writer, red Redactor, m *Metrics) (l *Log, err error) {
	l = &Log{}
	var lines io.Writer
	lines, l.close = openLines(c, out, m.countDroppedLines)
	if l.Logger, l.report, l.flush, err = newLogger(c, lines, red); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// ReportError sends an error to Sentry, redacted. It is for errors that do not belong
// in the log because they may quote responses of external systems.
func (l *Log) ReportError(component string, err error) {
	if l.report != nil {
		l.report(component, err)
	}
}

// Close logs the lines that were suppressed as repeats. It waits up to 2 seconds for
// pending reports and up to 2 seconds for the reader of the log. Later lines are dropped.
func (l *Log) Close() {
	if l.flush != nil {
		l.flush()
	}
	if l.close != nil {
		l.close()
	}
}

// sentryHandler is a [slog.Handler] that also sends records of level error to
// Sentry. The client redacts every report, see redactReport.
type sentryHandler struct {
	slog.Handler
	hub       *sentry.Hub
	component string
}

// redactReport redacts every text of a report, just before it is sent. It keeps only
// the parts that it knows: a new part of a report, such as a breadcrumb of an
// integration, does not leave.
func redactReport(e *sentry.Event, red Redactor) *sentry.Event {
	out := sentry.NewEvent()
	out.EventID, out.Timestamp, out.Level, out.Platform, out.Sdk = e.EventID, e.Timestamp, e.Level, e.Platform, e.Sdk
	out.Environment, out.Release, out.ServerName = e.Environment, e.Release, e.ServerName
	out.Message = red.Text(e.Message)
	for name, value := range e.Tags {
		out.Tags[name] = red.Text(value)
	}
	for name, c := range e.Contexts {
		clean := sentry.Context{}
		for key, value := range c {
			clean[key] = redactValue(value, red)
		}
		out.Contexts[red.Text(name)] = clean
	}
	for _, x := range e.Exception {
		out.Exception = append(out.Exception, sentry.Exception{Type: red.Text(x.Type), Value: red.Text(x.Value), Stacktrace: x.Stacktrace})
	}
	for _, th := range e.Threads {
		out.Threads = append(out.Threads, sentry.Thread{ID: th.ID, Name: th.Name, Stacktrace: th.Stacktrace, Crashed: th.Crashed, Current: th.Current})
	}
	return out
}

// redactValue returns numbers and booleans unchanged, and every other value as redacted
// text.
func redactValue(value any, red Redactor) any {
	switch value.(type) {
	case bool, int, int64, float64:
		return value
	}
	return red.Text(fmt.Sprint(value))
}

// errorReporter sends an error to Sentry, redacted.
type errorReporter func(component string, err error)

// maxSentryResponse is the maximum size of a response of Sentry, in bytes.
const maxSentryResponse = 1 << 20

// newLogger returns a logger that writes redacted records to out. With a DSN it
// also sends records of level error to Sentry. flush logs the suppressed lines and
// waits up to 2 seconds for pending reports.
func newLogger(c Config, out io.Writer, red Redactor) (log *slog.Logger, report errorReporter, flush func(), err error) {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // Validate checks the level. The zero value is info.
	options := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(out, options)
	if c.LogFormat == "json" {
		h = slog.NewJSONHandler(out, options)
	}
	h = &redactingHandler{Handler: h, redact: red}
	if c.SentryDSN.IsZero() {
		lines := newLineHandler(h)
		return slog.New(lines), nil, lines.repeats.close, nil
	}
	client, err := sentry.NewClient(sentry.ClientOptions{Dsn: c.SentryDSN.Reveal(), Environment: c.Environment, ServerName: "tocsin",
		AttachStacktrace: true, HTTPTransport: outbound.NewTransport(outbound.Limits{MaxResponse: maxSentryResponse}),
		BeforeSend: func(e *sentry.Event, _ *sentry.EventHint) *sentry.Event { return redactReport(e, red) }})
	if err != nil {
		return nil, nil, nil, err
	}
	r := &sentryHandler{Handler: h, hub: sentry.NewHub(client, sentry.NewScope())}
	lines := newLineHandler(r)
	return slog.New(lines), r.report, func() { lines.repeats.close(); client.Flush(2 * time.Second) }, nil
}

func (r *sentryHandler) report(component string, err error) {
	hub := r.hub.Clone()
	hub.Scope().SetTag("component", component)
	hub.CaptureMessage(err.Error())
}

// Handle logs the record and, if its level is error, sends it to Sentry.
func (r *sentryHandler) Handle(ctx context.Context, rec slog.Record) error {
	if rec.Level >= slog.LevelError {
		hub := r.hub.Clone()
		hub.Scope().SetTag("component", r.component)
		text := rec.Message
		rec.Attrs(func(a slog.Attr) bool {
			if a.Key == "component" {
				hub.Scope().SetTag("component", a.Value.String())
			} else {
				hub.Scope().SetContext(a.Key, sentry.Context{"value": a.Value.String()})
			}
			return true
		})
		hub.CaptureMessage(text)
	}
	return r.Handler.Handle(ctx, rec)
}

// WithAttrs implements [slog.Handler]. It stores the component as a Sentry tag.
func (r *sentryHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *r
	for _, a := range attrs {
		if a.Key == "component" {
			next.component = a.Value.String()
		}
	}
	next.Handler = r.Handler.WithAttrs(attrs)
	return &next
}

// WithGroup implements [slog.Handler].
func (r *sentryHandler) WithGroup(name string) slog.Handler {
	next := *r
	next.Handler = r.Handler.WithGroup(name)
	return &next
}

// redactingHandler is a [slog.Handler] that removes personal data and secrets
// from records. Errors may quote external systems, whose responses may quote
// people.
type redactingHandler struct {
	slog.Handler
	redact Redactor
}

// Handle redacts the message and the attributes of the record.
func (s *redactingHandler) Handle(ctx context.Context, rec slog.Record) error {
	clean := slog.NewRecord(rec.Time, rec.Level, s.redact.Text(rec.Message), rec.PC)
	rec.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(s.redactAttr(a))
		return true
	})
	return s.Handler.Handle(ctx, clean)
}

func (s *redactingHandler) redactAttr(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, s.redact.Text(v.String()))
	case slog.KindAny:
		return slog.String(a.Key, s.redact.Text(v.String()))
	case slog.KindGroup:
		inner := make([]any, 0, len(v.Group()))
		for _, g := range v.Group() {
			inner = append(inner, s.redactAttr(g))
		}
		return slog.Group(a.Key, inner...)
	default:
		return a
	}
}

// WithAttrs implements [slog.Handler].
func (s *redactingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for n, a := range attrs {
		clean[n] = s.redactAttr(a)
	}
	return &redactingHandler{Handler: s.Handler.WithAttrs(clean), redact: s.redact}
}

// WithGroup implements [slog.Handler].
func (s *redactingHandler) WithGroup(name string) slog.Handler {
	return &redactingHandler{Handler: s.Handler.WithGroup(name), redact: s.redact}
}
