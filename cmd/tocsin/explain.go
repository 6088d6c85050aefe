package main

import (
	"errors"

	"github.com/spf13/cobra"

	"tocsin/bot/control"
)

// explainCommand is `tocsin incident explain` at the top level, because an alert or
// delivery need not have an incident.
func explainCommand(g *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "explain ALERT", Short: "Explain how an alert or delivery was routed",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one alert, such as A17, or one delivery, such as D2041; `tocsin incident alerts` lists alerts")
			}
			return nil
		},
		Long: "Explain how an alert (A17) or a delivery (D2041) was routed: every routing rule evaluated, the values of the conditions\n" +
			"that did not match, and the decision. `tocsin incident alerts` lists alerts. For a CloudTrail record, also print each\n" +
			"detection rule for this kind of event: id, level, file and line, whether it matches, and the deciding conditions with\n" +
			"the values in the record.\n\n" +
			"The explanation uses the rules in force at the time, which are stored with their digests. If the rules have changed\n" +
			"since, the result of the current rules is printed as well.",
		Example: "  tocsin explain A17\n  tocsin explain D2041\n  tocsin explain D2041 --json | jq .explanation.detection",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			var reply control.Reply
			if err := client.Do(cmd.Context(), "incident", control.Request{Command: "explain " + args[0]}, &reply); err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			if g.json {
				return writeJSON(cmd.OutOrStdout(), reply.Alerts)
			}
			return show(cmd.OutOrStdout(), reply)
		},
	}
}
