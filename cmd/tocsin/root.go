package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"tocsin/bot"
)

// globalFlags are the flags that every subcommand has.
type globalFlags struct {
	config string
	json   bool
}

func rootCommand() *cobra.Command {
	g := &globalFlags{}
	cmd := &cobra.Command{
		Use:   "tocsin",
		Short: "Security incident response: from the first alert to a postmortem that four departments signed",
		Long: "Tocsin takes alerts from Sentry and AWS CloudTrail, pages the emergency alias, opens a Slack channel, walks the team\n" +
			"through a playbook, and lets nobody close an incident before engineering, security, legal and communications have\n" +
			"signed the same record.",
		SilenceUsage: true, SilenceErrors: true, Version: version(),
	}
	cmd.PersistentFlags().StringVarP(&g.config, "config", "c", "tocsin.yaml", "configuration file")
	cmd.PersistentFlags().BoolVar(&g.json, "json", false, "print JSON")
	cmd.AddCommand(demoCommand(), serveCommand(g), incidentCommand(g), explainCommand(g), replayCommand(g), retentionCommand(g), verifyCommand(g), keysCommand(g), configCommand(g), detectCommand(), healthCommand(g))
	return cmd
}

// commandGroup makes a command that only has subcommands: alone it shows its help,
// with a word it does not know it fails and names the nearest.
func commandGroup(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = ". The nearest is " + near[0]
		}
		return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
	}
	cmd.SuggestionsMinimumDistance = 3
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

// version is what the module system says this binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

func serveCommand(g *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Run the bot", Args: cobra.NoArgs,
		Long: "Run the bot until it is told to stop. A configuration with faults is refused, with every fault named at once.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			tuneMemory()
			c, err := bot.Load(g.config)
			if err != nil {
				return err
			}
			b, err := bot.New(cmd.Context(), c, bot.Options{})
			if err != nil {
				return fmt.Errorf("start: %w", err)
			}
			defer b.Close()
			return b.Run(cmd.Context())
		},
	}
}

func configCommand(g *globalFlags) *cobra.Command {
	cmd := commandGroup(&cobra.Command{Use: "config", Short: "Show an example configuration, or check one"})
	cmd.AddCommand(&cobra.Command{
		Use: "example", Short: "Print a commented configuration with every key", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), bot.Example)
			return err
		},
	}, &cobra.Command{
		Use: "check", Short: "Check the configuration and name every fault", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := bot.Load(g.config); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: no faults\n", g.config)
			return err
		},
	})
	return cmd
}
