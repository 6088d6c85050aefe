package trail_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bot/sandbox/aws"
	"tocsin/bot/trail"
)

const (
	bucket = "audit-logs"
	folder = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/03/"
)

// inbox is a Sink in memory. It stores each source and ID once, and each call is
// atomic.
type inbox struct {
	mu     sync.Mutex
	rows   map[string]trail.Delivery
	calls  int
	before func(context.Context, []trail.Delivery) error // called before the commit, may fail or block
	after  func() error                                  // called after the commit, may fail
}

func (i *inbox) Accept(ctx context.Context, ds []trail.Delivery) error {
	i.mu.Lock()
	before, after := i.before, i.after
	i.calls++
	i.mu.Unlock()
	if before != nil {
		if err := before(ctx, ds); err != nil {
			return err
		}
	}
	i.mu.Lock()
	for _, d := range ds {
		if _, known := i.rows[d.Source+" "+d.ID]; !known {
			i.rows[d.Source+" "+d.ID] = d
		}
	}
	i.mu.Unlock()
	if after != nil {
		return after()
	}
	return nil
}

func (i *inbox) of(source string) (out []trail.Delivery) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, d := range i.rows {
		if d.Source == source {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b trail.Delivery) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// counter is an Observer that counts by name.
type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) add(name string, n int) { c.mu.Lock(); c.n[name] += n; c.mu.Unlock() }
func (c *counter) get(name string) int    { c.mu.Lock(); defer c.mu.Unlock(); return c.n[name] }

func (c *counter) Polled(_ int, err error) {
	if err != nil {
		c.add("poll error", 1)
	}
}
func (c *counter) Message(o trail.MessageOutcome)                { c.add("message "+string(o), 1) }
func (c *counter) Object(o trail.ObjectOutcome, _ time.Duration) { c.add("object "+string(o), 1) }
func (c *counter) Records(stored, skipped, bad int) {
	c.add("stored", stored)
	c.add("skipped", skipped)
	c.add("bad", bad)
}

// fixture connects a simulated AWS account and an inbox, within synctest.
type fixture struct {
	*testing.T
	aws     *aws.Account
	inbox   *inbox
	count   *counter
	change  func(*trail.Config, *trail.Deps)
	reader  *trail.Source // of the last run
	running sync.WaitGroup
}

func runFixture(t *testing.T, f func(w *fixture)) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIASANDBOX")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "sandbox-secret")
	t.Setenv("AWS_CA_BUNDLE", "") // not supported with a custom client
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
	synctest.Test(t, func(t *testing.T) {
		w := &fixture{T: t, aws: aws.New(aws.Config{}), inbox: &inbox{rows: map[string]trail.Delivery{}}, count: &counter{n: map[string]int{}}}
		w.aws.AddQueue(aws.Queue{Name: "dead"})
		w.aws.AddQueue(aws.Queue{Name: "trail", MaxReceiveCount: 5, DeadLetter: "dead"})
		w.aws.AddBucket(aws.Bucket{Name: bucket, Notify: "trail"})
		defer func() {
			w.running.Wait()
			if err := w.aws.Close(); err != nil {
				t.Error(err)
			}
		}()
		f(w)
	})
}

