package bot

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/getsentry/sentry-go"

	"tocsin/bot/redact"
)

// reporter sends the bot's own errors to sentry-go, scrubbed.
type reporter struct {
	slog.Handler
	hub       *sentry.Hub
	redact    *redact.Redactor
	component string
}

// errorReporter takes an error to Sentry that is not fit for the log, because it may
// quote what an outside system said. It is redacted on the way.
type errorReporter func(component string, err error)

// newLogger builds the logger of the configuration. With a DSN every record of
// level error goes to Sentry as well. flush waits for what is on its way.
func newLogger(c Telemetry, out io.Writer, red *redact.Redactor) (log *slog.Logger, tell errorReporter, flush func(), err error) {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // validated; info otherwise
	options := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(out, options)
	if c.LogFormat == "json" {
		h = slog.NewJSONHandler(out, options)
	}
	h = &scrubber{Handler: h, redact: red}
	if c.SentryDSN.IsZero() {
		return slog.New(h), func(string, error) {}, func() {}, nil
	}
	client, err := sentry.NewClient(sentry.ClientOptions{Dsn: c.SentryDSN.Reveal(), Environment: c.Environment, ServerName: "tocsin",
		AttachStacktrace: true, BeforeSend: func(e *sentry.Event, _ *sentry.EventHint) *sentry.Event {
			e.User, e.Request, e.Breadcrumbs = sentry.User{}, nil, nil
			return e
		}})
	if err != nil {
		return nil, nil, nil, err
	}
	r := &reporter{Handler: h, hub: sentry.NewHub(client, sentry.NewScope()), redact: red}
	return slog.New(r), r.report, func() { client.Flush(2 * time.Second) }, nil
}

func (r *reporter) report(component string, err error) {
	hub := r.hub.Clone()
	hub.Scope().SetTag("component", component)
	hub.CaptureMessage(r.redact.Text(err.Error()))
}

// Handle logs, and reports what is an error.
func (r *reporter) Handle(ctx context.Context, rec slog.Record) error {
	if rec.Level >= slog.LevelError {
		hub := r.hub.Clone()
		hub.Scope().SetTag("component", r.component)
		text := rec.Message
		rec.Attrs(func(a slog.Attr) bool {
			if a.Key == "component" {
				hub.Scope().SetTag("component", a.Value.String())
			} else {
				hub.Scope().SetContext(a.Key, sentry.Context{"value": r.redact.Text(a.Value.String())})
			}
			return true
		})
		hub.CaptureMessage(r.redact.Text(text))
	}
	return r.Handler.Handle(ctx, rec)
}

// WithAttrs keeps the component for the report.
func (r *reporter) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *r
	for _, a := range attrs {
		if a.Key == "component" {
			next.component = a.Value.String()
		}
	}
	next.Handler = r.Handler.WithAttrs(attrs)
	return &next
}

// WithGroup implements slog.Handler.
func (r *reporter) WithGroup(name string) slog.Handler {
	next := *r
	next.Handler = r.Handler.WithGroup(name)
	return &next
}

// scrubber takes personal data and secrets out of what is logged: errors quote
// outside systems, and those quote people.
type scrubber struct {
	slog.Handler
	redact *redact.Redactor
}

// Handle redacts the texts of a record.
func (s *scrubber) Handle(ctx context.Context, rec slog.Record) error {
	clean := slog.NewRecord(rec.Time, rec.Level, s.redact.Text(rec.Message), rec.PC)
	rec.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(s.scrub(a))
		return true
	})
	return s.Handler.Handle(ctx, clean)
}

func (s *scrubber) scrub(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, s.redact.Text(v.String()))
	case slog.KindAny:
		return slog.String(a.Key, s.redact.Text(v.String()))
	case slog.KindGroup:
		inner := make([]any, 0, len(v.Group()))
		for _, g := range v.Group() {
			inner = append(inner, s.scrub(g))
		}
		return slog.Group(a.Key, inner...)
	default:
		return a
	}
}

// WithAttrs implements slog.Handler.
func (s *scrubber) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for n, a := range attrs {
		clean[n] = s.scrub(a)
	}
	return &scrubber{Handler: s.Handler.WithAttrs(clean), redact: s.redact}
}

// WithGroup implements slog.Handler.
func (s *scrubber) WithGroup(name string) slog.Handler {
	return &scrubber{Handler: s.Handler.WithGroup(name), redact: s.redact}
}
