package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"tocsin/bot"
)

// explainCommand is `tocsin incident explain`, for whoever asks about an alert
// and not about an incident.
func explainCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "explain ALERT", Short: "Why an alert was treated as it was: each rule tried, and the values it compared", Args: cobra.ExactArgs(1),
		Long: "Say why an alert (A17, as `tocsin incident alerts` lists it) or a delivery (D2041) was treated as it was: each routing\n" +
			"rule that was tried, where it does not fit the values it compared, what was decided, and the digest of the routing of\n" +
			"that time. Where the routing has changed since, today's decision stands beside it.",
		Example: "  tocsin explain A17\n  tocsin explain D2041",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := bot.Load(g.config)
			if err != nil {
				return err
			}
			var reply bot.Reply
			if err := bot.NewClient(c.ControlPath()).Do(cmd.Context(), "incident", bot.Ask{Words: "explain " + args[0]}, &reply); err != nil {
				return g.refusal(cmd.OutOrStdout(), err)
			}
			if g.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(reply.Answer)
			}
			return show(cmd.OutOrStdout(), reply)
		},
	}
}
