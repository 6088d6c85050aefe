package main

import (
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"tocsin/bot"
)

// explainCommand is `tocsin incident explain`, for whoever asks about an alert
// and not about an incident.
func explainCommand(g *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "explain ALERT", Short: "Why an alert was treated as it was: each rule tried, and the values it compared",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("say which alert, such as A17 as `tocsin incident alerts` lists it, or which delivery, such as D2041")
			}
			return nil
		},
		Long: "Say why an alert (A17, as `tocsin incident alerts` lists it) or a delivery (D2041) was treated as it was: each routing\n" +
			"rule that was tried, where it does not fit the values it compared, and what was decided. Of a CloudTrail record, each\n" +
			"detection rule that asks for such events: its id, level, file and line, whether it matches, and the lines of the rule\n" +
			"that decide, with what the record has there.\n\n" +
			"Both are told by the rules of that time, which are kept with their digests. Where they have changed since, what today's\n" +
			"would say stands beside it.",
		Example: "  tocsin explain A17\n  tocsin explain D2041\n  tocsin explain D2041 --json | jq .explanation.detection",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := bot.Load(g.config)
			if err != nil {
				return err
			}
			var reply bot.ControlReply
			if err := bot.NewClient(c.ControlPath()).Do(cmd.Context(), "incident", bot.ControlRequest{Command: "explain " + args[0]}, &reply); err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			if g.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(reply.Alerts)
			}
			return show(cmd.OutOrStdout(), reply)
		},
	}
}
