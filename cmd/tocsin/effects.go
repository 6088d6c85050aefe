package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store"
)

func effectsCommand(g *globalFlags) *cobra.Command {
	var system string
	cmd := commandGroup(&cobra.Command{Use: "effects", Short: "List what waits for Slack, PagerDuty or mail, and try it again",
		Long: "List the effects that failed and that Tocsin tries again: posts, channels, pages and mails. Each has the cause, the time\n" +
			"of the first failure and the time of the next attempt. Tocsin gives up none of them. An effect is also tried when another one\n" +
			"of its system succeeds, when Tocsin starts and after a reload. The system tocsin stands for a failure in Tocsin itself.\n" +
			"Only administrators can list effects."})
	cmd.Flags().StringVar(&system, "system", "", "list only effects of one `system`: slack, pagerduty, mail or tocsin")
	unknown := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 && strings.HasPrefix(strings.ToUpper(args[0]), "INC-") {
			return nil
		}
		return unknown(cmd, args)
	}
	cmd.Use = "effects [INCIDENT]"
	cmd.Example = "  tocsin effects\n  tocsin effects INC-42\n  tocsin effects retry"
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := waitingQuery(args, system)
		if err != nil {
			return err
		}
		var list []incident.WaitingEffect
		err = g.callOrOpen(cmd.Context(), "effects", control.Request{Waiting: q}, &list, func(ctx context.Context, s *store.Store) (err error) {
			list, err = s.WaitingEffects(ctx, q)
			return err
		})
		if err != nil {
			return err
		}
		return g.print(cmd.OutOrStdout(), append([]incident.WaitingEffect{}, list...), effectsText(list, time.Now()))
	}
	cmd.AddCommand(retryCommand(g), dropCommand(g))
	return cmd
}

func retryCommand(g *globalFlags) *cobra.Command {
	var system string
	cmd := &cobra.Command{
		Use: "retry [EFFECT | INCIDENT]", Short: "Try waiting effects at once", Args: optionalArgument,
		Long: "Try waiting effects at once: all, one, those of an incident, or those of a system. Use it after you repaired the cause.\n" +
			"If no bot is running, they are tried when it starts.",
		Example: "  tocsin effects retry\n  tocsin effects retry 17\n  tocsin effects retry INC-42\n  tocsin effects retry --system slack",
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := waitingQuery(args, system)
			if err != nil {
				return err
			}
			var done control.Retried
			err = g.callOrOpen(cmd.Context(), "effects-retry", control.Request{Waiting: q}, &done, func(ctx context.Context, s *store.Store) (err error) {
				done.Effects, err = s.RetryEffects(ctx, q)
				return err
			})
			if err != nil {
				return err
			}
			text := "nothing waits, or its next attempt is already due"
			switch {
			case done.Effects == 1:
				text = "1 effect is tried again now"
			case done.Effects > 1:
				text = fmt.Sprintf("%d effects are tried again now", done.Effects)
			}
			return g.print(cmd.OutOrStdout(), done, text)
		},
	}
	cmd.Flags().StringVar(&system, "system", "", "only effects of one `system`: slack, pagerduty, mail or tocsin")
	return cmd
}

func dropCommand(g *globalFlags) *cobra.Command {
	var because string
	cmd := &cobra.Command{
		Use: "drop EFFECT", Short: "Give up a waiting effect that can never succeed", Args: oneArgument,
		Long: "Give up a waiting effect that can never succeed, such as an invitation of an account that no longer exists. It is not tried\n" +
			"again, and what waits behind it goes on. The timeline of the incident and the audit log have your name and the reason. Do\n" +
			"by hand what is missing: without open_channel, for example, the incident has no channel. A refused command changes nothing.\n" +
			"The replacement of a channel cannot be dropped. The bot must run. Only administrators can drop effects.",
		Example: `  tocsin effects drop 17 --because "the account was deleted in Slack"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || id <= 0 {
				return fmt.Errorf("%q is not the number of an effect. Use a number that `tocsin effects` lists", args[0])
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			var done control.Dropped
			request := control.Request{Waiting: response.WaitingQuery{Effect: id}, Reason: strings.TrimSpace(because)}
			if err := client.Do(cmd.Context(), "effects-drop", request, &done); err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			return g.print(cmd.OutOrStdout(), done, fmt.Sprintf("effect %d is dropped and will not be tried again", done.Effect))
		},
	}
	cmd.Flags().StringVar(&because, "because", "", "the `reason`, for the timeline and the audit log")
	return cmd
}

// waitingQuery returns the query of an optional effect or incident and of an optional
// system.
func waitingQuery(args []string, system string) (q response.WaitingQuery, err error) {
	switch system {
	case "", incident.SystemSlack, incident.SystemPagerDuty, incident.SystemMail, incident.SystemTocsin:
		q.System = system
	default:
		return q, fmt.Errorf("unknown system %q. Use slack, pagerduty, mail or tocsin", system)
	}
	if len(args) == 0 {
		return q, nil
	}
	if id, err := strconv.ParseInt(args[0], 10, 64); err == nil && id > 0 {
		q.Effect = id
		return q, nil
	}
	if q.Incident, err = incident.ParseID(args[0]); err != nil {
		return q, errors.New("EFFECT is not the number of an effect or an incident. Use a number that `tocsin effects` lists, or an incident such as INC-42")
	}
	return q, nil
}

func effectsText(list []incident.WaitingEffect, now time.Time) string {
	if len(list) == 0 {
		return "nothing waits"
	}
	var text strings.Builder
	t := newTable(&text)
	t.row("EFFECT", "INCIDENT", "KIND", "SYSTEM", "SINCE (UTC)", "ATTEMPTS", "NEXT", "CAUSE")
	fixes := []string{}
	for _, w := range list {
		subject := "-"
		if w.Incident != 0 {
			subject = w.Incident.String()
		}
		next := "now"
		if in := w.NextAttempt.Sub(now).Round(time.Second); in > 0 {
			next = "in " + in.String()
		}
		cause := w.Cause
		if w.Behind > 0 {
			cause += fmt.Sprintf(" (%d more wait behind it)", w.Behind)
		}
		t.row(w.ID, subject, w.Kind, orDash(w.System), w.Since.UTC().Format("2006-01-02 15:04"), w.Attempts, next, cause)
		if fix := "to do for " + w.System + ": " + w.Fix; w.Fix != "" && !slices.Contains(fixes, fix) {
			fixes = append(fixes, fix)
		}
	}
	_ = t.flush() // a strings.Builder does not fail
	if len(list) >= store.MaxListedEffects {
		_ = writeLine(&text, "the list ends after %d effects, and those have waited longest. The metric tocsin_effects_waiting counts all", len(list))
	}
	for _, fix := range fixes {
		_ = writeLine(&text, "%s", fix)
	}
	return strings.TrimSuffix(text.String(), "\n")
}
