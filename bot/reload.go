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
	changed, content, err := b.replaceGeneration(ctx)
	b.reloads.set(b.clock(), err)
	said := slices.Clone(changed)
	for _, c := range content {
		said = append(said, c.String())
	}
	reason := "changed: " + strings.Join(said, ", ")
	if err != nil {
		reason = "refused: " + err.Error()
		b.log.Error("reload configuration failed", "component", "bot", "err", err)
	} else {
		b.log.Info("configuration reloaded", "component", "bot", "changed", strings.Join(said, ", "))
	}
	if auditErr := b.Desk().AuditOperation(ctx, by, "reload", reason, err == nil); auditErr != nil {
		b.log.Error("audit reload failed", "component", "bot", "err", auditErr)
	}
	if err != nil {
		return control.ReloadReport{}, err
	}
	if _, err := b.store.RetryEffects(ctx, response.WaitingQuery{Release: response.ReleaseRule{KeepPauses: true}}); err != nil { // the change may have repaired their cause
		b.log.Warn("retry waiting effects failed", "component", "bot", "err", err)
	}
	report := control.ReloadReport{Changed: changed, Content: content, Left: b.endDepartures(ctx)}
	b.reloads.mu.Lock()
	report.LoadedAt = b.reloads.loadedAt
	b.reloads.mu.Unlock()
	return report, nil
}

// replaceGeneration loads the configuration, checks it and puts it in force. It
// returns the changed keys, rule files and playbooks. After an error nothing has changed.
func (b *Bot) replaceGeneration(ctx context.Context) (changed []string, content []control.ContentChange, err error) {
	if b.load == nil {
		return nil, nil, errors.New("this process was started without a configuration file. Restart it")
	}
	c, err := b.load()
	if err != nil {
		return nil, nil, err
	}
	b.syncMu.Lock()
	defer b.syncMu.Unlock()
	old := b.current.Load()
	changed = config.ChangedKeys(old.config, c)
	if problems := append(needRestart(changed), changedSources(old.config.Sources, c.Sources)...); len(problems) > 0 {
		return nil, nil, problems
	}
	next, err := b.newGeneration(c)
	if err != nil {
		return nil, nil, err
	}
	if err := b.putDirectory(ctx, c, next); err != nil {
		return nil, nil, err
	}
	b.current.Store(next)
	if old.config.Escalation.PageTest != c.Escalation.PageTest || old.config.Backup.Every != c.Backup.Every || old.config.Backup.On() != c.Backup.On() {
		if err := b.setSchedules(ctx); err != nil {
			return nil, nil, err
		}
	}
	b.parts.ForgetRefusals()
	return changed, changedContent(old, next), nil
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

// changedContent returns the rule files and playbooks that differ between two
// generations, rule files first.
func changedContent(old, next *generation) []control.ContentChange {
	var out []control.ContentChange
	add := func(kind, file string, names []string, before, now string) {
		change := "changed"
		switch {
		case before == now:
			return
		case before == "":
			change = "added"
		case now == "":
			change = "removed"
		}
		out = append(out, control.ContentChange{Change: change, Kind: kind, File: file, Names: names})
	}
	before, now := old.rules.Files(), next.rules.Files()
	for _, file := range unionOfKeys(before, now) {
		rules := next.rules
		if now[file] == "" {
			rules = old.rules
		}
		add("rule file", file, rules.RulesIn(file), before[file], now[file])
	}
	plays, playsNow := old.library.Digests(), next.library.Digests()
	for _, name := range unionOfKeys(plays, playsNow) {
		library := next.library
		if playsNow[name] == "" {
			library = old.library
		}
		book, _ := library.Get(name)
		add("playbook", book.File, []string{name}, plays[name], playsNow[name])
	}
	return out
}

// unionOfKeys returns the keys of both maps, sorted.
func unionOfKeys(a, b map[string]string) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
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

// changedSources returns an error for each source that only one configuration has, with its
// key. The webhooks of a running process do not change. A change of a source that polls is
// an error of [needRestart], and so is that of a source that exists only because of it.
func changedSources(old, next config.Sources) config.Errors {
	var problems config.Errors
	compare := func(these, others config.Sources, format string) {
		on := others.On()
		for _, one := range these.On() {
			isNamed := func(other config.Source) bool { return other.Name == one.Name }
			if one.On && !one.Fixed && !slices.ContainsFunc(on, isNamed) {
				problems.Add(one.Key, format, one.Name)
			}
		}
	}
	compare(next, old, "cannot be added while Tocsin runs. Restart Tocsin, or remove the source %s again")
	compare(old, next, "cannot be removed while Tocsin runs. Restart Tocsin, or add the source %s again")
	return problems
}