func (w *fixture) source() *trail.Source {
	w.Helper()
	c := trail.Config{QueueURL: w.aws.QueueURL("trail"), Region: "eu-west-1", Endpoint: w.aws.URL()}
	d := trail.Deps{Visibility: 30 * time.Second, Sink: w.inbox, Observer: w.count, Logger: slog.New(slog.NewTextHandler(w.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if w.change != nil {
		w.change(&c, &d)
	}
	s, err := trail.New(c, trail.WithClient(d, w.aws.Client()))
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// run starts a Source. The returned function ends it and waits.
func (w *fixture) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	s := w.source()
	w.reader = s
	ended := make(chan struct{})
	w.running.Go(func() {
		defer close(ended)
		if err := s.Run(ctx); err != nil {
			w.Error(err)
		}
	})
	return func() { cancel(); <-ended }
}

// waitFor waits until condition returns true, for up to a day of simulated time.
func (w *fixture) waitFor(event string, condition func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
	defer cancel()
	if err := w.aws.Until(ctx, condition); err != nil {
		w.Fatalf("wait for %s: error %v, counts %v", event, err, w.count.n)
	}
}

func (w *fixture) empty() bool { return len(w.aws.Messages("trail")) == 0 }

func record(id int) string {
	return fmt.Sprintf(`{"eventVersion":"1.11","eventSource":"iam.amazonaws.com","eventName":"CreateUser","eventID":"event-%05d","recipientAccountId":"111122223333"}`, id)
}

func gzipped(parts ...string) []byte {
	var b bytes.Buffer
	for _, p := range parts { // one gzip member each
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, p)
		_ = z.Close()
	}
	return b.Bytes()
}

func logFile(from, to int) []byte {
	var rs []string
	for i := from; i < to; i++ {
		rs = append(rs, record(i))
	}
	return gzipped(`{"Records":[` + strings.Join(rs, ",") + `]}`)
}

func (w *fixture) wantRecords(n int) {
	w.Helper()
	got := w.inbox.of("cloudtrail")
	if len(got) != n {
		w.Fatalf("got %d records in the inbox, want %d, counts %v", len(got), n, w.count.n)
	}
	for i, d := range got {
		if want := fmt.Sprintf("111122223333/event-%05d", i); d.ID != want || string(d.Body) != record(i) {
			w.Fatalf("record %d: got ID %s and body %s, want %s and %s", i, d.ID, d.Body, want, record(i))
		}
	}
}

func TestRun_ReadsFilesAndDeletesMessages(t *testing.T) {
	runFixture(t, func(w *fixture) {
		for i := range 25 {
			w.aws.Put(bucket, fmt.Sprintf("%s%d.json.gz", folder, i), logFile(i*40, i*40+40))
		}
		w.aws.Put(bucket, folder+"large.json.gz", logFile(1000, 4000)) // several commits
		stop := w.run()
		w.waitFor("all read", w.empty)
		stop()
		w.wantRecords(4000)
		if w.aws.Count("s3:GetObject", 200) != 26 || w.aws.Deleted("trail") != 26 || w.count.get("stored") != 4000 || w.count.get("message done") != 26 {
			t.Errorf("got counts %v, want 26 messages and 4000 records", w.count.n)
		}
		if d := w.inbox.of("cloudtrail")[0]; d.Sender != "s3://"+bucket+"/"+folder+"0.json.gz" || !d.Received.Equal(time.Now()) && d.Received.IsZero() {
			t.Errorf("got delivery %+v, want the URI of the file and a time", d)
		}
	})
}

// The test combines duplicate messages, failing calls, lost responses, truncated
// bodies, a database that fails before and after a commit, and a reader that stops
// at random times. Every record must be stored exactly once.
func TestRun_StoresEachRecordOnceDespiteFailures(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			runFixture(t, func(w *fixture) {
				rng := rand.New(rand.NewPCG(seed, 1))
				var mu sync.Mutex
				draw := func(n int) int { mu.Lock(); defer mu.Unlock(); return rng.IntN(n) }
				chance := func(percent int) bool { return draw(100) < percent }
				w.aws.AddQueue(aws.Queue{Name: "trail", Visibility: 30 * time.Second}) // without dead-letter queue
				w.change = func(c *trail.Config, _ *trail.Deps) { c.Pollers = 3 }
				var calm atomic.Bool
				w.inbox.before = func(ctx context.Context, _ []trail.Delivery) error {
					if chance(30) { // a slow database
						select {
						case <-time.After(45 * time.Second):
						case <-ctx.Done():
							return ctx.Err()
						}
					}
					if !calm.Load() && chance(20) {
						return errors.New("database is locked")
					}
					return nil
				}
				w.inbox.after = func() error {
					if !calm.Load() && chance(10) {
						return errors.New("connection lost after the commit")
					}
					return nil
				}
				const files, each = 30, 300
				put := func(i int) {
					w.aws.Put(bucket, fmt.Sprintf("%sf%d.json.gz", folder, i), logFile(i*each, (i+1)*each))
				}
				for i := range files / 2 {
					put(i)
				}
				next := files / 2
				for range 40 { // restarts of the process
					for _, f := range []aws.Fault{
						{Op: "sqs:DeleteMessage", Times: 2, Status: 503, Code: "ServiceUnavailable"}, {Op: "sqs:DeleteMessage", Times: 2, LoseAnswer: true},
						{Op: "sqs:ReceiveMessage", Times: 1, LoseAnswer: true}, {Op: "sqs:ReceiveMessage", Times: 4, Status: 500, Code: "InternalError"},
						{Op: "sqs:ChangeMessageVisibilityBatch", Times: 1, Status: 500, Code: "InternalError"},
						{Op: "s3:GetObject", Times: 4, Status: 503, Code: "SlowDown"}, {Op: "s3:GetObject", Times: 1, CutAfter: 900}, {Op: "s3:GetObject", Times: 1, Status: 403, Code: "AccessDenied"},
					} {
						if chance(40) {
							w.aws.Fail(f)
						}
					}
					stop := w.run()
					d := time.Duration(1+draw(120_000)) * time.Millisecond
					<-time.After(d)
					if chance(50) {
						w.aws.Duplicate("trail")
					}
					if next < files {
						put(next)
						next++
					}
					stop()
				}
				w.aws.Heal()
				calm.Store(true)
				stop := w.run()
				w.waitFor("all read", w.empty)
				stop()
				w.wantRecords(files * each)
				for _, n := range w.inbox.of("trail") {
					if !strings.Contains(string(n.Body), `"reason":"denied"`) && !strings.Contains(string(n.Body), `"reason":"failed"`) {
						t.Errorf("got notice %s, want only denied and failed", n.Body)
					}
				}
			})
		})
	}
}

