// Package story runs a complete incident in a sandbox, from the first alert to
// the review meeting. It acts only as the people and the systems around the
// bot. Its actions reach the bot through real protocols, and it reads the
// results in the workspace, the pager account and the mailbox.
//
// [Run] is the entry point. The seed selects the scenario, the people and the
// way in which they act. Every wait has a timeout and returns an error that
// names the missing event.
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

// Config contains the settings of a story. Company and Dir are required.
type Config struct {
	Company     *company.Company
	Seed        uint64
	Out         io.Writer        // receives one line per event; may be nil
	Dir         string           // existing folder for transcript.md, postmortem.md and postmortem.html
	Now         func() time.Time // clock of the company (default time.Now)
	Zone        *time.Location   // time zone of the bot, for times in commands (default UTC)
	WaitTimeout time.Duration    // timeout of each wait (default 20 s)
}

// Result describes the incident that was run.
type Result struct {
	Incident string // "INC-1"
	Channel  string // id of its channel
	Source   string // source of the first alert
	Severity string // at the end
	Audience string // of the closing record
	AckedBy  string // how it was acknowledged: "pagerduty", "button" or "command"
	HTTP     bool   // whether Slack delivered over HTTP
	Rounds   int    // rounds of paging
	Alerts   int    // alert deliveries answered with 202

	EndAt time.Time // start of the last act. The bot may still act when the transcript is written

	Objecting string            // the department that objected
	Stale     string            // digest of the record before its amendment
	Digest    string            // digest of the signed record
	Signers   map[string]string // Slack user ids by department
	Steps     map[string]string // "done" or "skipped" by playbook/step, for steps of people
	Files     map[string]string // Slack file ids by name: postmortem.md and postmortem.html
	Mails     []string          // Message-IDs in order of arrival
	Counts    Counts            // at the end
}

// OverHTTP reports whether Slack delivers over HTTP instead of Socket Mode in
// the story of seed. The caller needs it to open the company before [Run].
func OverHTTP(seed uint64) bool { return newRand(seed, 1).IntN(2) == 0 }

func newRand(seed, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 0x746f6373696e+stream))
}

// acts are the parts of the story in order.
var acts = []struct {
	name string
	run  func(*player)
}{
	{"alert", (*player).sendFirstAlert},
	{"page and channel", (*player).awaitBotSetup},
	{"acknowledgement", (*player).acknowledgeFirstPage},
	{"severity, roles and more alerts", (*player).gradeAndAssign},
	{"response", (*player).runPlaybook},
	{"containment", (*player).finishContainment},
	{"recovery", (*player).resolve},
	{"closing record", (*player).writeRecord},
	{"sign-off", (*player).contest},
	{"signatures", (*player).signAll},
	{"postmortem", (*player).awaitPostmortem},
	{"review", (*player).holdReview},
	{"end", (*player).checkEnd},
}

// Run runs the story. It returns the first error. The transcript is written in
// any case. After an error it contains everything up to the error.
func Run(ctx context.Context, cfg Config) (Result, error) {
	p := newPlayer(ctx, cfg)
	for _, act := range acts {
		act.run(p)
		if p.err != nil {
			p.err = fmt.Errorf("%s: %w", act.name, p.err)
			break
		}
	}
	if err := os.WriteFile(filepath.Join(cfg.Dir, "transcript.md"), []byte(p.transcript()), 0o600); err != nil {
		return p.result, errors.Join(p.err, fmt.Errorf("write transcript: %w", err))
	}
	return p.result, p.err
}

// player runs a story. After the first error its methods do nothing.
type player struct {
	Config
	ctx          context.Context
	chat         *chat.Workspace
	rng          *rand.Rand
	read         reader
	cast         cast
	scenario     scenario
	alertEntries []entry // sent alerts, for the transcript
	result       Result
	err          error

	startTime     time.Time       // time of the first alert
	firstAct      time.Time       // time of the first act of a person
	alertSeverity string          // severity of the first alert
	finishedSteps map[string]bool // by playbook/step
	doneActions   map[string]bool // by name, see doOnce
	staleForm     chat.View       // signature form that was opened before the amendment
}

func newPlayer(ctx context.Context, cfg Config) *player {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Zone == nil {
		cfg.Zone = time.UTC
	}
	if cfg.Out == nil {
		cfg.Out = io.Discard
	}
	if cfg.WaitTimeout == 0 {
		cfg.WaitTimeout = 20 * time.Second
	}
	p := &player{Config: cfg, ctx: ctx, chat: cfg.Company.Chat, rng: newRand(cfg.Seed, 2), finishedSteps: map[string]bool{}, doneActions: map[string]bool{}}
	p.read = newReader(cfg.Company, cfg.Zone)
	p.cast = p.assignRoles()
	p.scenario = p.chooseScenario()
	p.result = Result{Source: p.scenario.source, Audience: p.scenario.audience, AckedBy: p.scenario.ackBy, Objecting: p.scenario.objecting,
		HTTP: p.chat.Config().Mode == chat.ModeHTTP, Signers: map[string]string{}, Steps: map[string]string{}, Files: map[string]string{}}
	return p
}

// fail ends the story with an error. Only the first error is stored.
func (p *player) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// log writes one line about an event to Out.
func (p *player) log(where, format string, args ...any) {
	if p.err == nil {
		_, _ = fmt.Fprintf(p.Out, "%s  %-10s  %s\n", p.Now().In(p.Zone).Format("15:04:05"), where, fmt.Sprintf(format, args...))
	}
}

// channelName returns the name of the incident's channel with "#", or "".
func (p *player) channelName() string {
	if ch, ok := p.chat.Channel(p.result.Channel); ok {
		return "#" + ch.Name
	}
	return ""
}

// timeAgo returns the time some minutes ago, as hours and minutes.
func (p *player) timeAgo(minutes int) string {
	return typedTime(p.Now().Add(-time.Duration(minutes)*time.Minute).In(p.Zone), "15:04")
}

// typedTime returns a time as a person types it. In the hour that the end of summer time
// repeats, it has the offset from UTC.
func typedTime(at time.Time, layout string) string {
	wall := at.Format(time.DateTime)
	if at.Add(time.Hour).Format(time.DateTime) == wall || at.Add(-time.Hour).Format(time.DateTime) == wall {
		layout += " UTC-07:00"
	}
	return at.Format(layout)
}

// timeNow returns the current time with seconds, because the whole story takes
// only seconds.
func (p *player) timeNow() string { return p.Now().In(p.Zone).Format(time.TimeOnly) }

// dateTime returns a date and time in the zone of the story.
func (p *player) dateTime(t time.Time) string { return t.In(p.Zone).Format(time.DateTime) }

// pick returns one of the values at random.
func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
