package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/terminal"
	"tocsin/bot/trust"
)

func passkeysCommand(g *globalFlags) *cobra.Command {
	cmd := commandGroup(&cobra.Command{Use: "passkeys", Short: "List, enrol and revoke the passkeys that sign",
		Long: "People register passkeys on the page Passkeys. Their first one needs a sign-in with a second factor, or an enrolment code\n" +
			"from an administrator and a voucher of a person from another department. These commands need a running bot."})
	cmd.AddCommand(passkeysListCommand(g), passkeysCodeCommand(g), passkeysVouchCommand(g), passkeysRevokeCommand(g))
	return cmd
}

func passkeysListCommand(g *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list [PERSON]", Short: "List passkeys with their fingerprints, and which departments have one", Args: optionalArgument,
		Long: "List the passkeys of all people, or of one, also revoked ones: the person, the department, the fingerprint, when the\n" +
			"passkey was registered and what allowed it. Store the list outside of Tocsin to compare the fingerprints in signed\n" +
			"documents with it. Only administrators can list passkeys.",
		Example: "  tocsin passkeys list\n  tocsin passkeys list ada@example.com --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			var list trust.PasskeyList
			ask := control.Request{Passkey: control.PasskeyRequest{Person: strings.Join(args, "")}}
			if err := g.callPasskeys(cmd, "passkeys", ask, &list); err != nil {
				return err
			}
			return g.print(cmd.OutOrStdout(), list, passkeysText(list, time.Now()))
		},
	}
}

func passkeysText(list trust.PasskeyList, now time.Time) string {
	var text strings.Builder
	t := newTable(&text)
	if len(list.Passkeys) > 0 {
		t.row("PERSON", "DEPARTMENT", "FINGERPRINT", "REGISTERED (UTC)", "LAST USED (UTC)", "REVOKED SINCE (UTC)", "APPROVED BY")
	}
	stamp := func(at time.Time) string {
		if at.IsZero() {
			return "-"
		}
		return at.UTC().Format("2006-01-02 15:04")
	}
	for _, k := range list.Passkeys {
		departments := make([]string, len(k.Departments))
		for n, d := range k.Departments {
			departments[n] = string(d)
		}
		t.row(k.Name, orDash(strings.Join(departments, ", ")), k.Fingerprint, stamp(k.RegisteredAt), stamp(k.LastUsed), stamp(k.RevokedAt), k.Approval)
	}
	_ = t.flush() // a strings.Builder does not fail
	if len(list.Passkeys) == 0 {
		_ = writeLine(&text, "no passkeys")
	}
	for _, line := range list.Roster {
		_ = writeLine(&text, "%s", rosterText(line))
	}
	return strings.TrimSuffix(text.String(), "\n")
}

// rosterText returns the enrolment of a department: "legal: 1 of 2 people have a passkey".
func rosterText(line trust.RosterLine) string {
	return fmt.Sprintf("%s: %d of %s a passkey", line.Department, line.Enrolled, map[bool]string{true: "1 person has", false: fmt.Sprint(line.People, " people have")}[line.People == 1])
}

func passkeysCodeCommand(g *globalFlags) *cobra.Command {
	var because string
	cmd := &cobra.Command{
		Use: "code PERSON", Short: "Issue an enrolment code to a person", Args: oneArgument,
		Long: "Issue a code with which a person can register a passkey without a second factor. It counts once, for 24 hours, and only\n" +
			"with a voucher of a person from another department. Give it to the person in a call or in person. An earlier code of\n" +
			"the person is void then. Only administrators can issue codes.",
		Example: "  tocsin passkeys code ada@example.com",
		RunE: func(cmd *cobra.Command, args []string) error {
			var code trust.EnrolmentCode
			if err := g.callPasskeys(cmd, "passkeys-code", control.Request{Reason: because, Passkey: control.PasskeyRequest{Person: args[0]}}, &code); err != nil {
				return err
			}
			return g.print(cmd.OutOrStdout(), code, fmt.Sprintf("enrolment code of %s: %s\nvalid until %s, once, with a voucher of a person from another department", terminal.Line(code.Name), terminal.Line(code.Code), formatStamp(code.Expires)))
		},
	}
	cmd.Flags().StringVar(&because, "because", "", "`reason`, for the audit log")
	return cmd
}

func passkeysVouchCommand(g *globalFlags) *cobra.Command {
	var because string
	cmd := &cobra.Command{
		Use: "vouch PERSON", Short: "Vouch for the first passkeys on the host", Args: oneArgument,
		Long: "Vouch that the next passkey of a person belongs to this person. Your local user must be under people. The command is\n" +
			"only for the first passkeys: once a person of your department has one, people of the department vouch on the page\n" +
			"Passkeys, with a passkey. The voucher counts once, for 24 hours.",
		Example: "  tocsin passkeys vouch ada@example.com --because \"met in person\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			var change control.PasskeyChange
			if err := g.callPasskeys(cmd, "passkeys-vouch", control.Request{Reason: because, Passkey: control.PasskeyRequest{Person: args[0]}}, &change); err != nil {
				return err
			}
			return g.print(cmd.OutOrStdout(), change, fmt.Sprintf("you vouched for the next passkey of %s, until %s", terminal.Line(change.Person), formatStamp(change.Expires)))
		},
	}
	cmd.Flags().StringVar(&because, "because", "", "how you know that it is this `person`")
	return cmd
}

func passkeysRevokeCommand(g *globalFlags) *cobra.Command {
	var because, since string
	cmd := &cobra.Command{
		Use: "revoke PERSON FINGERPRINT", Short: "Revoke a passkey", Args: twoArguments,
		Long: "Revoke a passkey of a person. FINGERPRINT can be its first 8 digits. With --since the passkey does not count from an\n" +
			"earlier time on, for example since the theft of a laptop: passkeys and vouchers that it approved after that time fall\n" +
			"with it. Only administrators can revoke passkeys here. People revoke their own on the page Passkeys.",
		Example: "  tocsin passkeys revoke ada@example.com 3f9a1c20 --because \"laptop stolen\" --since 3h",
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := control.Request{Reason: because, Passkey: control.PasskeyRequest{Person: args[0], Fingerprint: args[1]}}
			if since != "" {
				var err error
				if ask.Passkey.Since, err = parseTimeOrAge(since, time.Now()); err != nil {
					return fmt.Errorf("--since: %w", err)
				}
			}
			var change control.PasskeyChange
			if err := g.callPasskeys(cmd, "passkeys-revoke", ask, &change); err != nil {
				return err
			}
			return g.print(cmd.OutOrStdout(), change, fmt.Sprintf("revoked %s of %s", terminal.Line(strings.Join(change.Fingerprints, ", ")), terminal.Line(change.Person)))
		},
	}
	cmd.Flags().StringVar(&because, "because", "", "`reason`, such as \"laptop stolen\"")
	cmd.Flags().StringVar(&since, "since", "", "`time` from which the passkey does not count (such as \"2026-11-20 02:31 CET\", or an age such as 2h or 3d). Default: now")
	return cmd
}

// callPasskeys sends a request to the running bot.
func (g *globalFlags) callPasskeys(cmd *cobra.Command, name string, ask control.Request, out any) error {
	client, err := g.client()
	if err == nil {
		err = client.Do(cmd.Context(), name, ask, out)
	}
	if err != nil {
		return g.replyError(cmd.OutOrStdout(), err)
	}
	return nil
}

func formatStamp(at time.Time) string { return incident.TimeText(at.UTC()) }
