package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/command"
	"tocsin/bot/control"
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
	for _, spec := range command.Specs() {
		cmd.AddCommand(verbCommand(g, &spec))
	}
	return cmd
}

func verbCommand(g *globalFlags, spec *command.Spec) *cobra.Command {
	var key string
	var options []func(args []string) []string // insert the flags that were given
	cmd := &cobra.Command{
		Use: spec.Name + " " + spec.Usage(), Aliases: spec.Aliases, Short: spec.Help, Example: "  tocsin incident " + strings.Join(spec.Examples, "\n  tocsin incident "),
		ValidArgs: spec.Next(),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			var reply control.Reply
			for _, insert := range options {
				args = insert(args)
			}
			request := control.Request{Command: strings.TrimSpace(spec.Name + " " + command.JoinArgs(args)), Key: cmp.Or(key, "cli/"+rand.Text())}
			client.OnSlow = func() {
				_ = writeLine(cmd.ErrOrStderr(), "tocsin: the bot has not answered yet. It may be waiting for its database") // only a hint
			}
			err = client.Do(cmd.Context(), "incident", request, &reply)
			if replyLost(err) {
				return fmt.Errorf("%w (the command may have been recorded: run it again with --key %s, which records it only once)", err, request.Key)
			}
			if err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			if g.json {
				return writeJSON(cmd.OutOrStdout(), reply)
			}
			return show(cmd.OutOrStdout(), reply)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "idempotency `key`: a command repeated with the same key is recorded only once (default a random key)")
	for _, flags := range spec.Flags() {
		var names []string
		for _, flag := range flags {
			options = append(options, commandFlag(cmd, flag, spec.NeedsIncident))
			names = append(names, flag.Name)
		}
		if len(names) > 1 {
			cmd.MarkFlagsMutuallyExclusive(names...)
		}
	}
	return cmd
}

// commandFlag adds an argument of a command as a flag, which people can write in any
// position. The result inserts it where the grammar expects it.
func commandFlag(cmd *cobra.Command, flag command.Flag, afterIncident bool) func([]string) []string {
	var set bool
	var value string
	if flag.TakesValue() {
		cmd.Flags().StringVar(&value, flag.Name, "", flag.Help)
	} else {
		cmd.Flags().BoolVar(&set, flag.Name, false, flag.Help)
	}
	return func(args []string) []string {
		at := 0
		if afterIncident && len(args) > 0 && strings.HasPrefix(strings.ToUpper(args[0]), "INC-") {
			at = 1
		}
		switch {
		case set:
			return slices.Insert(args, at, "--"+flag.Name)
		case value != "":
			return slices.Insert(args, at, "--"+flag.Name, value)
		}
		return args
	}
}

// replyLost reports whether the command was sent to the bot but the reply was lost.
func replyLost(err error) bool {
	var refused *incident.Error
	return err != nil && !errors.As(err, &refused) && !errors.Is(err, control.ErrNotRunning) && !errors.Is(err, control.ErrDenied)
}

// replyError prints an error of the bot as JSON with --json. In every case it
// returns an error.
func (g *globalFlags) replyError(w io.Writer, err error) error {
	var refused *incident.Error
	if g.json && errors.As(err, &refused) {
		return errors.Join(writeJSON(w, map[string]*incident.Error{"error": refused}), exitCode(1))
	}
	return err
}

// show prints a reply as text.
func show(w io.Writer, r control.Reply) error {
	switch {
	case r.Help != "":
		return writeText(w, r.Help)
	case r.List != nil:
		return showList(w, *r.List, r.Names)
	case r.View != nil:
		return showView(w, *r.View, r.Names, time.Now())
	case r.Overview != nil:
		return showOverview(w, *r.Overview, r.Names)
	case r.Actions != nil:
		return showActions(w, *r.Actions, r.Names)
	case r.Timeline != nil:
		if err := showEvents(w, r.Timeline.Events, directory(r.Names)); err != nil || r.Timeline.More == "" {
			return err
		}
		return writeLine(w, "%d earlier entries: tocsin incident %s", r.Timeline.Earlier, r.Timeline.More)
	case r.Playbooks != nil:
		return showPlaybooks(w, *r.Playbooks)
	case r.Who != nil:
		for _, line := range r.Who {
			if err := writeLine(w, "%s", line); err != nil {
				return err
			}
		}
		return nil
	case r.Alerts != nil:
		for _, line := range templates.AlertResult(*r.Alerts, directory(r.Names), time.Now()) {
			if err := writeLine(w, "%s", line); err != nil {
				return err
			}
		}
		return nil
	case r.Result != nil:
		return showResult(w, *r.Result, r.Times, r.Names)
	}
	return nil
}

func showList(w io.Writer, list []incident.Summary, names map[incident.PersonID]string) error {
	t := newTable(w)
	t.row("INCIDENT", "SEVERITY", "STATUS", "COMMANDER", "OPENED (UTC)", "TITLE")
	for _, s := range list {
		title := s.Title
		if title == "" {
			title = "(restricted)"
		}
		openedAt := "-" // not shown to people who may not read the incident
		if !s.OpenedAt.IsZero() {
			openedAt = s.OpenedAt.UTC().Format("2006-01-02 15:04")
		}
		t.row(s.ID, s.Severity, s.Status, orDash(names[s.Commander]), openedAt, s.Origin.Marked(title))
	}
	return t.flush()
}

