package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tocsin/bot/control"
	"tocsin/store"
)

// maxTombstones is the maximum number of tombstones shown.
const maxTombstones = 100

func retentionCommand(g *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "retention", Short: "List scheduled deletions with their tombstones", Args: noArguments,
		Long: "List the latest 100 scheduled deletions, newest first. Each tombstone names the time, table, policy, number of rows and\n" +
			"range of ids, with a keyed hash of the deleted rows. Data of an open incident, of one under a legal hold, or within its\n" +
			"retention period is never deleted.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []store.Tombstone
			err := g.callOrOpen(cmd.Context(), "retention", control.Request{}, &list, func(ctx context.Context, s *store.Store) (err error) {
				list, err = s.Tombstones(ctx, maxTombstones)
				return err
			})
			if err != nil {
				return err
			}
			if len(list) == 0 {
				return g.print(cmd.OutOrStdout(), list, "no deletions yet")
			}
			var text strings.Builder
			t := newTable(&text)
			t.row("DELETED (UTC)", "TABLE", "ROWS", "IDS", "OLDER THAN", "POLICY", "HASH")
			for _, s := range list {
				t.row(s.At.Format("2006-01-02 15:04"), s.TableName, s.Deleted, fmt.Sprintf("%d–%d", s.FirstID, s.LastID),
					s.OlderThan.Format("2006-01-02"), s.Policy, s.Hash)
			}
			_ = t.flush() // a strings.Builder does not fail
			return g.print(cmd.OutOrStdout(), list, strings.TrimSuffix(text.String(), "\n"))
		},
	}
}
