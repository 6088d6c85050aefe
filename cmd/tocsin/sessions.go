package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/control"
	"tocsin/bot/terminal"
)

func sessionsCommand(g *globalFlags) *cobra.Command {
	cmd := commandGroup(&cobra.Command{Use: "sessions", Short: "List and end sessions on the pages",
		Long: "A session on the pages begins with a sign-in. It ends after an hour without use, after 12 hours, at the sign-out, and when\n" +
			"the person or the issuer leaves the configuration. The bot must run. Only administrators can list and end sessions."})
	cmd.AddCommand(listSessionsCommand(g), endSessionsCommand(g))
	return cmd
}

func listSessionsCommand(g *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list [PERSON]", Short: "List the sessions of all people or of one", Args: optionalArgument,
		Long:    "List the sessions on the pages, newest first. THROUGH is what vouched for the person: an issuer, passkey or host.",
		Example: "  tocsin sessions list\n  tocsin sessions list ada@example.com",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			list := []control.WebSession{}
			if err := client.Do(cmd.Context(), "sessions", control.Request{Session: control.SessionQuery{Person: strings.Join(args, " ")}}, &list); err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			return g.print(cmd.OutOrStdout(), list, sessionsText(list))
		},
	}
}

func sessionsText(list []control.WebSession) string {
	if len(list) == 0 {
		return "no sessions"
	}
	var out strings.Builder
	t := newTable(&out)
	t.row("SESSION", "PERSON", "THROUGH", "SECOND FACTOR", "SIGNED IN (UTC)", "LAST USED (UTC)", "ENDS (UTC)")
	factors := map[bool]string{true: "yes", false: "no"}
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
	for _, s := range list {
		t.row(s.ID, s.Name, s.Through, factors[s.SecondFactor], at(s.SignedIn), at(s.Used), at(s.Ends))
	}
	_ = t.flush() // a strings.Builder does not fail
	return strings.TrimSuffix(out.String(), "\n")
}

func endSessionsCommand(g *globalFlags) *cobra.Command {
	var (
		person, because string
		all             bool
	)
	cmd := &cobra.Command{
		Use: "end [SESSION]", Short: "End sessions on the pages", Args: optionalArgument,
		Long: "End one session, all sessions of a person, or all sessions. Login links that were not used end with them. People sign in\n" +
			"again. The audit log has your name and the reason.",
		Example: "  tocsin sessions end 17\n  tocsin sessions end --person ada@example.com --because \"lost laptop\"\n  tocsin sessions end --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			q := control.SessionQuery{Person: strings.TrimSpace(person), All: all}
			if len(args) > 0 {
				id, err := strconv.ParseInt(args[0], 10, 64)
				if err != nil || id <= 0 {
					return fmt.Errorf("%q is not the number of a session. Use a number that `tocsin sessions list` prints", args[0])
				}
				q.ID = id
			}
			if q == (control.SessionQuery{}) {
				return errors.New("no session is selected. Name a session, or add --person or --all")
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			var done control.EndedSessions
			if err := client.Do(cmd.Context(), "sessions-end", control.Request{Session: q, Reason: strings.TrimSpace(because)}, &done); err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			text := fmt.Sprintf("%d sessions ended", done.Sessions)
			if done.Sessions == 1 {
				text = "1 session ended"
			}
			return g.print(cmd.OutOrStdout(), done, text)
		},
	}
	cmd.Flags().StringVar(&person, "person", "", "all sessions of a `person`: a name, a mail address or an account")
	cmd.Flags().BoolVar(&all, "all", false, "all sessions of all people")
	cmd.Flags().StringVar(&because, "because", "", "the `reason`, for the audit log")
	cmd.MarkFlagsMutuallyExclusive("person", "all")
	return cmd
}

func loginLinkCommand(g *globalFlags) *cobra.Command {
	var because string
	cmd := &cobra.Command{
		Use: "login-link PERSON", Short: "Make a link that signs a person in on the pages once", Args: oneArgument,
		Long: "Make a link that signs a person in on the pages without an identity provider. It works once, for 10 minutes. Use it when the\n" +
			"provider does not work and the person has no passkey. The session can read and act, and never has a second factor. Give the\n" +
			"link to the person by a way that you trust. Security gets a notice, and the audit log has your name. The bot must run. Only\n" +
			"administrators can make links.",
		Example: "  tocsin login-link ada@example.com --because \"the identity provider is down\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			var link control.LoginLink
			if err := client.Do(cmd.Context(), "login-link", control.Request{Session: control.SessionQuery{Person: args[0]}, Reason: strings.TrimSpace(because)}, &link); err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			return g.print(cmd.OutOrStdout(), link, fmt.Sprintf("Login link for %s, which works once until %s UTC:\n\n%s", terminal.Line(link.Name), link.Expires.UTC().Format("15:04"), terminal.Line(link.Link)))
		},
	}
	cmd.Flags().StringVar(&because, "because", "", "the `reason`, for the audit log")
	return cmd
}
