package bot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin/bot/config"
	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// reloads is the state of the last reload.
type reloads struct {
	mu       sync.Mutex
	loadedAt time.Time
	err      error // of the last reload, nil if it succeeded
	failedAt time.Time
}

func (r *reloads) set(now time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.loadedAt, r.err, r.failedAt = now, nil, time.Time{}
	case r.err == nil:
		r.err, r.failedAt = err, now
	default:
		r.err = err // failedAt stays: nothing has been in order since
	}
}

// Err returns the error of the last reload, or nil if it succeeded.
func (r *reloads) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// watchHangup reloads the configuration at each hangup until ctx ends.
func (b *Bot) watchHangup(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.hangup:
			_, _ = b.reload(ctx, incident.System) // logged, audited and shown by /readyz
		}
	}
}

// Reload reads the configuration again and puts it in force. If it is invalid, or
// if it changes a key that a running process cannot change, the old one stays in
// force. Running commands, deliveries and effects finish with the old one.
func (b *Bot) Reload(ctx context.Context) error {
	_, err := b.reload(ctx, incident.System)
	return err
}

func (b *Bot) reload(ctx context.Context, by incident.Identity) (control.ReloadReport, error) {
	changed, err := b.replaceGeneration(ctx)
	b.reloads.set(b.clock(), err)
	reason := "changed: " + strings.Join(changed, ", ")
	if err != nil {
		reason = "refused: " + err.Error()
		b.log.Error("reload configuration failed", "component", "bot", "err", err)
	} else {
		b.log.Info("configuration reloaded", "component", "bot", "changed", strings.Join(changed, ", "))
	}
	if auditErr := b.Desk().AuditOperation(ctx, by, "reload", reason, err == nil); auditErr != nil {
		b.log.Error("audit reload failed", "component", "bot", "err", auditErr)
	}
	if err != nil {
		return control.ReloadReport{}, err
	}
	if _, err := b.store.RetryEffects(ctx, response.WaitingQuery{}); err != nil { // the change may have repaired their cause
		b.log.Warn("retry waiting effects failed", "component", "bot", "err", err)
	}
	report := control.ReloadReport{Changed: changed, Left: b.endDepartures(ctx)}
	b.reloads.mu.Lock()
	report.LoadedAt = b.reloads.loadedAt
	b.reloads.mu.Unlock()
	return report, nil
}

// replaceGeneration loads the configuration, checks it and puts it in force. It
// returns the changed keys. After an error nothing has changed.
func (b *Bot) replaceGeneration(ctx context.Context) (changed []string, err error) {
	if b.load == nil {
		return nil, errors.New("this process was started without a configuration file. Restart it")
	}
	c, err := b.load()
	if err != nil {
		return nil, err
	}
	b.syncMu.Lock()
	defer b.syncMu.Unlock()
	old := b.current.Load()
	changed = config.ChangedKeys(old.config, c)
	if problems := needRestart(changed); len(problems) > 0 {
		return nil, problems
	}
	next, err := b.newGeneration(c)
	if err != nil {
		return nil, err
	}
	if problems := sameSources(old, next); len(problems) > 0 {
		return nil, problems
	}
	if err := b.putDirectory(ctx, c, next); err != nil {
		return nil, err
	}
	b.current.Store(next)
	b.parts.ForgetRefusals()
	return changed, nil
}

// reloadStatus returns the state of the configuration and all former people.
func (b *Bot) reloadStatus(ctx context.Context) (control.ReloadReport, error) {
	dir, err := b.Desk().Directory(ctx)
	if err != nil {
		return control.ReloadReport{}, fmt.Errorf("read directory: %w", err)
	}
	b.reloads.mu.Lock()
	defer b.reloads.mu.Unlock()
	report := control.ReloadReport{LoadedAt: b.reloads.loadedAt, FailedAt: b.reloads.failedAt, Left: dir.Former}
	if b.reloads.err != nil {
		report.Error = b.reloads.err.Error()
	}
	return report, nil
}

// needRestart returns an error for each key that a running process cannot change.
func needRestart(keys []string) config.Errors {
	var problems config.Errors
	for _, key := range keys {
		if !config.CanReload(key) {
			problems.Add(key, "cannot change while Tocsin runs. Restart Tocsin, or restore the old value")
		}
	}
	return problems
}

// sameSources returns an error for each source that only one generation has. The
// webhooks of a running process do not change.
func sameSources(old, next *generation) config.Errors {
	var problems config.Errors
	for _, name := range slices.Sorted(maps.Keys(next.sources)) {
		if _, known := old.sources[name]; !known {
			problems.Add("sources."+name, "cannot be added while Tocsin runs. Restart Tocsin, or remove the source again")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old.sources)) {
		if _, stays := next.sources[name]; !stays {
			problems.Add("sources."+name, "cannot be removed while Tocsin runs. Restart Tocsin, or add the source again")
		}
	}
	return problems
}
