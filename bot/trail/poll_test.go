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

// inbox takes deliveries as the store does: (source, id) once, each call whole
// or not at all.
type inbox struct {
	mu     sync.Mutex
	rows   map[string]trail.Delivery
	calls  int
	before func(context.Context, []trail.Delivery) error // may fail, or wait
	after  func() error                                  // the commit is done, the caller does not learn of it
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

// counter counts by name.
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
func (c *counter) Records(kept, skipped, bad int) {
	c.add("kept", kept)
	c.add("skipped", skipped)
	c.add("bad", bad)
}

// fixture is an account, an inbox and a reader between them, in a bubble of time.
type fixture struct {
	*testing.T
	aws     *aws.Account
	inbox   *inbox
	count   *counter
	change  func(*trail.Config)
	reader  *trail.Source // that was started last
	running sync.WaitGroup
}

func runFixture(t *testing.T, f func(w *fixture)) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIASANDBOX")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "sandbox-secret")
	t.Setenv("AWS_CA_BUNDLE", "") // a client of one's own cannot take it
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
	c := trail.Config{QueueURL: w.aws.QueueURL("trail"), Region: "eu-west-1", Endpoint: w.aws.URL(), Visibility: 30 * time.Second,
		Sink: w.inbox, Observer: w.count, Logger: slog.New(slog.NewTextHandler(w.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if w.change != nil {
		w.change(&c)
	}
	s, err := trail.New(trail.WithClient(c, w.aws.Client()))
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// run starts a reader; stop ends it, as a process ends.
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

// until waits for the account, at most a day of its time.
func (w *fixture) waitFor(what string, holds func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
	defer cancel()
	if err := w.aws.Until(ctx, holds); err != nil {
		w.Fatalf("%s: %v; counted %v", what, err, w.count.n)
	}
}

func (w *fixture) empty() bool { return len(w.aws.Messages("trail")) == 0 }

func record(id int) string {
	return fmt.Sprintf(`{"eventVersion":"1.11","eventSource":"iam.amazonaws.com","eventName":"CreateUser","eventID":"event-%05d","recipientAccountId":"111122223333"}`, id)
}

func gzipped(parts ...string) []byte {
	var b bytes.Buffer
	for _, p := range parts { // a member each
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
		w.Fatalf("%d records in the inbox, want %d; counted %v", len(got), n, w.count.n)
	}
	for i, d := range got {
		if want := fmt.Sprintf("111122223333/event-%05d", i); d.ID != want || string(d.Body) != record(i) {
			w.Fatalf("record %d is %s: %s", i, d.ID, d.Body)
		}
	}
}

func TestFilesAreReadAndMessagesDeleted(t *testing.T) {
	runFixture(t, func(w *fixture) {
		for i := range 25 {
			w.aws.Put(bucket, fmt.Sprintf("%s%d.json.gz", folder, i), logFile(i*40, i*40+40))
		}
		w.aws.Put(bucket, folder+"large.json.gz", logFile(1000, 4000)) // several commits
		stop := w.run()
		w.waitFor("all read", w.empty)
		stop()
		w.wantRecords(4000)
		if w.aws.Count("s3:GetObject", 200) != 26 || w.aws.Deleted("trail") != 26 || w.count.get("kept") != 4000 || w.count.get("message done") != 26 {
			t.Errorf("counted %v", w.count.n)
		}
		if d := w.inbox.of("cloudtrail")[0]; d.Sender != "s3://"+bucket+"/"+folder+"0.json.gz" || !d.Received.Equal(time.Now()) && d.Received.IsZero() {
			t.Errorf("delivery %+v", d)
		}
	})
}

// Everything at once, again and again: duplicates of messages, Amazon failing,
// answers lost on the way, bodies cut off, a database that fails before and
// after its commit, and the reader killed at any moment.
func TestNothingIsLostAndNothingComesTwice(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			runFixture(t, func(w *fixture) {
				rng := rand.New(rand.NewPCG(seed, 1))
				var mu sync.Mutex
				draw := func(n int) int { mu.Lock(); defer mu.Unlock(); return rng.IntN(n) }
				chance := func(percent int) bool { return draw(100) < percent }
				w.aws.AddQueue(aws.Queue{Name: "trail", Visibility: 30 * time.Second}) // for ever
				w.change = func(c *trail.Config) { c.Pollers = 3 }
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
				for range 40 { // lives of the process
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
						t.Errorf("it told %s", n.Body)
					}
				}
			})
		})
	}
}

func TestKillInTheMiddleOfAFile(t *testing.T) {
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
			t.Fatal("it was not in the middle")
		}
		if m := w.aws.Messages("trail")[0]; m.Visible.After(time.Now()) || w.count.get("message returned") != 1 {
			t.Errorf("the message is hidden until %s, though nobody works on it", m.Visible)
		}
		stop = w.run()
		w.waitFor("all read", w.empty)
		stop()
		w.wantRecords(2000)
	})
}

func TestSlowWorkKeepsTheMessagesHidden(t *testing.T) {
	runFixture(t, func(w *fixture) {
		for i := range 10 {
			w.aws.Put(bucket, fmt.Sprintf("%s%d.json.gz", folder, i), logFile(i, i+1))
		}
		w.change = func(c *trail.Config) { c.Pollers = 2 }
		w.inbox.before = func(context.Context, []trail.Delivery) error { <-time.After(100 * time.Second); return nil }
		most := 0
		stop := w.run()
		w.waitFor("all read", func() bool {
			for _, m := range w.aws.Messages("trail") {
				most = max(most, m.Received)
			}
			return w.empty()
		})
		stop()
		w.wantRecords(10)
		if most != 1 || w.count.get("object known") != 0 || w.inbox.calls != 10 {
			t.Errorf("received %d times, counted %v", most, w.count.n)
		}
	})
}

func TestWhatIsCommittedIsDeletedEvenWhileStopping(t *testing.T) {
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
			t.Error("the message is still there")
		}
	})
}

func TestAFileIsReadOnce(t *testing.T) {
	runFixture(t, func(w *fixture) {
		w.aws.Put(bucket, folder+"a.json.gz", logFile(0, 10))
		for range 4 { // S3 and SQS deliver at least once
			w.aws.Send("trail", w.aws.Event(bucket, "ObjectCreated:Put", folder+"a.json.gz"))
		}
		w.change = func(c *trail.Config) { c.Pollers = 1 }
		stop := w.run()
		w.waitFor("read", w.empty)
		w.aws.Put(bucket, folder+"a.json.gz", logFile(0, 20)) // another content
		w.waitFor("read again", w.empty)
		stop()
		w.wantRecords(20)
		if w.aws.Count("s3:GetObject", 200) != 2 || w.count.get("object known") != 4 {
			t.Errorf("counted %v", w.count.n)
		}
	})
}