func showView(w io.Writer, v incident.View, names map[incident.PersonID]string, now time.Time) error {
	i, dir := v.Incident, directory(names)
	if err := writeLine(w, "%s", i.Origin.Marked(fmt.Sprintf("%s  %s  %s  %s", i.ID, i.Severity, i.Status, i.Title))); err != nil {
		return err
	}
	t := newTable(w)
	if i.MergedInto != 0 {
		t.row("merged into", i.MergedInto)
	}
	if i.SplitFrom != 0 {
		t.row("split from", i.SplitFrom)
	}
	if i.Reporter != nil {
		t.row("reported by", i.Reporter.Sentence())
	}
	for _, id := range i.SplitInto {
		t.row("split into", id)
	}
	if i.LegalHold != nil {
		t.row("legal hold", fmt.Sprintf("by %s: %s", dir.Name(i.LegalHold.By), i.LegalHold.Reason))
	}
	if p := i.SeverityProposal; p != nil {
		t.row("proposed", fmt.Sprintf("%s by an alert, raised at %s without an answer", p.Severity, incident.ClockText(p.Until, now)))
	}
	for _, role := range slices.Sorted(maps.Keys(i.Roles)) {
		t.row(role, dir.Name(i.Roles[role]))
	}
	for _, w := range v.Waiting {
		t.row("waiting", fmt.Sprintf("since %s UTC to %s: %s", w.Since.UTC().Format("2006-01-02 15:04"), w.Kind.Task(), w.Cause))
	}
	for _, c := range i.DistrustedChanges {
		t.row("to confirm", fmt.Sprintf("%s, through %s. Type incident confirm %s %d, or confirm %s %[4]d undone HOW", c.Label(dir), c.Provider, i.ID, c.Seq, i.ID))
	}
	addAlerts(t, v)
	for _, r := range i.Runs {
		for _, s := range r.Plan {
			t.row("step", r.Playbook+"/"+s.ID, s.Status, s.Title)
		}
	}
	for _, a := range i.Actions {
		t.row("action", templates.ActionLine(a, dir, now))
	}
	addRecord(t, v, dir)
	if err := t.flush(); err != nil {
		return err
	}
	if err := showEvents(w, v.Timeline, dir); err != nil || v.Withheld == 0 {
		return err
	}
	return writeLine(w, "%s", templates.LeftOut(v.Withheld))
}

// addAlerts adds the first alerts of an incident and the number of the others.
func addAlerts(t table, v incident.View) {
	for _, a := range v.Alerts[:min(len(v.Alerts), maxShownAlerts)] {
		t.row("alert", fmt.Sprintf("A%d %s (%s, %d×)", a.Alert, a.Title, a.Source, a.Count))
	}
	total := incident.SumAlerts(v.AlertCounts).Alerts
	if more := max(total, int64(len(v.Alerts))) - maxShownAlerts; more > 0 {
		list := "all"
		if total > int64(len(v.Alerts)) {
			list = fmt.Sprintf("the first %d", len(v.Alerts))
		}
		t.row("alert", fmt.Sprintf("%d more (--json lists %s)", more, list))
	}
}

// addRecord adds the closing record with its state, updates, exclusions and drafts.
func addRecord(t table, v incident.View, dir incident.Directory) {
	i := v.Incident
	if i.Submission != nil {
		t.row("record", i.Submission.Digest)
		unsigned, objections, unanswered := i.Missing()
		t.row("missing", fmt.Sprintf("signatures: %d, answers: %d, open objections: %d", len(unsigned), len(unanswered), len(objections)))
	}
	if i.Unfinished != nil {
		t.row("open steps", i.Unfinished.Text())
	}
	for _, x := range i.Exclusions {
		t.row("excluded", dir.Name(x.Person), x.Reason)
	}
	if x := i.ExclusionProposed; x != nil {
		t.row("exclusion proposed", dir.Name(x.Person), x.Reason)
	}
	for _, u := range i.Updates {
		t.row("update", templates.UpdateLine(u, dir))
	}
	for _, f := range incident.RecordFields() {
		if text := i.Record.Get(f.Name); text != "" {
			t.row(f.Name, text)
		}
	}
	for _, part := range v.Draft {
		if part.Text != "" && i.Record.Get(part.Name) == "" && !i.Status.Ended() {
			t.row("draft of "+part.Name, part.Text)
		}
	}
}

func showResult(w io.Writer, r incident.Result, times []string, names map[incident.PersonID]string) error {
	if r.Reported {
		return writeLine(w, "%s.", incident.ReportReceived)
	}
	if r.Requested {
		return writeLine(w, "%s.", incident.AccessRequested(r.Incident.ID))
	}
	if r.Earlier != "" {
		return writeLine(w, "No change: %s. %s is %s", r.Earlier, r.Incident.ID, r.Incident.Status)
	}
	if len(r.Events) == 0 {
		return writeLine(w, "No change: %s is %s", r.Incident.ID, r.Incident.Status)
	}
	if err := writeLine(w, "%s is %s", r.Incident.ID, r.Incident.Status); err != nil {
		return err
	}
	for _, line := range times {
		if err := writeLine(w, "%s", line); err != nil {
			return err
		}
	}
	return showEvents(w, r.Events, directory(names))
}

func showEvents(w io.Writer, events []incident.Event, dir incident.Directory) error {
	for _, e := range events {
		if err := writeLine(w, "%4d  %s  %s", e.Seq, e.HappenedAt.UTC().Format("2006-01-02 15:04:05Z"), templates.Sentence(e, dir)); err != nil {
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
