package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/spf13/cobra"

	"tocsin/bot/config"
	"tocsin/store"
)

func migrateCommand(g *globalFlags) *cobra.Command {
	var into string
	cmd := &cobra.Command{
		Use: "migrate --into URL", Short: "Copy the database into another one, such as SQLite into PostgreSQL", Args: noArguments,
		Long: "Copy all rows of the configured database into another database, from SQLite to PostgreSQL, back, or to the same engine.\n" +
			"Stop Tocsin first. The other database must be empty: a SQLite file that does not exist, or a PostgreSQL database\n" +
			"without tables. It receives everything or nothing. The configured database changes only in its audit log. Afterwards set\n" +
			"`database` in the configuration. Work that was pending, such as a page, goes on from the other database.",
		Example: "  tocsin migrate --into postgres://tocsin@db.example.com/tocsin\n  tocsin migrate --into sqlite:/var/lib/tocsin/tocsin.db",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(g.config)
			if err != nil {
				return err
			}
			target := c.Store
			target.URL = into
			if problems := target.Validate(); len(problems) > 0 {
				return errors.New("the flag --into is missing or not a database URL. Write --into sqlite:FILE or --into postgres://USER@HOST/NAME")
			}
			if into == c.Store.URL {
				return errors.New("--into names the configured database. Name the database that the rows shall be copied to")
			}
			keys, err := store.LoadKeyset(c.Store.KeysetFile)
			if err != nil {
				return fmt.Errorf("keyset_file: %w", err)
			}
			deps := store.Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)}
			s, err := openExisting(cmd.Context(), c.Store, keys)
			if err != nil {
				return fmt.Errorf("open the configured database: %w", err)
			}
			defer func() { _ = s.Close() }()
			if err := auditOffline(cmd.Context(), s, "migrate", "a copy of all rows"); err != nil {
				return err
			}
			moved, err := s.MoveTo(cmd.Context(), target, deps)
			if err != nil {
				return fmt.Errorf("nothing was copied: %w", err)
			}
			return g.print(cmd.OutOrStdout(), moved, migrated(moved, into, g.config))
		},
	}
	cmd.Flags().StringVar(&into, "into", "", "`URL` of the empty database")
	return cmd
}

// migrated returns the numbers of copied rows and the next step.
func migrated(moved store.Imported, into, file string) string {
	rows := int64(0)
	for _, t := range moved.Manifest.Tables {
		rows += t.Rows
	}
	m := moved.Manifest
	return fmt.Sprintf("copied %d rows to %s: %d incidents with %d events, %d alerts, %d deliveries, %d documents and %d entries of the audit log\n"+
		"pending: %d effects and %d deliveries, which go on when Tocsin starts\n"+
		"next: set `database` in %s to the URL of the new database, and start Tocsin. Do not start it with the old database again: both would page",
		rows, withoutPassword(into), m.Rows("incidents"), m.Rows("events"), m.Rows("alerts"), m.Rows("inbox"), m.Rows("documents"), m.Rows("audit"), moved.Effects, moved.Deliveries, file)
}

// withoutPassword returns a database URL without its password.
func withoutPassword(database string) string {
	u, err := url.Parse(database)
	if err != nil || u.User == nil {
		return database
	}
	return u.Redacted()
}
