package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"tocsin/bot"
	"tocsin/bot/command"
	"tocsin/bot/config"
	"tocsin/bot/control"
	"tocsin/bot/incident"
)

// globalFlags are the flags of every subcommand.
type globalFlags struct {
	config string
	socket string
	json   bool
}

// client returns a client of the control socket. With --socket it needs no
// configuration, which only the user of the bot may be able to read. Without, it needs
// only the path of the socket: the secrets may be readable only for that user, too.
func (g *globalFlags) client() (*control.Client, error) {
	if g.socket != "" {
		return control.NewClient(g.socket), nil
	}
	c, err := config.Load(g.config)
	var invalid config.Errors
	if errors.As(err, &invalid) && exists(c.ControlPath()) {
		return control.NewClient(c.ControlPath()), nil // the bot runs with the configuration that was valid
	}
	if err != nil {
		return nil, err
	}
	return control.NewClient(c.ControlPath()), nil
}

func rootCommand() *cobra.Command {
	g := &globalFlags{}
	cmd := commandGroup(&cobra.Command{
		Use:   "tocsin",
		Short: "Respond to security incidents, from the first alert to a signed postmortem",
		Long: "Tocsin receives alerts from Sentry, AWS CloudTrail and other sources. It opens an incident with a Slack channel, pages\n" +
			"responders by the escalation policy and guides them through a playbook. An incident closes only after engineering,\n" +
			"security, legal and communications have signed the same closing record.\n\n" +
			"Exit status: 0 on success, 1 on failure. A wrong command line, an invalid configuration and a refused command are\n" +
			"failures. `verify`, `detect lint` and `detect test` exit with 1 if they find a problem, and `detect` if it cannot read\n" +
			"a file. Rules that match do not change the exit status of `detect`.",
		SilenceUsage: true, SilenceErrors: true, Version: readVersion().Version,
	})
	cmd.SetFlagErrorFunc(flagError)
	cmd.PersistentFlags().StringVarP(&g.config, "config", "c", "tocsin.yaml", "configuration `file`")
	cmd.PersistentFlags().StringVar(&g.socket, "socket", "", "control `socket` of the running bot, to use it without the configuration file")
	cmd.PersistentFlags().BoolVar(&g.json, "json", false, "print JSON instead of text")
	cmd.AddCommand(demoCommand(), sandboxCommand(g), initCommand(g), versionCommand(g))
	cmd.AddCommand(serveCommand(g), reloadCommand(g), incidentCommand(g), explainCommand(g), effectsCommand(g), replayCommand(g), sourcesCommand(g), retentionCommand(g), verifyCommand(g), migrateCommand(g), backupCommand(g), keysCommand(g), configCommand(g), detectCommand(), healthCommand(g), doctorCommand(g))
	cmd.AddCommand(auditCommand(g), askCommand(g), exportCommand(g))
	cmd.AddCommand(sessionsCommand(g), loginLinkCommand(g))
	cmd.AddCommand(passkeysCommand(g))
	return cmd
}

// commandGroup prepares cmd as a command with only subcommands. Without an
// argument it prints its help. With an unknown one it returns an error that
// suggests the nearest subcommand.
func commandGroup(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = " (did you mean " + cmp.Or(incident.Nearest(args[0], near), near[0]) + "?)"
		}
		if _, isIncident := command.Find(args[0]); isIncident && !cmd.HasParent() {
			hint = " (did you mean `tocsin incident " + args[0] + "`?)"
		}
		return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
	}
	cmd.SuggestionsMinimumDistance = 3
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

func serveCommand(g *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Run the bot", Args: noArguments,
		Long: "Run the bot until it receives SIGINT or SIGTERM. It does not start with an invalid configuration and reports all\n" +
			"errors in the file at once. SIGHUP reloads the configuration, as `tocsin reload` does. A second signal to stop ends it\n" +
			"at once. SIGQUIT prints the stacks of all goroutines to the standard error.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			hangup := make(chan os.Signal, 1) // keeps a SIGHUP that arrives during the start
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			tuneMemory()
			c, err := config.Load(g.config)
			if err != nil {
				return err
			}
			log, stop := guardSideChannels()
			defer stop()
			b, err := bot.New(cmd.Context(), c, bot.Options{LogOutput: log, Load: func() (config.Config, error) { return config.Load(g.config) }, Hangup: hangup,
				OnStarted: func() { notifySystemd(daemon.SdNotifyReady) }})
			if err != nil {
				return err
			}
			defer b.Close()
			defer context.AfterFunc(cmd.Context(), func() { notifySystemd(daemon.SdNotifyStopping) })()
			return b.Run(cmd.Context())
		},
	}
}

// notifySystemd reports the state of this process to systemd, if systemd started it with
// Type=notify.
func notifySystemd(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		slog.Warn("notify systemd failed", "state", state, "err", err) // without READY=1 systemd stops the unit
	}
}

func configCommand(g *globalFlags) *cobra.Command {
	cmd := commandGroup(&cobra.Command{Use: "config", Short: "Print an example configuration or check yours"})
	cmd.AddCommand(checkCommand(g), &cobra.Command{
		Use: "example", Short: "Print a commented configuration with every key", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return writeText(cmd.OutOrStdout(), config.Example)
		},
	})
	return cmd
}
