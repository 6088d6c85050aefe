package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot"
	"tocsin/store"
)

func keysCommand(g *globalFlags) *cobra.Command {
	cmd := commandGroup(&cobra.Command{Use: "keys", Short: "Create or rotate the keys that seal what is stored"})
	var prune bool
	rotate := &cobra.Command{
		Use: "rotate", Short: "Add a new key and seal everything with it anew", Args: cobra.NoArgs,
		Long: "Add a new key to the keyset and seal everything that is stored with it anew. With --prune the old keys are\n" +
			"removed afterwards: what was sealed with them (a backup, say) can then be read only with a copy of the old keyset.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			words := ""
			if prune {
				words = "prune"
			}
			var done bot.Rotated
			err := g.callOrOpen(cmd.Context(), "rotate", bot.ControlRequest{Command: words}, &done, func(ctx context.Context, s *store.Store) (err error) {
				done.Resealed, err = s.Rotate(ctx, prune)
				return err
			})
			if err != nil {
				return err
			}
			return g.print(cmd.OutOrStdout(), done, fmt.Sprintf("a new key is in force; %d values were sealed with it", done.Resealed))
		},
	}
	rotate.Flags().BoolVar(&prune, "prune", false, "remove the old keys afterwards")
	cmd.AddCommand(rotate, &cobra.Command{
		Use: "create FILE", Short: "Create the file with the first keys", Args: cobra.ExactArgs(1),
		Long: "Create a keyset. Keep a copy of the file apart from the backups of the database: without it nothing that was\nwritten can be read again, and with both together anybody can.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := store.CreateKeyset(args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: created. Keep a copy of it apart from the database\n", args[0])
			return err
		},
	})
	return cmd
}

func verifyCommand(g *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Check every timeline, its head and every ciphertext", Args: cobra.NoArgs,
		Long: "Check that every timeline is the one that was written: that no event was changed, removed, inserted or reordered,\n" +
			"that no tail was cut, that every head carries a MAC of our key, and that every ciphertext opens. Exits 1 where it does not.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v store.Verification
			err := g.callOrOpen(cmd.Context(), "verify", bot.ControlRequest{}, &v, func(ctx context.Context, s *store.Store) (err error) {
				v, err = s.Verify(ctx)
				return err
			})
			if err != nil {
				return err
			}
			text := fmt.Sprintf("%d incidents, %d events, %d ciphertexts: ", v.Incidents, v.Events, v.Ciphertexts)
			if len(v.Problems) == 0 {
				return g.print(cmd.OutOrStdout(), v, text+"everything is as it was written")
			}
			text += countErrors(len(v.Problems))
			for _, f := range v.Problems {
				text += "\n  " + f.String()
			}
			return errors.Join(g.print(cmd.OutOrStdout(), v, text), exitCode(1))
		},
	}
}

// callOrOpen puts a question to the running bot, or, where none is running, to the
// database itself.
func (g *globalFlags) callOrOpen(ctx context.Context, what string, ask bot.ControlRequest, out any, alone func(context.Context, *store.Store) error) error {
	c, err := bot.Load(g.config)
	if err != nil {
		return err
	}
	err = bot.NewClient(c.ControlPath()).Do(ctx, what, ask, out)
	if !errors.Is(err, bot.ErrNotRunning) {
		return err
	}
	keys, err := store.LoadKeyset(c.KeysetFile)
	if err != nil {
		return fmt.Errorf("keyset_file: %w", err)
	}
	s, err := store.Open(ctx, store.Config{URL: c.Database, Keyset: keys, ReplicaID: c.ReplicaID, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer func() { _ = s.Close() }()
	return alone(ctx, s)
}

// print writes v as JSON, or the text.
func (g *globalFlags) print(w io.Writer, v any, text string) error {
	if g.json {
		return json.NewEncoder(w).Encode(v)
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

func healthCommand(g *globalFlags) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use: "health", Short: "Ask a running bot whether it is ready. For container health checks", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
			defer cancel()
			if url == "" {
				c, err := bot.Load(g.config)
				if err != nil {
					return err
				}
				url = "http://" + c.Listen + "/readyz"
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				return fmt.Errorf("--url: %w", err)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return fmt.Errorf("not reachable: %w", err)
			}
			defer func() { _ = res.Body.Close() }()
			body, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
			if res.StatusCode != http.StatusOK {
				return fmt.Errorf("not ready: %s", body)
			}
			_, err = cmd.OutOrStdout().Write(body)
			return err
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "address of /readyz. Without it, where the configuration listens")
	return cmd
}
