package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/backup"
	"tocsin/bot/notary"
	"tocsin/bot/terminal"
	"tocsin/store"
)

// verifyFlags are the flags of `tocsin backup verify`.
type verifyFlags struct {
	identity   string
	keysets    []string
	from       string
	checkpoint string
	temp       string
}

func backupVerifyCommand(g *globalFlags) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use: "verify [FILE]", Short: "Prove that a backup restores", Args: optionalArgument,
		Long: "Restore a random backup from a random destination into a temporary SQLite database and compare it: number and SHA-256 of\n" +
			"the rows, timelines, signatures and the published checkpoint. The jobs that a restore would start are counted and not\n" +
			"run. The database is removed afterwards. The report is stored at the destinations, signed with the keyset, and the bot\n" +
			"reads it there.\n\n" +
			"With FILE, a file or an address from `tocsin backup list`, the command restores this backup and stores no report.\n\n" +
			"Run it daily, as a user that can read the age identity and a copy of the keyset, or on another machine. The bot must\n" +
			"not be able to read the identity. Of the configuration file the command reads only the key backup. The exit status is\n" +
			"1 if the backup does not restore.",
		Example: "  tocsin backup verify --identity identity.txt --keyset keyset-copy.json\n" +
			"  tocsin backup verify daily/NAME.tocsin.age --identity identity.txt --keyset keyset-copy.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := g.prove(cmd.Context(), f, args)
			if err != nil {
				return err
			}
			if err := g.print(cmd.OutOrStdout(), report, reportText(report)); err != nil {
				return err
			}
			if !report.IsProof() {
				return exitCode(1)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&f.identity, "identity", "", "`file` with the age identity (default backup.verify.identity)")
	cmd.Flags().StringArrayVar(&f.keysets, "keyset", nil, "`file` with a copy of the keyset (default keyset_file). Repeat the flag for keysets from before `tocsin keys rotate --prune`")
	cmd.Flags().StringVar(&f.from, "from", "", "use a backup of this `destination`, such as dir:/backup")
	cmd.Flags().StringVar(&f.checkpoint, "checkpoint", "", "compare with the checkpoints in this `file` too")
	cmd.Flags().StringVar(&f.temp, "temp", "", "`folder` for the temporary database (default the one of the system)")
	return cmd
}

// prove makes the proof and stores its report.
func (g *globalFlags) prove(ctx context.Context, f verifyFlags, args []string) (backup.Report, error) {
	c, err := g.backupConfig()
	if err != nil {
		return backup.Report{}, err
	}
	if len(f.keysets) == 0 {
		f.keysets = []string{c.Store.KeysetFile}
	}
	ds, err := destinationsOf(c.Backup)
	if err != nil {
		return backup.Report{}, err
	}
	p := prover{destinations: ds}
	for _, file := range f.keysets {
		if file == "" {
			return backup.Report{}, errors.New("no keyset. Name the file of its copy with --keyset")
		}
		keys, err := store.LoadKeyset(file)
		if err != nil {
			return backup.Report{}, err
		}
		p.keysets = append(p.keysets, keys)
	}
	origin, err := originOf(p.keysets[0])
	if err != nil {
		return backup.Report{}, err
	}
	if f.checkpoint != "" {
		key, err := p.keysets[0].Notary()
		if err != nil {
			return backup.Report{}, err
		}
		if p.given, err = openCheckpoints(f.checkpoint, key.Verifier()); err != nil {
			return backup.Report{}, err
		}
	}
	file := cmp.Or(f.identity, c.Backup.Verify.Identity)
	if file == "" {
		return backup.Report{}, errors.New("no age identity. Name its file with --identity or backup.verify.identity")
	}
	o := backup.ProofOptions{Config: c.Backup, Origin: origin, From: f.from, Clock: time.Now, Temp: cmp.Or(f.temp, os.TempDir()), Restore: p.restore}
	if o.Identities, err = backup.LoadIdentities(file); err != nil {
		return backup.Report{}, err
	}
	if len(args) > 0 {
		return ds.ProveFile(ctx, args[0], o)
	}
	report, err := ds.Prove(ctx, o)
	if err != nil {
		return report, err
	}
	if err := ds.PutReport(ctx, report, p.keysets[0]); err != nil {
		return report, fmt.Errorf("store the report of the proof: %w", err)
	}
	return report, nil
}

