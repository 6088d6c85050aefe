package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/terminal"
)

func reloadCommand(g *globalFlags) *cobra.Command {
	var status bool
	cmd := &cobra.Command{
		Use: "reload", Short: "Reload the configuration of the running bot", Args: noArguments,
		Long: "Make the running bot read its configuration again, with playbooks and detection rules. SIGHUP has this effect too. An\n" +
			"invalid configuration is refused and the old one stays in force. So is one that changes a key which needs a restart.\n" +
			"If people left the configuration, everything that they held ends and is printed. Only administrators can reload.\n\n" +
			"With --status, nothing is reloaded. The command prints when the configuration was loaded, the error of the last\n" +
			"reload and since when it persists, and the people who left. The exit status is 1 if the last reload was refused.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			name := "reload"
			if status {
				name = "reload-status"
			}
			var report control.ReloadReport
			if err := client.Do(cmd.Context(), name, control.Request{}, &report); err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			if err := g.print(cmd.OutOrStdout(), report, reloadText(report, status)); err != nil || report.Error == "" {
				return err
			}
			return exitCode(1)
		},
	}
	cmd.Flags().BoolVar(&status, "status", false, "show the state of the configuration, and reload nothing")
	return cmd
}

func reloadText(r control.ReloadReport, status bool) string {
	lines := []string{"configuration loaded at " + r.LoadedAt.UTC().Format(time.RFC3339)}
	switch {
	case status && r.Error != "":
		lines = append(lines, "reload refused since "+r.FailedAt.UTC().Format(time.RFC3339)+": "+strings.ReplaceAll(r.Error, "\n", "; "))
	case status:
	case len(r.Changed)+len(r.Content) == 0:
		lines = append(lines, "no key, rule or playbook changed")
	case len(r.Changed) > 0:
		lines = append(lines, "changed: "+strings.Join(r.Changed, ", "))
	}
	for _, c := range r.Content {
		lines = append(lines, c.String())
	}
	for _, p := range r.Left {
		lines = append(lines, fmt.Sprintf("%s left at %s", p.Name, p.LeftAt.UTC().Format(time.RFC3339)))
		if p.Pending {
			lines = append(lines, "  not everything was ended yet")
		}
		for _, h := range p.Held {
			lines = append(lines, "  "+heldLine(h))
		}
		if p.More > 0 {
			lines = append(lines, fmt.Sprintf("  and %d more", p.More))
		}
	}
	for n := range lines {
		lines[n] = terminal.Line(lines[n]) // names and references are from outside
	}
	return strings.Join(lines, "\n")
}

func heldLine(h incident.Held) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", h.Incident, h.Kind, h.Ref))
}
