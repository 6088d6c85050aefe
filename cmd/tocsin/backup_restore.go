package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/backup"
	"tocsin/bot/config"
	"tocsin/bot/incident"
	"tocsin/bot/notary"
	"tocsin/bot/response"
	"tocsin/store"
)

// restoreFlags are the flags of `tocsin backup restore`.
type restoreFlags struct {
	into, identity, keyset, checkpoint string
	noCheckpoint                       bool
}

func backupRestoreCommand(g *globalFlags) *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use: "restore BACKUP --identity FILE", Short: "Restore a backup into an empty database", Args: oneArgument,
		Long: "Restore a backup into an empty database: a SQLite file that does not exist, or a PostgreSQL database without tables. BACKUP\n" +
			"is a file, an address that `tocsin backup list` prints, or the word newest. The database receives everything or nothing. A truncated or\n" +
			"altered backup, a missing key and a backup that contradicts a published checkpoint leave it empty.\n\n" +
			"The command finds the newest published checkpoint at the destinations of the configuration. --checkpoint names a file with\n" +
			"one, such as a mail that you saved, and --no-checkpoint restores without one. It repeats erasures that the checkpoint names,\n" +
			"and leaves out incident numbers that the lost machine may have used.\n\n" +
			"Tocsin starts paused from the restored database. New alerts open incidents and page. Work from before the restore waits\n" +
			"for `tocsin backup release`.",
		Example: "  tocsin backup restore newest --into sqlite:tocsin.db --identity identity.txt\n  tocsin backup restore /backup/hourly/20261130T210000Z-3f2a.tocsin.age --into sqlite:/var/lib/tocsin/tocsin.db --identity /root/identity.txt\n" +
			"  tocsin backup restore FILE --into postgres://tocsin@db.example.com/tocsin --identity identity.txt --checkpoint mail.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			done, err := g.restore(cmd, args[0], f)
			if err != nil {
				return fmt.Errorf("nothing was restored: %w", err)
			}
			return g.print(cmd.OutOrStdout(), done, done.text())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.into, "into", "", "`URL` of the empty database, if it is not the configured one")
	flags.StringVar(&f.identity, "identity", "", "`FILE` of the age identity that opens the backup")
	flags.StringVar(&f.keyset, "keyset", "", "`FILE` of the keyset, if it is not the configured one")
	flags.StringVar(&f.checkpoint, "checkpoint", "", "`FILE` with the newest published checkpoint")
	flags.BoolVar(&f.noCheckpoint, "no-checkpoint", false, "restore without a published checkpoint")
	cmd.MarkFlagsMutuallyExclusive("checkpoint", "no-checkpoint")
	return cmd
}

// restored is the result of a restore.
type restored struct {
	store.Imported
	BackupAt time.Time              `json:"backup_at"`
	Gap      response.RestoreGap    `json:"gap"`
	Repeated []incident.LostErasure `json:"repeated_erasures,omitempty"`
	Into     string                 `json:"into"`
	Took     time.Duration          `json:"took"` // in nanoseconds
}

func (r restored) text() string {
	m := r.Manifest
	var text strings.Builder
	line := func(format string, args ...any) { _ = writeLine(&text, format, args...) } // a strings.Builder does not fail
	line("restored in %s: %d incidents with %d events, %d alerts, %d deliveries and %d entries of the audit log, until %s", r.Took.Round(100*time.Millisecond),
		m.Rows("incidents"), m.Rows("events"), m.Rows("alerts"), m.Rows("inbox"), m.Rows("audit"), utcMinute(r.BackupAt))
	line("%s", gapText(r.Gap))
	line("The next incident is INC-%d, because the lost machine may have used the numbers from INC-%d on.", r.NextIncident, m.LastIncident+1)
	if len(r.Repeated) > 0 {
		var of []string
		for _, e := range r.Repeated {
			of = append(of, fmt.Sprintf("%s (%d texts)", e.Incident, len(e.Refs)))
		}
		line("Texts erased again, because legal and security erased them after the backup: %s.", strings.Join(of, ", "))
	}
	line("Waiting for the release: %d messages, pages, mails and deadlines, and %d deliveries.", r.Effects, r.Deliveries)
	line("next:")
	line("  systemctl start tocsin    (its configuration must name the database %s)", r.Into)
	line("  tocsin backup release")
	return strings.TrimSuffix(text.String(), "\n")
}

func (g *globalFlags) restore(cmd *cobra.Command, where string, f restoreFlags) (out restored, err error) {
	ctx, start := cmd.Context(), time.Now()
	progress := func(format string, args ...any) { _ = writeLine(cmd.ErrOrStderr(), format, args...) }
	c, err := g.restoreConfig(f)
	if err != nil {
		return out, err
	}
	keys, err := store.LoadKeyset(c.Store.KeysetFile)
	if errors.Is(err, fs.ErrNotExist) {
		return out, fmt.Errorf("the keyset %s does not exist. Name a copy of the keyset of the lost machine with --keyset: a new one opens no backup", c.Store.KeysetFile)
	}
	if err != nil {
		return out, fmt.Errorf("keyset: %w. Use a copy of the keyset of the lost machine", err)
	}
	ids, err := backup.LoadIdentities(f.identity)
	if err != nil {
		return out, err
	}
	ds, err := c.Backup.Destinations(backup.DestinationDeps{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return out, err
	}
	if f.checkpoint == "" && !f.noCheckpoint {
		progress("looking for the newest published checkpoint")
	}
	checkpoint, err := f.findCheckpoint(ctx, ds, keys)
	if err != nil {
		return out, err
	}
	if where == newestBackup {
		if where, err = findNewest(ctx, ds, c.Backup, keys); err != nil {
			return out, err
		}
	}
	r, err := ds.Open(ctx, where, ids)
	if err != nil {
		return out, err
	}
	defer func() { _ = r.Close() }()
	progress("restoring %s into %s", where, withoutPassword(c.Store.URL))
	options := store.ImportOptions{Restore: true, Checkpoint: checkpoint, Amend: func(tx response.Tx) (err error) {
		if checkpoint != nil {
			out.Repeated, err = response.RepeatErasures(tx, time.Now, lostErasures(*checkpoint))
		}
		return err
	}}
	out.Imported, err = store.Import(ctx, c.Store, store.Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)}, r, options)
	if err != nil {
		return restored{}, err
	}
	m := out.Manifest
	out.Into = withoutPassword(c.Store.URL)
	out.BackupAt, out.Took = m.Header.At, time.Since(start)
	out.Gap = response.RestoreGap{LastIncident: incident.ID(m.LastIncident), LostIncident: incident.ID(m.LastIncident)}
	if checkpoint != nil {
		out.Gap = store.RestoreGapOf(*checkpoint, m.Leaves, m.LastIncident)
	}
	return out, nil
}

