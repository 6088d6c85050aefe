package cloudtrail_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/cloudtrail"
	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/intake/intaketest"
	"tocsin/bot/secret"
)

// builtin returns the built-in rules.
func builtin() *detect.Ruleset {
	rs, _ := detect.Load(detect.Options{Builtin: true})
	return rs
}

var source = cloudtrail.New(cloudtrail.Config{APIKeys: []secret.String{secret.New("old key"), secret.New("new key")}}, builtin())

func fixture(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decodeAlert(t *testing.T, body []byte) incident.Alert {
	t.Helper()
	got, err := source.Decode(nil, body)
	if err != nil {
		t.Fatalf("decode %s: %v", body, err)
	}
	if len(got) != 1 || got[0].Alert == nil {
		t.Fatalf("got %+v, want one alert", got)
	}
	return *got[0].Alert
}

func TestVerify(t *testing.T) {
	for key, ok := range map[string]bool{"old key": true, "new key": true, "": false, "new key ": false, "NEW KEY": false} {
		_, err := source.Verify(t.Context(), http.Header{"X-Api-Key": {key}}, []byte(`{}`), time.Time{})
		if ok && err != nil || !ok && incident.CodeOf(err) != incident.CodeForbidden {
			t.Errorf("key %q: got error %v, want accepted %v", key, err, ok)
		}
	}
	other := cloudtrail.New(cloudtrail.Config{APIKeys: []secret.String{secret.New("k")}, Header: "X-Tocsin"}, nil)
	if _, err := other.Verify(t.Context(), http.Header{"X-Tocsin": {"k"}}, nil, time.Time{}); err != nil {
		t.Errorf("Header: got error %v, want none", err)
	}
	for _, s := range []*cloudtrail.Source{cloudtrail.New(cloudtrail.Config{}, nil), cloudtrail.New(cloudtrail.Config{APIKeys: []secret.String{{}}}, nil)} {
		if _, err := s.Verify(t.Context(), http.Header{"X-Api-Key": {""}}, nil, time.Time{}); err == nil || incident.CodeOf(err) != "" {
			t.Errorf("no key: got error %v, want a temporary one", err)
		}
	}
}

func TestDeliveryID(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"envelope", string(fixture(t, "envelope.json")), "111122223333/22222222-2222-2222-2222-222222222222"},
		{"finding", string(fixture(t, "guardduty.json")), "51184813-0000-0000-0000-c751b2b3be6c/8a160d1cf407d30366a02402f6d2c624/2026-11-03T02:39:00Z"},
		{"bare record", `{"eventID":"e","recipientAccountId":"1","eventName":"x"}`, "1/e"},
		{"bare finding", `{"id":"f","updatedAt":"u"}`, "f/u"},
		{"bare finding with a count", `{"id":"f","updatedAt":"u","service":{"count":2}}`, "f/u/2"},
		{"array", `[{"eventID":"e"}]`, ""},
		{"unknown shape", `{"x":1}`, ""},
		{"not JSON", `{`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id, err := source.Verify(t.Context(), http.Header{"X-Api-Key": {"new key"}}, []byte(tt.body), time.Time{})
			if err != nil || id != tt.want {
				t.Errorf("got ID %q, error %v, want %q", id, err, tt.want)
			}
		})
	}
}

