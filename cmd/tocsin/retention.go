package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tocsin/bot"
	"tocsin/store"
)

// maxTombstones is how many proofs of deletion are shown.
const maxTombstones = 100

func retentionCommand(g *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "retention", Short: "Show what was deleted by schedule, with the proof that stays", Args: cobra.NoArgs,
		Long: "Show what was deleted by schedule, the newest first: when, under which policy, how many rows of which range of ids, and\n" +
			"a keyed hash over what they held. Nothing of an incident that is open or held, or within its time, is ever among them.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []store.Tombstone
			err := g.callOrOpen(cmd.Context(), "retention", bot.ControlRequest{}, &list, func(ctx context.Context, s *store.Store) (err error) {
				list, err = s.Tombstones(ctx, maxTombstones)
				return err
			})
			if err != nil {
				return err
			}
			if len(list) == 0 {
				return g.print(cmd.OutOrStdout(), list, "nothing was deleted yet")
			}
			var text strings.Builder
			t := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
			fmt.Fprintln(t, "DELETED (UTC)\tWHAT\tROWS\tIDS\tOLDER THAN\tPOLICY\tHASH")
			for _, s := range list {
				fmt.Fprintf(t, "%s\t%s\t%d\t%d–%d\t%s\t%s\t%s\n", s.At.Format("2006-01-02 15:04"), s.TableName, s.Deleted, s.FirstID, s.LastID,
					s.OlderThan.Format("2006-01-02"), s.Policy, s.Hash)
			}
			_ = t.Flush() // into memory
			return g.print(cmd.OutOrStdout(), list, strings.TrimSuffix(text.String(), "\n"))
		},
	}
}
