package main

import (
	"cmp"
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
	cmd := commandGroup(&cobra.Command{Use: "sources", Short: "Show what the sources send",
		Long: "List the sources with their last accepted delivery and, for each cause, the refused deliveries since the start: count, last\n" +
			"time and sender. A source is degraded if it refuses everything, or is silent for longer than its expected_interval.\n" +
			"The time of the last accepted delivery survives a restart, the counts do not."})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := g.client()
		if err != nil {
			return err
		}
		var list []control.SourceState
		if err := client.Do(cmd.Context(), "sources", control.Request{}, &list); err != nil {
			return g.replyError(cmd.OutOrStdout(), err)
		}
		return g.print(cmd.OutOrStdout(), list, describeSources(list))
	}
	cmd.AddCommand(sourcesShowCommand(g))
	return cmd
}

// describeSources returns the states of the sources for people.
func describeSources(list []control.SourceState) string {
	if len(list) == 0 {
		return "no source is configured"
	}
	var out strings.Builder
	at := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return t.UTC().Format("2006-01-02 15:04:05")
	}
	t := newTable(&out)
	t.row("SOURCE", "STATE", "ACCEPTED", "LAST ACCEPTED (UTC)", "FROM", "REFUSED", "LAST REFUSED (UTC)", "FROM", "CAUSE")
	for _, s := range list {
		row := []any{text.Line(s.Name), text.Line(s.State), s.Accepted, at(s.LastAccepted), cmp.Or(text.Line(s.AcceptedFrom), "-")}
		if len(s.Refusals) == 0 {
			t.row(append(row, 0, "never", "-", "-")...)
		}
		for n, r := range s.Refusals {
			if n > 0 {
				row = []any{"", "", "", "", ""}
			}
			t.row(append(row, r.Count, at(r.Last), cmp.Or(text.Line(r.From), "-"), text.Line(r.Text()+": "+r.Message))...)
		}
	}
	_ = t.flush() // a strings.Builder does not fail
	for _, s := range list {
		if s.Cause != "" {
			out.WriteString("\n" + text.Line(s.Cause) + ". " + text.Line(s.Fix) + ".\n")
		}
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func sourcesShowCommand(g *globalFlags) *cobra.Command {
	reason := ""
	cmd := &cobra.Command{
		Use: "show DELIVERY", Short: "Print a stored delivery as it was received", Args: oneArgument,
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