func TestDecodeEnvelope(t *testing.T) {
	got := decodeAlert(t, fixture(t, "envelope.json"))
	want := incident.Alert{
		Source: "cloudtrail", Kind: "cloudtrail.CreateAccessKey", Level: incident.LevelHigh,
		Title: "Access key created for another user (CreateAccessKey by arn:aws:iam::111122223333:role/service/ci-deploy)",
		Detail: "The caller gains a second identity with permanent credentials.\n" +
			"Possible false positive: An administrator or infrastructure as code set up a user for a service. Find the corresponding change.\n" +
			"ATT&CK: persistence, t1098.001\nRule: Access key created for another user (2c1e6a34-93c5-4a0b-8a7e-5d1f3c8e7b01) by Tocsin\n" +
			"Event: iam.amazonaws.com CreateAccessKey\nAccount: 111122223333, us-east-1\nPrincipal: arn:aws:iam::111122223333:role/service/ci-deploy\n" +
			"Session: deploy-4711\nAccess key: ASIAEXAMPLE\nMFA: false\nTarget: payroll-export\nSource address: 203.0.113.7\nUser agent: aws-cli/2.15\n" +
			`Request: {"userName":"payroll-export"}`,
		Fingerprint: "cloudtrail|iam|CreateAccessKey|role/ci-deploy|111122223333|payroll-export|high",
		Correlation: "cloudtrail:111122223333:role/ci-deploy",
		EventID:     "22222222-2222-2222-2222-222222222222", At: time.Date(2026, 11, 3, 2, 30, 58, 0, time.UTC),
		URL:     "https://us-east-1.console.aws.amazon.com/cloudtrailv2/home?region=us-east-1#/events/22222222-2222-2222-2222-222222222222",
		Account: "111122223333", Region: "us-east-1", Principal: "arn:aws:iam::111122223333:role/service/ci-deploy", Address: "203.0.113.7",
		Rule: "Access key created for another user (2c1e6a34-93c5-4a0b-8a7e-5d1f3c8e7b01) by Tocsin",
		Tags: map[string]string{"event_source": "iam.amazonaws.com", "event_name": "CreateAccessKey", "event_type": "AwsApiCall", "identity_type": "AssumedRole",
			"read_only": "false", "mfa": "false", "rule_id": "2c1e6a34-93c5-4a0b-8a7e-5d1f3c8e7b01", "access_key": "ASIAEXAMPLE", "session": "deploy-4711", "address": "ip"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDecodeGuardDuty(t *testing.T) {
	body := fixture(t, "guardduty.json")
	got := decodeAlert(t, body)
	if got.Kind != "guardduty.UnauthorizedAccess:IAMUser/TorIPCaller" || got.Level != incident.LevelMedium || got.Account != "111122223333" ||
		got.Address != "198.51.100.9" || got.Sample || got.URL == "" || !got.At.Equal(time.Date(2026, 11, 3, 2, 39, 0, 0, time.UTC)) {
		t.Errorf("got alert %+v", got)
	}
	if record := decodeAlert(t, fixture(t, "envelope.json")); record.Correlation != got.Correlation {
		t.Errorf("got correlation keys %q of the finding and %q of a record of its role, want one key", got.Correlation, record.Correlation)
	}
	repeated := decodeAlert(t, bytes.Replace(body, []byte(`"count":3`), []byte(`"count":9`), 1))
	if repeated.Fingerprint != got.Fingerprint {
		t.Errorf("got fingerprint %q of a repeated finding, want %q", repeated.Fingerprint, got.Fingerprint)
	}
	for severity, want := range map[string]incident.Level{"9": "critical", "8.9": "high", "7": "high", "4.0": "medium", "3.9": "low", "1": "low", `"8"`: "high", `"x"`: "medium"} {
		if a := decodeAlert(t, bytes.Replace(body, []byte(`"severity":5.5`), []byte(`"severity":`+severity), 1)); a.Level != want {
			t.Errorf("severity %s: got %s, want %s", severity, a.Level, want)
		}
	}
	if a := decodeAlert(t, bytes.Replace(body, []byte(`"archived":false`), []byte(`"archived":true`), 1)); a.Level != incident.LevelInformational || a.Tags["archived"] != "true" {
		t.Errorf("archived: got %+v, want an informational alert", a)
	}
	for _, mark := range []string{`"additionalInfo":{"sample":true}`, `"additionalInfo":{"value":"{\"sample\":true}"}`} {
		b := bytes.Replace(body, []byte(`"additionalInfo":{"value":"{\"threatListName\":\"x\"}","type":"default"}`), []byte(mark), 1)
		if !decodeAlert(t, b).Sample {
			t.Errorf("%s: got Sample false, want true", mark)
		}
	}
	pascal := `{"AccountId":"1","Region":"eu-west-1","Id":"f","Type":"T:R/F","Severity":8,"Title":"t","UpdatedAt":"2026-11-03T02:39:00Z"}`
	if a := decodeAlert(t, []byte(pascal)); a.Level != incident.LevelHigh || a.EventID != "f" || a.Account != "1" {
		t.Errorf("Pascal case: got %+v", a)
	}
}

func TestDecode_Principals(t *testing.T) {
	tests := []struct{ name, identity, principal, correlation string }{
		{"user", `{"type":"IAMUser","arn":"arn:aws:iam::1:user/path/ada","userName":"ada","accessKeyId":"AKIA1"}`, "arn:aws:iam::1:user/path/ada", "user/ada"},
		{"user with another key", `{"type":"IAMUser","arn":"arn:aws:iam::1:user/path/ada","accessKeyId":"ASIA2"}`, "arn:aws:iam::1:user/path/ada", "user/ada"},
		{"role session without issuer", `{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/r/s"}`, "arn:aws:sts::1:assumed-role/r", "role/r"},
		{"session name with slashes", `{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/r/s/t"}`, "arn:aws:sts::1:assumed-role/r", "role/r"},
		{"root", `{"type":"Root","arn":"arn:aws:iam::1:root"}`, "arn:aws:iam::1:root", "root"},
		{"service", `{"type":"AWSService","invokedBy":"ec2.amazonaws.com"}`, "ec2.amazonaws.com", "service/ec2.amazonaws.com"},
		{"federated", `{"type":"SAMLUser","principalId":"X:ada","userName":"ada"}`, "ada", "user/ada"},
		{"role id", `{"type":"AssumedRole","principalId":"AROA:session"}`, "AROA", "principal/AROA"},
		{"another account", `{"type":"AWSAccount","accountId":"2"}`, "2", "account/2"},
		{"none", `{}`, "unknown", "unknown"},
		{"null", `null`, "unknown", "unknown"},
		{"string", `"ada"`, "unknown", "unknown"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := decodeAlert(t, fmt.Appendf(nil, `{"eventName":"X","eventSource":"s3.amazonaws.com","recipientAccountId":"1","userIdentity":%s}`, tt.identity))
			if a.Principal != tt.principal || a.Correlation != "cloudtrail:1:"+tt.correlation {
				t.Errorf("got principal %q, correlation key %q, want %q and %q", a.Principal, a.Correlation, tt.principal, "cloudtrail:1:"+tt.correlation)
			}
		})
	}
}

func TestDecode_SourceAddresses(t *testing.T) {
	for address, kind := range map[string]string{
		"203.0.113.7": "ip", "2001:db8::1": "ip", "AWS Internal": "aws service", "cloudformation.amazonaws.com": "aws service",
		"203.000.113.007": "not an address", "203.0.113.*": "not an address", "": "", "HIDDEN": "not an address",
	} {
		a := decodeAlert(t, fmt.Appendf(nil, `{"eventName":"X","eventSource":"s3.amazonaws.com","sourceIPAddress":%q}`, address))
		if a.Address != address || a.Tags["address"] != kind {
			t.Errorf("%q: got %q of kind %q, want kind %q", address, a.Address, a.Tags["address"], kind)
		}
	}
}

func TestDecode_RemovesAPIVersion(t *testing.T) {
	for in, want := range map[string]string{
		"GetFunction20150331v2": "GetFunction", "CreateFunction20150331": "CreateFunction", "CreateDistribution2020_05_31": "CreateDistribution",
		"ListBuckets": "ListBuckets", "20150331": "20150331",
	} {
		if a := decodeAlert(t, fmt.Appendf(nil, `{"eventName":%q,"eventSource":"lambda.amazonaws.com"}`, in)); a.Kind != "cloudtrail."+want {
			t.Errorf("%s: got kind %s, want cloudtrail.%s", in, a.Kind, want)
		}
	}
}

func TestDecode_RefusedAttemptHasOwnFingerprint(t *testing.T) {
	base := `{"eventName":"StopLogging","eventSource":"cloudtrail.amazonaws.com","recipientAccountId":"1","requestParameters":{"name":"trail"}`
	succeeded := decodeAlert(t, []byte(base+`}`))
	refused := decodeAlert(t, []byte(base+`,"errorCode":"AccessDenied","errorMessage":"no"}`))
	if succeeded.Level != incident.LevelCritical || succeeded.Fingerprint == refused.Fingerprint || succeeded.Correlation != refused.Correlation {
		t.Errorf("got %+v and refused %+v, want two fingerprints and one correlation key", succeeded, refused)
	}
	if want := "failed: AccessDenied"; !strings.HasSuffix(refused.Title, want) {
		t.Errorf("got title %q, want suffix %q", refused.Title, want)
	}
}

func TestDecodeShapes(t *testing.T) {
	const rec = `{"eventName":"ListBuckets","eventSource":"s3.amazonaws.com"}`
	tests := []struct {
		name, body string
		alerts     int // -1: an error without signals
	}{
		{"bare record", rec, 1},
		{"envelope without version and detail-type", `{"id":"1","detail":` + rec + `}`, 1},
		{"console sign-in", `{"detail-type":"AWS Console Sign In via CloudTrail","detail":` + rec + `}`, 1},
		{"array", `[` + rec + `,{"detail-type":"AWS API Call via CloudTrail","detail":` + rec + `}]`, 2},
		{"empty array", ` []`, 0},
		{"array of bad elements", `[1,"x",null]`, -1},
		{"log file", `{"Records":[` + rec + `,` + rec + `]}`, 2},
		{"fields of unexpected types", `{"eventName":"X","eventSource":"y.amazonaws.com","requestParameters":"{\"bucketName\":\"b\"}","responseElements":[1],"readOnly":"true","awsRegion":{},"eventTime":7}`, 1},
		{"repeated keys", `{"eventName":"A","eventName":"B","eventSource":"s"}`, -1},
		{"invalid UTF-8", "{\"eventName\":\"A\",\"eventSource\":\"s\",\"userAgent\":\"\xff\"}", -1},
		{"deeply nested", `{"eventName":"A","eventSource":"s","requestParameters":` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000) + `}`, -1},
		{"unsupported event", `{"detail-type":"EC2 Instance State-change Notification","source":"aws.ec2","detail":{"state":"running"}}`, -1},
		{"scheduled event", `{"detail-type":"Scheduled Event","detail":{}}`, -1},
		{"detail is not an object", `{"detail-type":"AWS API Call via CloudTrail","detail":"x"}`, -1},
		{"empty object", `{}`, -1},
		{"null", `null`, -1},
		{"number", `7`, -1},
		{"empty", ``, -1},
		{"not JSON", `{"eventName":`, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := source.Decode(nil, []byte(tt.body))
			if (err != nil) != (tt.alerts < 0) || len(got) != max(tt.alerts, 0) {
				t.Errorf("got %d signals, error %v, want %d (-1 means an error)", len(got), err, tt.alerts)
			}
		})
	}
}

