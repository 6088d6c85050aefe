package main

import (
	"bufio"
	"errors"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/config"
	"tocsin/bot/doctor"
	"tocsin/bot/terminal"
)

// doctorResult is the output of the doctor with --json.
type doctorResult struct {
	Healthy  bool             `json:"healthy"`
	Findings []doctor.Finding `json:"findings"`
}

func doctorCommand(g *globalFlags) *cobra.Command {
	var (
		o    doctor.Options
		page doctor.PageOptions
		send bool
	)
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check the credentials, the systems behind them, the database and the keyset", Args: noArguments,
		Long: "Ask Slack, PagerDuty, the mail servers and AWS whether the credentials, scopes, channels, groups and people in the\n" +
			"configuration work, and check the database, the disk, the keyset, its copy, the clock and the public URL. Each line is ok,\n" +
			"warning, failed or skipped, with what to do. It works beside a running bot and without one, and does not disturb Socket\n" +
			"Mode or lock the database. Run it as the user of Tocsin. The exit status is 1 if a check failed.\n\n" +
			"With --page it sends a test page through each escalation step instead, and waits until a person acknowledges it: in\n" +
			"PagerDuty, if pagerduty.api_key is set or the bot runs and has its webhook, or by typing the code of the page here. Only that proves a routing key,\n" +
			"because PagerDuty accepts an event before it pages a person.\n\n" +
			"With --keyset-copy it compares a copy of the keyset and stores the date of the comparison next to the keyset. With --log-file\n" +
			"it reads a byte of a CloudTrail log file, which proves access to the bucket and its KMS key.",
		Example: "  tocsin doctor\n  tocsin doctor --page --step 1\n  tocsin doctor --keyset-copy /mnt/usb/keyset.json\n  tocsin doctor --public-url https://tocsin.example.com",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if page.Step != 0 && !send {
				return errors.New("--step needs --page. Add --page, or leave --step out")
			}
			if o.Config, o.Warnings, err = config.Check(g.config); err != nil {
				return err
			}
			d, err := doctor.New(o)
			if err != nil {
				return err
			}
			result := doctorResult{Findings: []doctor.Finding{}}
			var writeErr error
			report := func(f doctor.Finding) {
				result.Findings = append(result.Findings, f)
				if !g.json {
					writeErr = errors.Join(writeErr, writeFinding(cmd.OutOrStdout(), f))
				}
			}
			failed := false
			if send {
				signal.Ignore(syscall.SIGTTIN) // a background job cannot read the terminal, and waits for the webhook
				page.Typed = readLines(cmd.InOrStdin())
				page.Say = func(s string) { writeErr = errors.Join(writeErr, writeLine(cmd.ErrOrStderr(), "%s", s)) }
				failed = d.Pages(cmd.Context(), page, report)
			} else {
				failed = d.Run(cmd.Context(), report)
			}
			if result.Healthy = !failed; g.json {
				writeErr = writeJSON(cmd.OutOrStdout(), result)
			}
			if failed {
				return errors.Join(writeErr, exitCode(1))
			}
			return writeErr
		},
	}
	cmd.Flags().StringVar(&o.KeysetCopy, "keyset-copy", "", "a copy of the keyset, as a `file`, to compare with it")
	cmd.Flags().StringVar(&o.PublicURL, "public-url", "", "`URL` at which senders reach Tocsin through the proxy")
	cmd.Flags().StringVar(&o.LogFile, "log-file", "", "`address` of a CloudTrail log file, such as s3://BUCKET/KEY, to read")
	cmd.Flags().BoolVar(&send, "page", false, "send a test page through each escalation step and wait for the acknowledgement")
	cmd.Flags().IntVar(&page.Step, "step", 0, "with --page: `number` of the only step to test, from 1")
	cmd.Flags().DurationVar(&page.Wait, "wait", 5*time.Minute, "with --page: `time` to wait for each acknowledgement")
	return cmd
}

// writeFinding writes a finding as a line, and its fix as another one.
func writeFinding(w io.Writer, f doctor.Finding) error {
	line := string(f.Status) + "       "
	text := line[:8] + " " + f.Check + ": " + f.Text + "."
	if f.Fix == "" {
		return writeLine(w, "%s", text)
	}
	return writeText(w, terminal.Line(text)+"\n         "+terminal.Line(f.Fix)+".\n")
}

// readLines returns the lines of a reader. The channel is closed at its end.
func readLines(r io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(r); in.Scan(); {
			lines <- in.Text()
		}
	}()
	return lines
}
