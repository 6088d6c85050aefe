package sentry_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
	"tocsin/bot/intake/intaketest"
	"tocsin/bot/secret"
	"tocsin/bot/sentry"
)

var source = sentry.New(sentry.Config{ClientSecrets: []secret.String{secret.New("old"), secret.New("new")}})

func sign(key string, body []byte) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

func header(resource string) http.Header {
	return http.Header{"Sentry-Hook-Resource": {resource}}
}

func fixture(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decodeOne(t *testing.T, resource string, body []byte) incident.Signal {
	t.Helper()
	got, err := source.Decode(header(resource), body)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 {
		t.Fatalf("got %d signals, want 1", len(got))
	}
	return got[0]
}

func decodeAlert(t *testing.T, resource string, body []byte) incident.Alert {
	t.Helper()
	s := decodeOne(t, resource, body)
	if s.Alert == nil {
		t.Fatalf("got %+v, want an alert", s)
	}
	return *s.Alert
}

func TestVerify(t *testing.T) {
	body := []byte(`{"a":"é"}`)
	tests := []struct {
		name, signature string
		ok              bool
	}{
		{"first secret", sign("old", body), true},
		{"second secret", sign("new", body), true},
		{"upper case", strings.ToUpper(sign("new", body)), true},
		{"wrong secret", sign("third", body), false},
		{"empty secret", sign("", body), false},
		{"changed body", sign("new", append(body, ' ')), false},
		{"no signature", "", false},
		{"not hex", "sha256=" + sign("new", body), false},
		{"truncated", sign("new", body)[:32], false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"Sentry-Hook-Signature": {tt.signature}, "Request-Id": {"r-1"}}
			id, err := source.Verify(t.Context(), h, body, time.Time{})
			if tt.ok && (err != nil || id != "") {
				t.Errorf("got id %q, error %v; want an empty id", id, err)
			}
			if !tt.ok && incident.CodeOf(err) != incident.CodeForbidden {
				t.Errorf("got error %v, want forbidden", err)
			}
		})
	}
}

func TestVerify_NoSecretConfigured(t *testing.T) {
	for _, s := range []*sentry.Source{sentry.New(sentry.Config{}), sentry.New(sentry.Config{ClientSecrets: []secret.String{{}}})} {
		_, err := s.Verify(t.Context(), http.Header{"Sentry-Hook-Signature": {sign("", nil)}}, nil, time.Time{})
		if err == nil || incident.CodeOf(err) != "" {
			t.Errorf("got error %v, want an error without a domain code", err)
		}
	}
}