// An element that cannot be read is reported. Its neighbours stay the same.
func TestDecode_OddElements(t *testing.T) {
	const rec = `{"eventName":"ListBuckets","eventSource":"s3.amazonaws.com","eventID":"e"}`
	const hub = `{"Id":"f","Title":"Exposed key","Severity":{"Label":"CRITICAL"}}`
	list := func(begin, end string) func([]string) []byte {
		return func(items []string) []byte { return []byte(begin + strings.Join(items, ",") + end) }
	}
	for name, c := range map[string]struct {
		wrap func([]string) []byte
		item string
		odd  map[string]bool // whether it can be read
	}{
		"records": {list("[", "]"), rec, map[string]bool{`{"x":1}`: false, `7`: false, `null`: false, `{"eventName":"A","eventName":"B","eventSource":"s"}`: false,
			`{"eventName":7,"eventSource":"s","userIdentity":[],"eventTime":{}}`: true, `{"detail-type":"GuardDuty Finding","detail":{"type":"T"}}`: true}},
		"log file": {list(`{"Records":[`, "]}"), rec, map[string]bool{`{"x":1}`: false, `"x"`: false}},
		"findings": {list(`{"detail-type":"Security Hub Findings - Imported","detail":{"findings":[`, "]}}"), hub,
			map[string]bool{`7`: false, `{}`: false, `{"Id":{}}`: false, `{"Title":"no Id","Severity":{"Label":"HIGH"}}`: true, `{"Id":"x","Severity":"HIGH","Resources":{}}`: true}},
	} {
		for odd, readable := range c.odd {
			other := strings.ReplaceAll(c.item, `"e"`, `"e2"`)
			intaketest.ItemByItem(t, source, nil, c.wrap, []string{c.item, other}, odd)
			got, err := source.Decode(nil, c.wrap([]string{odd, c.item}))
			var unread *intake.Unread
			switch {
			case readable && (err != nil || len(got) != 2):
				t.Errorf("%s: %s: got %d signals, error %v; want 2", name, odd, len(got), err)
			case !readable && (len(got) != 1 || !errors.As(err, &unread) || unread.Bad != 1 || unread.Items != 2):
				t.Errorf("%s: %s: got %d signals, error %v; want 1 of 2 items unread", name, odd, len(got), err)
			}
		}
	}
}

