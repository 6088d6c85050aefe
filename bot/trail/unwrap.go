package trail

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

// maxDepth bounds the number of SNS notifications around a message.
const maxDepth = 4

// notice is an event of S3 about one object.
type notice struct {
	Bucket, Key, Region string
	ETag, Version       string
	Event               string // such as "ObjectCreated:Put" or "ObjectRemoved:Delete", empty means created
	Sequencer           string
	At                  string // RFC 3339, as received
	Principal, Address  string // cause of the event
	attempt             int    // number of deliveries of the message
}

func (n notice) isRemoval() bool { return strings.HasPrefix(n.Event, "ObjectRemoved:") }

// uri returns the s3:// URI of the object.
func (n notice) uri() string { return "s3://" + n.Bucket + "/" + n.Key }

// messageBody has the fields of every kind of message. A message has one kind.
type messageBody struct {
	// Notification of SNS.
	Type    string  `json:"Type"`
	Message *string `json:"Message"`
	// Notification of S3, with one element per object.
	Records []json.RawMessage `json:"Records"`
	Event   string            `json:"Event"`
	// Event of EventBridge.
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Region     string          `json:"region"`
	Time       string          `json:"time"`
	Detail     json.RawMessage `json:"detail"`
	// Notification of CloudTrail, from the SNS topic of a trail.
	S3Bucket    string   `json:"s3Bucket"`
	S3ObjectKey []string `json:"s3ObjectKey"`
}

// unwrap returns the events in a message. If it has none, the outcome is the reason. The
// outcome is MessageUnknown, too, if only some of its events can be read.
func unwrap(raw []byte) ([]notice, MessageOutcome) { return unwrapDepth(raw, maxDepth) }

func unwrapDepth(raw []byte, depth int) ([]notice, MessageOutcome) {
	raw = bytes.TrimSpace(raw)
	if !json.Valid(raw) {
		return nil, MessageNotJSON
	}
	var b messageBody
	if raw[0] != '{' || depth == 0 || json.Unmarshal(raw, &b) != nil {
		return nil, MessageUnknown
	}
	var out []notice
	switch {
	case b.Type == "Notification" && b.Message != nil:
		return unwrapDepth([]byte(*b.Message), depth-1)
	case b.Event == "s3:TestEvent":
		return nil, MessageTest
	case b.Source == "aws.s3" && b.Detail != nil:
		n, ok := fromEventBridge(b)
		if !ok {
			return nil, MessageUnknown
		}
		return []notice{n}, MessageDone
	case b.S3Bucket != "" && len(b.S3ObjectKey) > 0:
		for _, key := range b.S3ObjectKey {
			out = append(out, notice{Bucket: b.S3Bucket, Key: key})
		}
	case b.Records != nil:
		for _, r := range b.Records {
			if n, ok := fromS3(r); ok {
				out = append(out, n)
			}
		}
		if len(out) < len(b.Records) {
			return out, MessageUnknown
		}
	case bytes.Equal(raw, []byte("{}")):
	default:
		return nil, MessageUnknown
	}
	if len(out) == 0 {
		return nil, MessageEmpty
	}
	return out, MessageDone
}

// fromS3 parses a record of a notification of S3, whose key is form encoded. It
// reports false if the record has no bucket or key.
func fromS3(raw json.RawMessage) (notice, bool) {
	var r struct {
		EventName string `json:"eventName"`
		EventTime string `json:"eventTime"`
		Region    string `json:"awsRegion"`
		User      struct {
			Principal string `json:"principalId"`
		} `json:"userIdentity"`
		Request struct {
			Address string `json:"sourceIPAddress"`
		} `json:"requestParameters"`
		S3 struct {
			Bucket struct {
				Name string `json:"name"`
			} `json:"bucket"`
			Object struct {
				Key       string `json:"key"`
				ETag      string `json:"eTag"`
				Version   string `json:"versionId"`
				Sequencer string `json:"sequencer"`
			} `json:"object"`
		} `json:"s3"`
	}
	if json.Unmarshal(raw, &r) != nil || r.S3.Bucket.Name == "" || r.S3.Object.Key == "" {
		return notice{}, false
	}
	key, err := url.QueryUnescape(r.S3.Object.Key)
	if err != nil {
		key = r.S3.Object.Key // another service sent the key without encoding
	}
	return notice{Bucket: r.S3.Bucket.Name, Key: key, Region: r.Region, ETag: r.S3.Object.ETag, Version: r.S3.Object.Version, Sequencer: r.S3.Object.Sequencer,
		Event: strings.TrimPrefix(r.EventName, "s3:"), At: r.EventTime, Principal: r.User.Principal, Address: r.Request.Address}, true
}

// fromEventBridge parses an event of S3 from EventBridge, whose key is not encoded.
// It reports false if the event has no bucket or key.
func fromEventBridge(b messageBody) (notice, bool) {
	var d struct {
		Bucket struct {
			Name string `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key       string `json:"key"`
			ETag      string `json:"etag"`
			Version   string `json:"version-id"`
			Sequencer string `json:"sequencer"`
		} `json:"object"`
		Requester string `json:"requester"`
		Address   string `json:"source-ip-address"`
		Reason    string `json:"reason"`
	}
	if json.Unmarshal(b.Detail, &d) != nil || d.Bucket.Name == "" || d.Object.Key == "" {
		return notice{}, false
	}
	n := notice{Bucket: d.Bucket.Name, Key: d.Object.Key, Region: b.Region, ETag: d.Object.ETag, Version: d.Object.Version, Sequencer: d.Object.Sequencer,
		At: b.Time, Principal: d.Requester, Address: d.Address}
	switch {
	case b.DetailType == "Object Created":
		n.Event = "ObjectCreated:" + d.Reason
	case b.DetailType == "Object Deleted" && d.Reason != "Lifecycle Expiration":
		n.Event = "ObjectRemoved:" + d.Reason
	default:
		n.Event = b.DetailType
	}
	return n, true
}