// prover restores backups to prove them.
type prover struct {
	destinations backup.Destinations
	keysets      []*store.Keyset // the present one first
	given        []notary.Checkpoint
}

// restore fills a database with the first keyset that fits, and compares its content.
func (p *prover) restore(ctx context.Context, folder string, open func() (io.ReadCloser, error)) (out backup.Restored, err error) {
	for n, keys := range p.keysets {
		url := "sqlite:" + filepath.Join(folder, "proof-"+strconv.Itoa(n)+".db")
		out, err = p.restoreWith(ctx, url, keys, open)
		if !errors.Is(err, store.ErrKeyset) {
			return out, err
		}
	}
	return out, err
}

func (p *prover) restoreWith(ctx context.Context, url string, keys *store.Keyset, open func() (io.ReadCloser, error)) (out backup.Restored, err error) {
	stream, err := open()
	if err != nil {
		return out, err
	}
	defer func() { _ = stream.Close() }()
	deps := store.Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)}
	imported, err := store.Import(ctx, store.Config{URL: url}, deps, stream, store.ImportOptions{})
	if err != nil {
		return out, err
	}
	if err := backup.CheckEnd(stream); err != nil {
		return out, err
	}
	s, err := store.Open(ctx, store.Config{URL: url}, deps)
	if err != nil {
		return out, err
	}
	defer func() { _ = s.Close() }()
	m := imported.Manifest
	out = backup.Restored{UsableAt: time.Now(), BackupAt: m.Header.At, Jobs: imported.Effects + imported.Deliveries, Leaves: m.Leaves}
	for _, t := range m.Tables {
		out.Rows += t.Rows
	}
	published, err := p.published(ctx, keys, m)
	if err != nil {
		out.Problems = append(out.Problems, err.Error())
	}
	for _, c := range published {
		out.Checkpoint = fmt.Sprintf("%d leaves at %s", c.Size, c.At.Format(time.RFC3339))
	}
	v, err := s.Verify(ctx, published...)
	if err != nil {
		return out, err
	}
	for _, problem := range v.Problems {
		out.Problems = append(out.Problems, problem.String())
	}
	return out, nil
}

// checkpointMargin is how much older than a snapshot a checkpoint must be. The clocks of
// two replicas can differ.
const checkpointMargin = time.Minute

// published returns the checkpoints that the log in a backup must contain.
func (p *prover) published(ctx context.Context, keys *store.Keyset, m store.Manifest) ([]notary.Checkpoint, error) {
	key, err := keys.Notary()
	if err != nil {
		return nil, err
	}
	before := m.Header.At.Add(-checkpointMargin)
	var out []notary.Checkpoint
	for _, c := range p.given {
		if !c.At.After(before) {
			out = append(out, c)
		}
	}
	c, err := p.destinations.CheckpointBefore(ctx, key.Verifier(), before)
	if err == nil {
		out = append(out, c)
	}
	if errors.Is(err, backup.ErrNotFound) {
		err = nil // none was published before the backup
	}
	return out, err
}

// reportText returns a report for people. Each text from outside is one line.
func reportText(r backup.Report) string {
	name := terminal.Line(r.Key + " from " + r.From)
	if !r.IsProof() {
		text := fmt.Sprintf("%s does not restore: %s", name, countErrors(len(r.Problems)))
		for _, problem := range r.Problems {
			text += "\n  " + terminal.Line(problem)
		}
		return text
	}
	checkpoint := "no published checkpoint is older"
	if r.Checkpoint != "" {
		checkpoint = terminal.Line("equal to the published checkpoint of " + r.Checkpoint)
	}
	return strings.Join([]string{
		name + " restores",
		fmt.Sprintf("  snapshot of %s: %d rows, %d leaves of the notary, %s", r.BackupAt.UTC().Format("2006-01-02 15:04:05 UTC"), r.Rows, r.Leaves, checkpoint),
		fmt.Sprintf("  a restore starts %d jobs", r.Jobs),
		fmt.Sprintf("  usable after %.1f s (RTO), newest backup %s old (RPO)", r.RTOSeconds, formatAge(time.Duration(r.RPOSeconds*float64(time.Second)))),
	}, "\n")
}
