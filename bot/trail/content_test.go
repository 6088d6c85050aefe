package trail_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"tocsin/bot/intake/intaketest"
	"tocsin/bot/trail"
)

func TestUnwrap(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	s3, bridge := read("s3.json"), read("eventbridge.json")
	object := trail.Object{Bucket: "audit-logs", Key: "my logs/AWSLogs/111122223333/CloudTrail/eu-west-1/a+b.json.gz", Region: "eu-west-1", ETag: "10cdfb72", Event: "ObjectCreated:Put"}
	plain := trail.Object{Bucket: "audit-logs", Key: "my+logs/AWSLogs/111122223333/CloudTrail/eu-west-1/a%20b.json.gz", Region: "eu-west-1", ETag: "10cdfb72", Version: "v1", Event: "ObjectCreated:PutObject"}
	for _, tt := range []struct {
		name, in string
		want     []trail.Object
		outcome  trail.MessageOutcome
	}{
		{"S3", s3, []trail.Object{object}, trail.MessageDone},
		{"S3 in SNS", `{"Type":"Notification","Message":` + quote(s3) + `}`, []trail.Object{object}, trail.MessageDone},
		{"SNS in SNS", `{"Type":"Notification","Message":` + quote(`{"Type":"Notification","Message":`+quote(s3)+`}`) + `}`, []trail.Object{object}, trail.MessageDone},
		{"EventBridge", bridge, []trail.Object{plain}, trail.MessageDone},
		{"EventBridge in SNS", `{"Type":"Notification","Message":` + quote(bridge) + `}`, []trail.Object{plain}, trail.MessageDone},
		{"EventBridge, deleted", `{"source":"aws.s3","detail-type":"Object Deleted","detail":{"bucket":{"name":"b"},"object":{"key":"k"},"reason":"DeleteObject"}}`, []trail.Object{{Bucket: "b", Key: "k", Event: "ObjectRemoved:DeleteObject"}}, trail.MessageDone},
		{"EventBridge, expired", `{"source":"aws.s3","detail-type":"Object Deleted","detail":{"bucket":{"name":"b"},"object":{"key":"k"},"reason":"Lifecycle Expiration"}}`, []trail.Object{{Bucket: "b", Key: "k", Event: "Object Deleted"}}, trail.MessageDone},
		{"CloudTrail", `{"s3Bucket":"b","s3ObjectKey":["k+1","k2"]}`, []trail.Object{{Bucket: "b", Key: "k+1"}, {Bucket: "b", Key: "k2"}}, trail.MessageDone},
		{"one malformed record", strings.Replace(s3, `"Records":[`, `"Records":[{"s3":7},`, 1), []trail.Object{object}, trail.MessageUnknown},
		{"unencoded key", `{"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"100%"}}}]}`, []trail.Object{{Bucket: "b", Key: "100%"}}, trail.MessageDone},
		{"test event", `{"Service":"Amazon S3","Event":"s3:TestEvent"}`, nil, trail.MessageTest},
		{"test event in SNS", `{"Type":"Notification","Message":` + quote(`{"Event":"s3:TestEvent"}`) + `}`, nil, trail.MessageTest},
		{"empty object", `{}`, nil, trail.MessageEmpty},
		{"no records", `{"Records":[]}`, nil, trail.MessageEmpty},
		{"other JSON", `{"x":1}`, nil, trail.MessageUnknown},
		{"number", `1`, nil, trail.MessageUnknown},
		{"not JSON", `hello`, nil, trail.MessageNotJSON},
		{"empty", ``, nil, trail.MessageNotJSON},
		{"text in SNS", `{"Type":"Notification","Message":"hello"}`, nil, trail.MessageNotJSON},
		{"nested too deep", func() string {
			s := s3
			for range 6 {
				s = `{"Type":"Notification","Message":` + quote(s) + `}`
			}
			return s
		}(), nil, trail.MessageUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, outcome := trail.Unwrap([]byte(tt.in)); !slices.Equal(got, tt.want) || outcome != tt.outcome {
				t.Errorf("got %+v, %s, want %+v, %s", got, outcome, tt.want, tt.outcome)
			}
		})
	}
}

func TestUnwrap_RecordedMessages(t *testing.T) {
	for fixture, tt := range map[string]struct {
		corpus string
		want   trail.MessageOutcome
	}{
		"s3-cloudtrail.json":          {"aws-sqs-s3/s3-cloudtrail-1.json", trail.MessageDone},
		"s3-testevent.json":           {"aws-sqs-s3/s3-testevent.json", trail.MessageTest},
		"empty-object.json":           {"aws-sqs-s3/empty-object.json", trail.MessageEmpty},
		"s3-event.json":               {"aws-lambda-go/s3-event.json", trail.MessageDone},
		"s3-event-with-decoded.json":  {"aws-lambda-go/s3-event-with-decoded.json", trail.MessageDone},
		"codebuild-state-change.json": {"aws-lambda-go/codebuild-state-change.json", trail.MessageUnknown},
		"sqs-event.json":              {"aws-lambda-go/sqs-event.json", trail.MessageUnknown},
	} {
		t.Run(fixture, func(t *testing.T) {
			intaketest.OnBoth(t, []string{"testdata/messages/" + fixture}, []string{tt.corpus}, func(t *testing.T, payloads []intaketest.Payload) {
				if _, outcome := trail.Unwrap(payloads[0].Body); outcome != tt.want {
					t.Errorf("%s: got %s, want %s", payloads[0].Path, outcome, tt.want)
				}
			})
		})
	}
}

// FuzzMessage checks that Unwrap is deterministic, and that it returns objects with
// a bucket and a key only with the outcome done.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"k%20"}}}]}`))
	f.Add([]byte(`{"Type":"Notification","Message":"{}"}`))
	f.Add([]byte(`{"source":"aws.s3","detail-type":"Object Deleted","detail":{"bucket":{"name":"b"},"object":{"key":"k"}}}`))
	f.Add([]byte(`{"s3Bucket":"b","s3ObjectKey":["k"]}`))
	seeds := intaketest.Fixtures(f, "testdata/messages/*.json")
	for _, p := range append(seeds, intaketest.Corpus(f, "aws-sqs-s3/*.json", "aws-lambda-go/s3*.json", "aws-lambda-go/sqs*.json", "aws-lambda-go/sns*.json")...) {
		f.Add(p.Body)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		once, outcome := trail.Unwrap(data)
		twice, outcome2 := trail.Unwrap(bytes.Clone(data))
		if !slices.Equal(once, twice) || outcome != outcome2 {
			t.Errorf("%q: got %v in the first call and %v in the second", data, once, twice)
		}
		if (len(once) > 0) != (outcome == trail.MessageDone) {
			t.Errorf("%q: got outcome %s with %v, want objects only with %s", data, outcome, once, trail.MessageDone)
		}
		for _, o := range once {
			if o.Bucket == "" || !utf8.ValidString(o.Bucket+o.Key) {
				t.Errorf("%q: got %+v, want a bucket and valid UTF-8", data, o)
			}
		}
		if len(once) > len(data) {
			t.Errorf("%q: got %d objects from %d bytes", data, len(once), len(data))
		}
	})
}
