package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tocsin/store"
)

func auditCheckCommand(g *globalFlags) *cobra.Command {
	var key string
	var checkpoints []string
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Check an export with proofs, without the database", Args: oneArgument,
		Long: "Check a file of `tocsin audit export --proof`, or - for the standard input. It needs neither the configuration nor the\n" +
			"database nor the keyset. Each entry must be the one that the log of the checkpoint has, and the checkpoint must carry the\n" +
			"signature of the instance.\n\n" +
			"Give the public key that you received earlier with --key: `tocsin audit key` prints it, and each mail with a checkpoint has\n" +
			"it. Give checkpoints that you received with --checkpoint: the one of the file must be among them. Without these flags the\n" +
			"check proves only that the file fits together. The names of people are not part of the proof, their ids are. A file does not\n" +
			"prove that it has all entries. The exit status is 1 if a check fails.",
		Example: "  tocsin audit check audit-q4.ndjson --key tocsin/3f2a…+1a2b3c4d+AZ… --checkpoint mail.eml",
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := readCheckpoints(cmd.InOrStdin(), checkpoints)
			if err != nil {
				return err
			}
			checker := &store.AuditChecker{Verifier: strings.TrimSpace(key)}
			for _, f := range files {
				checker.Published = append(checker.Published, f.Text)
			}
			if err := checkAuditFile(cmd.InOrStdin(), args[0], checker); err != nil {
				return err
			}
			r := checker.Result()
			text := fmt.Sprintf("%d entries proven by the checkpoint of %s", r.Proven, r.Checkpoint)
			if r.Newer > 0 {
				text += fmt.Sprintf("\n%d entries are newer than the checkpoint and not proven", r.Newer)
			}
			if key == "" {
				text += "\nthe file has the public key " + r.Verifier + ": compare it with the key that you received earlier"
			}
			if len(files) == 0 {
				text += "\nno checkpoint was given: compare the one of the file with a published one"
			}
			return g.print(cmd.OutOrStdout(), r, text)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "public `key` of the instance (default the one in the file, which proves nothing)")
	cmd.Flags().StringArrayVar(&checkpoints, "checkpoint", nil, "`file` with a published checkpoint, also a saved message or mail (repeatable)")
	return cmd
}

// checkAuditFile checks each line of a file, or of stdin for "-".
func checkAuditFile(stdin io.Reader, name string, checker *store.AuditChecker) error {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	decoder := json.NewDecoder(in)
	for n := 1; ; n++ {
		var line store.AuditLine
		switch err := decoder.Decode(&line); {
		case errors.Is(err, io.EOF) && n > 1:
			return nil
		case err != nil:
			return fmt.Errorf("%s, line %d is not a line of an export: %w", name, n, err)
		}
		if err := checker.Check(line); err != nil {
			return fmt.Errorf("%s, line %d: %w", name, n, err)
		}
	}
}

// auditKey is the result of `tocsin audit key`.
type auditKey struct {
	Key string `json:"key"`
}

func auditKeyCommand(g *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "key", Short: "Print the public key that checks checkpoints and proofs", Args: noArguments,
		Long: "Print the public key of this instance. It is computed from the keyset, does not change with a rotation, and is not secret.\n" +
			"Give it to auditors before they need it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := g.notaryKey()
			if err != nil {
				return err
			}
			return g.print(cmd.OutOrStdout(), auditKey{key}, key)
		},
	}
}
