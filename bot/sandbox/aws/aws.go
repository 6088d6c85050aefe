// Package aws is an AWS account that lives in the process: queues of SQS and
// buckets of S3, as far as a reader of CloudTrail's files needs them, behind
// the protocols that the real SDK speaks.
//
// It is strict where AWS is: every request must carry a good Signature
// Version 4 for the right service and region, a received message hides for its
// visibility time-out and comes back, an old receipt deletes nothing, and a
// message that was received too often goes to the dead-letter queue. A bucket
// tells its queue about every object, as S3 does.
//
// Time is package time's. A test that wants the clock in its hand runs the
// account inside a testing/synctest bubble and talks to it through Client,
// whose connections are pipes in the process; others call Start. What the real
// services are known to do under stress is switched on with Fail and Duplicate.
package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Config describes the account. Every field has a working default.
type Config struct {
	AccessKeyID     string // default AKIASANDBOX
	SecretAccessKey string // default sandbox-secret
	Region          string // of the queues; default eu-west-1
}

// Queue is a queue to be made.
type Queue struct {
	Name            string
	Visibility      time.Duration // default 30 s
	MaxReceiveCount int           // 0: a message comes back for ever
	DeadLetter      string        // name of the queue that takes what came too often
}

// Bucket is a bucket to be made.
type Bucket struct {
	Name   string
	Region string // default the account's
	Notify string // name of the queue that hears of its objects; none if empty
}

// Request is one call, as it was answered.
type Request struct {
	At       time.Time
	Op       string // "sqs:ReceiveMessage", "s3:GetObject"
	Resource string // the queue's name, or "bucket/key"
	Status   int
	Code     string // of the error, if it was one
}

// Account is the running sandbox. All methods may be used at the same time.
type Account struct {
	cfg    Config
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup
	pipes  chan net.Conn
	server *http.Server
	client *http.Client

	mu       sync.Mutex
	changed  chan struct{}
	serial   int
	queues   map[string]*queue
	buckets  map[string]*bucket
	faults   []*Fault
	requests []Request
	url      string
}

// New makes an account, which must be closed in the end.
func New(cfg Config) *Account {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&cfg.AccessKeyID, "AKIASANDBOX")
	def(&cfg.SecretAccessKey, "sandbox-secret")
	def(&cfg.Region, "eu-west-1")
	a := &Account{cfg: cfg, changed: make(chan struct{}), pipes: make(chan net.Conn), queues: map[string]*queue{}, buckets: map[string]*bucket{}, url: "http://aws.sandbox"}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return a.ctx }}
	a.client = &http.Client{Transport: &http.Transport{DialContext: a.dial, MaxIdleConnsPerHost: 8}}
	a.work.Go(func() { _ = a.server.Serve(&pipeListener{a}) }) // always ErrServerClosed, from Close
	return a
}

// Start listens on addr as well (127.0.0.1:0 picks a port) and returns the
// base URL, to which the SDK's endpoint is set.
func (a *Account) Start(addr string) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("start aws sandbox: %w", err)
	}
	a.mu.Lock()
	a.url = "http://" + l.Addr().String()
	a.mu.Unlock()
	a.work.Go(func() { _ = a.server.Serve(l) })
	return a.URL(), nil
}

// URL is the base of all addresses.
func (a *Account) URL() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.url
}

// QueueURL is a queue's address.
func (a *Account) QueueURL(name string) string { return a.URL() + "/000000000000/" + name }

// Client reaches the account without a network.
func (a *Account) Client() *http.Client { return a.client }

// Close stops serving, releases hanging requests and waits until nothing of
// the account runs any more.
func (a *Account) Close() error {
	a.mu.Lock()
	a.cancel()
	a.mu.Unlock()
	err := a.server.Close()
	a.client.CloseIdleConnections()
	a.work.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close aws sandbox: %w", err)
	}
	return nil
}