func TestDecode_Issue(t *testing.T) {
	got := decodeAlert(t, "issue", fixture(t, "issue-created.json"))
	want := incident.Alert{
		Source: "sentry", Kind: "sentry.issue", Level: incident.LevelCritical, Title: "KeyError: 'iban'",
		Detail: "Culprit: payroll.export in write_row\nIssue: PAYROLL-7\nState: unresolved new\nCategory: error\nPriority: high\n" +
			"Events: 3\nUsers affected: 2\nFirst seen: 2026-11-02T22:01:00.679000+00:00",
		Fingerprint: "sentry.issue:acme:4711", Correlation: "sentry:acme/payroll-api", EventID: "4711",
		At:  time.Date(2026, 11, 3, 2, 30, 0, 738e6, time.UTC),
		URL: "https://acme.sentry.io/issues/4711/", Project: "payroll-api",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDecode_EventAlert(t *testing.T) {
	got := decodeAlert(t, "event_alert", fixture(t, "event_alert-triggered.json"))
	want := incident.Alert{
		Source: "sentry", Kind: "sentry.event_alert", Level: incident.LevelHigh, Title: "LeakDetected: salary in public response",
		Detail: "Alert rule: Personal data in a response\nCulprit: payroll.api in export\nRequest: GET https://api.acme.example/export\n" +
			"LeakDetected: salary in public response\n  at write_row (payroll/export.py:12)\n  at export (payroll/api.py:88)",
		Fingerprint: "sentry.event_alert:acme:4711:Personal data in a response", Correlation: "sentry:acme/payroll-api",
		EventID: "eb8450ae2a1c5ed5571342c3967d286c", At: time.Date(2026, 11, 3, 2, 31, 7, 677e6, time.UTC),
		URL:     "https://acme.sentry.io/organizations/acme/issues/4711/events/eb8450ae2a1c5ed5571342c3967d286c/",
		Project: "payroll-api", Release: "payroll@1.4.2", Environment: "production", Principal: "17", Address: "198.51.100.7",
		Tags: map[string]string{"data_leak": "true", "environment": "production"}, Rule: "Personal data in a response",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDecode_OccurrencesShareFingerprint(t *testing.T) {
	body := fixture(t, "event_alert-triggered.json")
	other := bytes.ReplaceAll(body, []byte("eb8450ae2a1c5ed5571342c3967d286c"), []byte("00000000000000000000000000000001"))
	other = bytes.ReplaceAll(other, []byte("2026-11-03T02:31:07.677000Z"), []byte("2026-11-03T02:32:00Z"))
	a, b := decodeAlert(t, "event_alert", body), decodeAlert(t, "event_alert", other)
	if a.Fingerprint != b.Fingerprint || a.EventID == b.EventID || a.At.Equal(b.At) {
		t.Errorf("got fingerprints %q and %q, events %q and %q", a.Fingerprint, b.Fingerprint, a.EventID, b.EventID)
	}
}

func TestDecode_ProjectSharesCorrelationKey(t *testing.T) {
	issue := decodeAlert(t, "issue", fixture(t, "issue-created.json"))
	event := decodeAlert(t, "event_alert", fixture(t, "event_alert-triggered.json"))
	metric := decodeAlert(t, "metric_alert", fixture(t, "metric_alert-critical.json"))
	if issue.Correlation != event.Correlation || issue.Correlation != metric.Correlation {
		t.Errorf("got correlation keys %q, %q, %q", issue.Correlation, event.Correlation, metric.Correlation)
	}
	if issue.Fingerprint == event.Fingerprint || issue.Kind == event.Kind {
		t.Errorf("got fingerprints %q, %q", issue.Fingerprint, event.Fingerprint)
	}
}

func TestDecode_MetricAlert(t *testing.T) {
	critical := fixture(t, "metric_alert-critical.json")
	a := decodeAlert(t, "metric_alert", critical)
	if a.Level != incident.LevelCritical || a.Title != "Critical: Too many errors" || a.Rule != "Too many errors" || a.At.IsZero() ||
		a.Fingerprint != "sentry.metric_alert:acme:7:critical" || !strings.Contains(a.Detail, "1000 events") {
		t.Errorf("got alert %+v", a)
	}
	if w := decodeAlert(t, "metric_alert", bytes.Replace(critical, []byte(`"critical"`), []byte(`"warning"`), 1)); w.Level != incident.LevelMedium {
		t.Errorf("warning: got level %s, want medium", w.Level)
	}
	s := decodeOne(t, "metric_alert", bytes.Replace(critical, []byte(`"critical"`), []byte(`"resolved"`), 1))
	if s.Command == nil || s.Subject.Correlation != a.Correlation {
		t.Errorf("resolved: got %+v, want a note", s)
	}
}

func TestDecode_IssueNotes(t *testing.T) {
	tests := []struct{ action, old, new, want string }{
		{"resolved", `"sentry","name":"Sentry"`, `3,"name":"Ada"`, `Sentry: PAYROLL-7 "KeyError: 'iban'": resolved by Ada`},
		{"assigned", `"assignedTo":null`, `"assignedTo":{"type":"user","id":3,"name":"Grace"}`, `Sentry: PAYROLL-7 "KeyError: 'iban'": assigned to Grace by Sentry`},
		{"archived", `"substatus":"new"`, `"substatus":"archived_forever"`, `Sentry: PAYROLL-7 "KeyError: 'iban'": archived (archived forever) by Sentry`},
		{"ignored", `"substatus":"new"`, `"substatus":null`, `Sentry: PAYROLL-7 "KeyError: 'iban'": ignored by Sentry`},
	}
	for _, tt := range tests {
		t.Run(tt.action, func(t *testing.T) {
			body := strings.Replace(string(fixture(t, "issue-created.json")), `"created"`, `"`+tt.action+`"`, 1)
			s := decodeOne(t, "issue", []byte(strings.Replace(body, tt.old, tt.new, 1)))
			if s.Command == nil || s.Alert != nil {
				t.Fatalf("got signal %+v, want a command", s)
			}
			if s.Command.Verb != incident.VerbSourceNote || s.Command.Text != tt.want || s.Command.Via != incident.ViaSource ||
				s.Command.By != (incident.Identity{Provider: incident.ProviderSource, ID: "sentry"}) {
				t.Errorf("got command %+v", s.Command)
			}
			if s.Subject.Correlation != "sentry:acme/payroll-api" {
				t.Errorf("got subject %+v", s.Subject)
			}
		})
	}
}

func TestDecode_UnresolvedSharesFingerprint(t *testing.T) {
	body := fixture(t, "issue-created.json")
	unresolved := decodeAlert(t, "issue", bytes.Replace(body, []byte(`"created"`), []byte(`"unresolved"`), 1))
	if unresolved.Fingerprint != decodeAlert(t, "issue", body).Fingerprint {
		t.Errorf("got fingerprint %q, want the fingerprint of the created issue", unresolved.Fingerprint)
	}
}

func TestDecode_Resources(t *testing.T) {
	const (
		alert = "alert"
		none  = "none"
		fails = "fails"
	)
	tests := []struct{ name, resource, body, want string }{
		{"error", "error", `{"action":"created","data":{"error":{"event_id":"e","issue_id":5}}}`, alert},
		{"activity alert", "activity_alert", `{"action":"triggered","data":{"issue":{"id":1},"activity":{"type":"x"},"alert":{"title":"r"}}}`, alert},
		{"installation removed", "installation", `{"action":"deleted","data":{"installation":{"uuid":"u"}}}`, alert},
		{"installation created", "installation", `{"action":"created","data":{"installation":{"code":"c"}}}`, none},
		{"comment", "comment", `{"action":"created","data":{"comment":"c","comment_id":1}}`, none},
		{"seer", "seer", `{}`, none},
		{"ids of the wrong type", "issue", `{"action":"created","actor":[1],"data":{"issue":{"id":7,"title":{"a":1},"project":"p","count":[]}}}`, alert},
		{"repeated keys", "issue", `{"action":"resolved","action":"created","data":{"issue":{"id":"1","id":"2"}}}`, alert},
		{"deeply nested", "issue", `{"action":"created","data":{"issue":{"id":"1","x":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}}}`, alert},
		{"nested too deeply", "issue", `{"action":"created","x":` + strings.Repeat("[", 11000) + strings.Repeat("]", 11000) + `}`, fails},
		{"unknown resource", "replay", `{"action":"created"}`, fails},
		{"unknown action", "issue", `{"action":"sold","data":{"issue":{"id":"1"}}}`, fails},
		{"no resource", "", `{"id":"1","event":{}}`, fails},
		{"issue without id", "issue", `{"action":"created","data":{"issue":{"title":"t"}}}`, fails},
		{"no data", "event_alert", `{"action":"triggered"}`, fails},
		{"data of the wrong type", "metric_alert", `{"action":"critical","data":[]}`, fails},
		{"an array", "issue", `[]`, fails},
		{"null", "comment", `null`, fails},
		{"not JSON", "issue", `{`, fails},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := source.Decode(header(tt.resource), []byte(tt.body))
			switch {
			case tt.want == fails && (err == nil || got != nil):
				t.Errorf("got %+v, error %v; want an error", got, err)
			case tt.want == none && (err != nil || got != nil):
				t.Errorf("got %+v, error %v; want no signal", got, err)
			case tt.want == alert && (err != nil || len(got) != 1 || got[0].Alert == nil || got[0].Alert.Title == "" || got[0].Alert.Fingerprint == ""):
				t.Errorf("got %+v, error %v; want an alert", got, err)
			}
		})
	}
}

func TestDecode_Levels(t *testing.T) {
	for in, want := range map[string]incident.Level{
		"fatal": "critical", "error": "high", "warning": "medium", "info": "low", "debug": "informational", "": "medium", "new": "medium", "FATAL": "critical",
	} {
		body := `{"action":"created","data":{"issue":{"id":"1","level":"` + in + `"}}}`
		if a := decodeAlert(t, "issue", []byte(body)); a.Level != want {
			t.Errorf("level %q: got %s, want %s", in, a.Level, want)
		}
	}
}

func TestDecode_InvalidURLs(t *testing.T) {
	a := decodeAlert(t, "issue", []byte(`{"action":"created","data":{"issue":{"id":"1","web_url":"javascript:alert(1)","permalink":"//x"}}}`))
	if a.URL != "" {
		t.Errorf("got URL %q, want none", a.URL)
	}
}

// TestDecode_DocumentedSamples decodes one payload of each resource that Sentry
// documents.
func TestDecode_DocumentedSamples(t *testing.T) {
	intaketest.OnBoth(t, []string{"testdata/documented/*-*.json"}, []string{"sentry/*-*.json"}, func(t *testing.T, payloads []intaketest.Payload) {
		for _, p := range payloads {
			resource, _, _ := strings.Cut(p.Name, "-")
			if resource == "headers" {
				continue
			}
			t.Run(resource, func(t *testing.T) {
				got, err := source.Decode(header(resource), p.Body)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range got {
					if a := s.Alert; a != nil && (a.Title == "" || a.At.IsZero() || a.Fingerprint == "" || a.URL == "" || a.Project == "" || strings.Contains(a.Correlation, "//")) {
						t.Errorf("got alert %+v, want a title, a time, a fingerprint, a link, a project and a correlation", a)
					}
				}
			})
		}
	})
}

func TestSource_HostileBodies(t *testing.T) {
	intaketest.Hostile(t, intaketest.SourceCase{Source: source, Genuine: fixture(t, "issue-created.json"), Signed: func(body []byte) http.Header {
		h := header("issue")
		h.Set("Sentry-Hook-Signature", sign("new", body))
		return h
	}})
}

func FuzzDecode(f *testing.F) {
	for _, r := range []string{"issue", "event_alert", "error", "metric_alert", "activity_alert", "installation", "comment"} {
		f.Add(r, []byte(`{"action":"created","actor":{"id":1},"data":{"issue":{"id":"1"},"event":{"tags":[["a","b"],{}]}}}`))
	}
	for _, n := range []string{"issue-created.json", "event_alert-triggered.json", "metric_alert-critical.json"} {
		resource, _, _ := strings.Cut(n, "-")
		f.Add(resource, fixture(f, n))
	}
	for _, p := range append(intaketest.Fixtures(f, "testdata/documented/*-*.json"), intaketest.Corpus(f, "sentry/*-*.json")...) {
		resource, _, _ := strings.Cut(p.Name, "-")
		f.Add(resource, p.Body)
	}
	f.Fuzz(func(t *testing.T, resource string, body []byte) {
		if _, err := intaketest.Decode(t, source, header(resource), body); err == nil && !json.Valid(body) {
			t.Fatal("invalid JSON: got no error, want one")
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	body := fixture(b, "event_alert-triggered.json")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := source.Decode(header("event_alert"), body); err != nil {
			b.Fatal(err)
		}
	}
}
