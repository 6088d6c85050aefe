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
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"tocsin/bot/awsclient"
	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/setting"
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

// Config configures a [Source]. QueueURL is required.
type Config struct {
	QueueURL string       `yaml:"queue_url"`
	Region   string       `yaml:"region"`   // region of the queue, default the region in QueueURL
	Endpoint string       `yaml:"endpoint"` // replaces the endpoint of Amazon, for tests and compatible services
	Pollers  int          `yaml:"pollers"`  // maximum number of messages processed concurrently, default 2
	Usual    intake.Usual `yaml:",inline"`
}

const example = `trail:                                  # CloudTrail log files, announced by an SQS queue. Uses the default AWS credentials
  queue_url: https://sqs.eu-west-3.amazonaws.com/123456789012/cloudtrail-files
  region: eu-west-3
  endpoint: ""                          # URL of a service compatible with SQS and S3. "" for AWS
  pollers: 2
`

// Validate returns the problems of the configuration. Without a queue the source is
// off.
func (c Config) Validate() setting.Problems {
	if c.QueueURL == "" {
		return nil
	}
	return c.problems()
}

func (c Config) problems() setting.Problems {
	var p setting.Problems
	u, err := url.Parse(c.QueueURL)
	if err != nil || u.Host == "" || u.Path == "" || u.Scheme != "https" && u.Scheme != "http" {
		p.Add("queue_url", "%q is not the URL of a queue. Use the form https://sqs.eu-west-1.amazonaws.com/111122223333/trail", c.QueueURL)
		return p // the region may be part of the URL
	}
	if region := c.region(); !regionName.MatchString(region) {
		p.Add("region", "%q is not a region. Use a name such as eu-west-1", region)
	}
	if c.Endpoint != "" && !setting.IsURL(c.Endpoint) {
		p.Add("endpoint", "is not a URL. Write one such as https://sqs.example.com, or omit the key")
	}
	if c.Pollers < 0 {
		p.Add("pollers", "is negative. Write 0 or more")
	}
	return p
}

// region returns the region of the queue.
func (c Config) region() string {
	if u, err := url.Parse(c.QueueURL); err == nil && c.Region == "" {
		if m := queueHost.FindStringSubmatch(u.Hostname()); m != nil {
			return m[1]
		}
	}
	return c.Region
}

// Registration describes the source. It is fixed because it polls a queue.
func (c Config) Registration() intake.Registration {
	return intake.Registration{Name: sourceName, On: c.QueueURL != "", Fixed: true, Usual: c.Usual, Feeds: recordSource, Example: example,
		Alerts: intake.Alerts{Kinds: []string{"trail.*"}},
		New: func(d intake.Deps) (intake.Source, error) {
			observer, _ := d.Observer.(Observer)
			records, ok := d.Records.(interface {
				Evaluate(record *detect.Item) (evaluation string, notable bool)
			})
			if !ok {
				return nil, errors.New("trail: Deps.Records cannot evaluate records")
			}
			return New(c, Deps{Sink: sink(d.Accept), Evaluate: records.Evaluate, Clock: d.Clock, Logger: d.Logger, Observer: observer})
		},
		Post: intake.Poster{Refusal: "the reader of the trail produces them, and no endpoint accepts them"}}
}

// sink stores the records of files as deliveries of the intake.
type sink func(context.Context, []intake.Delivery) error

// Accept stores each batch in one transaction.
func (s sink) Accept(ctx context.Context, ds []Delivery) error {
	batch := make([]intake.Delivery, len(ds))
	for n, r := range ds {
		batch[n] = intake.Delivery{Source: r.Source, ID: r.ID, Body: r.Body, Evaluation: r.Evaluation, Received: r.Received, Sender: r.Sender,
			Verified: "read from the trail's bucket with the credentials of Tocsin"}
	}
	return s(ctx, batch)
}

