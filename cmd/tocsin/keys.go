package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/config"
	"tocsin/bot/control"
	"tocsin/bot/response"
	"tocsin/store"
)

func keysCommand(g *globalFlags) *cobra.Command {
	cmd := commandGroup(&cobra.Command{Use: "keys", Short: "Create or rotate the encryption keys of the database"})
	var prune bool
	rotate := &cobra.Command{
		Use: "rotate", Short: "Add a new key and re-encrypt all values with it", Args: noArguments,
		Long: "Add a new key to the keyset and re-encrypt all stored values with it. With --prune, the old keys are removed\n" +
			"afterwards. Data encrypted with them, such as a backup, can then be read only with a copy of the old keyset.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			words := ""
			if prune {
				words = "prune"
			}
			var done control.Rotated
			err := g.callOrOpen(cmd.Context(), "rotate", control.Request{Command: words}, &done, func(ctx context.Context, s *store.Store) (err error) {
				done.Resealed, err = s.Rotate(ctx, prune)
				return err
			})
			if err != nil {
				return err
			}
			return g.print(cmd.OutOrStdout(), done, fmt.Sprintf("keyset rotated; %d values re-encrypted", done.Resealed))
		},
	}
	rotate.Flags().BoolVar(&prune, "prune", false, "remove the old keys after the rotation")
	cmd.AddCommand(rotate, &cobra.Command{
		Use: "create FILE", Short: "Create a keyset file", Args: oneArgument,
		Long: "Create a keyset in a new file. Keep a copy of the file apart from the backups of the database. Without the keyset\n" +
			"the stored data cannot be read. With both the keyset and a backup, anyone can read it.",
		Example: "  tocsin keys create keyset.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := store.CreateKeyset(args[0]); err != nil {
				return err
			}
			return writeLine(cmd.OutOrStdout(), "created %s: store a copy of it apart from the database", args[0])
		},
	})
	return cmd
}

// callOrOpen sends a request to the running bot and decodes the reply into out. If
// no bot is running, it opens the database and calls offline instead.
func (g *globalFlags) callOrOpen(ctx context.Context, name string, request control.Request, out any, offline func(context.Context, *store.Store) error) error {
	return g.useOrOpen(ctx, name, request, func(client *control.Client) error { return client.Do(ctx, name, request, out) }, offline)
}

// useOrOpen calls online with a client of the running bot. If no bot is running, it opens
// the database, writes the operation to the audit log and calls offline instead.
func (g *globalFlags) useOrOpen(ctx context.Context, name string, request control.Request, online func(*control.Client) error, offline func(context.Context, *store.Store) error) error {
	if g.socket != "" {
		return online(control.NewClient(g.socket))
	}
	c, err := config.Load(g.config)
	if err != nil {
		return err
	}
	err = online(control.NewClient(c.ControlPath()))
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	keys, err := store.LoadKeyset(c.Store.KeysetFile)
	if err != nil {
		return fmt.Errorf("keyset_file: %w", err)
	}
	s, err := openExisting(ctx, c.Store, keys)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	if err := auditOffline(ctx, s, name, request.Reason); err != nil {
		return err
	}
	return offline(ctx, s)
}

// notaryKey returns the public key of the notary, from the keyset of the configuration.
func (g *globalFlags) notaryKey() (string, error) {
	c, err := config.Load(g.config)
	if err != nil {
		return "", err
	}
	keys, err := store.LoadKeyset(c.Store.KeysetFile)
	if err != nil {
		return "", fmt.Errorf("keyset_file: %w", err)
	}
	key, err := keys.Notary()
	return key.Verifier().String(), err
}

// openExisting opens a database that `tocsin serve` or a restore created. An empty one is not created: it would look valid,
// its backup would be the newest, and a restore would refuse it.
func openExisting(ctx context.Context, c store.Config, keys *store.Keyset) (*store.Store, error) {
	if found, err := store.Inspect(ctx, c, keys); err == nil && found.Schema == 0 {
		return nil, fmt.Errorf("the database %s is empty. Check `database` in the configuration. If the machine was lost, run `tocsin backup restore`. If Tocsin is new, run `tocsin serve`", withoutPassword(c.URL))
	}
	return store.Open(ctx, c, store.Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)})
}

// auditOffline writes an operation without a running bot to the audit log, as the control
// socket does.
func auditOffline(ctx context.Context, s *store.Store, name, reason string) error {
	entry := response.Access{At: time.Now(), Handle: control.CurrentUser(), Action: name, Reason: strings.TrimSuffix("offline: "+reason, ": "), Allowed: true}
	err := s.Tx(ctx, func(tx response.Tx) error {
		dir, err := tx.Directory()
		if err != nil {
			return err
		}
		person, _ := dir.Resolve(entry.Handle)
		entry.Person = person.ID
		return tx.Audit(entry)
	})
	if err != nil {
		return fmt.Errorf("audit %s: %w", name, err)
	}
	return nil
}

// print prints v as JSON with --json, and otherwise the text.
func (g *globalFlags) print(w io.Writer, v any, text string) error {
	if g.json {
		return writeJSON(w, v)
	}
	return writeText(w, text+"\n")
}