func (a *Account) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case a.pipes <- theirs:
		return ours, nil
	case <-a.ctx.Done():
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type pipeListener struct{ a *Account }

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.a.pipes:
		return c, nil
	case <-l.a.ctx.Done():
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "aws.sandbox", Net: "pipe"} }

// Changed returns a channel that is closed at the next change of anything.
// Take it before looking, then wait on it.
func (a *Account) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// Until waits until the condition holds, looking again at every change.
func (a *Account) Until(ctx context.Context, holds func() bool) error {
	for {
		next := a.Changed()
		if holds() {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("wait for aws: %w", ctx.Err())
		}
	}
}

// touch announces a change; the lock is held.
func (a *Account) touch() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// Requests lists what was asked so far.
func (a *Account) Requests() []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Request(nil), a.requests...)
}

// Count is how often an operation was asked for and answered with that status.
func (a *Account) Count(op string, status int) (n int) {
	for _, r := range a.Requests() {
		if r.Op == op && r.Status == status {
			n++
		}
	}
	return n
}

// fault is an error as AWS answers it.
type fault struct {
	status  int
	code    string
	message string
}

const (
	maxRequest = 1 << 20
	// latency keeps an answer from overtaking the end of its question, which over
	// a pipe it could: the SDK takes that for a broken connection.
	latency = time.Millisecond
)

// ServeHTTP answers one request: SQS's where it names a target, S3's otherwise.
func (a *Account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if a.ctx.Err() != nil {
		a.mu.Unlock()
		panic(http.ErrAbortHandler) // what net/http offers to drop a connection
	}
	a.work.Add(1)
	defer a.work.Done()
	a.mu.Unlock()
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err != nil {
		return // the client has gone
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	at := time.Now()
	time.Sleep(latency)
	op, resource, service := a.route(r, body)
	answer := &answer{header: http.Header{}, status: http.StatusOK}
	f := a.fault(op, resource)
	a.think(r.Context(), f)
	switch bad := a.authentic(r, body, service, a.regionOf(service, resource), at); {
	case bad != nil:
		answer.fail(service, bad)
	case f != nil && f.Status != 0:
		answer.fail(service, &fault{f.Status, f.Code, "switched on in the sandbox"})
	case service == "sqs":
		a.serveQueue(answer, r, op, body)
	default:
		a.serveBucket(answer, r, op, resource)
	}
	a.mu.Lock()
	a.requests = append(a.requests, Request{At: at, Op: op, Resource: resource, Status: answer.status, Code: answer.code})
	a.touch()
	a.mu.Unlock()
	if f != nil && f.LoseAnswer {
		panic(http.ErrAbortHandler)
	}
	answer.write(w, f)
}

// route finds out what is asked for.
func (a *Account) route(r *http.Request, body []byte) (op, resource, service string) {
	if target, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS."); ok {
		return "sqs:" + target, queueName(body), "sqs"
	}
	resource = strings.TrimPrefix(r.URL.Path, "/")
	switch r.Method {
	case http.MethodGet:
		return "s3:GetObject", resource, "s3"
	case http.MethodHead:
		return "s3:HeadObject", resource, "s3"
	}
	return "s3:" + r.Method, resource, "s3"
}

// answer is collected first, so that it can be lost on the way.
type answer struct {
	status int
	header http.Header
	body   []byte
	code   string
}

func (n *answer) write(w http.ResponseWriter, f *Fault) {
	for k, v := range n.header {
		w.Header()[k] = v
	}
	w.Header().Set("X-Amzn-Requestid", "sandbox")
	w.Header().Set("Content-Length", fmt.Sprint(len(n.body)))
	w.WriteHeader(n.status)
	if f != nil && f.CutAfter > 0 && f.CutAfter < len(n.body) {
		_, _ = w.Write(n.body[:f.CutAfter])
		_ = http.NewResponseController(w).Flush() // so that the part arrives
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(n.body)
}
