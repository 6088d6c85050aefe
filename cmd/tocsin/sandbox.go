package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/sandbox/aws"
	"tocsin/bot/sandbox/feed"
	"tocsin/bot/terminal"
)

// The account of the AWS sandbox.
const (
	sandboxKeyID  = "AKIASANDBOX"
	sandboxSecret = "sandbox-secret"
	sandboxRegion = "eu-west-1"
	sandboxBucket = "cloudtrail-logs"
	sandboxQueue  = "cloudtrail"
	unreadQueue   = "cloudtrail-unread"
	sandboxFolder = "AWSLogs/111122223333/CloudTrail/" + sandboxRegion + "/"
)

func sandboxCommand() *cobra.Command {
	var (
		useAWS, once bool
		addr         string
	)
	cmd := &cobra.Command{
		Use: "sandbox --aws [FILE…]", Short: "Serve a sandbox of AWS on this machine for your own Tocsin",
		Long: "With --aws, serve an S3 bucket with CloudTrail log files and the SQS queue that announces them, as strictly as AWS does.\n" +
			"Point the source trail of your configuration at it to try the source and your detection rules without an AWS account.\n" +
			"The command prints the keys of the configuration and the credentials, and then each file that Tocsin has read.\n\n" +
			"FILE is a CloudTrail log file, plain or compressed with gzip. Without one, the bucket has a file with an access key that\n" +
			"was created for another user and a trail that was stopped. Nothing is stored.",
		Example: "  tocsin sandbox --aws\n  tocsin sandbox --aws --addr 127.0.0.1:4566 --once trail.json.gz",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !useAWS {
				return errors.New("no sandbox is chosen. Add --aws, or use tocsin demo to try Tocsin with a sandbox of Slack, PagerDuty and mail")
			}
			files, err := readLogFiles(args)
			if err != nil {
				return err
			}
			return serveAWS(cmd.Context(), cmd.OutOrStdout(), addr, files, once)
		},
	}
	cmd.Flags().BoolVar(&useAWS, "aws", false, "serve a queue and a bucket with CloudTrail log files")
	cmd.Flags().StringVar(&addr, "addr", "127.0.0.1:0", "`address` of the sandbox (port 0 selects a free port)")
	cmd.Flags().BoolVar(&once, "once", false, "exit after Tocsin has read every file")
	return cmd
}

// readLogFiles returns log files by their name in the bucket. Without paths, it
// returns an example.
func readLogFiles(paths []string) (map[string][]byte, error) {
	if len(paths) == 0 {
		return map[string][]byte{"example.json.gz": exampleLogFile(time.Now())}, nil
	}
	files := map[string][]byte{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read log file: %w", err)
		}
		name := filepath.Base(path)
		if files[name] != nil {
			return nil, fmt.Errorf("two files have the name %s. Rename one of them", name)
		}
		files[name] = content
	}
	return files, nil
}

// exampleLogFile returns a log file with two records that built-in rules match. Its
// records are new at every time.
func exampleLogFile(at time.Time) []byte {
	c := feed.Copy{N: int(at.Unix()), At: at}
	records := [][]byte{feed.CreateAccessKey(1).Record(c), feed.StopLogging(2).Record(c)}
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	_, _ = zip.Write(fmt.Appendf(nil, `{"Records":[%s]}`, bytes.Join(records, []byte(",")))) // a buffer takes all
	_ = zip.Close()
	return out.Bytes()
}

// serveAWS serves a queue and a bucket with the files until ctx ends. With once, it
// also ends when every file was read.
func serveAWS(ctx context.Context, out io.Writer, addr string, files map[string][]byte, once bool) (err error) {
	account := aws.New(aws.Config{AccessKeyID: sandboxKeyID, SecretAccessKey: sandboxSecret, Region: sandboxRegion})
	defer func() { err = errors.Join(err, account.Close()) }()
	account.AddQueue(aws.Queue{Name: unreadQueue})
	account.AddQueue(aws.Queue{Name: sandboxQueue, MaxReceiveCount: 5, DeadLetter: unreadQueue})
	account.AddBucket(aws.Bucket{Name: sandboxBucket, Notify: sandboxQueue})
	for _, name := range slices.Sorted(maps.Keys(files)) {
		account.Put(sandboxBucket, sandboxFolder+name, files[name])
	}
	waiting := map[string]string{} // names of the files by the message that announces them
	for n, m := range account.Messages(sandboxQueue) {
		waiting[m.ID] = slices.Sorted(maps.Keys(files))[n]
	}
	endpoint, err := account.Start(addr)
	if err != nil {
		return err
	}
	if err := writeText(out, awsInstructions(endpoint, account.QueueURL(sandboxQueue), len(files))); err != nil {
		return err
	}
	failed := 0
	for len(waiting) > 0 || !once {
		next := account.Changed()
		n, err := reportRead(out, account, waiting)
		failed += n
		if err != nil {
			return err
		}
		if len(waiting) == 0 && once {
			break
		}
		select {
		case <-next:
		case <-ctx.Done():
			return nil
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d files could not be read. Read the log of the bot for the reason", failed, len(files))
	}
	return nil
}

// reportRead writes the files whose message has left the queue, and removes them from
// waiting. It returns how many Tocsin could not read.
func reportRead(out io.Writer, account *aws.Account, waiting map[string]string) (failed int, err error) {
	has := func(queue, id string) bool {
		return slices.ContainsFunc(account.Messages(queue), func(m aws.Message) bool { return m.ID == id })
	}
	for _, id := range slices.Sorted(maps.Keys(waiting)) {
		if has(sandboxQueue, id) {
			continue
		}
		outcome := "has read"
		if has(unreadQueue, id) {
			failed++
			outcome = "could not read"
		}
		line := "  Tocsin " + outcome + " " + terminal.Line(waiting[id]) + "\n"
		delete(waiting, id)
		if err := writeText(out, line); err != nil {
			return failed, err
		}
	}
	return failed, nil
}

// awsInstructions returns how to point a bot at the sandbox.
func awsInstructions(endpoint, queueURL string, files int) string {
	plural := "1 CloudTrail log file"
	if files != 1 {
		plural = fmt.Sprintf("%d CloudTrail log files", files)
	}
	return strings.Join([]string{"",
		"  A sandbox of AWS is running with " + plural + ". Add to the configuration of Tocsin:", "",
		"    sources:",
		"      trail:",
		"        queue_url: " + queueURL,
		"        region: " + sandboxRegion,
		"        endpoint: " + endpoint, "",
		"  Then run it with the credentials of the sandbox:", "",
		"    AWS_ACCESS_KEY_ID=" + sandboxKeyID + " AWS_SECRET_ACCESS_KEY=" + sandboxSecret + " tocsin serve", "",
		"  Press Ctrl-C to stop. Nothing is stored.", "", "",
	}, "\n")
}
