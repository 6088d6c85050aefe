// Package trail fetches what CloudTrail writes into S3: a bucket tells a queue
// of SQS about every new file, and this package reads the queue, the files and
// the records in them. It is the slow and complete way; EventBridge is the fast
// one, which leaves things out.
//
// The queue is the memory. A message is deleted only after every record of its
// files was committed through the Sink; while that takes, the message is kept
// hidden; whatever is killed meanwhile, the message comes back. That a record
// comes twice (from the queue, from another trail, by EventBridge) is settled
// by its id, the recipient account and the event's own, under which the sink
// takes it once.
//
// What GuardDuty exports into a bucket is read in the same way.
//
// A file that cannot be read holds up nobody: its message is left to the
// queue's redrive policy with a growing pause, it is counted, and an alert says
// so. A log file that was deleted is an alert as well. Both go through the sink
// as deliveries of the source "trail", which Decode understands.
package trail

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"

	"tocsin/bot/incident"
)

const (
	sourceName = "trail"
	// recordSource is the source whose Decode understands a bare record.
	recordSource = "cloudtrail"
)

// Delivery is one record, or one notice of this package's own, on its way into
// the inbox. Source says who can decode the body.
type Delivery struct {
	Source   string
	ID       string // unique within the source
	Body     []byte // as it stood in the file
	Received time.Time
	Sender   string // s3://bucket/key
}

// Sink takes deliveries.
type Sink interface {
	// Accept commits deliveries that are not known yet, in one durable step. A
	// known (source, id) is no error.
	Accept(ctx context.Context, ds []Delivery) error
}

// Config of the reader.
type Config struct {
	QueueURL string
	Region   string // of the queue; read from its address if empty
	Endpoint string // instead of Amazon's, for tests and for what imitates it

	Pollers    int           // how many messages are worked on at a time; default 2
	MaxObject  int64         // bytes of a file as it is stored; default 64 MiB
	MaxContent int64         // bytes of a file unpacked; default 1 GiB
	Visibility time.Duration // how long a message is hidden at a time; default 2 min, whole seconds

	Sink Sink // required
	// Filter says which records are worth keeping; all if nil. It must not hold on
	// to the bytes. A trail is mostly reading calls of one's own tools.
	Filter   func(json.RawMessage) bool
	Clock    func() time.Time // default time.Now
	Logger   *slog.Logger     // default slog.Default
	Observer Observer         // default: nobody looks

	client *http.Client // of the SDK; its own if nil
}

// Source reads one queue.
type Source struct {
	Config
	queue   *sqs.Client
	bucket  *s3.Client
	recent  *recentObjects
	lastErr atomic.Pointer[error] // of the last question to the queue
}

// Err says why the queue gives no answer; nil while it does, and before it was
// asked.
func (s *Source) Err() error {
	if err := s.lastErr.Load(); err != nil {
		return *err
	}
	return nil
}

var (
	queueHost  = regexp.MustCompile(`^sqs\.([a-z]{2}(?:-[a-z]+)+-\d{1,2})\.amazonaws\.com(\.cn)?$`)
	regionName = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d{1,2}$`)
)

// New makes the reader. Credentials come by the SDK's default chain and are
// looked for when they are needed first.
func New(c Config) (*Source, error) {
	u, err := url.Parse(c.QueueURL)
	if err != nil || u.Host == "" || u.Path == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, incident.Invalid("queue_url", "%q is no address of a queue, such as https://sqs.eu-west-1.amazonaws.com/111122223333/trail", c.QueueURL)
	}
	if m := queueHost.FindStringSubmatch(u.Hostname()); c.Region == "" && m != nil {
		c.Region = m[1]
	}
	switch {
	case !regionName.MatchString(c.Region):
		return nil, incident.Invalid("region", "%q is no region, such as eu-west-1", c.Region)
	case c.Visibility != 0 && (c.Visibility < 3*time.Second || c.Visibility > maxVisibility):
		return nil, incident.Invalid("visibility", "a message is hidden for 3 s to %s, not for %s", maxVisibility, c.Visibility)
	case c.Sink == nil:
		return nil, fmt.Errorf("trail: no sink was given")
	}
	c.Pollers, c.MaxObject, c.MaxContent = cmp.Or(c.Pollers, 2), cmp.Or(c.MaxObject, 64<<20), cmp.Or(c.MaxContent, 1<<30)
	c.Visibility = cmp.Or(c.Visibility, 2*time.Minute)
	if c.Filter == nil {
		c.Filter = func(json.RawMessage) bool { return true }
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = c.Logger.With("component", "trail")
	if c.Observer == nil {
		c.Observer = noopObserver{}
	}
	options := []func(*config.LoadOptions) error{config.WithRegion(c.Region), config.WithLogger(sdkLogger(c.Logger))}
	if c.client != nil {
		options = append(options, config.WithHTTPClient(c.client))
	}
	if c.Endpoint != "" {
		options = append(options, config.WithBaseEndpoint(c.Endpoint))
	}
	loaded, err := config.LoadDefaultConfig(context.Background(), options...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	return &Source{Config: c, queue: sqs.NewFromConfig(loaded), recent: newRecentObjects(4096), bucket: s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.UsePathStyle = c.Endpoint != ""
		o.DisableLogOutputChecksumValidationSkipped = true
	})}, nil
}

// sdkLogger takes what the SDK says by the way. What matters it returns as errors.
func sdkLogger(log *slog.Logger) logging.Logger {
	return logging.LoggerFunc(func(_ logging.Classification, format string, args ...any) {
		log.Debug("the AWS SDK remarks", "text", fmt.Sprintf(format, args...))
	})
}

// withRegion sends one call to the region of the bucket, which the notice names.
func withRegion(region string) func(*s3.Options) {
	return func(o *s3.Options) {
		if regionName.MatchString(region) {
			o.Region = region
		}
	}
}

func text(s string) *string { return aws.String(s) }
