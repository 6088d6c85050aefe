package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/store"
)

// auditFlags are the flags that select entries of the audit log.
type auditFlags struct {
	*globalFlags
	person, incident, action, since, until, reason string
	allowed, denied                                bool
}

func auditCommand(g *globalFlags) *cobra.Command {
	cmd := commandGroup(&cobra.Command{Use: "audit", Short: "List, export and prove the audit log",
		Long: "The audit log has an entry for each read of an incident, an alert or a record, each export and each operation of an\n" +
			"administrator, and for each attempt that was denied. Only administrators can read it, and reading it is an entry too."})
	cmd.AddCommand(auditListCommand(g), auditExportCommand(g), auditProveCommand(g), auditCheckCommand(g), auditVerifyCommand(g), auditKeyCommand(g))
	return cmd
}

// register adds the flags of the selection to a command.
func (f *auditFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.person, "person", "", "only entries of a `person`: a name, a mail address, an account or an id")
	flags.StringVar(&f.incident, "incident", "", "only entries about an `incident`, such as INC-42")
	flags.StringVar(&f.action, "action", "", "only entries with this `action`, or these first words of it, such as show or \"command\"")
	flags.StringVar(&f.since, "since", "", "only entries since this `time` (such as \"2026-11-20 02:31 CET\", or an age such as 2h or 3d)")
	flags.StringVar(&f.until, "until", "", "only entries before this `time`")
	flags.BoolVar(&f.allowed, "allowed", false, "only what was allowed")
	flags.BoolVar(&f.denied, "denied", false, "only what was denied")
	flags.StringVar(&f.reason, "reason", "", "why you read the log, for the audit log")
	cmd.MarkFlagsMutuallyExclusive("allowed", "denied")
}

func (f *auditFlags) query(now time.Time) (q store.AuditQuery, err error) {
	q.Person, q.Action = strings.TrimSpace(f.person), strings.TrimSpace(f.action)
	if f.incident != "" {
		if q.Incident, err = incident.ParseID(f.incident); err != nil {
			return q, fmt.Errorf("--incident: %w", err)
		}
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"since", f.since, &q.Since}, {"until", f.until, &q.Until}} {
		if t.text == "" {
			continue
		}
		if *t.to, err = parseTimeOrAge(t.text, now); err != nil {
			return q, fmt.Errorf("--%s: %w", t.flag, err)
		}
	}
	if f.allowed || f.denied {
		q.Allowed = &f.allowed
	}
	return q, nil
}

func auditListCommand(g *globalFlags) *cobra.Command {
	f := &auditFlags{globalFlags: g}
	var limit int
	var before int64
	cmd := &cobra.Command{
		Use: "list", Short: "List entries of the audit log, newest first", Args: noArguments,
		Long: "List the newest entries of the audit log: who read or did what, whether it was allowed, and why. If no bot is running,\n" +
			"the database is opened. Only administrators can list entries.",
		Example: "  tocsin audit list --incident INC-42\n  tocsin audit list --person ada@example.com --denied --since 7d\n  tocsin audit list --action export --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := f.query(time.Now())
			if err != nil {
				return err
			}
			if limit < 1 || limit > store.MaxAuditLimit {
				return fmt.Errorf("--limit %d is out of range. Use 1 to %d, or `tocsin audit export` for all entries", limit, store.MaxAuditLimit)
			}
			if before < 0 {
				return errors.New("--before is not the number of an entry. Use a number that `tocsin audit list` prints")
			}
			q.Limit, q.Before = limit, before
			var page control.AuditPage
			err = g.callOrOpen(cmd.Context(), "audit-list", control.Request{Audit: q, Reason: f.reason}, &page, func(ctx context.Context, s *store.Store) (err error) {
				page.Entries, page.Older, err = s.ListAudit(ctx, q)
				return err
			})
			if err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			return g.print(cmd.OutOrStdout(), page, auditText(page))
		},
	}
	f.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, fmt.Sprintf("maximum `number` of entries, at most %d", store.MaxAuditLimit))
	cmd.Flags().Int64Var(&before, "before", 0, "only entries before the one with this `number`, for the next page")
	return cmd
}

func auditText(page control.AuditPage) string {
	if len(page.Entries) == 0 {
		return "no entries"
	}
	var text strings.Builder
	t := newTable(&text)
	t.row("ENTRY", "AT (UTC)", "WHO", "ACTION", "INCIDENT", "RESULT", "REASON")
	for _, e := range page.Entries {
		t.row(e.ID, e.At.UTC().Format("2006-01-02 15:04:05"), auditWho(e), e.Action, auditIncident(e), auditResult(e), auditReason(e))
	}
	_ = t.flush() // a strings.Builder does not fail
	if last := page.Entries[len(page.Entries)-1].ID; page.Older {
		_ = writeLine(&text, "there are older entries: add --before %d", last)
	}
	return strings.TrimSuffix(text.String(), "\n")
}

// auditWho returns the person of an entry, or the account if it belongs to nobody.
func auditWho(e store.AuditEntry) string {
	if account := cmp.Or(e.Account.ID, "-"); e.Person == "" {
		return account + " (" + cmp.Or(string(e.Account.Provider), "unknown") + ")"
	}
	return cmp.Or(e.Name, string(e.Person))
}

func auditIncident(e store.AuditEntry) string {
	if e.Incident <= 0 {
		return "-"
	}
	return e.Incident.String()
}

func auditResult(e store.AuditEntry) string {
	if e.Allowed {
		return "allowed"
	}
	return "denied"
}

func auditReason(e store.AuditEntry) string {
	if e.Unreadable {
		return "(cannot be decrypted: run `tocsin verify`)"
	}
	return orDash(e.Reason)
}
