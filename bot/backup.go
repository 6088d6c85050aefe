package bot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"tocsin/bot/backup"
	"tocsin/bot/config"
	"tocsin/bot/health"
	"tocsin/bot/incident"
	"tocsin/bot/telemetry"
	"tocsin/store"
)

// Names of the parts of backups and of the notary, in /readyz, metrics and notices.
const (
	partBackup      = "backup"
	partBackupProof = "backup proof"
	partRestore     = "restore"
	partNotary      = "notary"
	partPublication = "checkpoint publication"
)

const (
	scheduleBackup      = "backup"
	scheduleBackupProof = "backup_proof"

	// backupRetry is the pause after a failed backup.
	backupRetry = 5 * time.Minute
	// opBackup is the operation of partBackup that is not a probe.
	opBackup = "backup"
)

// backups is the state of the backups of this process, for all configurations.
type backups struct {
	origin string
	// newestDue is the time of the last job, in Unix seconds. Older jobs end.
	newestDue atomic.Int64
	// proof is the last result of the probe of partBackup.
	proof atomic.Pointer[backup.ProofStatus]
}

// openBackups returns the runner of a configuration, or nil without backups.
func (b *Bot) openBackups(c config.Config) (*backup.Runner, error) {
	if !c.Backup.On() {
		return nil, nil
	}
	if err := refuseIdentity(c.Backup.Verify.Identity); err != nil {
		return nil, err
	}
	ds, err := c.Backup.Destinations(backup.DestinationDeps{Logger: b.log})
	if err != nil {
		return nil, err
	}
	return NewBackupRunner(c, ds, b.store, backup.Deps{Origin: b.backups.origin, Clock: b.clock, Logger: b.log}), nil
}

// NewBackupRunner returns a runner that makes backups of a database. It completes d.
func NewBackupRunner(c config.Config, ds backup.Destinations, s *store.Store, d backup.Deps) *backup.Runner {
	d.SpoolFolder = c.Backup.SpoolFolder(c.Store.URL)
	d.Export = func(ctx context.Context, w io.Writer) (backup.Snapshot, error) {
		m, err := s.Export(ctx, w)
		out := backup.Snapshot{At: m.Header.At}
		for _, t := range m.Tables {
			out.Rows += t.Rows
		}
		return out, err
	}
	d.Born = s.Born
	return backup.NewRunner(c.Backup, ds, d)
}

// refuseIdentity returns an error if this process can read the identity of the proof. An
// attacker who controls the bot could then read every backup, also what was deleted since.
func refuseIdentity(file string) error {
	if file == "" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil //nolint:nilerr // the bot must not be able to read it
	}
	_ = f.Close()
	return fmt.Errorf("backup.verify.identity: the user of Tocsin can read %s, but only the user of `tocsin backup verify` may. Run Tocsin as another user, or run chown and chmod 600 on the file", file)
}

// runBackup is the scheduled job. It runs again until every destination has the backup, or
// the next one is due.
func (b *Bot) runBackup(ctx context.Context, at time.Time) error {
	due := at.Unix()
	for newest := b.backups.newestDue.Load(); due > newest && !b.backups.newestDue.CompareAndSwap(newest, due); newest = b.backups.newestDue.Load() {
	}
	r := b.current.Load().backup
	if r == nil || due < b.backups.newestDue.Load() {
		return nil
	}
	_, err := r.Ensure(ctx, at)
	b.reportBackup(ctx, err)
	if err != nil && ctx.Err() == nil {
		b.log.WarnContext(ctx, "backup failed", "component", "backup", "retry_in", backupRetry, "err", err)
		return &incident.RetryAfter{After: backupRetry}
	}
	return err
}

// backupNow makes a backup for an administrator.
func (b *Bot) backupNow(ctx context.Context) (backup.Result, error) {
	r := b.current.Load().backup
	if r == nil {
		return backup.Result{}, errNoBackups
	}
	ctx, cancel := context.WithTimeout(ctx, store.LongJobTimeout)
	defer cancel()
	out, err := r.Run(ctx, b.clock())
	b.reportBackup(ctx, err)
	if copies := new(backup.CopyError); errors.As(err, &copies) && !copies.IsFailed {
		err = nil // the result names the destination
	}
	return out, err
}

var errNoBackups = incident.Invalid("backup", "backups are not configured. Add backup to the configuration, and reload it")

// reportBackup reports the result of a backup to its part, and probes it.
func (b *Bot) reportBackup(ctx context.Context, err error) {
	var refused *incident.Error
	if ctx.Err() != nil || errors.As(err, &refused) { // interrupted, or another one runs
		return
	}
	b.parts.Report(partBackup, "The backup", opBackup, err)
	b.parts.ProbeSoon(partBackup)
}

