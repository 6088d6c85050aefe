// Package aws is an in-process AWS account for tests and demos. It has SQS
// queues and S3 buckets and implements the parts of their protocols that a
// reader of CloudTrail files and a writer of backups need. Clients use the real AWS SDK.
//
// The account is as strict as AWS. Every request needs a valid Signature
// Version 4 for the right service and region. A received message is hidden for
// its visibility timeout and then becomes visible again. An old receipt handle
// deletes nothing. A message received too often moves to the dead-letter queue.
// A bucket sends an S3 event to its queue for every object written or deleted. It
// verifies checksums, and it keeps every version of a locked object. A multipart upload is
// no object until it is complete.
//
// The clock is package time. To control it, run the account in a
// testing/synctest bubble and connect with [Account.Client], whose connections
// are in-process pipes. Other callers use [Account.Start]. [Account.Fail] and
// [Account.Duplicate] inject the failures that the real services show under
// load.
package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"tocsin/bot/sandbox/answer"
)

// Config describes an account. Every field has a default.
type Config struct {
	AccessKeyID     string      // default AKIASANDBOX
	SecretAccessKey string      // default sandbox-secret
	Region          string      // of the queues, default eu-west-1
	Answers         *answer.Set // replace the responses of single methods
}

// Queue describes a queue for [Account.AddQueue].
type Queue struct {
	Name            string
	Visibility      time.Duration // default 30 s
	MaxReceiveCount int           // receives before a message moves to DeadLetter, 0 for no limit
	DeadLetter      string        // queue for such messages. If empty, MaxReceiveCount has no effect
}

// Bucket describes a bucket for [Account.AddBucket].
type Bucket struct {
	Name   string
	Region string // default is the account's region
	Notify string // name of the queue that receives its events, empty for none
	// ObjectLock lets writers lock objects.
	ObjectLock bool
	PageSize   int // objects in one answer of ListObjectsV2, default 1000
	MinPart    int // minimum size in bytes of every part but the last one, default 5 MiB
}

// Request is the log entry of one answered call.
type Request struct {
	At       time.Time
	Op       string // for example "sqs:ReceiveMessage" or "s3:GetObject"
	Resource string // queue name, or "bucket/key"
	Status   int
	Code     string // AWS error code, empty on success
}

// Account is a running AWS sandbox. It is safe for concurrent use.
type Account struct {
	cfg    Config
	ctx    context.Context // canceled by Close
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

// New returns an account that serves [Account.Client]. The caller must call
// [Account.Close].
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
	a.work.Go(func() { _ = a.server.Serve(&pipeListener{a}) }) // always ErrServerClosed, after Close
	return a
}

// Start also listens on addr and returns the base URL for the SDK's endpoint
// setting. Use 127.0.0.1:0 to pick a free port.
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

// URL returns the base URL of the account.
func (a *Account) URL() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.url
}

// QueueURL returns the URL of the named queue.
func (a *Account) QueueURL(name string) string { return a.URL() + "/000000000000/" + name }

// Client returns an HTTP client that reaches the account over in-process pipes.
func (a *Account) Client() *http.Client { return a.client }

// Close stops serving, ends pending requests and waits for the account's
// goroutines.
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

// Changed returns a channel that is closed at the next change of the account.
// Call it before you read the state, then wait on the channel.
func (a *Account) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// Until waits until condition returns true and evaluates it after every change.
// It returns an error if ctx ends first.
func (a *Account) Until(ctx context.Context, condition func() bool) error {
	for {
		next := a.Changed()
		if condition() {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("wait for aws sandbox: %w", ctx.Err())
		}
	}
}

// notifyChange wakes everyone who waits on Changed. The caller holds a.mu.
func (a *Account) notifyChange() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// Requests returns a copy of the request log, oldest first.
func (a *Account) Requests() []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Request(nil), a.requests...)
}

// Count returns how many calls of op got the given HTTP status.
func (a *Account) Count(op string, status int) (n int) {
	for _, r := range a.Requests() {
		if r.Op == op && r.Status == status {
			n++
		}
	}
	return n
}

// apiError is an error response of AWS.
type apiError struct {
	status  int
	code    string
	message string
}

const (
	maxRequestBytes = 4 << 20 // the list of 10,000 parts
	maxObjectBytes  = 1 << 30
	// minLatency delays every response. Over a pipe, a response could otherwise
	// overtake the end of its request. The SDK would treat that as a broken
	// connection.
	minLatency = time.Millisecond
)

