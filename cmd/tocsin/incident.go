package main

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot"
	"tocsin/bot/incident"
	"tocsin/templates"
)

// maxShownAlerts is the maximum number of alerts shown per incident. An alert storm
// can attach a thousand.
const maxShownAlerts = 50

// incidentCommand has one subcommand per verb, for help and completion. The
// arguments are parsed by the bot exactly as the text of the slash command.
func incidentCommand(g *globalFlags) *cobra.Command {
	cmd := commandGroup(&cobra.Command{Use: "incident", Aliases: []string{"inc"}, Short: "Run a command of the slash command on the running bot",
		Long: "Run any command of Slack's /incident over the control socket of the running bot. You act as the person whose `local`\n" +
			"name in the configuration is your user name on this machine.",
		Example: "  tocsin incident list\n  tocsin incident open sev2 customer data in a public bucket\n  tocsin incident status INC-42"})
	for _, v := range incident.VerbSpecs() {
		cmd.AddCommand(verbCommand(g, v))
	}
	return cmd
}

func verbCommand(g *globalFlags, v incident.VerbSpec) *cobra.Command {
	var key, audience string
	var public bool
	cmd := &cobra.Command{
		Use: v.Name + " " + v.Usage, Aliases: v.Aliases, Short: v.Help, Example: "  tocsin incident " + strings.Join(v.Examples, "\n  tocsin incident "),
		ValidArgs: v.Next,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := bot.Load(g.config)
			if err != nil {
				return err
			}
			var reply bot.ControlReply
			if public {
				args = slices.Insert(args, 0, "--public")
			}
			if audience != "" {
				args = slices.Insert(args, afterIncident(args), "--audience", audience)
			}
			request := bot.ControlRequest{Command: strings.TrimSpace(v.Name + " " + incident.JoinArgs(args)), Key: cmp.Or(key, "cli/"+rand.Text())}
			err = bot.NewClient(c.ControlPath()).Do(cmd.Context(), "incident", request, &reply)
			if replyLost(err) {
				return fmt.Errorf("%w (the command may have been recorded: run it again with --key %s, which records it only once)", err, request.Key)
			}
			if err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			if g.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(reply)
			}
			return show(cmd.OutOrStdout(), reply)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "idempotency `key`: a command repeated with the same key is recorded only once (default a random key)")
	// Options of the command itself. As flags they can be written in any position.
	if strings.Contains(v.Usage, "--public") {
		cmd.Flags().BoolVar(&public, "public", false, "let the whole company read the incident")
	}
	if strings.Contains(v.Usage, "--audience") {
		cmd.Flags().StringVar(&audience, "audience", "", "`audience` of the note: all, responders or legal_and_security")
	}
	return cmd
}

// replyLost reports whether the command was sent to the bot but the reply was lost.
func replyLost(err error) bool {
	var refused *incident.Error
	return err != nil && !errors.As(err, &refused) && !errors.Is(err, bot.ErrNotRunning)
}

// afterIncident returns the index after a leading incident such as INC-42.
func afterIncident(args []string) int {
	if len(args) > 0 && strings.HasPrefix(strings.ToUpper(args[0]), "INC-") {
		return 1
	}
	return 0
}

// replyError prints an error of the bot as JSON with --json. In every case it
// returns an error.
func (g *globalFlags) replyError(w io.Writer, err error) error {
	var refused *incident.Error
	if g.json && errors.As(err, &refused) {
		return errors.Join(json.NewEncoder(w).Encode(map[string]*incident.Error{"error": refused}), exitCode(1))
	}
	return err
}

// show prints a reply as text.
func show(w io.Writer, r bot.ControlReply) error {
	switch {
	case r.Help != "":
		_, err := io.WriteString(w, r.Help)
		return err
	case r.List != nil:
		return showList(w, *r.List, r.Names)
	case r.View != nil:
		return showView(w, *r.View, r.Names)
	case r.Alerts != nil:
		for _, line := range templates.AlertResult(*r.Alerts, directory(r.Names), time.Now()) {
			if _, err := fmt.Fprintln(w, line); err != nil {
				return err
			}
		}
		return nil
	case r.Result != nil:
		return showResult(w, *r.Result, r.Names)
	}
	return nil
}

