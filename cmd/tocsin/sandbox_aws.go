package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/aws"
	"tocsin/bot/sandbox/company"
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

// awsSandbox is a running account with a queue and a bucket of log files.
type awsSandbox struct {
	account *aws.Account
	setup   company.AWSSetup
	files   int
	waiting map[string]string // names of the files by the message that announces them
}

// startAWS starts an account with the files at addr. The caller must call
// [aws.Account.Close].
func startAWS(addr string, files map[string][]byte, answers *answer.Set) (*awsSandbox, error) {
	account := aws.New(aws.Config{AccessKeyID: sandboxKeyID, SecretAccessKey: sandboxSecret, Region: sandboxRegion, Answers: answers})
	account.AddQueue(aws.Queue{Name: unreadQueue})
	account.AddQueue(aws.Queue{Name: sandboxQueue, MaxReceiveCount: 5, DeadLetter: unreadQueue})
	account.AddBucket(aws.Bucket{Name: sandboxBucket, Notify: sandboxQueue})
	s := &awsSandbox{account: account, files: len(files), waiting: map[string]string{}}
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		account.Put(sandboxBucket, sandboxFolder+name, files[name])
	}
	for n, m := range account.Messages(sandboxQueue) {
		s.waiting[m.ID] = names[n]
	}
	endpoint, err := account.Start(addr)
	if err != nil {
		_ = account.Close()
		return nil, err
	}
	s.setup = company.AWSSetup{QueueURL: account.QueueURL(sandboxQueue), Region: sandboxRegion, Endpoint: endpoint, AccessKeyID: sandboxKeyID, SecretAccessKey: sandboxSecret}
	return s, nil
}

// reportAll writes each file that Tocsin reads until ctx ends. With once, it also ends
// when every file was read.
func (s *awsSandbox) reportAll(ctx context.Context, out io.Writer, once bool) error {
	failed := 0
	for len(s.waiting) > 0 || !once {
		next := s.account.Changed()
		n, err := s.reportRead(out)
		failed += n
		if err != nil {
			return err
		}
		if len(s.waiting) == 0 && once {
			break
		}
		select {
		case <-next:
		case <-ctx.Done():
			return nil
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d files could not be read. Read the log of the bot for the reason", failed, s.files)
	}
	return nil
}

// reportRead writes the files whose message has left the queue, and removes them from
// waiting. It returns how many Tocsin could not read.
func (s *awsSandbox) reportRead(out io.Writer) (failed int, err error) {
	has := func(queue, id string) bool {
		return slices.ContainsFunc(s.account.Messages(queue), func(m aws.Message) bool { return m.ID == id })
	}
	for _, id := range slices.Sorted(maps.Keys(s.waiting)) {
		if has(sandboxQueue, id) {
			continue
		}
		outcome := "has read"
		if has(unreadQueue, id) {
			failed++
			outcome = "could not read"
		}
		line := "  Tocsin " + outcome + " " + terminal.Line(s.waiting[id]) + "\n"
		delete(s.waiting, id)
		if err := writeText(out, line); err != nil {
			return failed, err
		}
	}
	return failed, nil
}

// keys returns the keys of the source trail, to add to a configuration.
func (s *awsSandbox) keys() string {
	return strings.Join([]string{
		"    sources:",
		"      trail:",
		"        queue_url: " + s.setup.QueueURL,
		"        region: " + s.setup.Region,
		"        endpoint: " + s.setup.Endpoint,
	}, "\n")
}

// serveCommand returns how to run a bot with the credentials of the account.
func (s *awsSandbox) serveCommand() string {
	return "    AWS_ACCESS_KEY_ID=" + s.setup.AccessKeyID + " AWS_SECRET_ACCESS_KEY=" + s.setup.SecretAccessKey + " " + terminal.Line(programName()) + " serve"
}

// count returns the number of files in words.
func (s *awsSandbox) count() string {
	if s.files == 1 {
		return "1 CloudTrail log file"
	}
	return fmt.Sprintf("%d CloudTrail log files", s.files)
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
