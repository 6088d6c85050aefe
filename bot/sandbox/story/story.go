// Package story plays one whole incident in a sandbox, from the first alert to
// the review meeting, acting only as the people and the systems around the bot:
// what it does reaches the bot over its real doors, and what the bot does is
// seen where people would see it: in the workspace, at the pager, in the
// mailbox.
//
// The seed decides who does what in which way. Every wait is for a signal and
// has an end: what should have happened and did not is an error that names it.
package story

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
)

// Config says where and how the incident is played.
type Config struct {
	Company  *company.Company
	Seed     uint64
	Out      io.Writer        // one line for each thing as it happens; nil says nothing
	Dir      string           // gets transcript.md, postmortem.md and postmortem.html; it must exist
	Now      func() time.Time // the company's clock; time.Now if nil
	Zone     *time.Location   // in which people say "at 02:31"; the bot's own; UTC if nil
	Patience time.Duration    // for each thing that has to happen; 20 s if zero
}

// Result is what was played.
type Result struct {
	Incident string // "INC-1"
	Channel  string // id of its channel
	Source   string // what raised the alarm
	Severity string // in the end
	Audience string // of the record
	AckedBy  string // the way it was acknowledged: "pagerduty", "button" or "command"
	HTTP     bool   // Slack delivered over HTTP
	Rounds   int    // of paging
	Alerts   int    // deliveries of alerts that were answered 2xx

	Objecting string            // the department that objected
	Stale     string            // the digest that it objected to
	Digest    string            // the digest that was signed
	Signers   map[string]string // Slack id by department
	Steps     map[string]string // "done" or "skipped" by playbook/step; people's steps only
	Files     map[string]string // Slack's file id by "postmortem.md" and "postmortem.html"
	Mails     []string          // Message-IDs, in order
}

// OverHTTP says whether the seed wants Slack to deliver over HTTP rather than
// Socket Mode. Whoever opens the company has to know before the play begins.
func OverHTTP(seed uint64) bool { return chooser(seed, 1).IntN(2) == 0 }

func chooser(seed, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 0x746f6373696e+stream))
}

// acts are the incident in order.
var acts = []struct {
	name string
	play func(*play)
}{
	{"the alert", (*play).sendFirstAlert},
	{"the page and the channel", (*play).awaitBotSetup},
	{"the acknowledgement", (*play).acknowledged},
	{"severity, roles and more alerts", (*play).gradeAndAssign},
	{"the response", (*play).runPlaybook},
	{"containment", (*play).containment},
	{"recovery", (*play).recovery},
	{"the closing record", (*play).writeRecord},
	{"the sign-off", (*play).contest},
	{"the signatures", (*play).signed},
	{"the postmortem", (*play).published},
	{"the review", (*play).reviewed},
	{"the end", (*play).ended},
}

// Play plays the incident. The transcript is written even where it fails, up
// to what went wrong.
func Play(ctx context.Context, cfg Config) (Result, error) {
	p := newPlay(ctx, cfg)
	for _, s := range acts {
		s.play(p)
		if p.err != nil {
			p.err = fmt.Errorf("%s: %w", s.name, p.err)
			break
		}
	}
	if err := os.WriteFile(filepath.Join(cfg.Dir, "transcript.md"), []byte(p.transcript()), 0o600); err != nil {
		return p.report, errors.Join(p.err, fmt.Errorf("write the transcript: %w", err))
	}
	return p.report, p.err
}

// play is an incident being played. After the first thing that went wrong
// every further action does nothing.
type play struct {
	Config
	ctx    context.Context
	chat   *chat.Workspace
	rng    *rand.Rand
	read   reader
	cast   cast
	plot   scenario
	sent   []entry // the alerts, for the transcript
	report Result
	err    error

	began   time.Time       // when the first alert was sent
	opened  string          // the severity that the first alert asked for
	settled map[string]bool // steps, by playbook/step
	deeds   map[string]bool // what belongs to the story and was done
	oldForm chat.View       // a signature form that was left open
}

func newPlay(ctx context.Context, cfg Config) *play {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Zone == nil {
		cfg.Zone = time.UTC
	}
	if cfg.Out == nil {
		cfg.Out = io.Discard
	}
	if cfg.Patience == 0 {
		cfg.Patience = 20 * time.Second
	}
	p := &play{Config: cfg, ctx: ctx, chat: cfg.Company.Chat, rng: chooser(cfg.Seed, 2), settled: map[string]bool{}, deeds: map[string]bool{}}
	p.read = newReader(cfg.Company, cfg.Zone)
	p.cast = p.assignRoles()
	p.plot = p.chooseScenario()
	p.report = Result{Source: p.plot.source, Audience: p.plot.audience, AckedBy: p.plot.ackBy, Objecting: p.plot.objecting,
		HTTP: p.chat.Config().Mode == chat.ModeHTTP, Signers: map[string]string{}, Steps: map[string]string{}, Files: map[string]string{}}
	return p
}

// fail ends the story with what did not happen.
func (p *play) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// log says what just happened, to whoever watches.
func (p *play) log(where, format string, args ...any) {
	if p.err == nil {
		_, _ = fmt.Fprintf(p.Out, "%s  %-10s  %s\n", p.Now().In(p.Zone).Format("15:04:05"), where, fmt.Sprintf(format, args...))
	}
}

// here is the incident's channel as people call it.
func (p *play) here() string {
	if ch, ok := p.chat.Channel(p.report.Channel); ok {
		return "#" + ch.Name
	}
	return ""
}

// ago is a clock time some minutes ago, as people write it.
func (p *play) ago(minutes int) string {
	return p.Now().Add(-time.Duration(minutes) * time.Minute).In(p.Zone).Format("15:04")
}

// just is the clock time of now, to the second: everything goes quickly here.
func (p *play) just() string { return p.Now().In(p.Zone).Format(time.TimeOnly) }

// on is a date and time, as people write it.
func (p *play) on(t time.Time) string { return t.In(p.Zone).Format(time.DateTime) }

// pick chooses by the seed.
func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
