// Package trail reads the log files that CloudTrail writes to S3. S3 sends a
// message about every new file to an SQS queue. [Source.Run] receives the messages,
// downloads the files and stores their records through the [Sink]. Files that
// GuardDuty exports are read in this way too. Compared to EventBridge, log files
// arrive later but are complete.
//
// The queue holds the state. A message stays hidden while it is processed, and is
// deleted only after every record of its files is committed. If the process dies,
// SQS delivers the message again. A record can arrive several times, for example
// from another trail or from EventBridge. The sink stores it once, under an ID made
// of the recipient account and the event's ID.
//
// An unreadable file does not block others. Its message stays in the queue, with
// growing pauses, until the redrive policy of the queue removes it. The package
// reports unreadable and deleted log files as alerts. It passes them to the sink as
// deliveries of the source "trail", and [Source.Decode] decodes them.
package trail

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"

	"tocsin/bot/detect"
	"tocsin/bot/incident"
)

const (
	sourceName = "trail"
	// recordSource is the source that decodes bare records and findings.
	recordSource = "cloudtrail"
)

// Delivery is one record of a file, or one notice of this package about a file.
type Delivery struct {
	Source string // decodes the body, "cloudtrail" or "trail"
	ID     string // unique within the source
	Body   []byte // the bytes of the record, or a notice as JSON
	// Evaluation is the result of Config.Evaluate, for the decoder of the record.
	Evaluation string
	Received   time.Time
	Sender     string // s3://bucket/key
}

// Sink stores deliveries. It must be safe for concurrent use.
type Sink interface {
	// Accept stores deliveries in one durable commit. It ignores a delivery whose
	// source and ID are already stored.
	Accept(ctx context.Context, ds []Delivery) error
}

// Config configures a [Source]. QueueURL and Sink are required.
type Config struct {
	QueueURL string
	Region   string // region of the queue, default the region in QueueURL
	Endpoint string // replaces the endpoint of Amazon, for tests and compatible services

	Pollers    int           // maximum number of messages processed concurrently, default 2
	MaxObject  int64         // maximum size of a stored file in bytes, default 64 MiB
	MaxContent int64         // maximum size of an unpacked file in bytes, default 1 GiB
	Visibility time.Duration // visibility timeout of a message in whole seconds, default 2 min

	Sink Sink
	// Evaluate evaluates a record and reports whether to store it. The evaluation is
	// stored with the record. The default stores all. It must not retain the item and
	// must be safe for concurrent use. Most records of a trail are read-only calls, and
	// a filter saves their storage.
	Evaluate func(*detect.Item) (evaluation string, notable bool)
	Clock    func() time.Time // default time.Now
	Logger   *slog.Logger     // default slog.Default
	Observer Observer         // default no metrics

	client *http.Client // nil means the client of the SDK
}

// Source reads the messages of one queue and the files that they name.
type Source struct {
	Config
	queue   *sqs.Client
	bucket  *s3.Client
	recent  *recentObjects
	lastErr atomic.Pointer[error] // result of the last receive
}

// Err returns the error of the last attempt to receive messages. It returns nil
// before the first attempt. It is safe for concurrent use.
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

// New returns a Source, or an *incident.Error that names the invalid field. The
// SDK takes credentials from its default chain at the first call.
func New(c Config) (*Source, error) {
	u, err := url.Parse(c.QueueURL)
	if err != nil || u.Host == "" || u.Path == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, incident.Invalid("queue_url", "%q is not the URL of a queue. Use the form https://sqs.eu-west-1.amazonaws.com/111122223333/trail", c.QueueURL)
	}
	if m := queueHost.FindStringSubmatch(u.Hostname()); c.Region == "" && m != nil {
		c.Region = m[1]
	}
	switch {
	case !regionName.MatchString(c.Region):
		return nil, incident.Invalid("region", "%q is not a region. Use a name such as eu-west-1", c.Region)
	case c.Visibility != 0 && (c.Visibility < 3*time.Second || c.Visibility > maxVisibility):
		return nil, incident.Invalid("visibility", "the visibility timeout %s is out of range. Use 3s to %s", c.Visibility, maxVisibility)
	case c.Sink == nil:
		return nil, fmt.Errorf("trail: Config.Sink is nil")
	}
	c.Pollers, c.MaxObject, c.MaxContent = cmp.Or(c.Pollers, 2), cmp.Or(c.MaxObject, 64<<20), cmp.Or(c.MaxContent, 1<<30)
	c.Visibility = cmp.Or(c.Visibility, 2*time.Minute)
	if c.Evaluate == nil {
		c.Evaluate = func(*detect.Item) (string, bool) { return "", true }
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
		return nil, fmt.Errorf("load AWS configuration: %w", err)
	}
	loaded.HTTPClient = newBoundedClient(loaded.HTTPClient, c.MaxObject)
	return &Source{Config: c, queue: sqs.NewFromConfig(loaded), recent: newRecentObjects(4096), bucket: s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.UsePathStyle = c.Endpoint != ""
		o.DisableLogOutputChecksumValidationSkipped = true
	})}, nil
}

// sdkLogger logs the messages of the SDK at level debug, because it also returns
// every failure as an error.
func sdkLogger(log *slog.Logger) logging.Logger {
	return logging.LoggerFunc(func(_ logging.Classification, format string, args ...any) {
		log.Debug("AWS SDK message", "text", fmt.Sprintf(format, args...))
	})
}

// withRegion sends one call to the given region, if the name is valid.
func withRegion(region string) func(*s3.Options) {
	return func(o *s3.Options) {
		if regionName.MatchString(region) {
			o.Region = region
		}
	}
}