// restoreConfig returns the configuration with the database and the keyset of the flags. The file may be missing, and other
// keys may be invalid: a new machine has perhaps only the keyset and a backup.
func (g *globalFlags) restoreConfig(f restoreFlags) (config.Config, error) {
	c, err := config.Load(g.config)
	if invalid := (config.Errors)(nil); err != nil && !errors.As(err, &invalid) && !(errors.Is(err, fs.ErrNotExist) && f.keyset != "") {
		return c, err
	}
	if f.keyset != "" {
		c.Store.KeysetFile = f.keyset
	}
	c.Store.ReplicaID = store.Defaults().ReplicaID
	if f.into != "" || err != nil {
		c.Store.URL = f.into
	}
	switch {
	case len((store.Config{URL: c.Store.URL, KeysetFile: "x", ReplicaID: "x"}).Validate()) > 0:
		return c, errors.New("the flag --into is missing or not a database URL. Write --into sqlite:FILE or --into postgres://USER@HOST/NAME")
	case f.identity == "":
		return c, errors.New("the flag --identity is missing. Name the file of the age identity that opens the backup")
	case c.Store.KeysetFile == "":
		return c, errors.New("the flag --keyset is missing, and the configuration has no keyset_file. Name a copy of the keyset of the lost machine")
	}
	return c, nil
}

// errNoCheckpoint means that no published checkpoint was found.
var errNoCheckpoint = errors.New("the destinations have no published checkpoint. Save one from the announce channel or a mail and name it with --checkpoint FILE, or add --no-checkpoint to restore without a proof that the backup is genuine")

// openCheckpoints returns the checkpoints of an instance in a file, such as a saved mail.
func openCheckpoints(file string, v notary.Verifier) ([]notary.Checkpoint, error) {
	files, err := readCheckpoints(os.Stdin, []string{file})
	if err != nil {
		return nil, err
	}
	all, err := v.OpenAll(files[0].Text)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w. Save all its lines, and check that the keyset is a copy of the keyset of this instance", file, err)
	}
	return all, nil
}

// findCheckpoint returns the newest published checkpoint, or nil with --no-checkpoint.
func (f restoreFlags) findCheckpoint(ctx context.Context, ds backup.Destinations, keys *store.Keyset) (*notary.Checkpoint, error) {
	if f.noCheckpoint {
		return nil, nil
	}
	key, err := keys.Notary()
	if err != nil {
		return nil, err
	}
	if f.checkpoint != "" {
		all, err := openCheckpoints(f.checkpoint, key.Verifier())
		if err != nil {
			return nil, err
		}
		newest := slices.MaxFunc(all, func(a, b notary.Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
		return &newest, nil
	}
	c, err := ds.NewestCheckpoint(ctx, key.Verifier())
	if errors.Is(err, backup.ErrNotFound) {
		return nil, errNoCheckpoint
	}
	if err != nil {
		return nil, fmt.Errorf("%w. Repair it, name a saved checkpoint with --checkpoint FILE, or add --no-checkpoint", err)
	}
	return &c, nil
}

// newestBackup is the argument for the newest backup at the destinations.
const newestBackup = "newest"

// findNewest returns the key of the newest backup of the instance that a destination has.
func findNewest(ctx context.Context, ds backup.Destinations, c backup.Config, keys *store.Keyset) (string, error) {
	if !c.On() {
		return "", errors.New("the configuration has no backup.to, so Tocsin cannot find the newest backup. Name the file of a backup")
	}
	origin, err := originOf(keys)
	if err != nil {
		return "", err
	}
	all := ds.Catalogue(ctx, origin, time.Now(), false)
	newest, found := all.Newest(1)
	if !found {
		return "", cmp.Or(all.Err(), errors.New("the destinations have no backup of this instance. Check backup.to, or name the file of a backup"))
	}
	return newest.Key, nil
}

// lostErasures returns the erasures that a checkpoint names.
func lostErasures(c notary.Checkpoint) (out []incident.LostErasure) {
	for _, e := range c.Erasures {
		lost := incident.LostErasure{Incident: incident.ID(e.Incident), Event: int(e.Event)}
		for _, ref := range e.Refs {
			seq, name, _ := strings.Cut(ref, "/")
			if n, err := strconv.Atoi(seq); err == nil && name != "" {
				lost.Refs = append(lost.Refs, incident.TextRef{Seq: n, Name: name})
			}
		}
		out = append(out, lost)
	}
	return out
}
