package cloudtrail_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
	"tocsin/bot/intake/intaketest"
)

func decodeOne(t *testing.T, body []byte) incident.Signal {
	t.Helper()
	got, err := source.Decode(nil, body)
	if err != nil || len(got) != 1 {
		t.Fatalf("got %d signals, error %v, want 1 from %s", len(got), err, body)
	}
	return got[0]
}

// replaced returns body after replacements, given as pairs of old and new text. Each
// old text must occur.
func replaced(t *testing.T, body []byte, pairs ...string) []byte {
	t.Helper()
	for n := 0; n < len(pairs); n += 2 {
		if !bytes.Contains(body, []byte(pairs[n])) {
			t.Fatalf("%s does not occur in %s", pairs[n], body)
		}
		body = bytes.Replace(body, []byte(pairs[n]), []byte(pairs[n+1]), 1)
	}
	return body
}

// detail returns the detail of an envelope.
func detail(t *testing.T, body []byte) []byte {
	t.Helper()
	var env struct{ Detail json.RawMessage }
	if err := json.Unmarshal(body, &env); err != nil {
		t.Fatal(err)
	}
	return env.Detail
}

// An event has one name on every path, and different events have different names.
func TestDecode_EventNames(t *testing.T) {
	record, finding, alarm := fixture(t, "envelope.json"), fixture(t, "guardduty.json"), fixture(t, "alarm.json")
	hub := fixture(t, "securityhub.json")
	for name, same := range map[string][2][]byte{
		"record in its envelope and bare":          {record, detail(t, record)},
		"record in an envelope of another account": {record, replaced(t, record, `"account":"111122223333"`, `"account":"999900009999"`)},
		"finding on two buses":                     {finding, replaced(t, finding, `"id":"51184813-0000-0000-0000-c751b2b3be6c"`, `"id":"another"`)},
		"finding in its envelope and bare":         {finding, detail(t, finding)},
		"alarm from EventBridge and from SNS":      {alarm, fixture(t, "alarm-sns.json")},
		"Security Hub finding sent twice":          {hub, replaced(t, hub, `"id":"8e5622f9`, `"id":"9e5622f9`)},
	} {
		a, b := decodeOne(t, same[0]), decodeOne(t, same[1])
		if a.Event == "" || a.Event != b.Event || a.Alert.Fingerprint != b.Alert.Fingerprint || a.Alert.Correlation != b.Alert.Correlation || a.Alert.Source != b.Alert.Source ||
			a.Alert.Level != b.Alert.Level || a.Alert.Kind != b.Alert.Kind {
			t.Errorf("%s: got events %q and %q, want one name and equal alerts\n%s", name, a.Event, b.Event, cmp.Diff(a.Alert, b.Alert))
		}
	}
	for name, other := range map[string][2][]byte{
		"another record":                                  {record, replaced(t, record, `"eventID":"22222222`, `"eventID":"32222222`)},
		"record of another account":                       {detail(t, record), replaced(t, detail(t, record), `"recipientAccountId":"111122223333"`, `"recipientAccountId":"999900009999"`)},
		"update of a finding":                             {finding, replaced(t, finding, `"updatedAt":"2026-11-03T02:39:00Z"`, `"updatedAt":"2026-11-03T08:39:00Z"`)},
		"higher count of a finding":                       {finding, replaced(t, finding, `"count":3`, `"count":4`)},
		"next state of an alarm":                          {alarm, replaced(t, alarm, `02:30:27.123`, `03:30:27.123`)},
		"update of a Security Hub finding":                {hub, replaced(t, hub, `"UpdatedAt":"2026-11-03T02:39`, `"UpdatedAt":"2026-11-03T03:39`)},
		"Security Hub finding resolved without an update": {hub, replaced(t, hub, `"Status":"NEW"`, `"Status":"RESOLVED"`)},
	} {
		if a, b := decodeOne(t, other[0]), decodeOne(t, other[1]); a.Event == b.Event {
			t.Errorf("%s: got the name %q twice, want different names", name, a.Event)
		}
	}
	for _, body := range []string{`{"eventName":"X","eventSource":"s3.amazonaws.com"}`, `{"id":"f","type":"T","severity":5}`,
		`{"AlarmName":"a","NewStateValue":"ALARM"}`} {
		if got := decodeOne(t, []byte(body)); got.Event != "" {
			t.Errorf("%s: got event %q, want none without an ID or time", body, got.Event)
		}
	}
}