// TestDecode_RecordedIntrusion decodes the records of an intrusion. The built-in
// rules have to see its steps.
func TestDecode_RecordedIntrusion(t *testing.T) {
	intaketest.OnBoth(t, []string{"testdata/records/*.json", "testdata/guardduty/*.json"}, []string{"cloudtrail-invictus/records/*.json", "aws-guardduty/*.json"}, func(t *testing.T, payloads []intaketest.Payload) {
		levels := map[incident.Level]int{}
		rules := map[string]int{}
		for _, p := range payloads {
			var file struct{ Records []json.RawMessage }
			if err := json.Unmarshal(p.Body, &file); err != nil {
				t.Fatal(err)
			}
			got, err := source.Decode(nil, p.Body)
			if err != nil || len(got) != max(len(file.Records), 1) {
				t.Fatalf("%s: got %d signals, %v, want %d", p.Name, len(got), err, max(len(file.Records), 1))
			}
			for _, s := range got {
				levels[s.Alert.Level]++
				rules[s.Alert.Tags["rule_id"]]++
				if s.Alert.At.IsZero() || s.Alert.Account == "" || s.Alert.EventID == "" || s.Alert.URL == "" {
					t.Errorf("got %+v, want a time, an account, an event and a link", s.Alert)
				}
			}
		}
		t.Logf("levels %v", levels)
		seen := map[string]bool{}
		for _, r := range builtin().Rules() {
			seen[r.Name] = rules[r.ID] > 0
		}
		for _, want := range []string{"trail-stopped", "access-key-for-another-user", "administrator-policy-attached", "snapshot-shared",
			"console-login-without-mfa", "severe-call-refused", "trail-blinded", "identity-provider-changed"} {
			if !seen[want] {
				t.Errorf("got hits of %v, want %s among them", rules, want)
			}
		}
	})
}

