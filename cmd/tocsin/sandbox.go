package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"tocsin/bot/sandbox/company"
	"tocsin/bot/terminal"
)

// sandboxOptions configures the sandbox as a process of its own.
type sandboxOptions struct {
	company.Options
	addr  string // of the page
	bot   string // URL to which the systems send
	files map[string][]byte
	json  bool
}

func sandboxCommand(g *globalFlags) *cobra.Command {
	var (
		o             sandboxOptions
		onlyAWS, once bool
	)
	cmd := &cobra.Command{
		Use: "sandbox [FILE…]", Short: "Run a sandbox of Slack, PagerDuty, mail and AWS for your own Tocsin",
		Long: "Run the systems around Tocsin on this machine: a Slack workspace, a PagerDuty account, a mail server and AWS with a queue\n" +
			"and a bucket of CloudTrail log files. They speak the real protocols, and Tocsin runs beside them as a separate process,\n" +
			"with a configuration, a keyset and a database. On the page of the sandbox you act as any person, send alerts, and see Slack,\n" +
			"the pager and the mails. `tocsin init DIR --sandbox URL` writes a configuration for it. With --json, the command prints\n" +
			"the addresses and credentials as JSON.\n\n" +
			"The page also makes one method answer with a text of your choice, which tests how Tocsin bears a refusal:\n\n" +
			"  curl URL/api/answers -d '{\"method\": \"conversations.create\", \"body\": {\"ok\": false, \"error\": \"restricted_action\"}, \"left\": 1}'\n\n" +
			"method is a method of Slack, pagerduty.events, smtp.auth, smtp.rcpt, smtp.data or an AWS call such as sqs:ReceiveMessage.\n" +
			"status and header can be set, too. Without left the answer stays until you send \"left\": 0 or {\"clear\": true}.\n\n" +
			"FILE is a CloudTrail log file for the bucket, plain or compressed with gzip. Without one, the bucket has a file with an access\n" +
			"key that was created for another user and a trail that was stopped. With --aws, only AWS runs. Nothing is stored.",
		Example: "  tocsin sandbox\n  tocsin sandbox --addr 127.0.0.1:9001 --bot http://127.0.0.1:9000 --json\n  tocsin sandbox --aws --addr 127.0.0.1:4566 --once trail.json.gz",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if once && !onlyAWS {
				return errors.New("--once ends the sandbox after Tocsin has read every file, and the other systems have no end. Add --aws, or leave --once out")
			}
			if o.files, err = readLogFiles(args); err != nil {
				return err
			}
			o.json = g.json
			if onlyAWS {
				return serveAWS(cmd.Context(), cmd.OutOrStdout(), o, once)
			}
			return serveSandbox(cmd.Context(), cmd.OutOrStdout(), o)
		},
	}
	cmd.Flags().BoolVar(&onlyAWS, "aws", false, "run only the sandbox of AWS")
	cmd.Flags().StringVar(&o.addr, "addr", "127.0.0.1:8081", "`address` of the page, or of AWS with --aws. Slack, PagerDuty, mail and AWS have the next four ports (port 0 selects free ports)")
	cmd.Flags().StringVar(&o.bot, "bot", "http://127.0.0.1:8080", "`URL` of your Tocsin, for alerts, webhooks and Slack over HTTP")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "`number` that determines the company's people")
	cmd.Flags().BoolVar(&o.HTTP, "http", false, "use Slack over HTTP instead of Socket Mode")
	cmd.Flags().BoolVar(&once, "once", false, "with --aws: exit after Tocsin has read every file")
	return cmd
}

// serveAWS serves only AWS until ctx ends. With once, it also ends when every file was
// read.
func serveAWS(ctx context.Context, out io.Writer, o sandboxOptions, once bool) (err error) {
	s, err := startAWS(o.addr, o.files, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.account.Close()) }()
	if o.json {
		err = writeJSON(out, company.Setup{AWS: s.setup})
	} else {
		err = writeText(out, strings.Join([]string{"",
			"  A sandbox of AWS is running with " + s.count() + ". Add to the configuration of Tocsin:", "", s.keys(), "",
			"  Then run it with the credentials of the sandbox:", "", s.serveCommand(), "",
			"  Press Ctrl-C to stop. Nothing is stored.", "", ""}, "\n"))
	}
	if err != nil {
		return err
	}
	return s.reportAll(ctx, out, once)
}

// serveSandbox serves all systems and the page until ctx ends.
func serveSandbox(ctx context.Context, out io.Writer, o sandboxOptions) (err error) {
	defer func() {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("the sandbox needs five free ports from %s. Stop the other sandbox, or choose other ports, for example with --addr 127.0.0.1:9001: %w", o.addr, err)
		}
	}()
	host, text, err := net.SplitHostPort(o.addr)
	port, portErr := strconv.Atoi(text)
	if err != nil || portErr != nil {
		return fmt.Errorf("--addr %q is not an address with a port. Use HOST:PORT, such as 127.0.0.1:8081", o.addr)
	}
	if port != 0 {
		o.Port = port + 1
	}
	o.Addr, o.MailUsername, o.MailPassword = host, "tocsin", "sandbox-mail-password"
	c, err := company.Open(o.Options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	awsPort := 0
	if o.Port != 0 {
		awsPort = o.Port + 3
	}
	files, err := startAWS(net.JoinHostPort(host, strconv.Itoa(awsPort)), o.files, c.Answers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.account.Close()) }()
	c.Connect(strings.TrimSuffix(o.bot, "/"))
	setup, err := c.Setup(o.Options)
	if err != nil {
		return err
	}
	setup.Bot, setup.AWS = o.bot, files.setup
	w, err := servePage(c, o.addr, &setup, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(w.Close(), err) }()
	if o.json {
		err = writeJSON(out, setup)
	} else {
		err = writeText(out, sandboxText(setup, files))
	}
	if err != nil {
		return err
	}
	if o.json { // the output is one JSON value
		<-ctx.Done()
		return nil
	}
	return files.reportAll(ctx, out, false)
}

// sandboxText returns the addresses of the sandbox and how to use it.
func sandboxText(s company.Setup, files *awsSandbox) string {
	page := terminal.Line(s.Page)
	return strings.Join([]string{"",
		"  A sandbox of Slack, PagerDuty, mail and AWS is running. Act as any person on its page:", "", "    " + page, "",
		"  Write a configuration for it into a new folder, and run Tocsin there in another terminal:", "",
		"    " + terminal.Line(programName()) + " init my-tocsin --sandbox " + page,
		"    " + terminal.Line(programName()) + " -c my-tocsin/tocsin.yaml serve", "",
		"  Let the next call of one method fail:", "",
		"    curl " + page + `/api/answers -d '{"method": "conversations.create", "body": {"ok": false, "error": "restricted_action"}, "left": 1}'`, "",
		"  Alerts and webhooks go to " + terminal.Line(s.Bot) + ". Slack is at " + s.Slack.APIURL + ", PagerDuty at " + s.PagerDuty.EventsURL + ",",
		"  mail at " + net.JoinHostPort(s.Mail.Host, strconv.Itoa(s.Mail.Port)) + ". With these keys and credentials Tocsin reads " + files.count() + " from AWS:", "",
		files.keys(), "", files.serveCommand(), "",
		"  Press Ctrl-C to stop. Nothing is stored.", "", ""}, "\n")
}
