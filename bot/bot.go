package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"tocsin/bot/chat"
	"tocsin/bot/config"
	"tocsin/bot/intake"
	"tocsin/bot/publication"
	"tocsin/bot/response"
	"tocsin/bot/telemetry"
	"tocsin/bot/vulnreport"
	"tocsin/bot/web"
	"tocsin/store"
)

// Bot is the assembled program.
type Bot struct {
	start     config.Config // the configuration at the start, for the keys that a reload cannot change
	load      func() (config.Config, error)
	hangup    <-chan os.Signal
	onStarted func() // or nil
	current   atomic.Pointer[generation]
	clock     func() time.Time
	freeDisk  func() (int64, error)
	zone      *time.Location
	log       *slog.Logger
	telemetry *telemetry.Log

	store        *store.Store
	keys         *store.Keyset
	backups      backups
	chat         chatSystem
	chatEffects  *chat.Effects
	publisher    *publication.Publisher
	fixedSources map[string]intake.Source // sources that a reload cannot change
	edge         *intake.Edge
	admission    *intake.Admission
	traffic      *intake.Traffic
	reportForm   *vulnreport.Form         // nil without sources.report.form
	securityTxt  *vulnreport.SecurityFile // nil without sources.report.security_txt
	mailbox      *vulnreport.Mailbox      // nil without sources.report.mailbox
	metrics      *telemetry.Metrics
	parts        *telemetry.Parts
	clockWatch   *telemetry.ClockWatch
	// blockedSystems are the systems for which effects wait for an administrator.
	blockedSystems atomic.Pointer[[]string]
	// restore is what waits for the release of a restore, nil before the first look.
	restore   atomic.Pointer[response.RestoreOverview]
	readiness *telemetry.Readiness
	heartbeat *telemetry.Heartbeat // nil without telemetry.heartbeat_url

	server            *http.Server
	listener          net.Listener
	certificate       *web.Certificate // nil without tls
	stopping          chan struct{}    // closed when the server stops
	telemetryServer   *http.Server
	telemetryListener net.Listener
	controlListener   net.Listener

	syncMu    sync.Mutex // serialises the writers of the directory and of current
	reloads   reloads
	closeOnce sync.Once
}

// Addr returns the address that b listens on. If the configuration names port
// 0, Addr contains the port that the operating system chose.
func (b *Bot) Addr() string { return b.listener.Addr().String() }

// TelemetryAddr returns the address of /metrics and /readyz.
func (b *Bot) TelemetryAddr() string { return b.telemetryListener.Addr().String() }

// Desk returns the write path of the current configuration, for programs that
// embed the bot.
func (b *Bot) Desk() *response.Desk { return b.current.Load().desk }

// Store returns the database, for programs that embed the bot.
func (b *Bot) Store() *store.Store { return b.store }

// Run serves until ctx ends or a component fails, then stops the servers and
// waits up to 15 seconds for running jobs. It returns nil if ctx ended, and
// otherwise the error of the component.
//
// Run stores the directory of people before it answers the first request.
func (b *Bot) Run(ctx context.Context) error {
	if err := b.syncDirectory(ctx); err != nil {
		return err
	}
	if err := b.Desk().AnnounceMaintenance(ctx); err != nil {
		return err
	}
	if err := b.restoreFaults(ctx); err != nil {
		return err
	}
	if err := b.startJobs(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	run := func(name string, f func() error) {
		wg.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	run("serve", b.servePublic)
	run("serve telemetry", func() error { return ignoreServerClosed(b.telemetryServer.Serve(b.telemetryListener)) })
	controls := b.control().HTTP()
	controls.ErrorLog = b.server.ErrorLog
	if b.controlListener != nil {
		run("control socket", func() error { return ignoreServerClosed(controls.Serve(b.controlListener)) })
	}
	wg.Go(func() { b.chat.Run(ctx) })
	if b.mailbox != nil {
		run("vulnerability mailbox", func() error { return b.mailbox.Run(ctx) })
	}
	for name, source := range b.fixedSources {
		if runner, ok := source.(intake.Runner); ok {
			run(name, func() error { return runner.Run(ctx) })
		}
	}
	wg.Go(func() { b.pollAcknowledgements(ctx) })
	wg.Go(func() { b.watchRestore(ctx) })
	wg.Go(func() { b.watchHangup(ctx) })
	wg.Go(func() { b.restoreTraffic(ctx) })
	wg.Go(func() { b.endDepartures(ctx) }) // of people who left while the process was down
	run("readiness", func() error { b.readiness.Watch(ctx); return nil })
	if err := b.remind(ctx, b.clock()); err != nil { // the process may have been down at the scheduled time
		b.log.Warn("send reminders failed", "component", "bot", "retry_in", time.Hour, "err", err)
	}
	b.log.Info("server started", "component", "bot", "address", b.Addr(), "telemetry", b.TelemetryAddr())
	if b.onStarted != nil {
		b.onStarted()
	}

	<-ctx.Done()
	b.stop(controls)
	wg.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func ignoreServerClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// stop closes the servers first, then waits for the requests and jobs that they
// started.
func (b *Bot) stop(controls *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	_ = b.server.Shutdown(ctx)
	_ = controls.Shutdown(ctx)
	_ = b.telemetryServer.Shutdown(ctx)
	_ = b.edge.Close()
	b.chat.Wait()
	if err := b.store.Stop(ctx); err != nil {
		b.log.Warn("stop jobs failed", "component", "bot", "err", err) // the next start requeues them
	}
}

// Close closes the listeners and the database, and sends pending error reports.
// Repeated calls do nothing.
func (b *Bot) Close() {
	b.closeOnce.Do(func() {
		for _, l := range []net.Listener{b.listener, b.telemetryListener, b.controlListener} {
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
		b.telemetry.Close()
	})
}
