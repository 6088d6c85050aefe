package sns_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/intake/intaketest"
)

func readTestdata(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// notificationOf returns an unsigned notification with a message.
func notificationOf(t testing.TB, message string) []byte {
	m := notice("Notification")
	m["Message"] = message
	return marshal(t, m)
}

func quoted(t testing.TB, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDecode_UnwrapsMessages(t *testing.T) {
	s := newSource(t, nil)
	record := `{"eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging","eventID":"e","recipientAccountId":"111122223333"}`
	envelope := `{"detail-type":"AWS API Call via CloudTrail","source":"aws.cloudtrail","id":"i","detail":` + record + `}`
	finding := `{"detail-type":"GuardDuty Finding","source":"aws.guardduty","id":"i","detail":{"id":"f","type":"T:R/F","severity":8,"accountId":"1"}}`
	for _, tt := range []struct{ name, message, kind string }{
		{"record", record, "cloudtrail.StopLogging"},
		{"envelope", envelope, "cloudtrail.StopLogging"},
		{"finding", finding, "guardduty.T:R/F"},
		{"string in a string", quoted(t, envelope), "cloudtrail.StopLogging"},
		{"notification in a notification", `{"Type":"Notification","Message":` + quoted(t, envelope) + `}`, "cloudtrail.StopLogging"},
		{"alarm", readTestdata(t, "alarm.json"), "cloudwatch.alarm"},
		{"alarm in a notification", `{"Type":"Notification","Message":` + quoted(t, readTestdata(t, "alarm.json")) + `}`, "cloudwatch.alarm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Decode(nil, notificationOf(t, tt.message))
			if err != nil || len(got) != 1 || got[0].Alert == nil || got[0].Alert.Kind != tt.kind {
				t.Errorf("got %+v, error %v, want one alert of kind %s", got, err, tt.kind)
			}
		})
	}
	deep := envelope
	for range 6 {
		deep = quoted(t, deep)
	}
	for name, message := range map[string]string{
		"text": "Hello world", "empty": "", "number": "1", "unknown": `{"x":1}`, "other event": `{"detail-type":"EC2 Instance State-change Notification","detail":{}}`,
		"too deep": deep, "file notice": `{"s3Bucket":"b","s3ObjectKey":["k"]}`, "object event": `{"Records":[{"s3":{"bucket":{"name":"b"}}}]}`,
	} {
		if got, err := s.Decode(nil, notificationOf(t, message)); err == nil || got != nil {
			t.Errorf("%s: got %v, want an error", name, got)
		}
	}
	if got, err := s.Decode(nil, notificationOf(t, `{"Service":"Amazon S3","Event":"s3:TestEvent"}`)); err != nil || got != nil {
		t.Errorf("test event: got %v, error %v, want nothing", got, err)
	}
}

func TestDecode_AlarmOKIsNote(t *testing.T) {
	got, err := newSource(t, nil).Decode(nil, notificationOf(t, strings.Replace(readTestdata(t, "alarm.json"), `"NewStateValue": "ALARM"`, `"NewStateValue": "OK"`, 1)))
	if err != nil || len(got) != 1 || got[0].Command == nil || got[0].Command.Verb != incident.VerbSourceNote || got[0].Subject.Correlation != "cloudwatch:111122223333:eu-west-1:payroll errors" {
		t.Errorf("got %+v, error %v, want one note", got, err)
	}
}

func TestDecode_UnsubscribeIsAlert(t *testing.T) {
	s := newSource(t, nil)
	body := sign(t, notice("UnsubscribeConfirmation"))
	if _, err := s.Verify(t.Context(), header("UnsubscribeConfirmation"), body, now); err != nil {
		t.Fatal(err)
	}
	if s.web.count(confirm) != 0 {
		t.Error("got a request to confirm a subscription, want none")
	}
	got, err := s.Decode(nil, body)
	if err != nil || len(got) != 1 || got[0].Alert == nil {
		t.Fatalf("got %v, error %v, want one alert", got, err)
	}
	a := got[0].Alert
	if a.Kind != "sns.unsubscribed" || a.Level != incident.LevelHigh || a.Account != "111122223333" || strings.Contains(a.Detail+a.URL, "the-token") {
		t.Errorf("got alert %+v, want sns.unsubscribed without the token", a)
	}
}

func TestHostileBodies(t *testing.T) {
	for _, message := range []string{`{"eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging","eventID":"e","recipientAccountId":"111122223333"}`,
		strings.Repeat("[", 10_000), `{"a":1,"a":1e999999}`, "\x00", "null"} {
		m := notice("Notification")
		m["Message"] = message
		t.Run(fmt.Sprintf("%.20q", message), func(t *testing.T) {
			intaketest.Hostile(t, intaketest.SourceCase{Source: newSource(t, nil).Source, Genuine: sign(t, m), CredentialInBody: true, Now: now, Signed: func([]byte) http.Header { return header("Notification") }})
		})
	}
}

// FuzzMessage checks that Verify accepts only the signatures made below, and that
// Decode handles every body.
func FuzzMessage(f *testing.F) {
	s := newSource(f, nil)
	f.Add(sign(f, notice("Notification")), "Notification")
	f.Add(sign(f, notice("SubscriptionConfirmation")), "SubscriptionConfirmation")
	f.Add(sign(f, notice("UnsubscribeConfirmation")), "UnsubscribeConfirmation")
	f.Add(notificationOf(f, readTestdata(f, "alarm.json")), "Notification")
	f.Add([]byte(`{"Type":"Notification","Message":"\"{}\""}`), "Notification")
	seeds := intaketest.Fixtures(f, "testdata/signed/*.json", "../cloudtrail/testdata/guardduty/*.json", "../cloudtrail/testdata/eventbridge/envelopes/*.json")
	for _, p := range append(seeds, intaketest.Corpus(f, "aws-sns/*.json", "aws-guardduty/*.json", "aws-eventbridge/envelopes/*.json")...) {
		f.Add(p.Body, "Notification")
		f.Add(notificationOf(f, string(p.Body)), "Notification")
	}
	genuine := map[string]bool{}
	for _, kind := range []string{"Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"} {
		var m map[string]string
		if err := json.Unmarshal(sign(f, notice(kind)), &m); err != nil {
			f.Fatal(err)
		}
		genuine[m["Signature"]] = true
	}
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		if _, err := s.Verify(t.Context(), header(kind), body, now); err == nil {
			var m map[string]any
			if json.Unmarshal(body, &m) != nil || !genuine[m["Signature"].(string)] {
				t.Errorf("Verify accepted an unsigned body: %s", body)
			}
		}
		_, _ = intaketest.Decode(t, s, nil, body)
	})
}

// BenchmarkDecode decodes notifications with a CloudTrail record.
func BenchmarkDecode(b *testing.B) {
	s, body := newSource(b, nil), notificationOf(b, readTestdata(b, "../../cloudtrail/testdata/envelope.json"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Decode(nil, body); err != nil {
			b.Fatal(err)
		}
	}
}
