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

	"tocsin/bot/incident"
)

// maxDepth bounds how often a message is unwrapped: text in text, a
// notification in a notification.
const maxDepth = 4

// Decode says what a verified message means.
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
		return nil, nil // confirmed when it was received
	}
	return nil, fmt.Errorf("decode sns message: type %q is not known", truncate(env["Type"]))
}

// topicMessage is what tells the messages apart that a topic may carry.
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

var errObjectNotice = errors.New("decode sns message: it announces an object in S3; subscribe an SQS queue to this topic and give that to the trail source")

func (s *Source) unwrap(h http.Header, message []byte, depth int) ([]incident.Signal, error) {
	if depth == 0 {
		return nil, errors.New("decode sns message: it is wrapped too often")
	}
	if !json.Valid(message) {
		return nil, errors.New("decode sns message: the text is not JSON")
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

// unsubscribedAlert is the alert that nothing will come from a topic any more.
func (e envelope) unsubscribedAlert() *incident.Alert {
	topic := e["TopicArn"]
	_, region, account := parseARN(topic)
	return &incident.Alert{
		Source: sourceName, Kind: "sns.unsubscribed", Level: incident.LevelHigh,
		Title: "Somebody removed our subscription to " + topic,
		Detail: "Alerts that came by this topic come no more. Harmless if the subscription was moved or the topic retired; " +
			"otherwise somebody is making us blind. Look for Unsubscribe or DeleteTopic in CloudTrail, and subscribe again.",
		Fingerprint: "sns.unsubscribed|" + topic, Correlation: "sns:" + topic,
		EventID: e["MessageId"], At: e.timestamp(), Account: account, Region: region, URL: consoleURL(region, "sns/v3/home", "topic/"+topic),
	}
}

func (e envelope) timestamp() time.Time {
	t, err := time.Parse(time.RFC3339Nano, e["Timestamp"])
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// parseARN takes an ARN apart: the resource, its region and account.
func parseARN(s string) (resource, region, account string) {
	p := strings.SplitN(s, ":", 6)
	if len(p) < 6 {
		return "", "", ""
	}
	return p[5], p[3], p[4]
}

var regionName = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d{1,2}$`)

// consoleURL is a page of the AWS console, or "" where the region is none.
func consoleURL(region, page, fragment string) string {
	if !regionName.MatchString(region) {
		return ""
	}
	u := url.URL{Scheme: "https", Host: region + ".console.aws.amazon.com", Path: "/" + page, RawQuery: "region=" + region, Fragment: fragment}
	return u.String()
}
