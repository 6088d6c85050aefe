package sns

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"tocsin/bot/bounds"
	"tocsin/bot/incident"
)

// maxDepth bounds the nesting of a message, such as a JSON string in a JSON string
// or a notification in a notification.
const maxDepth = 4

// Decode unwraps a verified notification and decodes it with the [Decoder]. It
// returns an alert if the subscription was removed, and nothing for a confirmed
// subscription.
func (s *Source) Decode(h http.Header, body []byte) ([]incident.Signal, error) {
	env, err := parseEnvelope(body)
	if err != nil {
		return nil, fmt.Errorf("decode sns message: %w", err)
	}
	switch env["Type"] {
	case typeNotification:
		return s.unwrap(h, []byte(env["Message"]), maxDepth)
	case typeUnsubscribed:
		return []incident.Signal{{Alert: env.unsubscribedAlert()}}, nil
	case typeSubscription:
		return nil, nil // Verify has confirmed it
	}
	return nil, fmt.Errorf("decode sns message: unknown type %q", truncate(env["Type"]))
}

// topicMessage has the fields that distinguish the kinds of messages of a topic.
type topicMessage struct {
	Type        string          `json:"Type"`
	Message     *string         `json:"Message"`
	Event       string          `json:"Event"`
	S3Bucket    string          `json:"s3Bucket"`
	S3ObjectKey json.RawMessage `json:"s3ObjectKey"`
	Records     []struct {
		S3 json.RawMessage `json:"s3"`
	} `json:"Records"`
}

var errObjectNotice = errors.New("decode sns message: it announces an S3 object. Subscribe an SQS queue to the topic and set it as sources.trail.queue_url")

// unwrap decodes a message with up to depth further levels of nesting.
func (s *Source) unwrap(h http.Header, message []byte, depth int) ([]incident.Signal, error) {
	if depth == 0 {
		return nil, fmt.Errorf("decode sns message: nested deeper than %d levels", maxDepth)
	}
	if bounds.TooManyTokens(message) {
		return nil, fmt.Errorf("decode sns message: it has more than %d names and values. Send fewer in one message", bounds.MaxJSONTokens)
	}
	if !json.Valid(message) {
		return nil, errors.New("decode sns message: not JSON")
	}
	var inner string
	if json.Unmarshal(message, &inner) == nil {
		return s.unwrap(h, []byte(inner), depth-1)
	}
	var m topicMessage
	var mismatch *json.UnmarshalTypeError
	if err := json.Unmarshal(message, &m); err != nil && !errors.As(err, &mismatch) {
		return nil, fmt.Errorf("decode sns message: %w", err)
	}
	switch {
	case m.Type == typeNotification && m.Message != nil:
		return s.unwrap(h, []byte(*m.Message), depth-1)
	case m.Event == "s3:TestEvent":
		return nil, nil
	case m.S3Bucket != "" && len(m.S3ObjectKey) > 0, len(m.Records) > 0 && len(m.Records[0].S3) > 0:
		return nil, errObjectNotice
	}
	signals, err := s.decoder.Decode(h, message)
	if err != nil {
		return nil, fmt.Errorf("decode sns message: %w", err)
	}
	return signals, nil
}

// unsubscribedAlert returns the alert about a removed subscription.
func (e envelope) unsubscribedAlert() *incident.Alert {
	topic := e["TopicArn"]
	_, region, account := parseARN(topic)
	return &incident.Alert{
		Source: sourceName, Kind: "sns.unsubscribed", Level: incident.LevelHigh,
		Title: "The subscription to " + topic + " was removed",
		Detail: "Tocsin no longer receives alerts from this topic. This is harmless if the subscription was moved or the topic was retired. " +
			"Otherwise an attacker may be hiding activity. Look for Unsubscribe and DeleteTopic in CloudTrail, then subscribe again.",
		Fingerprint: "sns.unsubscribed|" + topic, Correlation: "sns:" + topic,
		EventID: e["MessageId"], At: e.timestamp(), Account: account, Region: region, URL: consoleURL(region, "sns/v3/home", "topic/"+topic),
	}
}

// timestamp returns the time of the message in UTC, or the zero time if it is
// invalid.
func (e envelope) timestamp() time.Time {
	t, err := time.Parse(time.RFC3339Nano, e["Timestamp"])
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// parseARN returns the parts of an ARN, or empty strings if s is not an ARN.
func parseARN(s string) (resource, region, account string) {
	p := strings.SplitN(s, ":", 6)
	if len(p) < 6 {
		return "", "", ""
	}
	return p[5], p[3], p[4]
}

var regionName = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d{1,2}$`)

// consoleURL returns the URL of a page of the AWS console, or "" if region is not
// a region.
func consoleURL(region, page, fragment string) string {
	if !regionName.MatchString(region) {
		return ""
	}
	u := url.URL{Scheme: "https", Host: region + ".console.aws.amazon.com", Path: "/" + page, RawQuery: "region=" + region, Fragment: fragment}
	return u.String()
}
