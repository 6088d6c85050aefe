package cloudtrail_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
)

func decodeOne(t *testing.T, body []byte) incident.Signal {
	t.Helper()
	got, err := source.Decode(nil, body)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d signals, %v of %s", len(got), err, body)
	}
	return got[0]
}

func replaced(t *testing.T, body []byte, pairs ...string) []byte {
	t.Helper()
	for n := 0; n < len(pairs); n += 2 {
		if !bytes.Contains(body, []byte(pairs[n])) {
			t.Fatalf("%s is not there", pairs[n])
		}
		body = bytes.Replace(body, []byte(pairs[n]), []byte(pairs[n+1]), 1)
	}
	return body
}

func detail(t *testing.T, body []byte) []byte {
	t.Helper()
	var env struct{ Detail json.RawMessage }
	if err := json.Unmarshal(body, &env); err != nil {
		t.Fatal(err)
	}
	return env.Detail
}

// The same event has the same name by every door, and another event another.
func TestEventsAreNamed(t *testing.T) {
	record, finding, alarm := fixture(t, "envelope.json"), fixture(t, "guardduty.json"), fixture(t, "alarm.json")
	hub := fixture(t, "securityhub.json")
	for name, same := range map[string][2][]byte{
		"a record in its envelope and bare":          {record, detail(t, record)},
		"a record in an envelope of another account": {record, replaced(t, record, `"account":"111122223333"`, `"account":"999900009999"`)},
		"a finding at two buses":                     {finding, replaced(t, finding, `"id":"8f5fa7d9-0000-0000-0000-c890a0c38127"`, `"id":"another"`)},
		"a finding in its envelope and bare":         {finding, detail(t, finding)},
		"an alarm by EventBridge and by SNS":         {alarm, fixture(t, "alarm-sns.json")},
		"a finding of Security Hub sent twice":       {hub, replaced(t, hub, `"id":"8e5622f9`, `"id":"9e5622f9`)},
	} {
		a, b := decodeOne(t, same[0]), decodeOne(t, same[1])
		if a.Event == "" || a.Event != b.Event || a.Alert.Fingerprint != b.Alert.Fingerprint || a.Alert.Correlation != b.Alert.Correlation || a.Alert.Source != b.Alert.Source ||
			a.Alert.Level != b.Alert.Level || a.Alert.Kind != b.Alert.Kind {
			t.Errorf("%s: %q and %q\n%s", name, a.Event, b.Event, cmp.Diff(a.Alert, b.Alert))
		}
	}
	for name, other := range map[string][2][]byte{
		"another record":                {record, replaced(t, record, `"eventID":"22222222`, `"eventID":"32222222`)},
		"the record of another account": {detail(t, record), replaced(t, detail(t, record), `"recipientAccountId":"111122223333"`, `"recipientAccountId":"999900009999"`)},
		"a finding's update":            {finding, replaced(t, finding, `"updatedAt":"2026-11-03T02:39:00Z"`, `"updatedAt":"2026-11-03T08:39:00Z"`)},
		"a finding that counts more":    {finding, replaced(t, finding, `"count":3`, `"count":4`)},
		"an alarm's next state":         {alarm, replaced(t, alarm, `02:30:27.123`, `03:30:27.123`)},
		"Security Hub's update":         {hub, replaced(t, hub, `"UpdatedAt":"2026-11-03T02:39`, `"UpdatedAt":"2026-11-03T03:39`)},
		"Security Hub's finding, resolved by a person without an update": {hub, replaced(t, hub, `"Status":"NEW"`, `"Status":"RESOLVED"`)},
	} {
		if a, b := decodeOne(t, other[0]), decodeOne(t, other[1]); a.Event == b.Event {
			t.Errorf("%s is taken for the same: %q", name, a.Event)
		}
	}
	for _, nameless := range []string{`{"eventName":"X","eventSource":"s3.amazonaws.com"}`, `{"id":"f","type":"T","severity":5}`,
		`{"AlarmName":"a","NewStateValue":"ALARM"}`} {
		if got := decodeOne(t, []byte(nameless)); got.Event != "" {
			t.Errorf("%s is called %q: another like it would not count", nameless, got.Event)
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
		t.Errorf("as SNS carries it: %s", d)
	}
	over := decodeOne(t, replaced(t, body, `"value":"ALARM"`, `"value":"OK"`))
	if over.Command == nil || over.Command.Verb != incident.VerbSourceNote || over.Subject.Correlation != want.Correlation || over.Alert != nil {
		t.Errorf("over: %+v", over)
	}
	blind := decodeOne(t, replaced(t, body, `"value":"ALARM"`, `"value":"INSUFFICIENT_DATA"`))
	if blind.Alert.Level != incident.LevelLow || blind.Alert.Fingerprint == want.Fingerprint {
		t.Errorf("without data: %+v", blind)
	}
}

func TestDecodeSecurityHub(t *testing.T) {
	body := fixture(t, "securityhub.json")
	got := decodeOne(t, body)
	want := &incident.Alert{
		Source: "cloudtrail", Kind: "securityhub.Sensitive Data Identifications/PII", Level: incident.LevelHigh, Title: "Payslips in a public bucket",
		Detail: "The object holds names and salaries.\nType: Sensitive Data Identifications/PII\nSeverity: HIGH\nProduct: Macie\n" +
			"Resources: AwsS3Bucket arn:aws:s3:::payslips\nWhat to do: Close the bucket. https://docs.aws.amazon.com/macie/",
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
			t.Errorf("severity %s became %s, want %s", severity, a.Alert.Level, level)
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
			t.Errorf("%s: correlation %s, want %s", resource, a.Alert.Correlation, key)
		}
	}
	picked := []string{"Findings - Imported", "Findings - Custom Action", `"detail":{`, `"detail":{"actionName":"To Tocsin",`}
	for name, change := range map[string][]string{
		"resolved": {`"Status":"NEW"`, `"Status":"RESOLVED"`}, "suppressed": {`"Status":"NEW"`, `"Status":"SUPPRESSED"`},
		"archived": {`"RecordState":"ACTIVE"`, `"RecordState":"ARCHIVED"`},
	} {
		over := decodeOne(t, replaced(t, body, change...))
		if over.Command == nil || over.Command.Verb != incident.VerbSourceNote || over.Subject.Correlation != want.Correlation || !strings.Contains(over.Command.Text, name) {
			t.Errorf("%s: %+v", name, over)
		}
		by := decodeOne(t, replaced(t, body, append(picked, change...)...))
		if by.Alert == nil || by.Alert.Tags["action"] != "To Tocsin" || by.Event == got.Event || by.Event == "" {
			t.Errorf("%s, and picked by a person: %+v", name, by)
		}
	}
	passed := []string{`"RecordState":"ACTIVE"`, `"Compliance":{"Status":"PASSED"}`}
	if got, err := source.Decode(nil, replaced(t, body, passed...)); err != nil || len(got) != 0 {
		t.Errorf("a check that passes became %+v, %v", got, err)
	}
	if by := decodeOne(t, replaced(t, body, append(picked, passed...)...)); by.Alert == nil {
		t.Errorf("a check that passes, picked by a person: %+v", by)
	}
	first, again := decodeOne(t, replaced(t, body, `"Status":"NEW"`, `"Status":"RESOLVED"`)), decodeOne(t, replaced(t, body, `"Status":"NEW"`, `"Status":"RESOLVED"`, `"UpdatedAt":"2026-11-03`, `"UpdatedAt":"2026-11-04`))
	if first.Subject.Fingerprint != want.Fingerprint {
		t.Errorf("resolved is said of %+v", first.Subject)
	}
	if first.Command.Key == "" || first.Command.Key != again.Command.Key {
		t.Errorf("resolved is said again the next day: %q and %q", first.Command.Key, again.Command.Key)
	}
	two, err := source.Decode(nil, replaced(t, body, `"findings":[`, `"findings":[7,{"Id":"f-2","Severity":{"Label":"LOW"}},`))
	if err != nil || len(two) != 3 || two[0].Alert.EventID != "f-2" || two[1].Alert.EventID != "f-1" || two[2].Alert.Kind != "securityhub.unreadable" {
		t.Errorf("%+v, %v", two, err)
	}
	for _, none := range []string{`{}`, `{"findings":[]}`, `{"findings":[null]}`, `{"findings":"x"}`} {
		if got, err := source.Decode(nil, []byte(`{"detail-type":"Security Hub Findings - Imported","detail":`+none+`}`)); err == nil {
			t.Errorf("%s became %+v", none, got)
		}
	}
}

func TestDecodePublishedEvents(t *testing.T) {
	files, _ := filepath.Glob("/work/shared/data/aws-eventbridge/envelopes/*.json")
	if len(files) == 0 {
		t.Skip("no published events are there")
	}
	kinds := map[string]int{}
	for _, f := range files {
		body, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := source.Decode(nil, body)
		hub := strings.Contains(f, "finding-action") || strings.Contains(f, "lambda-cross")
		if hub && (err != nil || len(got) == 0) {
			t.Errorf("%s: %v", f, err)
		}
		for _, s := range got {
			kind, _, _ := strings.Cut(s.Alert.Kind, ".")
			kinds[kind]++
			if hub && (s.Event == "" || s.Alert.At.IsZero() || s.Alert.Account == "") {
				t.Errorf("%s: %+v", f, s)
			}
		}
	}
	t.Logf("%v of %d files", kinds, len(files))
}