func TestHostileBodies(t *testing.T) {
	for _, genuine := range []string{"envelope.json", "guardduty.json"} {
		t.Run(genuine, func(t *testing.T) {
			intaketest.Hostile(t, intaketest.SourceCase{Source: source, Genuine: fixture(t, genuine), Signed: func([]byte) http.Header { return http.Header{"X-Api-Key": {"new key"}} }})
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(fixture(f, "envelope.json"))
	f.Add(fixture(f, "guardduty.json"))
	f.Add([]byte(`[{"eventName":"A","eventSource":"s","requestParameters":{"ipPermissions":{"items":[{"fromPort":22,"x":"0.0.0.0/0"}]}}},1]`))
	f.Add([]byte(`{"eventName":"PutBucketPolicy","eventSource":"s3.amazonaws.com","requestParameters":{"bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]}}]}}}`))
	f.Add([]byte(`{"Records":[{"eventName":"CreateRole","eventSource":"iam.amazonaws.com","requestParameters":"{\"assumeRolePolicyDocument\":\"%7B%7D\"}"}]}`))
	seeds := intaketest.Fixtures(f, "testdata/eventbridge/*/*.json", "testdata/guardduty/*.json", "testdata/records/*.json", "testdata/others/*.json")
	seeds = append(seeds, intaketest.Corpus(f, "aws-eventbridge/*/*.json", "aws-guardduty/*.json", "cloudtrail-invictus/records/*.json", "aws-lambda-go/*.json")...)
	for _, p := range seeds {
		f.Add(p.Body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := intaketest.Decode(t, source, nil, body); err == nil && !json.Valid(body) {
			t.Fatalf("Decode accepted a body that is not JSON: %q", body)
		}
		if _, err := source.Verify(t.Context(), http.Header{"X-Api-Key": {string(body)}}, body, time.Time{}); err == nil && string(body) != "new key" && string(body) != "old key" {
			t.Fatalf("Verify accepted the key %q", body)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	body := fixture(b, "envelope.json")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := source.Decode(nil, body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDelivery verifies and decodes EventBridge deliveries, as the webhook and the
// drain do.
func BenchmarkDelivery(b *testing.B) {
	deliveries := append(intaketest.Fixtures(b, "testdata/envelope.json"), intaketest.Fixtures(b, "testdata/eventbridge/envelopes/cloudtrail-*.json")...)
	header := http.Header{"X-Api-Key": {"new key"}}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		body := deliveries[n%len(deliveries)].Body
		n++
		if id, err := source.Verify(b.Context(), header, body, time.Time{}); err != nil || id == "" {
			b.Fatalf("got ID %q, error %v", id, err)
		}
		if _, err := source.Decode(nil, body); err != nil {
			b.Fatal(err)
		}
	}
}