func TestDecodeAlarm(t *testing.T) {
	body := fixture(t, "alarm.json")
	got := decodeOne(t, body)
	want := &incident.Alert{
		Source: "cloudtrail", Kind: "cloudwatch.alarm", Level: incident.LevelMedium, Title: "CloudWatch alarm: payroll errors",
		Detail:      "Errors of the payroll run\nThreshold Crossed: 1 datapoint [12.0] was greater than the threshold (5.0).",
		Fingerprint: "cloudwatch|111122223333|eu-west-1|payroll errors|ALARM", Correlation: "cloudwatch:111122223333:eu-west-1:payroll errors",
		EventID: "arn:aws:cloudwatch:eu-west-1:111122223333:alarm:payroll errors/2026-11-03T02:30:27.123+0000",
		At:      time.Date(2026, 11, 3, 2, 30, 27, 123e6, time.UTC), Account: "111122223333", Region: "eu-west-1",
		URL:  "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#alarmsV2:alarm/payroll%20errors",
		Tags: map[string]string{"alarm": "payroll errors", "state": "ALARM", "state_before": "OK"},
	}
	if d := cmp.Diff(want, got.Alert); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want, decodeOne(t, fixture(t, "alarm-sns.json")).Alert); d != "" {
		t.Errorf("SNS: %s", d)
	}
	ended := decodeOne(t, replaced(t, body, `"value":"ALARM"`, `"value":"OK"`))
	if ended.Command == nil || ended.Command.Verb != incident.VerbSourceNote || ended.Subject.Correlation != want.Correlation || ended.Alert != nil {
		t.Errorf("OK: got %+v, want a note", ended)
	}
	noData := decodeOne(t, replaced(t, body, `"value":"ALARM"`, `"value":"INSUFFICIENT_DATA"`))
	if noData.Alert.Level != incident.LevelLow || noData.Alert.Fingerprint == want.Fingerprint {
		t.Errorf("INSUFFICIENT_DATA: got %+v, want level low and another fingerprint", noData)
	}
}

