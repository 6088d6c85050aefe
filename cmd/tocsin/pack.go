package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tocsin/bot/incident"
	"tocsin/bot/pack"
	"tocsin/bot/terminal"
)

func exportCommand(g *globalFlags) *cobra.Command {
	var out, reason string
	cmd := &cobra.Command{
		Use: "export INCIDENT", Short: "Export the evidence pack of an incident", Args: oneArgument,
		Long: "Export one file with everything that proves how an incident was handled and who signed its closing record: the timeline\n" +
			"with its hash chain, the signed records, the signatures with their passkeys, the postmortems and the proofs of the notary.\n" +
			"Anyone can check the file with `tocsin audit verify`, or with openssl and sha256sum as its README.txt describes.\n\n" +
			"People who may read the incident can export it, and each export is in the audit log. The texts are not redacted. Texts that\n" +
			"only legal and security may read are in the file only if you belong to them. The file appears only when it is complete,\n" +
			"and only its owner can read it. The bot must be running.",
		Example: "  tocsin export INC-42 --out INC-42.zip\n  tocsin export INC-42 --out INC-42.zip --reason \"yearly audit\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := incident.ParseID(args[0])
			if err != nil {
				return err
			}
			if out == "" {
				return fmt.Errorf("--out is missing. Name the file, such as --out %s.zip", id)
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			reason := strings.TrimSuffix("command line: "+reason, ": ")
			err = writeWholeFile(out, func(w io.Writer) error { return client.ExportPack(cmd.Context(), id, reason, w) })
			if err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			return g.print(cmd.OutOrStdout(), map[string]string{"file": out}, fmt.Sprintf("exported %s to %s\ncheck it with: tocsin audit verify %s", id, out, out))
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write the pack to this new `file`")
	cmd.Flags().StringVar(&reason, "reason", "", "why you export the incident, for the audit log")
	return cmd
}

// errNotVerified ends `tocsin audit verify` with a problem, after the report.
var errNotVerified = exitCode(1)

func auditVerifyCommand(g *globalFlags) *cobra.Command {
	var o pack.Options
	var checkpoints []string
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Check an evidence pack, without the database", Args: oneArgument,
		Long: "Check a file of `tocsin export`, or - for the standard input. It needs neither the configuration nor the database nor the\n" +
			"keyset nor a network. It checks that no byte changed, that the timeline is complete, that each signature with a passkey\n" +
			"covers the record and its key belonged to the signer at that time, and that the notary recorded all of it.\n\n" +
			"Without flags, the check proves that the file fits together. To prove that it comes from the instance that you know, give\n" +
			"the notary key (`tocsin audit key` prints it) with --notary-key, checkpoints that you received in mails or messages with\n" +
			"--checkpoint, and the fingerprints of the signers' passkeys (`tocsin passkeys list` prints them) with --pin.\n\n" +
			"A note is a fact that the pack cannot prove. The exit status is 1 if there is a problem.",
		Example: "  tocsin audit verify INC-42.zip\n  tocsin audit verify INC-42.zip --notary-key tocsin/3f2a…+1a2b3c4d+AZ… --checkpoint mail.eml --pin sha256:9b1c…",
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := readCheckpoints(cmd.InOrStdin(), checkpoints)
			if err != nil {
				return err
			}
			for _, f := range files {
				o.Published = append(o.Published, f.Text)
			}
			for _, pin := range o.Pins {
				if !pack.IsFingerprint(pin) {
					return fmt.Errorf("--pin %q is not the fingerprint of a passkey. Use sha256: and 64 hexadecimal digits, as `tocsin passkeys list` prints it", pin)
				}
			}
			data, err := readPack(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			r := pack.Verify(data, o)
			if err := g.print(cmd.OutOrStdout(), r, packReport(r)); err != nil || r.Verified {
				return err
			}
			return errNotVerified
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Key, "notary-key", "", "public `key` of the notary (default the one in the file, which proves nothing)")
	flags.StringArrayVar(&checkpoints, "checkpoint", nil, "`file` with a published checkpoint, also a saved message or mail (repeatable)")
	flags.StringSliceVar(&o.Pins, "pin", nil, "`fingerprint` of a signer's passkey. If there are any, other keys are refused (repeatable)")
	flags.BoolVar(&o.RequirePasskeys, "require-passkeys", false, "refuse signatures that only the server vouches for")
	return cmd
}

// readPack reads a pack, from stdin for "-".
func readPack(stdin io.Reader, name string) ([]byte, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(filepath.Clean(name))
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, pack.MaxSize+1))
	if err == nil && len(data) > pack.MaxSize {
		err = errors.New("the file is larger than an evidence pack can be")
	}
	return data, err
}

// packReport returns the report as text. Texts of a pack can come from an attacker, so control characters are removed.
func packReport(r pack.Report) string {
	var b strings.Builder
	if r.Incident != "" {
		_ = writeLine(&b, "evidence pack of %s, exported on %s", r.Incident, r.ExportedAt.UTC().Format("2006-01-02 15:04 UTC"))
	}
	_ = writeLine(&b, "SHA-256 of the file: %s", r.SHA256)
	_ = writeLine(&b, "")
	t := newTable(&b)
	t.row("CHECK", "RESULT", "DETAIL")
	for _, c := range r.Checks {
		result := string(c.Result)
		if c.Result == pack.ResultProblem {
			result = "PROBLEM"
		}
		t.row(c.Name, result, c.Detail)
	}
	_ = t.flush() // a strings.Builder does not fail
	if len(r.Signatures) > 0 {
		_ = writeLine(&b, "")
		t = newTable(&b)
		t.row("SIGNED FOR", "BY", "AT (UTC)", "HOW", "COUNTS", "KEY")
		for _, s := range r.Signatures {
			t.row(s.Department, signerName(s), s.At.UTC().Format("2006-01-02 15:04:05"), s.How, signatureResult(s), signatureKey(s))
		}
		_ = t.flush() // a strings.Builder does not fail
	}
	verdict := "NOT VERIFIED"
	if r.Verified {
		verdict = "verified"
	}
	return terminal.Text(b.String()) + "\n" + verdict
}

func signerName(s pack.Signature) string {
	if s.Name == "" {
		return string(s.Person)
	}
	return s.Name + " (" + string(s.Person) + ")"
}

// signatureResult returns whether a signature counts.
func signatureResult(s pack.Signature) string {
	switch {
	case len(s.Problems) > 0:
		return "NOT VALID"
	case !s.Counts:
		return "no longer"
	}
	return "yes"
}

// signatureKey returns the fingerprint of the key and its registration.
func signatureKey(s pack.Signature) string {
	if s.Fingerprint == "" {
		return "-"
	}
	text := s.Fingerprint
	if s.IsPinned {
		text += " (pinned)"
	}
	if s.Registration != "" {
		text += ", " + s.Registration
	}
	return text
}
