package trail

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// Kinds of notices about a file. The values are stored.
const (
	noticeRemoved    = "object_removed"
	noticeUnreadable = "object_unreadable"
	noticeRecords    = "records_unreadable"
	noticeMessage    = "message_unreadable"
)

// noticeBody is the body of a delivery of the source "trail". It is stored as JSON.
type noticeBody struct {
	Notice    string `json:"notice"`
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	Region    string `json:"region,omitempty"`
	Event     string `json:"event,omitempty"`
	At        string `json:"at,omitempty"`
	Principal string `json:"principal,omitempty"`
	Address   string `json:"address,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Detail    string `json:"detail,omitempty"`
	Bad       int    `json:"bad,omitempty"`
	Good      int    `json:"good,omitempty"`
}

// newDelivery returns the delivery of a notice about the object of n. Repeated
// notices about one version of an object get one ID. A removal also has the time
// of its event in the ID.
func (s *Source) newDelivery(n notice, b noticeBody) Delivery {
	b.Bucket, b.Key, b.Region = n.Bucket, n.Key, n.Region
	body, _ := json.Marshal(b) // cannot fail for strings and integers
	id := strings.Join([]string{b.Notice, n.Bucket, n.Key, n.Version, n.ETag, b.Reason}, "\x00")
	if b.Notice == noticeRemoved {
		id += "\x00" + n.Sequencer + n.At
	}
	return Delivery{Source: sourceName, ID: text.Digest(id), Body: body, Received: s.Clock(), Sender: n.uri()}
}

// unreadMessage returns the delivery of a message of the queue that is not a notification
// about objects. Identical messages get one ID.
func (s *Source) unreadMessage(body, id string) Delivery {
	stored, _ := json.Marshal(noticeBody{Notice: noticeMessage, Detail: body}) // cannot fail for strings
	return Delivery{Source: sourceName, ID: text.Digest(stored), Body: stored, Received: s.Clock(), Sender: "message " + id + " of the queue"}
}

// errUnreadMessage is the error of Decode for a message of the queue. The inbox reports it.
var errUnreadMessage = errors.New("decode trail notice: a message of the queue, or a part of it, is not a notification of S3. Send only those to the queue")

// Name returns "trail", the source of this package's notices.
func (*Source) Name() string { return sourceName }

// Headers returns nil, because notices do not arrive in a request.
func (*Source) Headers() []string { return nil }

// Verify rejects every request, because this source has no webhook.
func (*Source) Verify(context.Context, http.Header, []byte, time.Time) (string, error) {
	return "", incident.Forbidden("the source trail accepts no webhooks. Send the notifications of the bucket to its SQS queue")
}

// accountInKey matches the account and the region in the key of a log file.
var accountInKey = regexp.MustCompile(`(?:^|/)AWSLogs/(?:o-[a-z0-9]+/)?(\d{12})/CloudTrail(?:-Digest)?/([a-z0-9-]+)/`)

// Decode turns a notice of this package into an alert.
func (*Source) Decode(_ http.Header, body []byte) ([]incident.Signal, error) {
	var b noticeBody
	if err := json.Unmarshal(body, &b); err != nil {
		return nil, fmt.Errorf("decode trail notice: %w", err)
	}
	a := incident.Alert{Source: sourceName, Correlation: "trail:" + b.Bucket, At: parseTime(b.At), Region: b.Region, Principal: b.Principal, Address: b.Address,
		Tags: map[string]string{"bucket": b.Bucket, "key": b.Key}}
	if m := accountInKey.FindStringSubmatch(b.Key); m != nil {
		a.Account = m[1]
		if a.Region == "" {
			a.Region = m[2]
		}
	}
	a.URL = consoleURL(b)
	object := "Object: s3://" + b.Bucket + "/" + b.Key
	switch b.Notice {
	case noticeRemoved:
		a.Kind, a.Level, a.Title = "trail.log_removed", incident.LevelHigh, "CloudTrail log files were deleted from the bucket "+b.Bucket
		a.Detail = "A file of the audit log was deleted by " + cmp.Or(b.Principal, "an unknown principal") + " (" + b.Event + "). A lifecycle rule causes a different event. " +
			"Find out who deleted the file, and review that period.\n" + object
		a.Fingerprint = strings.Join([]string{a.Kind, b.Bucket, b.Principal}, "|")
	case noticeUnreadable:
		a.Kind, a.Level, a.Title = "trail.unreadable", incident.LevelMedium, "Log files in the bucket "+b.Bucket+" cannot be read: "+b.Reason
		a.Detail = "The detection rules do not see the records of this file. SQS delivers its message again, and moves it to the dead-letter queue after the last attempt. " +
			"Correct the cause, then redrive the dead-letter queue.\n" + object + "\nError: " + b.Detail
		a.Fingerprint = strings.Join([]string{a.Kind, b.Bucket, b.Reason}, "|")
	case noticeRecords:
		a.Kind, a.Level, a.Title = "trail.records", incident.LevelLow, fmt.Sprintf("%d of %d records of a log file could not be read", b.Bad, b.Bad+b.Good)
		a.Detail = "The other records were read.\n" + object + "\nFirst error: " + b.Detail
		a.Fingerprint = strings.Join([]string{a.Kind, b.Bucket}, "|")
	case noticeMessage:
		return nil, errUnreadMessage
	default:
		return nil, fmt.Errorf("decode trail notice: unknown kind %q", b.Notice)
	}
	return []incident.Signal{{Alert: &a, Unreadable: b.Notice != noticeRemoved}}, nil
}

// parseTime returns a time in UTC, or the zero time if s is invalid.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// consoleURL returns the URL of the object's page in the AWS console, or "" if the
// region is invalid.
func consoleURL(b noticeBody) string {
	if !regionName.MatchString(b.Region) {
		return ""
	}
	return "https://" + b.Region + ".console.aws.amazon.com/s3/object/" + url.PathEscape(b.Bucket) + "?" + url.Values{"region": {b.Region}, "prefix": {b.Key}}.Encode()
}