func TestDecodeSecurityHub(t *testing.T) {
	body := fixture(t, "securityhub.json")
	got := decodeOne(t, body)
	want := &incident.Alert{
		Source: "cloudtrail", Kind: "securityhub.Sensitive Data Identifications/PII", Level: incident.LevelHigh, Title: "Payslips in a public bucket",
		Detail: "The object holds names and salaries.\nType: Sensitive Data Identifications/PII\nSeverity: HIGH\nProduct: Macie\n" +
			"Resources: AwsS3Bucket arn:aws:s3:::payslips\nRemediation: Close the bucket. https://docs.aws.amazon.com/macie/",
		Fingerprint: "securityhub|111122223333|f-1", Correlation: "cloudtrail:111122223333:bucket/payslips", EventID: "f-1",
		At: time.Date(2026, 11, 3, 2, 39, 0, 0, time.UTC), Account: "111122223333", Region: "eu-west-1", Principal: "payslips", Rule: "Macie aws/macie",
		URL:  "https://eu-west-1.console.aws.amazon.com/securityhub/home?region=eu-west-1#/findings",
		Tags: map[string]string{"finding_type": "Sensitive Data Identifications/PII", "severity": "HIGH", "product": "Macie", "workflow": "NEW"},
	}
	if d := cmp.Diff(want, got.Alert); d != "" {
		t.Error(d)
	}
	for severity, level := range map[string]incident.Level{`{"Label":"CRITICAL"}`: "critical", `{"Label":"low"}`: "low", `{"Label":"INFORMATIONAL","Normalized":90}`: "informational",
		`{"Normalized":90}`: "critical", `{"Normalized":89}`: "high", `{"Normalized":40}`: "medium", `{"Normalized":1}`: "low", `{"Normalized":0}`: "informational", `{}`: "medium", `null`: "medium"} {
		if a := decodeOne(t, replaced(t, body, `{"Label":"HIGH","Normalized":70}`, severity)); a.Alert.Level != level {
			t.Errorf("severity %s: got %s, want %s", severity, a.Alert.Level, level)
		}
	}
	for resource, key := range map[string]string{
		`{"Type":"AwsIamAccessKey","Id":"AWS::IAM::AccessKey:AKIA1","Details":{"AwsIamAccessKey":{"PrincipalName":"ci","PrincipalType":"AssumedRole"}}}`: "role/ci",
		`{"Type":"AwsIamAccessKey","Id":"AWS::IAM::AccessKey:null","Details":{"AwsIamAccessKey":{"UserName":"ada"}}}`:                                    "user/ada",
		`{"Type":"AwsIamUser","Id":"arn:aws:iam::111122223333:user/path/ada"}`:                                                                           "user/ada",
		`{"Type":"AwsEc2Instance","Id":"arn:aws:ec2:eu-west-1:111122223333:instance/i-1"}`:                                                               "instance/i-1",
		`{"Type":"AwsAccount","Id":"AWS::::Account:111122223333"}`:                                                                                       "resource/AWS::::Account:111122223333",
		`{}`: "finding/f-1",
	} {
		a := decodeOne(t, replaced(t, body, `{"Type":"AwsS3Bucket","Id":"arn:aws:s3:::payslips","Partition":"aws","Region":"eu-west-1"}`, resource))
		if a.Alert.Correlation != "cloudtrail:111122223333:"+key {
			t.Errorf("%s: got correlation key %s, want %s", resource, a.Alert.Correlation, key)
		}
	}
	selected := []string{"Findings - Imported", "Findings - Custom Action", `"detail":{`, `"detail":{"actionName":"To Tocsin",`}
	for name, change := range map[string][]string{
		"resolved": {`"Status":"NEW"`, `"Status":"RESOLVED"`}, "suppressed": {`"Status":"NEW"`, `"Status":"SUPPRESSED"`},
		"archived": {`"RecordState":"ACTIVE"`, `"RecordState":"ARCHIVED"`},
	} {
		ended := decodeOne(t, replaced(t, body, change...))
		if ended.Command == nil || ended.Command.Verb != incident.VerbSourceNote || ended.Subject.Correlation != want.Correlation || !strings.Contains(ended.Command.Text, name) {
			t.Errorf("%s: got %+v, want a note", name, ended)
		}
		alert := decodeOne(t, replaced(t, body, append(selected, change...)...))
		if alert.Alert == nil || alert.Alert.Tags["action"] != "To Tocsin" || alert.Event == got.Event || alert.Event == "" {
			t.Errorf("%s and selected: got %+v, want an alert", name, alert)
		}
	}
	passed := []string{`"RecordState":"ACTIVE"`, `"Compliance":{"Status":"PASSED"}`}
	if got, err := source.Decode(nil, replaced(t, body, passed...)); err != nil || len(got) != 0 {
		t.Errorf("passed check: got %+v, error %v, want nothing", got, err)
	}
	if got := decodeOne(t, replaced(t, body, append(selected, passed...)...)); got.Alert == nil {
		t.Errorf("passed check and selected: got %+v, want an alert", got)
	}
	first, second := decodeOne(t, replaced(t, body, `"Status":"NEW"`, `"Status":"RESOLVED"`)), decodeOne(t, replaced(t, body, `"Status":"NEW"`, `"Status":"RESOLVED"`, `"UpdatedAt":"2026-11-03`, `"UpdatedAt":"2026-11-04`))
	if first.Subject.Fingerprint != want.Fingerprint {
		t.Errorf("got note on %+v, want fingerprint %s", first.Subject, want.Fingerprint)
	}
	if first.Command.Key == "" || first.Command.Key != second.Command.Key {
		t.Errorf("got command keys %q and %q on two days, want one key", first.Command.Key, second.Command.Key)
	}
	signals, err := source.Decode(nil, replaced(t, body, `"findings":[`, `"findings":[7,{"Id":"f-2","Severity":{"Label":"LOW"}},`))
	if err == nil || len(signals) != 2 || signals[0].Alert.EventID != "f-2" || signals[1].Alert.EventID != "f-1" {
		t.Errorf("got %+v, error %v, want f-2, f-1 and an error", signals, err)
	}
	for _, empty := range []string{`{}`, `{"findings":[]}`, `{"findings":[null]}`, `{"findings":"x"}`} {
		if got, err := source.Decode(nil, []byte(`{"detail-type":"Security Hub Findings - Imported","detail":`+empty+`}`)); err == nil {
			t.Errorf("%s: got %+v, want an error", empty, got)
		}
	}
}

func TestDecode_RecordedEvents(t *testing.T) {
	intaketest.OnBoth(t, []string{"testdata/eventbridge/envelopes/*.json"}, []string{"aws-eventbridge/envelopes/*.json"}, func(t *testing.T, payloads []intaketest.Payload) {
		kinds, hubs := map[string]int{}, 0
		for _, p := range payloads {
			got, err := source.Decode(nil, p.Body)
			hub := strings.Contains(p.Name, "finding-action") || strings.Contains(p.Name, "lambda-cross")
			if hub {
				hubs++
			}
			if hub && (err != nil || len(got) == 0) {
				t.Errorf("%s: got %d signals, %v, want at least one", p.Name, len(got), err)
			}
			for _, s := range got {
				kind, _, _ := strings.Cut(s.Alert.Kind, ".")
				kinds[kind]++
				if hub && (s.Event == "" || s.Alert.At.IsZero() || s.Alert.Account == "") {
					t.Errorf("%s: got %+v, want an event, a time and an account", p.Name, s)
				}
			}
		}
		if hubs != 3 {
			t.Errorf("got %d files with findings of Security Hub, want 3", hubs)
		}
		t.Logf("%v of %d files", kinds, len(payloads))
	})
}