// backupParts returns the optional parts of the backups of a generation.
func (b *Bot) backupParts(g *generation) []telemetry.Part {
	if g.backup == nil {
		return nil
	}
	parts := []telemetry.Part{{Name: partBackup, System: "The backup", Probe: b.probeBackups(g), Interval: slowProbe, Effect: "If the database is lost now, incidents since the newest backup are lost with it"}}
	if g.config.Backup.Verify.At != "" {
		parts = append(parts, telemetry.Part{Name: partBackupProof, Check: b.checkProof, Effect: "Nobody knows that the backups restore"})
	}
	return parts
}

// probeBackups returns the probe of partBackup. It also reads the newest report of a proof.
func (b *Bot) probeBackups(g *generation) func(context.Context) error {
	return func(ctx context.Context) error {
		r, now := g.backup, b.clock()
		all := r.Catalogue(ctx, r.Origin, now, false)
		newest, ok := all.Newest(r.CopiesRequired)
		b.metrics.SetBackup(newest.At)
		b.readProof(ctx, r, all, now)
		switch {
		case all.Err() != nil:
			return all.Err()
		case !ok && now.Sub(b.reloadedAt()) < r.Every+backup.MaxLate: // the first one is not due yet
			return nil
		}
		if p := r.Late(all); p != nil {
			return p
		}
		return nil
	}
}

// reloadedAt returns when the configuration was loaded.
func (b *Bot) reloadedAt() time.Time {
	b.reloads.mu.Lock()
	defer b.reloads.mu.Unlock()
	return b.reloads.loadedAt
}

// readProof reads the newest report and derives the status of the proof.
func (b *Bot) readProof(ctx context.Context, r *backup.Runner, all backup.Catalogue, now time.Time) {
	report, err := r.NewestReport(ctx, r.Origin, now, b.keys)
	if err != nil && !errors.Is(err, backup.ErrNotFound) && report.At.IsZero() {
		b.backups.proof.Store(&backup.ProofStatus{Problem: health.Explain("The report of the proof", err)})
		return
	}
	oldest := time.Time{}
	if n := len(all.Backups); n > 0 {
		oldest = all.Backups[n-1].At
	}
	status := r.ProofStatus(report, oldest, now, b.zone)
	b.backups.proof.Store(&status)
	if !report.At.IsZero() && report.IsProof() {
		b.metrics.SetBackupProof(report.At, report.RTOSeconds)
	}
}

func (b *Bot) checkProof(time.Time) error {
	if s := b.backups.proof.Load(); s != nil && s.Problem != nil {
		return s.Problem
	}
	return nil
}

// auditProof writes the newest report to the audit log.
func (b *Bot) auditProof(ctx context.Context, _ time.Time) error {
	r := b.current.Load().backup
	if r == nil {
		return nil
	}
	report, err := r.NewestReport(ctx, r.Origin, b.clock(), b.keys)
	if err != nil {
		return nil //nolint:nilerr // partBackupProof shows it
	}
	result := fmt.Sprintf("%s from %s restored in %.0f s, %d rows", report.Key, report.From, report.RTOSeconds, report.Rows)
	if !report.IsProof() {
		result = fmt.Sprintf("%s from %s does not restore: %s", report.Key, report.From, report.Problems[0])
	}
	return b.Desk().AuditBackupProof(ctx, report.At.Format(time.RFC3339), result, report.IsProof())
}

// restoreInterval is the time between two looks at a restore that waits for its release.
const restoreInterval = 15 * time.Second

// watchRestore notifies people about a restore until a person releases it.
func (b *Bot) watchRestore(ctx context.Context) {
	tick := time.NewTicker(restoreInterval)
	defer tick.Stop()
	for len(b.store.Restores()) > 0 {
		overview, err := b.Desk().WatchRestore(ctx)
		if err != nil && ctx.Err() == nil {
			b.log.WarnContext(ctx, "notify about restore failed", "component", "bot", "retry_in", restoreInterval, "err", err)
		}
		if err == nil {
			b.restore.Store(&overview)
			b.metrics.SetHeld(overview)
			if !overview.Paused {
				return // a database in use is never restored
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// checkRestore returns an error while a restore waits for its release.
func (b *Bot) checkRestore(time.Time) error {
	r := b.restore.Load()
	if r == nil || !r.Paused {
		return nil
	}
	return &health.Problem{Since: r.RestoredAt, Cause: fmt.Sprintf("Tocsin was restored from the backup of %s and is paused: work from before the restore waits", r.BackupAt.UTC().Format("2006-01-02 15:04 UTC")),
		Fix: "Run `tocsin backup release` to list the waiting work and to release it"}
}
