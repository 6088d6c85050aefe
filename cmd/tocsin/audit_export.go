package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	x := &auditExport{globalFlags: g, operation: "audit-export"}
	var format string
	cmd := &cobra.Command{
		Use: "export", Short: "Export the audit log as JSON lines or syslog messages", Args: noArguments,
		Long: "Export all entries of the audit log that match, the oldest first, one per line: JSON, or syslog messages of RFC 5424.\n" +
			"With --to, the file appears only when it is complete, and only its owner can read it. If no bot is running, the database\n" +
			"is opened. Only administrators can export the log.\n\n" +
			"With --proof, the file also proves that the newest published checkpoint vouches for each entry. An auditor checks it with\n" +
			"`tocsin audit check`, without the database and the keyset.",
		Example: "  tocsin audit export --since 2026-10-01 --until 2027-01-01 --proof --to audit-q4.ndjson\n  tocsin audit export --format syslog --since 1d",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if x.request.Audit, err = f.query(time.Now()); err != nil {
				return err
			}
			known := false
			if x.write, known = auditFormats[format]; !known {
				return fmt.Errorf("unknown format %q. Use json or syslog", format)
			}
			if format != "json" && (g.json || x.request.Proofs) {
				return errors.New("--format syslog excludes --json and --proof. Use one of them")
			}
			x.request.Reason = f.reason
			return x.run(cmd)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&format, "format", "json", "`format` of a line: json or syslog")
	cmd.Flags().StringVar(&x.to, "to", "", "write to this new `file` (default the standard output)")
	cmd.Flags().BoolVar(&x.request.Proofs, "proof", false, "add the proofs that a published checkpoint vouches for the entries")
	return cmd
}

func auditProveCommand(g *globalFlags) *cobra.Command {
	x := &auditExport{globalFlags: g, operation: "audit-prove", write: auditFormats["json"], request: control.Request{Proofs: true}}
	cmd := &cobra.Command{
		Use: "prove ENTRY…", Short: "Prove that a published checkpoint vouches for entries of the audit log",
		Long: "Export single entries of the audit log with their proofs, by the numbers that `tocsin audit list` prints. The lines are those\n" +
			"of `tocsin audit export --proof`, and `tocsin audit check` checks them. Only administrators can prove entries.",
		Example: "  tocsin audit prove 17 18 --to entries.ndjson",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("the argument ENTRY is missing. Usage: tocsin audit prove ENTRY…")
			}
			for _, arg := range args {
				id, err := strconv.ParseInt(arg, 10, 64)
				if err != nil || id <= 0 {
					return fmt.Errorf("%q is not the number of an entry. Use a number that `tocsin audit list` prints", arg)
				}
				x.request.Audit.IDs = append(x.request.Audit.IDs, id)
			}
			return x.run(cmd)
		},
	}
	cmd.Flags().StringVar(&x.to, "to", "", "write to this `file` (default the standard output)")
	cmd.Flags().StringVar(&x.request.Reason, "reason", "", "why you read the log, for the audit log")
	return cmd
}

// auditExport is one export of the audit log.
type auditExport struct {
	*globalFlags
	operation string
	request   control.Request
	write     func(io.Writer, store.AuditLine) error
	to        string // file, or "" for the standard output
}

func (x *auditExport) run(cmd *cobra.Command) error {
	entries, newer := 0, 0
	export := func(out io.Writer) error {
		each := func(line store.AuditLine) error {
			if line.AuditEntry != nil {
				entries++
				if line.Proof == nil {
					newer++
				}
			}
			return x.write(out, line)
		}
		return x.useOrOpen(cmd.Context(), x.operation, x.request, func(client *control.Client) error {
			return client.ExportAudit(cmd.Context(), x.operation, x.request, each)
		}, func(ctx context.Context, s *store.Store) error {
			return s.ExportAudit(ctx, x.request.Audit, x.request.Proofs, each)
		})
	}
	var err error
	if x.to == "" {
		err = export(cmd.OutOrStdout())
	} else {
		err = writeWholeFile(x.to, export)
	}
	if err == nil && entries < len(x.request.Audit.IDs) {
		err = fmt.Errorf("%d of these entries do not exist. Run `tocsin audit list`", len(x.request.Audit.IDs)-entries)
	}
	switch {
	case err != nil:
		return x.replyError(cmd.OutOrStdout(), err)
	case x.request.Proofs && newer > 0:
		_ = writeLine(cmd.ErrOrStderr(), "tocsin: the newest published checkpoint does not cover %d of %d entries yet. A later export proves them", newer, entries) // a hint
	}
	if x.to == "" {
		return nil
	}
	return x.print(cmd.OutOrStdout(), map[string]int{"entries": entries}, fmt.Sprintf("%d entries in %s", entries, x.to))
}

// auditFormats write a line of an export.
var auditFormats = map[string]func(io.Writer, store.AuditLine) error{
	"json": func(w io.Writer, line store.AuditLine) error { return writeJSON(w, line) },
	"syslog": func(w io.Writer, line store.AuditLine) error {
		return writeLine(w, "%s", auditMessage(*line.AuditEntry).Line())
	},
}

// auditMessage returns an entry as a syslog message. An attempt that was denied is a
// warning.
func auditMessage(e store.AuditEntry) syslog.Message {
	m := syslog.Message{At: e.At, Severity: syslog.Informational, Host: syslog.Host(), ID: "audit", Text: auditReason(e), Data: [][2]string{
		{"id", strconv.FormatInt(e.ID, 10)}, {"person", string(e.Person)}, {"name", e.Name}, {"account", e.Account.String()}, {"action", e.Action},
		{"incident", auditIncident(e)}, {"result", auditResult(e)}}}
	if !e.Allowed {
		m.Severity = syslog.Warning
	}
	return m
}

// checkNewFile returns an error if a file exists. An export never replaces one: it could be the keyset or the configuration.
func checkNewFile(name string) error {
	_, err := os.Lstat(name)
	if err == nil {
		return fmt.Errorf("the file %s exists. Write another name, or remove the file first", name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// writeWholeFile writes a file that only its owner can read. It appears under its name
// only when it is complete.
func writeWholeFile(name string, write func(io.Writer) error) error {
	f, err := createWholeFile(name)
	if err != nil {
		return err
	}
	err = write(f)
	return errors.Join(err, f.end(err == nil))
}

// wholeFile is a file that only its owner can read. It appears under its name only when it
// is complete.
type wholeFile struct {
	*bufio.Writer
	file *os.File
	name string
}

func createWholeFile(name string) (*wholeFile, error) {
	if err := checkNewFile(name); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &wholeFile{bufio.NewWriter(f), f, name}, nil
}

// end closes the file. It removes the file unless it is complete.
func (f *wholeFile) end(complete bool) error {
	if err := errors.Join(f.Flush(), f.file.Sync(), f.file.Close()); err != nil || !complete {
		return errors.Join(err, os.Remove(f.name+".part"))
	}
	return os.Rename(f.name+".part", f.name)
}
