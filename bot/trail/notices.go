package trail

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

// What this package itself has to say.
const (
	noticeRemoved    = "object_removed"
	noticeUnreadable = "object_unreadable"
	noticeRecords    = "records_unreadable"
)

// noticeBody is the body of a delivery of the source "trail".
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

// newDelivery makes a delivery of tidings. The same about the same object is the same
// delivery, however often it is found out.
func (s *Source) newDelivery(n notice, t noticeBody) Delivery {
	t.Bucket, t.Key, t.Region = n.Bucket, n.Key, n.Region
	body, _ := json.Marshal(t) // texts and numbers cannot fail
	id := strings.Join([]string{t.Notice, n.Bucket, n.Key, n.Version, n.ETag, t.Reason}, "\x00")
	if t.Notice == noticeRemoved {
		id += "\x00" + n.Sequencer + n.At
	}
	return Delivery{Source: sourceName, ID: sha256ID([]byte(id)), Body: body, Received: s.Clock(), Sender: n.where()}
}

// Name is that of the deliveries which this package writes itself.
func (*Source) Name() string { return sourceName }

// Headers is empty; no request brings these deliveries.
func (*Source) Headers() []string { return nil }

// Verify lets nothing in: this source fetches, and is not sent to.
func (*Source) Verify(http.Header, []byte, time.Time) (string, error) {
	return "", incident.Forbidden("nothing is delivered here; CloudTrail's files are fetched by way of their queue")
}

// accountInKey finds the account in the name of a log file.
var accountInKey = regexp.MustCompile(`(?:^|/)AWSLogs/(?:o-[a-z0-9]+/)?(\d{12})/CloudTrail(?:-Digest)?/([a-z0-9-]+)/`)

// Decode says what a delivery of this source means.
func (*Source) Decode(_ http.Header, body []byte) ([]incident.Signal, error) {
	var t noticeBody
	if err := json.Unmarshal(body, &t); err != nil {
		return nil, fmt.Errorf("decode a notice of the trail: %w", err)
	}
	a := incident.Alert{Source: sourceName, Correlation: "trail:" + t.Bucket, At: parseTime(t.At), Region: t.Region, Principal: t.Principal, Address: t.Address,
		Tags: map[string]string{"bucket": t.Bucket, "key": t.Key}}
	if m := accountInKey.FindStringSubmatch(t.Key); m != nil {
		a.Account = m[1]
		if a.Region == "" {
			a.Region = m[2]
		}
	}
	a.URL = consoleURL(t)
	where := "Object: s3://" + t.Bucket + "/" + t.Key
	switch t.Notice {
	case noticeRemoved:
		a.Kind, a.Level, a.Title = "trail.log_removed", incident.LevelHigh, "CloudTrail log files are deleted from the bucket "+t.Bucket
		a.Detail = "Somebody deleted a file of the audit log: " + t.Event + ". A retention rule does not look like this. Find out who " + orUnknown(t.Principal) +
			" is, and what happened in the hour that is missing.\n" + where
		a.Fingerprint = strings.Join([]string{a.Kind, t.Bucket, t.Principal}, "|")
	case noticeUnreadable:
		a.Kind, a.Level, a.Title = "trail.unreadable", incident.LevelMedium, "Log files in the bucket "+t.Bucket+" cannot be read: "+t.Reason
		a.Detail = "What happened in it is not looked at. The queue brings it again, and puts it into its dead-letter queue in the end.\n" + where + "\nError: " + t.Detail
		a.Fingerprint = strings.Join([]string{a.Kind, t.Bucket, t.Reason}, "|")
	case noticeRecords:
		a.Kind, a.Level, a.Title = "trail.records", incident.LevelLow, fmt.Sprintf("%d of %d records of a log file could not be read", t.Bad, t.Bad+t.Good)
		a.Detail = "The others were taken.\n" + where + "\nFirst: " + t.Detail
		a.Fingerprint = strings.Join([]string{a.Kind, t.Bucket}, "|")
	default:
		return nil, errors.New("decode a notice of the trail: its kind is not known")
	}
	return []incident.Signal{{Alert: &a}}, nil
}

func orUnknown(s string) string {
	if s == "" {
		return "that"
	}
	return s
}

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// consoleURL is the object's page in the AWS console.
func consoleURL(t noticeBody) string {
	if !regionName.MatchString(t.Region) {
		return ""
	}
	return "https://" + t.Region + ".console.aws.amazon.com/s3/object/" + url.PathEscape(t.Bucket) + "?" + url.Values{"region": {t.Region}, "prefix": {t.Key}}.Encode()
}
