package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"tocsin/bot/cloudtrail"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/mail"
	"tocsin/bot/redact"
	"tocsin/bot/response"
	"tocsin/bot/slack"
	"tocsin/bot/trail"
	"tocsin/bot/vulnreport"
	"tocsin/playbooks"
	"tocsin/store"
)

// Bot is the whole program, put together.
type Bot struct {
	config      Config
	clock       func() time.Time
	zone        *time.Location
	log         *slog.Logger
	reportError errorReporter
	flush       func()

	store   *store.Store
	library *playbooks.Library
	records *cloudtrail.Source
	redact  *redact.Redactor
	slack   *slack.Slack
	mail    *mail.Mailer
	desk    *response.Desk
	edge    *intake.Edge
	form    *vulnreport.Form         // nil: there is none
	txt     *vulnreport.SecurityFile // nil: there is none
	mailbox *vulnreport.Mailbox      // nil: none is read
	reports *vulnreport.Source       // nil: none are taken
	trail   *trail.Source            // nil: no queue is read
	metrics *metrics
	ready   *readiness

	server          *http.Server
	listener        net.Listener
	controlListener net.Listener

	groups sync.Mutex // one synchronisation of the user groups at a time
	closed sync.Once
}

// Addr is the address it listens on, with the port that was chosen for ":0".
func (b *Bot) Addr() string { return b.listener.Addr().String() }

// Desk is the write path, for whoever embeds the bot.
func (b *Bot) Desk() *response.Desk { return b.desk }

// Store is the database, for whoever embeds the bot.
func (b *Bot) Store() *store.Store { return b.store }

// Run works until ctx ends, then lets what is under way finish. The directory
// of people is in place before the first request is answered.
func (b *Bot) Run(ctx context.Context) error {
	if err := b.syncDirectory(ctx); err != nil {
		return err
	}
	err := b.store.SetSchedules(ctx, []store.Schedule{{Name: response.ScheduleAgenda, Kind: response.ScheduleAgenda, Cron: b.config.Review.Agenda, Zone: b.config.TimeZone},
		{Name: scheduleRetention, Kind: scheduleRetention, Cron: retentionCron, Zone: b.config.TimeZone},
		{Name: scheduleReminders, Kind: scheduleReminders, Cron: remindersCron, Zone: b.config.TimeZone}})
	if err != nil {
		return fmt.Errorf("review.agenda: %w", err)
	}
	err = b.store.Run(ctx, store.JobFuncs{Drain: b.edge.Drain, Perform: b.desk.Perform, Scheduled: map[string]func(context.Context, time.Time) error{
		response.ScheduleAgenda: func(ctx context.Context, at time.Time) error { return b.desk.Sweep(ctx, response.ScheduleAgenda, at) },
		scheduleRetention:       b.prune,
		scheduleReminders:       b.remind,
	}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	run := func(what string, f func() error) {
		wg.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	run("serve", func() error { return ended(b.server.Serve(b.listener)) })
	controls := (&control{desk: b.desk, store: b.store, edge: b.edge, zone: b.zone, now: b.clock}).server()
	if b.controlListener != nil {
		run("control socket", func() error { return ended(controls.Serve(b.controlListener)) })
	}
	if !b.config.Slack.AppToken.IsZero() {
		wg.Go(func() { b.runSocket(ctx) })
	}
	wg.Go(func() { b.checkSlack(ctx) })
	if b.mailbox != nil {
		run("vulnerability mailbox", func() error { return b.mailbox.Run(ctx) })
	}
	if b.trail != nil {
		run("trail", func() error { return b.trail.Run(ctx) })
	}
	run("watch", func() error { b.ready.watch(ctx); return nil })
	if err := b.remind(ctx, b.clock()); err != nil { // who was away for the hour of the schedule is told now
		b.log.Warn("people could not be reminded; trying again within an hour", "component", "bot", "error", err)
	}
	b.log.Info("tocsin is up", "component", "bot", "address", b.Addr())

	<-ctx.Done()
	b.stop(controls)
	wg.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func ended(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// stop closes the doors first, then finishes what came through them.
func (b *Bot) stop(controls *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	_ = b.server.Shutdown(ctx)
	_ = controls.Shutdown(ctx)
	_ = b.edge.Close()
	b.slack.Wait()
	if err := b.store.Stop(ctx); err != nil {
		b.log.Warn("stopped with work under way; it goes on at the next start", "component", "bot", "error", err)
	}
}

// Close lets go of everything. It is safe after a New that failed half-way.
func (b *Bot) Close() {
	b.closed.Do(func() {
		for _, l := range []net.Listener{b.listener, b.controlListener} {
			if l != nil {
				_ = l.Close()
			}
		}
		if b.edge != nil {
			_ = b.edge.Close()
		}
		if b.store != nil {
			_ = b.store.Close()
		}
		b.flush()
	})
}

// syncDirectory puts the people of the configuration and of its user groups into
// the database. A department of fewer than two people stops the start: nothing
// could ever be signed. With Slack down the groups of last time stay.
func (b *Bot) syncDirectory(ctx context.Context) error {
	b.groups.Lock()
	defer b.groups.Unlock()
	var members map[string][]string
	if names := b.config.groups(); len(names) > 0 {
		asked, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		var err error
		if members, err = b.slack.Groups(asked, names); err != nil {
			b.log.Warn("user groups could not be read; the people known so far stay", "component", "bot", "error", err)
			known, readErr := b.desk.Directory(ctx)
			if readErr != nil || len(known.Teams) > 0 {
				return readErr
			}
		}
	}
	dir := b.config.Directory(members)
	var faults ConfigErrors
	for _, name := range incident.RequiredDepartments() {
		team, _ := dir.Team(name)
		if n := len(team.Members); n < 2 {
			faults.add("departments."+string(name), "has %d people with its Slack user group; four departments of at least two sign", n)
		}
	}
	if len(faults) > 0 {
		return faults
	}
	return b.desk.PutDirectory(ctx, dir)
}

// socketRetryInterval is how long after Slack refused us we ask again.
const socketRetryInterval = 30 * time.Second

// runSocket stays connected to Slack. A token that Slack refuses, revoked in
// the very incident perhaps, does not end the bot: alerts are taken and people
// paged without Slack.
func (b *Bot) runSocket(ctx context.Context) {
	for {
		err := b.slack.RunSocket(ctx)
		if ctx.Err() != nil {
			return
		}
		b.log.Error("slack refuses the connection; trying again", "component", "bot", "again_in", socketRetryInterval, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(socketRetryInterval):
		}
	}
}

// checkSlack says once what the token lacks. It does not stop the start: the
// rest of the house works without Slack.
func (b *Bot) checkSlack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := b.slack.Check(ctx); err != nil && ctx.Err() == nil {
		b.log.Error("slack cannot be used as it is", "component", "bot", "error", err)
	}
}

// groupsChanged is told by Slack; it reads the groups anew.
func (b *Bot) groupsChanged(ctx context.Context) {
	if err := b.syncDirectory(ctx); err != nil {
		b.log.Error("people could not be brought up to date", "component", "bot", "error", err)
	}
}
