// Package sns takes what Amazon SNS posts to an HTTPS subscription.
//
// Everybody may create a topic, subscribe our address to it and have Amazon
// sign whatever they publish there. So a good signature says only that Amazon
// sent it; what makes a message ours is its topic, which must be configured.
//
// A message is judged in this order, the cheap and local first: shape, topic,
// age, version of the signature, address of the certificate, the certificate
// itself, the signature. Only then is a subscription confirmed. That happens
// before the sender has its answer: when Amazon cannot be reached, the answer
// is a 503 and SNS brings the confirmation again, so that no crash loses it.
//
// What stands inside a message goes to a Decoder, once it is unwrapped.
package sns

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"regexp"

	"tocsin/bot/incident"
)

const sourceName = "sns"

// Decoder says what an event of EventBridge, a CloudTrail record, a finding or an
// alarm means, as the CloudTrail source does.
type Decoder interface {
	Decode(http.Header, []byte) ([]incident.Signal, error)
}

// Observer counts what the edge cannot see. It is called by many goroutines
// and must not block.
type Observer interface {
	// Certificate reports that a signing certificate was fetched and judged.
	Certificate(err error)
	// Subscription reports the attempt to confirm a subscription.
	Subscription(topic string, err error)
}

// Config of the source.
type Config struct {
	// Topics are the ARNs of the topics that may speak to us.
	Topics []string
	// AllowV1 lets messages in that are signed with SHA-1. A topic is switched to
	// SHA-256 by its attribute SignatureVersion.
	AllowV1  bool
	Decoder  Decoder      // required
	Observer Observer     // default: nobody looks
	Logger   *slog.Logger // default slog.Default
}

// Source is SNS, as intake sees it.
type Source struct {
	topics   map[string]bool
	allowV1  bool
	decoder  Decoder
	observer Observer
	log      *slog.Logger
	certs    *certificates
}

var topicARN = regexp.MustCompile(`^arn:aws(-[a-z-]+)?:sns:[a-z]{2}(-[a-z]+)+-\d+:\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$`)

// New makes the source. It refuses a topic that is no ARN, for its messages
// would be turned away one by one.
func New(c Config) (*Source, error) { return newSource(c, newClient(), nil) }

func newSource(c Config, client *http.Client, roots *x509.CertPool) (*Source, error) {
	if c.Decoder == nil {
		return nil, errors.New("sns: no decoder was given")
	}
	s := &Source{topics: map[string]bool{}, allowV1: c.AllowV1, decoder: c.Decoder, observer: c.Observer, log: c.Logger}
	for _, topic := range c.Topics {
		if !topicARN.MatchString(topic) {
			return nil, incident.Invalid("topics", "%q is no ARN of a topic, such as arn:aws:sns:eu-west-1:111122223333:security", topic)
		}
		s.topics[topic] = true
	}
	if s.observer == nil {
		s.observer = noopObserver{}
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.log = s.log.With("component", "sns")
	s.certs = newCertificates(client, roots, s.observer)
	return s, nil
}

// Name is the last element of the webhook's path.
func (*Source) Name() string { return sourceName }

// Headers is empty: the body says everything, and is signed.
func (*Source) Headers() []string { return nil }

type noopObserver struct{}

func (noopObserver) Certificate(error)          {}
func (noopObserver) Subscription(string, error) {}
