package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/text"
	"tocsin/store"
)

func sourcesCommand(g *globalFlags) *cobra.Command {
	cmd := commandGroup(&cobra.Command{Use: "sources", Short: "Show what the sources send"})
	cmd.AddCommand(sourcesShowCommand(g))
	return cmd
}

func sourcesShowCommand(g *globalFlags) *cobra.Command {
	reason := ""
	cmd := &cobra.Command{
		Use: "show DELIVERY", Short: "Print a stored delivery as it was received", Args: cobra.ExactArgs(1),
		Long: "Print a stored delivery (D2041) as it was received: time, sender, verification, headers and body, without redaction.\n" +
			"Only administrators can see it, and it is in the audit log. With --json, the body is in base64.",
		Example: "  tocsin sources show D2041",
		RunE: func(cmd *cobra.Command, args []string) error {
			row, err := strconv.ParseInt(strings.TrimPrefix(strings.ToUpper(args[0]), "D"), 10, 64)
			if err != nil || row <= 0 {
				return fmt.Errorf("%q is not a delivery. Write its number, such as D2041", args[0])
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			var found []control.Recorded
			_, err = client.Export(cmd.Context(), store.DeliveryFilter{Row: row}, reason, func(d control.Recorded) error {
				found = append(found, d)
				return nil
			})
			switch {
			case err != nil:
				return g.replyError(cmd.OutOrStdout(), err)
			case len(found) == 0:
				return incident.NoDelivery(row)
			}
			return g.print(cmd.OutOrStdout(), found[0], describeDelivery(found[0]))
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`reason` for the audit log")
	return cmd
}

// describeDelivery returns a delivery for people.
func describeDelivery(d control.Recorded) string {
	lines := []string{fmt.Sprintf("D%d from %s, received %s", d.Row, text.Line(d.Source), d.Received.UTC().Format(time.RFC3339)),
		"Sender: " + text.Line(d.Sender), "Verified: " + text.Line(d.Verified), "SHA-256: " + text.Line(d.SHA256)}
	for _, name := range slices.Sorted(maps.Keys(d.Header)) {
		lines = append(lines, text.Line(name)+": "+text.Line(d.Header[name]))
	}
	return strings.Join(append(lines, "", string(d.Body)), "\n")
}
