package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot"
	"tocsin/bot/backup"
	"tocsin/bot/config"
	"tocsin/bot/control"
	"tocsin/bot/terminal"
	"tocsin/store"
)

func backupCommand(g *globalFlags) *cobra.Command {
	cmd := commandGroup(&cobra.Command{Use: "backup", Short: "Make, prove and restore encrypted backups of the database"})
	cmd.AddCommand(backupNowCommand(g), backupListCommand(g), backupVerifyCommand(g), backupRestoreCommand(g), backupReleaseCommand(g))
	return cmd
}

func backupNowCommand(g *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "now", Short: "Make a backup and send it to every destination", Args: noArguments,
		Long: "Make a backup of the database and send it to every destination of backup.to. If no bot runs, the command opens the\n" +
			"database itself. The exit status is 1 if fewer than backup.copies_required destinations have the backup.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out backup.Result
			err := g.callOrOpen(cmd.Context(), "backup-now", control.Request{}, &out, func(ctx context.Context, s *store.Store) (err error) {
				out, err = g.backupOffline(ctx, s)
				return err
			})
			if err != nil {
				return err
			}
			text := fmt.Sprintf("stored %s (%s) at %d of %d destinations", terminal.Line(out.Key), formatBytes(out.Size), out.Stored(), len(out.Copies))
			for _, c := range out.Copies {
				if c.Problem != "" {
					text += "\n  " + terminal.Line(c.Destination+": "+c.Problem)
				}
			}
			return g.print(cmd.OutOrStdout(), out, text)
		},
	}
}

// backupOffline makes a backup of an open database without a bot.
func (g *globalFlags) backupOffline(ctx context.Context, s *store.Store) (backup.Result, error) {
	c, err := config.Load(g.config)
	if err != nil {
		return backup.Result{}, err
	}
	ds, err := destinationsOf(c.Backup)
	if err != nil {
		return backup.Result{}, err
	}
	keys, err := store.LoadKeyset(c.Store.KeysetFile)
	if err != nil {
		return backup.Result{}, err
	}
	origin, err := originOf(keys)
	if err != nil {
		return backup.Result{}, err
	}
	out, err := bot.NewBackupRunner(c, ds, s, backup.Deps{Origin: origin, Logger: slog.New(slog.DiscardHandler)}).Run(ctx, time.Now())
	if copies := new(backup.CopyError); errors.As(err, &copies) && !copies.IsFailed {
		err = nil // the result names the destination
	}
	return out, err
}

// destinationsOf returns the destinations of a configuration.
func destinationsOf(c backup.Config) (backup.Destinations, error) {
	if !c.On() {
		return backup.Destinations{}, errors.New("backups are not configured. Add backup to the configuration: `tocsin config example` prints its keys")
	}
	return c.Destinations(backup.DestinationDeps{Logger: slog.New(slog.DiscardHandler)})
}

// originOf returns the name of the instance with a keyset.
func originOf(keys *store.Keyset) (string, error) {
	key, err := keys.Notary()
	return backup.Origin(key.Verifier()), err
}

// backupConfig returns the key backup of the configuration. Other keys may be invalid,
// because the user of the proof does not have their secrets.
func (g *globalFlags) backupConfig() (config.Config, error) {
	c, err := config.Load(g.config)
	var all, own config.Errors
	if !errors.As(err, &all) {
		return c, err
	}
	for _, e := range all {
		if e.Key == "backup" || strings.HasPrefix(e.Key, "backup.") {
			own = append(own, e)
		}
	}
	if len(own) > 0 {
		return c, own
	}
	return c, nil
}

func backupListCommand(g *globalFlags) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the backups at all destinations", Args: noArguments,
		Long: "List the backups at all destinations, newest first: class, time, age, size and the state of each copy. \"missing\" means that\n" +
			"the destination has no copy, \"damaged\" that its content is not the one that was written. With --check the command reads\n" +
			"every copy, otherwise only copies that differ in size. It needs no identity. The exit status is 1 if a destination does\n" +
			"not answer or a copy is damaged.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.backupConfig()
			if err != nil {
				return err
			}
			ds, err := destinationsOf(c.Backup)
			if err != nil {
				return err
			}
			origin := "" // without the keyset, the backups of every instance
			if keys, err := store.LoadKeyset(c.Store.KeysetFile); err == nil {
				if origin, err = originOf(keys); err != nil {
					return err
				}
			}
			all := ds.Catalogue(cmd.Context(), origin, time.Now(), check)
			if err := g.print(cmd.OutOrStdout(), all, catalogueText(all)); err != nil {
				return err
			}
			if all.HasProblem() {
				return exitCode(1)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "read every copy and compare its SHA-256")
	return cmd
}

// catalogueText returns the backups as a table.
func catalogueText(all backup.Catalogue) string {
	var text strings.Builder
	for _, d := range all.Destinations {
		if d.Problem != "" {
			text.WriteString(terminal.Line(d.Destination+": "+d.Problem) + "\n")
		}
	}
	if len(all.Backups) == 0 {
		text.WriteString("no backups yet: make one with `tocsin backup now`\n")
		return strings.TrimSuffix(text.String(), "\n")
	}
	t := newTable(&text)
	t.row("TIME (UTC)", "AGE", "CLASS", "SIZE", "COPIES", "KEY")
	for _, e := range all.Backups {
		age := formatAge(e.Age)
		if e.IsFuture {
			age = "in the future: check the clock"
		}
		t.row(e.At.Format("2006-01-02 15:04:05"), age, e.Class, formatBytes(e.Size), copiesText(e), e.Key)
	}
	_ = t.flush() // a strings.Builder does not fail
	return strings.TrimSuffix(text.String(), "\n")
}

// copiesText returns the number of copies, and the state of those that are not ok.
func copiesText(e backup.Entry) string {
	var others []string
	for _, c := range e.Copies {
		if c.State != backup.CopyOK {
			others = append(others, fmt.Sprintf("%s at %s", c.State, c.Destination))
		}
	}
	text := fmt.Sprintf("%d of %d", e.Stored(), len(e.Copies))
	if len(others) > 0 {
		text += ", " + strings.Join(others, ", ")
	}
	return text
}

// formatAge returns a duration such as 3h12m or 5d4h.
func formatAge(d time.Duration) string {
	switch days := int(d / (24 * time.Hour)); {
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, int(d/time.Hour)%24)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", int(d/time.Hour), int(d/time.Minute)%60)
	}
	return fmt.Sprintf("%dm%ds", int(d/time.Minute), int(d/time.Second)%60)
}

// formatBytes returns a size such as 61.3 MiB.
func formatBytes(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}
