// Package doctor checks an installation: credentials, the systems behind them, the database
// and the keyset. A bot may run at the same time. The checks change nothing, except
// that a bucket of backups receives one small object.
//
// [Doctor.Run] makes every check and reports each [Finding] at once. [Doctor.Pages] sends
// the test pages of the escalation steps.
//
// The checks are probes of the adapters, as in the health checks of the bot.
package doctor

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"tocsin/bot/config"
	"tocsin/bot/health"
	"tocsin/bot/outbound"
	"tocsin/bot/slack"
	"tocsin/bot/telemetry"
)

// Status is the result of a check.
type Status string

// The results.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Finding is the result of one check.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Text   string `json:"text,omitempty"` // a sentence without its full stop
	Fix    string `json:"fix,omitempty"`  // an instruction without its full stop
}

// Options configure a [Doctor].
type Options struct {
	Config   config.Config
	Warnings config.Errors // of the configuration
	// KeysetCopy is a copy of the keyset to compare, or "".
	KeysetCopy string
	// LogFile is the address of a log file in S3 to read, or "".
	LogFile string
	// PublicURL is the address of the bot for senders, or "".
	PublicURL string
	Clock     func() time.Time // default time.Now
	// FreeDisk returns the free space of the disk of the database in bytes. The default
	// is the disk of the SQLite file.
	FreeDisk func() int64
	// Owner returns the user that a file belongs to. The default asks the system.
	Owner func(path string) (uint32, error)
}

// Doctor checks one installation.
type Doctor struct {
	Options
	slack  *slack.Slack
	clocks *telemetry.ClockWatch
	report func(Finding)
}

// probeTimeout is the maximum duration of one check.
const probeTimeout = 20 * time.Second

// New returns a Doctor. It makes no connections.
func New(o Options) (*Doctor, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Owner == nil {
		o.Owner = fileOwner
	}
	d := &Doctor{Options: o, clocks: telemetry.NewClockWatch(telemetry.NewMetrics())}
	var err error
	d.slack, err = slack.New(o.Config.Slack, slack.Deps{Redact: func(s string) string { return s }, Clock: o.Clock, Logger: slog.New(slog.DiscardHandler),
		HTTPClient: outbound.NewClient(slack.RequestTimeout, outbound.Limits{Observe: d.observe("Slack")})})
	return d, err
}

// observe returns an observer that compares two clocks: of this machine and of a system.
func (d *Doctor) observe(system string) func(outbound.Exchange) {
	return func(x outbound.Exchange) { d.clocks.Observe(system, x, d.Clock()) }
}

// Run makes all checks in order and reports each finding. It returns whether one failed.
func (d *Doctor) Run(ctx context.Context, report func(Finding)) (failed bool) {
	d.report = func(f Finding) {
		failed = failed || f.Status == Failed
		report(f)
	}
	d.checkConfiguration()
	d.checkKeyset(ctx)
	d.checkDatabase(ctx)
	d.checkBot(ctx)
	d.checkPasskeys(ctx)
	d.checkSlack(ctx)
	d.checkSteps(ctx)
	d.checkSources(ctx)
	d.checkBackup(ctx)
	d.checkClock()
	d.checkPublicURL(ctx)
	return failed
}

// probe runs a check with a time limit and reports its result. The text is for success.
func (d *Doctor) probe(ctx context.Context, check, system, text string, probe func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := probe(ctx)
	if err == nil {
		d.ok(check, text)
		return true
	}
	p := health.Explain(system, err)
	d.fail(check, p.Cause, p.Fix)
	return false
}

func (d *Doctor) ok(check, text string) { d.report(Finding{Check: check, Status: OK, Text: text}) }

func (d *Doctor) skip(check, text, fix string) { d.report(Finding{check, Skipped, text, fix}) }

func (d *Doctor) warn(check, text, fix string) { d.report(Finding{check, Warning, text, fix}) }

func (d *Doctor) fail(check, text, fix string) { d.report(Finding{check, Failed, text, fix}) }

// failAs reports the problem of an error, or the text if it has none.
func (d *Doctor) failAs(check string, err error, text, fix string) {
	var known *health.Problem
	if errors.As(err, &known) {
		text, fix = known.Cause, known.Fix
	}
	d.fail(check, text, fix)
}
