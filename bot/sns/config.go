// Package sns receives the messages that Amazon SNS posts to an HTTPS
// subscription. [Source] implements intake.Source.
//
// A valid signature proves only that Amazon sent a message. Anyone can create a
// topic and subscribe Tocsin's URL to it. A message is therefore accepted only from
// the topics in [Config].
//
// [Source.Verify] runs the cheap local checks first: shape, topic, age, signature
// version and URL of the certificate. It then fetches and verifies the certificate
// and checks the signature. Last, it confirms a subscription, before the reply to
// SNS. If Amazon is unavailable, the reply is a 503, and SNS retries. A crash
// therefore does not lose a confirmation.
//
// [Source.Decode] unwraps a message and passes it to a [Decoder].
package sns

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"regexp"

	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/setting"
)

const sourceName = "sns"

// Decoder decodes an unwrapped message: an EventBridge event, a CloudTrail record,
// a finding or an alarm. cloudtrail.Source implements it.
type Decoder interface {
	DecodeItem(http.Header, detect.Item) ([]incident.Signal, error)
}

// Observer records metrics of a [Source]. Its methods are called concurrently and
// must not block.
type Observer interface {
	// Certificate records one fetch of a signing certificate. The error is nil if
	// the certificate is valid.
	Certificate(err error)
	// Subscription records one attempt to confirm a subscription.
	Subscription(topic string, err error)
}

// Config configures a [Source].
type Config struct {
	// Topics are the ARNs of the allowed topics.
	Topics []string `yaml:"topics"`
	// AllowV1 accepts messages signed with SHA-1. The attribute SignatureVersion of
	// a topic selects SHA-256 instead.
	AllowV1 bool          `yaml:"allow_v1"`
	Limits  intake.Limits `yaml:"limits"`
	Usual   intake.Usual  `yaml:",inline"`
}

const example = `sns:                                    # POST /hooks/sns, EventBridge events and CloudWatch alarms through SNS
  topics: [arn:aws:sns:eu-west-3:123456789012:security-events]
  allow_v1: false                       # accept messages signed with SHA-1
`

// Validate returns the problems of the configuration. None of the messages of a
// topic that is not an ARN would be accepted.
func (c Config) Validate() setting.Problems {
	var p setting.Problems
	for n, topic := range c.Topics {
		if !topicARN.MatchString(topic) {
			p.Add(setting.Index("topics", n), "%q is not the ARN of a topic. Use the form arn:aws:sns:eu-west-1:111122223333:security", topic)
		}
	}
	return p
}

// Registration describes the source. It is fixed because it stores certificates.
func (c Config) Registration() intake.Registration {
	return intake.Registration{Name: sourceName, On: len(c.Topics) > 0, Fixed: true, Limits: c.Limits, Usual: c.Usual, Secret: "topics", Example: example,
		Alerts: intake.Alerts{Kinds: []string{"sns.unsubscribed"}, Levels: []incident.Level{incident.LevelHigh}},
		New: func(d intake.Deps) (intake.Source, error) {
			observer, _ := d.Observer.(Observer)
			decoder, _ := d.Records.(Decoder)
			return New(c, Deps{Decoder: decoder, Observer: observer, Logger: d.Logger})
		},
		Post: intake.Poster{Refusal: "only AWS can sign them"}}
}

// Deps are the parts of the process that a [Source] uses.
type Deps struct {
	Decoder  Decoder      // required
	Observer Observer     // default no metrics
	Logger   *slog.Logger // default slog.Default

	client *http.Client   // default: one that requests only from Amazon
	roots  *x509.CertPool // default: those of the system
}

// Source verifies and decodes messages of SNS. It implements intake.Source and is
// safe for concurrent use.
type Source struct {
	topics   map[string]bool
	allowV1  bool
	decoder  Decoder
	observer Observer
	log      *slog.Logger
	certs    *certificates
}

var topicARN = regexp.MustCompile(`^arn:aws(-[a-z-]+)?:sns:[a-z]{2}(-[a-z]+)+-\d+:\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$`)

// New returns a Source. It returns an error if the configuration is not valid.
func New(c Config, d Deps) (*Source, error) {
	if d.Decoder == nil {
		return nil, errors.New("sns: Deps.Decoder is nil")
	}
	if err := c.Validate().Err(); err != nil {
		return nil, err
	}
	s := &Source{topics: map[string]bool{}, allowV1: c.AllowV1, decoder: d.Decoder, observer: d.Observer, log: d.Logger}
	for _, topic := range c.Topics {
		s.topics[topic] = true
	}
	if s.observer == nil {
		s.observer = noopObserver{}
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.log = s.log.With("component", "sns")
	if d.client == nil {
		d.client = newClient()
	}
	s.certs = newCertificates(d.client, d.roots, s.observer)
	return s, nil
}

// Name returns "sns", the last element of the webhook's path.
func (*Source) Name() string { return sourceName }

// Headers returns nil, because Decode needs only the signed body.
func (*Source) Headers() []string { return nil }

type noopObserver struct{}

func (noopObserver) Certificate(error)          {}
func (noopObserver) Subscription(string, error) {}