func TestRun_StopsInsideFile(t *testing.T) {
	runFixture(t, func(w *fixture) {
		w.aws.Put(bucket, folder+"a.json.gz", logFile(0, 2000))
		reached := make(chan struct{})
		w.inbox.before = func(ctx context.Context, _ []trail.Delivery) error {
			if w.inbox.calls == 4 {
				close(reached)
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		stop := w.run()
		<-reached
		stop()
		if len(w.inbox.of("cloudtrail")) >= 2000 || w.empty() {
			t.Fatal("got the whole file, want a part of it")
		}
		if m := w.aws.Messages("trail")[0]; m.Visible.After(time.Now()) || w.count.get("message returned") != 1 {
			t.Errorf("got a message hidden until %s, want it visible", m.Visible)
		}
		stop = w.run()
		w.waitFor("all read", w.empty)
		stop()
		w.wantRecords(2000)
	})
}

func TestRun_ExtendsVisibilityOfSlowMessages(t *testing.T) {
	runFixture(t, func(w *fixture) {
		for i := range 10 {
			w.aws.Put(bucket, fmt.Sprintf("%s%d.json.gz", folder, i), logFile(i, i+1))
		}
		w.change = func(c *trail.Config, _ *trail.Deps) { c.Pollers = 2 }
		w.inbox.before = func(context.Context, []trail.Delivery) error { <-time.After(100 * time.Second); return nil }
		maxReceived := 0
		stop := w.run()
		w.waitFor("all read", func() bool {
			for _, m := range w.aws.Messages("trail") {
				maxReceived = max(maxReceived, m.Received)
			}
			return w.empty()
		})
		stop()
		w.wantRecords(10)
		if maxReceived != 1 || w.count.get("object known") != 0 || w.inbox.calls != 10 {
			t.Errorf("got a message delivered %d times, %d commits and counts %v, want 1 delivery and 10 commits", maxReceived, w.inbox.calls, w.count.n)
		}
	})
}

func TestRun_DeletesCommittedMessageAtShutdown(t *testing.T) {
	runFixture(t, func(w *fixture) {
		w.aws.Put(bucket, folder+"a.json.gz", logFile(0, 10))
		committed, stopping := make(chan struct{}), make(chan struct{})
		w.inbox.after = func() error { close(committed); <-stopping; return nil }
		ctx, cancel := context.WithCancel(context.Background())
		w.running.Go(func() { _ = w.source().Run(ctx) })
		<-committed
		cancel()
		close(stopping)
		w.running.Wait()
		w.wantRecords(10)
		if !w.empty() {
			t.Error("got a message in the queue, want it deleted")
		}
	})
}

func TestRun_ReadsFileOnce(t *testing.T) {
	runFixture(t, func(w *fixture) {
		w.aws.Put(bucket, folder+"a.json.gz", logFile(0, 10))
		for range 4 { // S3 and SQS can repeat messages
			w.aws.Send("trail", w.aws.Event(bucket, "ObjectCreated:Put", folder+"a.json.gz"))
		}
		w.change = func(c *trail.Config, _ *trail.Deps) { c.Pollers = 1 }
		stop := w.run()
		w.waitFor("read", w.empty)
		w.aws.Put(bucket, folder+"a.json.gz", logFile(0, 20)) // new content
		w.waitFor("read again", w.empty)
		stop()
		w.wantRecords(20)
		if w.aws.Count("s3:GetObject", 200) != 2 || w.count.get("object known") != 4 {
			t.Errorf("got counts %v, want 2 downloads and 4 known objects", w.count.n)
		}
	})
}