// ServeHTTP answers one request. Requests with an SQS target header go to SQS,
// all others to S3.
func (a *Account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if a.ctx.Err() != nil {
		a.mu.Unlock()
		panic(http.ErrAbortHandler) // net/http drops the connection
	}
	a.work.Add(1)
	defer a.work.Done()
	a.mu.Unlock()
	limit := int64(maxRequestBytes)
	if r.Method == http.MethodPut {
		limit = maxObjectBytes
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit))
	if err != nil {
		return // the client disconnected
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	at := time.Now()
	time.Sleep(minLatency)
	op, resource, service := a.route(r, body)
	reply := &response{header: http.Header{}, status: http.StatusOK}
	if instead, ok := a.cfg.Answers.Take(op); ok {
		a.logRequest(Request{At: at, Op: op, Resource: resource, Status: instead.HTTPStatus(), Code: "answer"})
		instead.Write(w)
		return
	}
	f := a.takeFault(op, resource)
	a.delay(r.Context(), f)
	switch bad := a.verifySignature(r, body, service, a.signingRegion(service, resource), at); {
	case bad != nil:
		reply.writeError(service, bad)
	case f != nil && f.Status != 0:
		reply.writeError(service, &apiError{f.Status, f.Code, "injected by the sandbox"})
	case service == "sqs":
		a.serveQueue(reply, r, op, body)
	default:
		a.serveBucket(reply, r, op, resource, body)
	}
	a.logRequest(Request{At: at, Op: op, Resource: resource, Status: reply.status, Code: reply.code})
	if f != nil && f.LoseAnswer {
		panic(http.ErrAbortHandler)
	}
	reply.send(w, f)
}

func (a *Account) logRequest(r Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, r)
	a.notifyChange()
}

// Methods returns the calls that an answer can name.
func Methods() []string {
	return []string{"s3:AbortMultipartUpload", "s3:CompleteMultipartUpload", "s3:CreateMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:HeadObject", "s3:ListObjectsV2", "s3:PutObject", "s3:UploadPart", "sqs:ChangeMessageVisibility", "sqs:ChangeMessageVisibilityBatch", "sqs:DeleteMessage", "sqs:DeleteMessageBatch", "sqs:ReceiveMessage", "sqs:SendMessage"}
}

// route returns the operation, resource and service of a request.
func (a *Account) route(r *http.Request, body []byte) (op, resource, service string) {
	if target, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS."); ok {
		return "sqs:" + target, queueName(body), "sqs"
	}
	resource = strings.TrimPrefix(r.URL.Path, "/")
	query := r.URL.Query()
	if query.Get("list-type") == "2" {
		resource = strings.TrimSuffix(resource, "/")
	}
	return bucketCall(r.Method, query), resource, "s3"
}

// bucketCall returns the operation of a request to S3.
func bucketCall(method string, query url.Values) string {
	inParts := query.Has("uploadId")
	switch {
	case method == http.MethodGet && query.Get("list-type") == "2":
		return "s3:ListObjectsV2"
	case method == http.MethodGet:
		return "s3:GetObject"
	case method == http.MethodHead:
		return "s3:HeadObject"
	case method == http.MethodPost && query.Has("uploads"):
		return "s3:CreateMultipartUpload"
	case method == http.MethodPut && inParts:
		return "s3:UploadPart"
	case method == http.MethodPost && inParts:
		return "s3:CompleteMultipartUpload"
	case method == http.MethodDelete && inParts:
		return "s3:AbortMultipartUpload"
	case method == http.MethodPut:
		return "s3:PutObject"
	case method == http.MethodDelete:
		return "s3:DeleteObject"
	}
	return "s3:" + method
}

// response is buffered because a fault can discard it after the call took
// effect.
type response struct {
	status int
	header http.Header
	body   []byte
	code   string
}

func (n *response) send(w http.ResponseWriter, f *Fault) {
	for k, v := range n.header {
		w.Header()[k] = v
	}
	w.Header().Set("X-Amzn-Requestid", "sandbox")
	w.Header().Set("Content-Length", fmt.Sprint(len(n.body)))
	w.WriteHeader(n.status)
	if f != nil && f.CutAfter > 0 && f.CutAfter < len(n.body) {
		_, _ = w.Write(n.body[:f.CutAfter])
		_ = http.NewResponseController(w).Flush() // the client must receive this part before the connection breaks
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(n.body)
}