// Deps are the parts of the process that a [Source] uses, and its bounds. Sink is
// required.
type Deps struct {
	Sink Sink
	// Evaluate evaluates a record and reports whether to store it. The evaluation is
	// stored with the record. The default stores all. It must not retain the item and
	// must be safe for concurrent use. Most records of a trail are read-only calls, and
	// a filter saves their storage.
	Evaluate func(*detect.Item) (evaluation string, notable bool)
	Clock    func() time.Time // default time.Now
	Logger   *slog.Logger     // default slog.Default
	Observer Observer         // default no metrics

	MaxObject  int64         // maximum size of a stored file in bytes, default 64 MiB
	MaxContent int64         // maximum size of an unpacked file in bytes, default 1 GiB
	Visibility time.Duration // visibility timeout of a message in whole seconds, default 2 min

	client *http.Client // nil means the client of the SDK
}

// Source reads the messages of one queue and the files that they name.
type Source struct {
	Config
	Deps
	queue   *sqs.Client
	bucket  *s3.Client
	recent  *recentObjects
	lastErr atomic.Pointer[error] // result of the last receive
	fileErr atomic.Pointer[error] // result of the last read of a file, if S3 or the network decided it

	lastFile atomic.Pointer[time.Time] // when the last file was read
}

// LastReceived is [intake.Fetcher].
func (s *Source) LastReceived() time.Time {
	if at := s.lastFile.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// Err returns the error of the last attempt to receive messages or, if that succeeded,
// to read a file. It returns nil before the first attempt. It is safe for concurrent
// use.
func (s *Source) Err() error {
	if err := s.lastErr.Load(); err != nil && *err != nil {
		return explain("The queue of CloudTrail log files (SQS)", *err)
	}
	if err := s.fileErr.Load(); err != nil && *err != nil {
		return explain("The bucket of CloudTrail log files (S3)", *err)
	}
	return nil
}

// Check is intake.Checked.
func (s *Source) Check() (part string, err error) { return "trail queue", s.Err() }

var (
	queueHost  = regexp.MustCompile(`^sqs\.([a-z]{2}(?:-[a-z]+)+-\d{1,2})\.amazonaws\.com(\.cn)?$`)
	regionName = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d{1,2}$`)
)

// New returns a Source, or an *incident.Error that names the invalid field. The
// SDK takes credentials from its default chain at the first call.
func New(c Config, d Deps) (*Source, error) {
	if err := c.problems().Err(); err != nil {
		return nil, err
	}
	switch {
	case d.Visibility != 0 && (d.Visibility < 3*time.Second || d.Visibility > maxVisibility):
		return nil, incident.Invalid("visibility", "the visibility timeout %s is out of range. Use 3s to %s", d.Visibility, maxVisibility)
	case d.Sink == nil:
		return nil, fmt.Errorf("trail: Deps.Sink is nil")
	}
	c.Region, c.Pollers = c.region(), cmp.Or(c.Pollers, 2)
	d.MaxObject, d.MaxContent, d.Visibility = cmp.Or(d.MaxObject, 64<<20), cmp.Or(d.MaxContent, 1<<30), cmp.Or(d.Visibility, 2*time.Minute)
	if d.Evaluate == nil {
		d.Evaluate = func(*detect.Item) (string, bool) { return "", true }
	}
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	d.Logger = d.Logger.With("component", "trail")
	if d.Observer == nil {
		d.Observer = noopObserver{}
	}
	// The package reports a file that is too large, so a response may exceed the maximum
	// size by 1 MiB.
	loaded, err := awsclient.Load(context.Background(), awsclient.Options{Region: c.Region, Endpoint: c.Endpoint, Timeout: objectTimeout, MaxResponse: d.MaxObject + 1<<20, Logger: d.Logger, Client: d.client})
	if err != nil {
		return nil, err
	}
	return &Source{Config: c, Deps: d, queue: sqs.NewFromConfig(loaded), recent: newRecentObjects(4096), bucket: s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.UsePathStyle = c.Endpoint != ""
		o.DisableLogOutputChecksumValidationSkipped = true
	})}, nil
}

// withRegion sends one call to the given region, if the name is valid.
func withRegion(region string) func(*s3.Options) {
	return func(o *s3.Options) {
		if regionName.MatchString(region) {
			o.Region = region
		}
	}
}
