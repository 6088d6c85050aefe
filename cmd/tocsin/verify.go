package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tocsin/bot/control"
	"tocsin/bot/terminal"
	"tocsin/store"
)

func verifyCommand(g *globalFlags) *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that the stored data was not changed", Args: noArguments,
		Long: "Check every timeline, its head and every ciphertext. No event of a timeline may have been changed, removed, inserted or\n" +
			"reordered, and no timeline truncated. Every head must carry a MAC made with a key of the keyset. Every ciphertext must\n" +
			"decrypt.\n\n" +
			"Then compute the hash of the notary's log from all its leaves, compare it with every stored checkpoint, and compare the\n" +
			"log with the stored rows in both directions. Name each checkpoint that left the machine with --checkpoint: only these\n" +
			"prove that the database and its log were not replaced by an older or another copy.\n\n" +
			"The exit status is 1 if a check fails.",
		Example: "  tocsin verify\n  tocsin verify --checkpoint checkpoint.txt --checkpoint saved-mail.eml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			checkpoints, err := readCheckpoints(cmd.InOrStdin(), files)
			if err != nil {
				return err
			}
			var v store.Verification
			err = g.callOrOpen(cmd.Context(), "verify", control.Request{Checkpoints: checkpoints}, &v, func(ctx context.Context, s *store.Store) (err error) {
				v, err = s.VerifyFiles(ctx, checkpoints)
				return err
			})
			if err != nil {
				return err
			}
			err = g.print(cmd.OutOrStdout(), v, verifyText(v))
			if len(v.Problems) > 0 {
				err = errors.Join(err, exitCode(1))
			}
			return err
		},
	}
	cmd.Flags().StringArrayVar(&files, "checkpoint", nil, "`file` with a published checkpoint, also a saved message or mail, or - for the standard input (repeatable)")
	return cmd
}

// maxCheckpointFile is the maximum size of a file with checkpoints in bytes. A request has room for several.
const maxCheckpointFile = 256 << 10

func readCheckpoints(stdin io.Reader, names []string) ([]store.CheckpointFile, error) {
	var out []store.CheckpointFile
	for _, name := range names {
		one := store.CheckpointFile{Name: name}
		in := stdin
		if name == "-" {
			one.Name = "the standard input"
		} else {
			f, err := os.Open(name)
			if err != nil {
				return nil, fmt.Errorf("--checkpoint: %w", err)
			}
			defer func() { _ = f.Close() }()
			in = f
		}
		text, err := io.ReadAll(io.LimitReader(in, maxCheckpointFile+1))
		if err != nil {
			return nil, fmt.Errorf("--checkpoint: read %s: %w", one.Name, err)
		}
		if len(text) > maxCheckpointFile {
			return nil, fmt.Errorf("--checkpoint: %s is larger than %d KiB. Save only the message with the checkpoint", one.Name, maxCheckpointFile>>10)
		}
		one.Text = string(text)
		out = append(out, one)
	}
	return out, nil
}

// verifyText returns the result for people.
func verifyText(v store.Verification) string {
	result := "all valid"
	if len(v.Problems) > 0 {
		result = countErrors(len(v.Problems))
	}
	lines := []string{
		fmt.Sprintf("%d incidents, %d events, %d ciphertexts: %s", v.Incidents, v.Events, v.Ciphertexts, result),
		fmt.Sprintf("%d rows compared with %d leaves of the log and %d checkpoints", v.Rows, v.Leaves, v.Checkpoints),
	}
	if v.Newest != nil {
		lines[1] += ". The newest is " + v.Newest.String()
	}
	lines = append(lines, "public key of the notary: "+terminal.Line(v.PublicKey))
	if v.Waiting > 0 {
		lines = append(lines, fmt.Sprintf("%d rows changed since and wait for the next checkpoint", v.Waiting))
	}
	for _, line := range v.Explained {
		lines = append(lines, "explained: "+terminal.Line(line))
	}
	for _, p := range v.Problems {
		lines = append(lines, "  "+terminal.Line(p.String()))
	}
	return strings.Join(lines, "\n")
}
