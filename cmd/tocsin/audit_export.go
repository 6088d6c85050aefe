package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/control"
	"tocsin/bot/syslog"
	"tocsin/store"
)

func auditExportCommand(g *globalFlags) *cobra.Command {
	f := &auditFlags{globalFlags: g}
	var format, to string
	cmd := &cobra.Command{
		Use: "export", Short: "Export the audit log as JSON lines or syslog messages", Args: noArguments,
		Long: "Export all entries of the audit log that match, the oldest first, one per line: JSON, or syslog messages of RFC 5424.\n" +
			"With --to, the file appears only when it is complete, and only its owner can read it. If no bot is running, the database\n" +
			"is opened. Only administrators can export the log.",
		Example: "  tocsin audit export --since 2026-10-01 --until 2027-01-01 --to audit-q4.ndjson\n  tocsin audit export --format syslog --since 1d",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := f.query(time.Now())
			if err != nil {
				return err
			}
			write, known := auditFormats[format]
			if !known {
				return fmt.Errorf("unknown format %q. Use json or syslog", format)
			}
			if g.json && format != "json" {
				return errors.New("--json and --format syslog exclude each other. Use one of them")
			}
			n := 0
			export := func(out io.Writer) error {
				each := func(e store.AuditEntry) error {
					n++
					return write(out, e)
				}
				request := control.Request{Audit: q, Reason: f.reason}
				return g.useOrOpen(cmd.Context(), "audit-export", request, func(client *control.Client) error {
					return client.ExportAudit(cmd.Context(), request, each)
				}, func(ctx context.Context, s *store.Store) error { return s.EachAudit(ctx, q, each) })
			}
			if to == "" {
				return export(cmd.OutOrStdout())
			}
			if err := writeWholeFile(to, export); err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			return g.print(cmd.OutOrStdout(), map[string]int{"entries": n}, fmt.Sprintf("%d entries in %s", n, to))
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&format, "format", "json", "`format` of a line: json or syslog")
	cmd.Flags().StringVar(&to, "to", "", "write to this `file` (default the standard output)")
	return cmd
}

// auditFormats write an entry as one line.
var auditFormats = map[string]func(io.Writer, store.AuditEntry) error{
	"json":   func(w io.Writer, e store.AuditEntry) error { return writeJSON(w, e) },
	"syslog": func(w io.Writer, e store.AuditEntry) error { return writeLine(w, "%s", auditMessage(e).Line()) },
}

// auditMessage returns an entry as a syslog message. An attempt that was denied is a
// warning.
func auditMessage(e store.AuditEntry) syslog.Message {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	m := syslog.Message{At: e.At, Severity: syslog.Informational, Host: host, ID: "audit", Text: auditReason(e), Data: [][2]string{
		{"id", strconv.FormatInt(e.ID, 10)}, {"person", string(e.Person)}, {"name", e.Name}, {"account", e.Account.String()}, {"action", e.Action},
		{"incident", auditIncident(e)}, {"result", auditResult(e)}}}
	if !e.Allowed {
		m.Severity = syslog.Warning
	}
	return m
}

// writeWholeFile writes a file that only its owner can read. It appears under its name
// only when it is complete.
func writeWholeFile(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	err = write(w)
	if err := errors.Join(err, w.Flush(), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name+".part"))
	}
	return os.Rename(name+".part", name)
}
