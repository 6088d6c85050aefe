package bot

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/backup"
	"tocsin/bot/config"
	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/publication"
	"tocsin/bot/response"
	"tocsin/bot/telemetry"
	"tocsin/bot/web"
	"tocsin/store"
	"tocsin/templates"
)

// Options are the dependencies of a [Bot] that are not in its configuration. Use
// the zero value outside of tests.
type Options struct {
	Clock  func() time.Time // time.Now if nil
	Logger *slog.Logger     // from telemetry if nil
	// LogOutput is the destination of the log, os.Stderr if nil. If it blocks or
	// fails, log lines are dropped and the bot continues.
	LogOutput io.Writer
	Keyset    *store.Keyset // from keyset_file if nil
	// Load reads the configuration again, for a reload. Without it a reload is
	// refused.
	Load func() (config.Config, error)
	// Hangup receives a value for each request to reload the configuration, such
	// as a SIGHUP. A value that arrives before [Bot.Run] waits.
	Hangup <-chan os.Signal
	// OnStarted is called when [Bot.Run] serves requests, or is nil.
	OnStarted func()
	// FreeDisk returns the free space of the disk of the database in bytes. The default
	// is the disk of the SQLite file.
	FreeDisk func() (int64, error)
}

// New assembles a bot. It opens the database, the listener and the control
// socket, and returns an error if one is in use. The bot serves no requests
// before [Bot.Run]. If New succeeds, the caller must call [Bot.Close].
func New(ctx context.Context, c config.Config, o Options) (_ *Bot, err error) {
	b := &Bot{start: c, load: o.Load, hangup: o.Hangup, freeDisk: o.FreeDisk, onStarted: o.OnStarted, stopping: make(chan struct{}), clock: o.Clock, log: o.Logger, telemetry: &telemetry.Log{Logger: o.Logger}, metrics: telemetry.NewMetrics()}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if b.clock == nil {
		b.clock = time.Now
	}
	if b.freeDisk == nil {
		b.freeDisk = func() (int64, error) { return b.store.FreeDisk() }
	}
	b.parts, b.clockWatch = telemetry.NewParts(b.currentParts, b.clock, b.metrics), telemetry.NewClockWatch(b.metrics)
	if b.log == nil {
		if o.LogOutput == nil {
			o.LogOutput = os.Stderr
		}
		log, err := telemetry.OpenLog(c.Telemetry, o.LogOutput, b.liveRedactor(), b.metrics)
		if err != nil {
			return nil, fmt.Errorf("telemetry.sentry_dsn: %w", err)
		}
		b.telemetry, b.log = log, log.Logger
	}
	b.traffic = intake.NewTraffic(b.clock(), b.log)
	if b.zone, err = time.LoadLocation(c.TimeZone); err != nil {
		return nil, fmt.Errorf("time_zone: %w", err)
	}
	if err = b.openStore(ctx, o.Keyset); err != nil {
		return nil, err
	}
	if err = b.openChat(); err != nil {
		return nil, err
	}
	if err = b.openFixedSources(); err != nil {
		return nil, err
	}
	first, err := b.newGeneration(c)
	if err != nil {
		return nil, err
	}
	b.current.Store(first)
	b.reloads.loadedAt = b.clock()
	if err = b.openEdge(); err != nil {
		return nil, err
	}
	return b, b.listen(ctx)
}

func (b *Bot) openStore(ctx context.Context, keys *store.Keyset) (err error) {
	if keys == nil {
		if keys, err = store.LoadKeyset(b.start.Store.KeysetFile); err != nil {
			return fmt.Errorf("keyset_file: %w", err)
		}
	}
	notary, err := keys.Notary()
	if err != nil {
		return err
	}
	b.keys, b.backups.origin = keys, backup.Origin(notary.Verifier())
	b.store, err = store.Open(ctx, b.start.Store, store.Deps{Keyset: keys, Logger: b.log, Clock: b.clock,
		OnFailure: func(f store.Failure) { b.telemetry.ReportError(f.Kind, f.Err) }})
	if err != nil {
		return err
	}
	b.publisher = publication.New(b.store, b.clock, b.log)
	return nil
}

