package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tocsin/bot/backup"
	"tocsin/bot/health"
	"tocsin/store"
)

const backupFix = "Run `tocsin backup now`"

// checkBackup checks the destinations, and the age of the newest backup and of its proof.
func (d *Doctor) checkBackup(ctx context.Context) {
	const check = "backup"
	c := d.Config.Backup
	if !c.On() {
		d.warn(check, "It is not configured, so Tocsin makes no backups: a lost disk loses every incident", "Add backup to the configuration. docs/operations.md describes it")
		return
	}
	ds, err := c.Destinations(backup.DestinationDeps{Logger: slog.New(slog.DiscardHandler), Timeout: probeTimeout / 4})
	if err != nil {
		d.failAs(check, err, err.Error(), "Correct backup.to")
		return
	}
	works := true
	for _, one := range ds.All() {
		works = d.probe(ctx, "backup to "+one.Label(), "The destination "+one.Label(), "Tocsin can write to it", one.Probe) && works
	}
	keys, err := store.LoadKeyset(d.Config.Store.KeysetFile)
	if err != nil || !works {
		d.skip(check, "It can only be checked with the keyset and destinations that work", "Repair them first")
		return
	}
	notary, err := keys.Notary()
	if err != nil {
		d.fail(check, "The keyset does not name the instance", "Restore the keyset")
		return
	}
	d.checkBackupAge(ctx, ds, backup.Origin(notary.Verifier()), keys)
}

// checkBackupAge checks the newest backup and the newest report of a proof.
func (d *Doctor) checkBackupAge(ctx context.Context, ds backup.Destinations, origin string, keys *store.Keyset) {
	const check = "newest backup"
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	c, now := d.Config.Backup, d.Clock()
	all := ds.Catalogue(ctx, origin, now, false)
	if err := all.Err(); err != nil {
		d.failAs(check, err, "The destinations cannot be listed", "Allow the user of Tocsin to list them")
		return
	}
	if len(all.Backups) == 0 {
		d.warn(check, "There is none yet", backupFix)
		return
	}
	if p := c.Late(all); p != nil {
		d.fail(check, p.Cause, p.Fix)
	} else {
		newest, _ := all.Newest(c.CopiesRequired)
		d.ok(check, fmt.Sprintf("It is %s old, and %d destinations have it", newest.Age.Truncate(time.Second), newest.Stored()))
	}
	d.checkProof(ctx, ds, origin, keys, all)
}

func (d *Doctor) checkProof(ctx context.Context, ds backup.Destinations, origin string, keys *store.Keyset, all backup.Catalogue) {
	const check = "backup proof"
	c, now := d.Config.Backup, d.Clock()
	if c.Verify.At == "" {
		d.warn(check, "It is off, so nothing proves that the backups restore", "Set backup.verify.at, and run `tocsin backup verify` at this time")
		return
	}
	zone, err := time.LoadLocation(d.Config.TimeZone)
	if err != nil {
		return // the configuration is invalid, which is another finding
	}
	report, err := ds.NewestReport(ctx, origin, now, keys)
	if err != nil && !errors.Is(err, backup.ErrNotFound) {
		p := health.Explain("The report", err)
		d.fail(check, p.Cause, p.Fix)
		return
	}
	oldest := all.Backups[len(all.Backups)-1].At
	switch s := c.ProofStatus(report, oldest, now, zone); {
	case s.Problem != nil:
		d.fail(check, s.Problem.Cause, s.Problem.Fix)
	case report.At.IsZero():
		d.warn(check, "Nothing has proven yet that a backup restores", "Set up `tocsin backup verify`. docs/operations.md describes it")
	default:
		d.ok(check, fmt.Sprintf("A backup restored in %.0f s at %s", report.RTOSeconds, report.At.UTC().Format("2006-01-02 15:04 MST")))
	}
}