func showList(w io.Writer, list []incident.Summary, names map[incident.PersonID]string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "INCIDENT\tSEVERITY\tSTATUS\tCOMMANDER\tOPENED (UTC)\tTITLE")
	for _, s := range list {
		title := s.Title
		if title == "" {
			title = "(restricted)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.Severity, s.Status, orDash(names[s.Commander]), s.OpenedAt.UTC().Format("2006-01-02 15:04"), title)
	}
	return t.Flush()
}

func showView(w io.Writer, v incident.View, names map[incident.PersonID]string) error {
	i, dir := v.Incident, directory(names)
	fmt.Fprintf(w, "%s  %s  %s  %s\n", i.ID, i.Severity, i.Status, i.Title)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if i.MergedInto != 0 {
		fmt.Fprintf(t, "merged into\t%s\n", i.MergedInto)
	}
	if i.SplitFrom != 0 {
		fmt.Fprintf(t, "split from\t%s\n", i.SplitFrom)
	}
	for _, id := range i.SplitInto {
		fmt.Fprintf(t, "split into\t%s\n", id)
	}
	if i.LegalHold != nil {
		fmt.Fprintf(t, "legal hold\tby %s: %s\n", dir.Name(i.LegalHold.By), i.LegalHold.Reason)
	}
	for _, role := range slices.Sorted(maps.Keys(i.Roles)) {
		fmt.Fprintf(t, "%s\t%s\n", role, dir.Name(i.Roles[role]))
	}
	for _, a := range v.Alerts[:min(len(v.Alerts), maxShownAlerts)] {
		fmt.Fprintf(t, "alert\tA%d %s (%s, %d×)\n", a.Alert, a.Title, a.Source, a.Count)
	}
	if more := len(v.Alerts) - maxShownAlerts; more > 0 {
		fmt.Fprintf(t, "alert\t%d more alerts (--json lists all)\n", more)
	}
	for _, r := range i.Runs {
		for _, s := range r.Plan {
			fmt.Fprintf(t, "step\t%s/%s\t%s\t%s\n", r.Playbook, s.ID, s.Status, s.Title)
		}
	}
	for _, a := range i.Actions {
		fmt.Fprintf(t, "action\t%s %s\t%s, due %s\t%s\n", a.ID, a.Kind, dir.Name(a.Owner), a.Due.Format(time.DateOnly), a.Title)
	}
	if i.Submission != nil {
		fmt.Fprintf(t, "record\t%s\n", i.Submission.Digest)
		unsigned, objections, unanswered := i.Missing()
		fmt.Fprintf(t, "missing\t%v unsigned, %d objections, %d unanswered\n", unsigned, len(objections), len(unanswered))
	}
	if i.Unfinished != nil {
		fmt.Fprintf(t, "open steps\t%s\n", i.Unfinished.Text())
	}
	for _, x := range i.Exclusions {
		fmt.Fprintf(t, "excluded\t%s\t%s\n", dir.Name(x.Person), x.Reason)
	}
	if x := i.ExclusionProposed; x != nil {
		fmt.Fprintf(t, "exclusion proposed\t%s\t%s\n", dir.Name(x.Person), x.Reason)
	}
	for _, f := range incident.RecordFields() {
		if text := i.Record.Get(f.Name); text != "" {
			fmt.Fprintf(t, "%s\t%s\n", f.Name, text)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return showEvents(w, v.Timeline, dir)
}

func showResult(w io.Writer, r incident.Result, names map[incident.PersonID]string) error {
	if len(r.Events) == 0 {
		_, err := fmt.Fprintf(w, "No change: %s is %s\n", r.Incident.ID, r.Incident.Status)
		return err
	}
	fmt.Fprintf(w, "%s is %s\n", r.Incident.ID, r.Incident.Status)
	return showEvents(w, r.Events, directory(names))
}

func showEvents(w io.Writer, events []incident.Event, dir incident.Directory) error {
	for _, e := range events {
		if _, err := fmt.Fprintf(w, "%4d  %s  %s\n", e.Seq, e.HappenedAt.UTC().Format("2006-01-02 15:04:05Z"), templates.Sentence(e, dir)); err != nil {
			return err
		}
	}
	return nil
}

// directory returns a directory with the names of people, for the sentences of
// the timeline.
func directory(names map[incident.PersonID]string) incident.Directory {
	var d incident.Directory
	for id, name := range names {
		d.People = append(d.People, incident.Person{ID: id, Name: name})
	}
	return d
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
