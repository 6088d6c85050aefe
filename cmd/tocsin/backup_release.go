package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/response"
)

func backupReleaseCommand(g *globalFlags) *cobra.Command {
	var yes bool
	var because string
	cmd := &cobra.Command{
		Use: "release", Short: "Release the work from before a restore, and page unacknowledged incidents", Args: noArguments,
		Long: "List the work from before the restore that waits, and release it after a confirmation. Tocsin pages every unacknowledged\n" +
			"incident in a new round. It drops pages from before the restore and the deadlines of their rounds, because the lost\n" +
			"machine may have sent them. It continues all other messages, mails, deadlines and deliveries, and checks first whether the\n" +
			"lost machine did the work. If the command is interrupted, run it again. The bot must run. Only administrators can\n" +
			"release a restore, and the audit log has their name.",
		Example: "  tocsin backup release\n  tocsin backup release --yes --because \"checked with the on-call lead\"",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			var waits response.RestoreOverview
			if err := client.Do(cmd.Context(), "restore", control.Request{}, &waits); err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			if !waits.Paused {
				return g.print(cmd.OutOrStdout(), response.Released{}, "no restore waits for a release")
			}
			if !yes {
				if err := g.print(cmd.OutOrStdout(), waits, overviewText(waits)); err != nil {
					return err
				}
				p := newPrompt(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
				if p == nil || g.json {
					return errors.New("nothing was released. Run the command on a terminal, or add --yes")
				}
				answer := false
				p.yes(nil, "", "Release the restore now", &answer)
				if p.err != nil || !answer {
					return cmp.Or(p.err, errors.New("nothing was released. Run the command again when you are ready"))
				}
			}
			var done response.Released
			if err := client.Do(cmd.Context(), "release", control.Request{Reason: strings.TrimSpace(because)}, &done); err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			return g.print(cmd.OutOrStdout(), done, releasedText(done))
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "release without a question")
	cmd.Flags().StringVar(&because, "because", "", "the `reason`, for the audit log")
	return cmd
}

func overviewText(o response.RestoreOverview) string {
	var text strings.Builder
	line := func(format string, args ...any) { _ = writeLine(&text, format, args...) } // a strings.Builder does not fail
	line("Tocsin was restored at %s from the backup of %s, and is paused.", utcMinute(o.RestoredAt), utcMinute(o.BackupAt))
	line("%s", gapText(o.Gap))
	if o.Erasures > 0 {
		line("Erasures that the restore repeated: %d.", o.Erasures)
	}
	if len(o.Unacknowledged) > 0 {
		line("Unacknowledged incidents, which the release pages in a new round:")
		t := newTable(&text)
		for _, inc := range o.Unacknowledged {
			t.row("  "+inc.ID.String(), inc.Severity, inc.Status, "opened "+utcMinute(inc.OpenedAt))
		}
		_ = t.flush()
	}
	line("Waiting work from before the restore: %d messages, pages, mails and deadlines, and %d deliveries.", o.HeldEffects(), o.Deliveries)
	if len(o.Held) > 0 {
		t := newTable(&text)
		for _, held := range o.Held {
			subject := "-"
			if held.Incident != 0 {
				subject = held.Incident.String()
			}
			t.row("  "+subject, held.Count, taskOf(held.Kind))
		}
		_ = t.flush()
	}
	return strings.TrimSuffix(text.String(), "\n")
}

// taskOf returns the task of a kind of effect for people.
func taskOf(kind incident.EffectKind) string {
	if kind == response.Confidential {
		return string(kind)
	}
	return kind.Task()
}

func releasedText(done response.Released) string {
	if len(done.Paged) == 0 {
		return fmt.Sprintf("released %d incidents, and none of them needs a page", done.Incidents)
	}
	ids := make([]string, len(done.Paged))
	for n, id := range done.Paged {
		ids[n] = id.String()
	}
	return fmt.Sprintf("released %d incidents. Paged in a new round: %s", done.Incidents, strings.Join(ids, ", "))
}

// gapText describes the records that a restore lacks.
func gapText(g response.RestoreGap) string {
	const missing = "Missing: everything after the backup. "
	switch {
	case g.CheckedAt.IsZero():
		return missing + "The restore was not compared with a published checkpoint, so their number is unknown."
	case g.Entries == 0 && g.LostIncident == g.LastIncident:
		return missing + fmt.Sprintf("The newest checkpoint, of %s, names no record after the backup.", utcMinute(g.CheckedAt))
	}
	text := missing + fmt.Sprintf("The newest checkpoint, of %s, names %d entries of the notary's log that the backup does not have", utcMinute(g.CheckedAt), g.Entries)
	switch g.LostIncident - g.LastIncident {
	case 0:
		return text + "."
	case 1:
		return text + fmt.Sprintf(", and %s.", g.LostIncident)
	}
	return text + fmt.Sprintf(", and %s to %s.", g.LastIncident+1, g.LostIncident)
}

func utcMinute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
