package sns

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"tocsin/bot/bounds"
	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/text"
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
	return nil, fmt.Errorf("decode sns message: unknown type %q", text.Truncate(env["Type"], maxQuote))
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

var (
	topicFields  = detect.NewFields("Type", "Event", "s3Bucket", "Message", "s3ObjectKey", "Records")
	objectFields = detect.NewFields("s3")
)

// read reads the fields of a decoded message. Like encoding/json, it ignores fields of
// an unexpected type.
func (m *topicMessage) read(v detect.Value) {
	texts := [...]*string{&m.Type, &m.Event, &m.S3Bucket}
	for key, member := range v.Members() {
		switch i := topicFields.Index(key); {
		case i < 0:
		case i < len(texts) && member.IsString():
			*texts[i] = member.Text()
		case topicFields.Name(i) == "Message" && !member.IsNull():
			text := ""
			if member.IsString() {
				text = member.Text()
			}
			m.Message = &text
		case topicFields.Name(i) == "s3ObjectKey":
			m.S3ObjectKey = member.Raw()
		case topicFields.Name(i) == "Records":
			m.readRecords(member)
		}
	}
}

// readRecords reads the first record, because a notification of S3 has only its own.
func (m *topicMessage) readRecords(list detect.Value) {
	for record := range list.Elements() {
		m.Records = append(m.Records[:0], struct {
			S3 json.RawMessage `json:"s3"`
		}{})
		for key, member := range record.Members() {
			if objectFields.Index(key) == 0 {
				m.Records[0].S3 = member.Raw()
			}
		}
		return
	}
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
	r := detect.AcquireRecord()
	defer r.Release()
	item := r.DecodeItem(bytes.TrimSpace(message))
	m, inner, err := readMessage(item)
	switch {
	case err != nil:
		return nil, fmt.Errorf("decode sns message: %w", err)
	case inner != nil:
		return s.unwrap(h, []byte(*inner), depth-1)
	case m.Type == typeNotification && m.Message != nil:
		return s.unwrap(h, []byte(*m.Message), depth-1)
	case m.Event == "s3:TestEvent":
		return nil, nil
	case m.S3Bucket != "" && len(m.S3ObjectKey) > 0, len(m.Records) > 0 && len(m.Records[0].S3) > 0:
		return nil, errObjectNotice
	}
	signals, err := s.decoder.DecodeItem(h, item)
	if err != nil {
		return signals, fmt.Errorf("decode sns message: %w", err)
	}
	return signals, nil
}

// readMessage returns the fields of a message, or its text if it is a JSON string. A
// message that package detect does not decode can still be a finding.
func readMessage(item detect.Item) (m topicMessage, inner *string, err error) {
	switch {
	case item.Record != nil && item.Record.Root().IsString():
		text := item.Record.Root().Text()
		return m, &text, nil
	case item.Record != nil:
		m.read(item.Record.Root())
		return m, nil, nil
	case !json.Valid(item.Raw):
		return m, nil, errors.New("not JSON")
	}
	var mismatch *json.UnmarshalTypeError
	if err := json.Unmarshal(item.Raw, &m); err != nil && !errors.As(err, &mismatch) {
		return m, nil, err
	}
	return m, nil, nil
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