// openDesk creates the desk of a generation.
func (b *Bot) openDesk(g *generation) (err error) {
	c := g.config
	routing, err := response.NewRouting(c.Routing, g.library.Names())
	if err != nil {
		return err
	}
	handlers := b.handlers(g)
	steps, targets, err := b.openSteps(g, handlers)
	if err != nil {
		return err
	}
	g.parts = b.generationParts(g, steps)
	g.desk, err = response.New(response.Options{Store: b.store, Routing: routing, Storm: c.Storm, UsualSeverity: c.Sources.UsualSeverities(), Playbooks: g.library, Correlate: g.cloudtrail, Detect: g.cloudtrail, Decode: func(d incident.StoredDelivery) ([]incident.Signal, error) {
		return g.decode(d.Source, d.Header, d.Body)
	}, Sources: c.Sources.Names(), Restores: b.store.Restores(), Redact: g.redact, RenderPostmortem: b.renderPostmortem, Administrators: control.Administrators(c.Control.Administrators),
		Policy: c.SignOff.Policy(incident.Policy{EscalateAfter: c.Escalation.EscalateAfter, AckTimeout: c.Escalation.AckTimeout, NoPageFrom: incident.Severity(c.Escalation.NoPageFrom), EscalationSteps: len(steps), PersonalPages: b.personalPages(g),
			FirstUpdate: c.Updates.FirstWithin.BySeverity(), TimeZone: c.TimeZone, Language: c.Language, RelyingParty: web.RelyingParty(c.PublicURL)}),
		NextTestPage: func(now time.Time) time.Time { return c.Escalation.PageTest.Next(now, b.start.TimeZone) },
		PageLinks:    b.pageLinks(g), Handlers: handlers, Shows: b.chatEffects.Shows, Pages: pageHandlers(steps), Targets: targets, Withdraw: b.withdrawPage(g, targets, steps), SystemOf: b.systemOf(g, steps), Explain: explainFailure, Observer: effectObserver{b.metrics, b.parts, steps}, Changed: b.chat.RefreshHomes, RecordChanges: b.recordChanges, Now: b.clock, Log: b.log})
	return err
}

// maxCheckpointWait is how long a postmortem waits for the newest checkpoint.
const maxCheckpointWait = 2 * time.Second

// renderPostmortem adapts [templates.Postmortem] to the desk. The document has the newest
// checkpoint of the notary, if it can be read.
func (b *Bot) renderPostmortem(p response.Postmortem) (incident.Document, error) {
	ctx, cancel := context.WithTimeout(context.Background(), maxCheckpointWait)
	defer cancel()
	checkpoint, err := b.store.LatestCheckpoint(ctx)
	if err != nil {
		b.log.Warn("read checkpoint for a postmortem failed", "component", "bot", "incident", p.Incident.ID, "err", err)
	}
	return templates.Postmortem(templates.Input{Checkpoint: checkpoint.Note, Incident: p.Incident, Timeline: p.Timeline, Directory: p.Directory, Revision: p.Revision, Written: p.Written, Alerts: p.Alerts,
		Copy: p.Copy, Withheld: p.Withheld})
}

// pageLinks returns the function that makes the addresses in a page. They exist before any
// outside system is called.
func (b *Bot) pageLinks(g *generation) func(incident.Incident) incident.PageLinks {
	return func(inc incident.Incident) incident.PageLinks {
		l := incident.PageLinks{Chat: b.chat.URL(inc.Links[incident.LinkChannel]), Call: g.config.CallURL(inc.ID)}
		l.Status = l.Chat
		if site := g.config.PublicURL; site != "" {
			l.Status = strings.TrimSuffix(site, "/") + web.StatusPath + b.store.StatusPageToken(inc.ID)
		}
		for _, run := range inc.Runs {
			if book, ok := g.library.Get(run.Playbook); ok && l.Runbook == "" {
				l.Runbook = book.Runbook
			}
		}
		return l
	}
}

// statusPage returns the status page with a token, or an error with the code
// [incident.CodeUnknown].
func (b *Bot) statusPage(ctx context.Context, token string) (incident.StatusPage, error) {
	id, ok := b.store.StatusPageID(token)
	if !ok {
		return incident.StatusPage{}, incident.Unknown("", "unknown status page. Check the address")
	}
	return b.Desk().StatusPage(ctx, id)
}

// handlers returns the handler of each effect kind, except pages.
func (b *Bot) handlers(g *generation) map[incident.EffectKind]response.Handler {
	out := map[incident.EffectKind]response.Handler{}
	for kind, h := range b.chatEffects.Handlers() {
		out[kind] = h
	}
	if g.mail != nil {
		for kind, h := range g.mail.Handlers() {
			out[kind] = h
		}
	}
	out[incident.EffectPagePerson] = b.pagePeople(g)
	if g.pagerREST != nil {
		out[incident.EffectPagerUpdate] = updatePager(g)
	}
	return out
}

// systemOf returns the function that names the outside system of each effect.
func (b *Bot) systemOf(g *generation, steps []pager) func(incident.Effect) string {
	systems := map[incident.EffectKind]string{incident.EffectPageAck: incident.SystemPagerDuty, incident.EffectPageResolve: incident.SystemPagerDuty, incident.EffectPageNotice: incident.SystemPagerDuty, incident.EffectPagerUpdate: incident.SystemPagerDuty}
	if ways := b.personalPages(g); len(ways) > 0 {
		systems[incident.EffectPagePerson] = string(ways[0])
	}
	for kind := range b.chatEffects.Handlers() {
		systems[kind] = b.chat.Name()
	}
	for kind := range g.mail.Handlers() {
		systems[kind] = incident.SystemMail
	}
	return func(e incident.Effect) string {
		isPage := e.Kind == incident.EffectPage || e.Kind == incident.EffectPageAck || e.Kind == incident.EffectPageResolve || e.Kind == incident.EffectTestPage || e.Kind == incident.EffectTestPageEnd
		if step, err := strconv.Atoi(e.Args["escalation_step"]); isPage && err == nil && step < len(steps) {
			return steps[step].system
		}
		return systems[e.Kind]
	}
}
