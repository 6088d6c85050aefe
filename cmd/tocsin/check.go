package main

import (
	"errors"

	"github.com/spf13/cobra"

	"tocsin/bot/config"
)

// checkResult is the output of config check with --json.
type checkResult struct {
	File     string        `json:"file"`
	Valid    bool          `json:"valid"`
	Errors   config.Errors `json:"errors"`
	Warnings config.Errors `json:"warnings"`
}

func checkCommand(g *globalFlags) *cobra.Command {
	strict := false
	cmd := &cobra.Command{
		Use: "check", Short: "Check the configuration and report every error", Args: noArguments,
		Long: "Check the configuration, the playbooks, the rules and the keyset without any connection. Errors prevent the start of\n" +
			"`tocsin serve`. Warnings are about valid values that do not work as you expect: a routing rule that never matches, a name instead of\n" +
			"a Slack id, a department that cannot sign. Warnings do not change the exit status, except with --strict. `tocsin doctor`\n" +
			"checks the credentials and the systems behind them.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, warnings, err := config.Check(g.config)
			var found config.Errors
			if err != nil && (!g.json || !errors.As(err, &found)) {
				return err
			}
			failed := len(found) > 0 || strict && len(warnings) > 0
			result := checkResult{g.config, len(found) == 0, append(config.Errors{}, found...), append(config.Errors{}, warnings...)}
			text := g.config + ": valid"
			if len(warnings) > 0 {
				text += ", with " + warnings.Warnings()
			}
			if err := g.print(cmd.OutOrStdout(), result, text); err != nil || !failed {
				return err
			}
			return exitCode(1)
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with status 1 if there are warnings")
	return cmd
}
