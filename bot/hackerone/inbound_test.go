package hackerone_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/hackerone"
	"tocsin/bot/incident"
	"tocsin/bot/intake/intaketest"
	"tocsin/bot/secret"
)

var source = hackerone.New(hackerone.Config{Secrets: []secret.String{secret.New("old"), secret.New("new"), {}}})

func sign(key string, body []byte) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write(body)
	return "sha256=" + hex.EncodeToString(m.Sum(nil))
}

func created(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/report_created.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func event(name string) http.Header {
	h := http.Header{}
	h.Set("X-H1-Event", name)
	return h
}

func TestVerify(t *testing.T) {
	body := []byte(`{"a":"é"}`)
	tests := []struct {
		name, signature string
		ok              bool
	}{
		{"first secret", sign("old", body), true},
		{"second secret", sign("new", body), true},
		{"wrong secret", sign("third", body), false},
		{"empty secret", sign("", body), false},
		{"changed body", sign("new", append(body, ' ')), false},
		{"no prefix", strings.TrimPrefix(sign("new", body), "sha256="), false},
		{"no signature", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			h.Set("X-H1-Signature", tt.signature)
			h.Set("X-H1-Delivery", "anything")
			id, err := source.Verify(t.Context(), h, body, time.Time{})
			if tt.ok && (err != nil || id != "") {
				t.Errorf("got id %q, error %v; want an empty id", id, err)
			}
			if !tt.ok && incident.CodeOf(err) != incident.CodeForbidden {
				t.Errorf("got error %v, want forbidden", err)
			}
		})
	}
	if _, err := hackerone.New(hackerone.Config{}).Verify(t.Context(), http.Header{}, body, time.Time{}); err == nil || incident.CodeOf(err) != "" {
		t.Errorf("no secret configured: got error %v, want an error without a domain code", err)
	}
}

func TestDecode_NewReport(t *testing.T) {
	got, err := source.Decode(event("report_created"), created(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []incident.Signal{{Alert: &incident.Alert{
		Source: "report", Kind: "report.hackerone", Level: incident.LevelHigh, Title: "IDOR in /payslips shows <b>other people's</b> salaries",
		Detail: "Report: HackerOne 4242\nReporter: hacker7\nSeverity: high (8.1)\nWeakness: Insecure Direct Object Reference\nAsset: app.example.com\n" +
			"## Steps\n![x](https://evil.example/track.png)\n[click](javascript:alert(1)) <!channel>",
		Fingerprint: "hackerone:4242", Correlation: "hackerone:4242", EventID: "4242", At: time.Date(2026, 11, 3, 2, 30, 59, 0, time.UTC),
		URL: "https://hackerone.com/reports/4242", Project: "acme",
		Report: &incident.VulnReport{DuplicateKeys: incident.DuplicateKeys("hacker7", "IDOR in /payslips shows <b>other people's</b> salaries", "app.example.com", "")},
	}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDecode_LaterEvents(t *testing.T) {
	body := func(activity, attributes string) string {
		return `{"data":{"activity":{"type":"` + activity + `","id":7,"attributes":{` + attributes + `},"relationships":{"actor":{"data":{"attributes":{"username":"ada"}}}}},"report":{"id":4242}}}`
	}
	tests := []struct{ name, event, body, text string }{
		{"triaged", "report_triaged", body("activity-bug-triaged", ""), "HackerOne: triaged by ada"},
		{"closed", "report_closed_as_not-applicable", body("activity-bug-not-applicable", ""), "HackerOne: closed as not applicable by ada"},
		{"comment", "report_comment_created", body("activity-comment", `"message":"any news?"`), "HackerOne: comment created by ada: any news?"},
		{"no event header", "", body("activity-bug-resolved", ""), "HackerOne: resolved by ada"},
		{"comment with event report_created", "report_created", body("activity-comment", ""), "HackerOne: created by ada"},
		{"internal comment", "report_comment_created", body("activity-comment", `"internal":true,"message":"they do not know yet"`), ""},
		{"program event", "program_hacker_joined", `{"data":{"activity":{"type":"activity-hacker-joined"}}}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := source.Decode(event(tt.event), []byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.text == "" {
				if len(got) != 0 {
					t.Errorf("got signals %+v, want none", got)
				}
				return
			}
			if len(got) != 1 || got[0].Command == nil || got[0].Command.Text != tt.text || got[0].Command.Key != "hackerone:activity:7" ||
				got[0].Command.Verb != incident.VerbSourceNote || got[0].Subject.Correlation != "hackerone:4242" {
				t.Errorf("got signals %+v, want the note %q", got, tt.text)
			}
		})
	}
}

func TestDecode_HostileBodies(t *testing.T) {
	tests := []struct {
		name, event, body string
		level             incident.Level // "" means an error
	}{
		{"not JSON", "report_created", `{`, ""},
		{"empty object", "report_created", `{}`, ""},
		{"no event", "", `{"data":{"report":{"id":1}}}`, ""},
		{"no report", "report_triaged", `{"data":{"activity":{"type":"activity-bug-triaged"}}}`, ""},
		{"data is a list", "report_created", `{"data":[1]}`, ""},
		{"report is a string", "report_created", `{"data":{"report":"4242"}}`, ""},
		{"fields of unexpected types", "report_created", `{"data":{"report":{"id":"x/../y","attributes":{"title":{"a":1},"created_at":5,"vulnerability_information":[[]]},"relationships":{"severity":[],"reporter":null}}}}`, incident.LevelLow},
		{"huge id", "report_created", `{"data":{"report":{"id":1e999}}}`, incident.LevelLow},
		{"deeply nested", "report_created", `{"data":{"report":{"id":1,"attributes":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}}}`, incident.LevelLow},
		{"repeated keys", "report_created", `{"data":{"report":{"id":1,"id":2}}}`, incident.LevelLow},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := source.Decode(event(tt.event), []byte(tt.body))
			switch {
			case tt.level == "" && (err == nil || len(err.Error()) > 300):
				t.Errorf("got %d signals, error %v; want an error of at most 300 bytes", len(got), err)
			case tt.level != "" && (err != nil || len(got) != 1 || got[0].Alert == nil || got[0].Alert.Level != tt.level || strings.Contains(got[0].Alert.URL, "..")):
				t.Errorf("got signals %+v, error %v; want one alert of level %s", got, err, tt.level)
			}
		})
	}
}

func TestSource_HostileBodies(t *testing.T) {
	intaketest.Hostile(t, intaketest.SourceCase{Source: source, Genuine: created(t), Signed: func(body []byte) http.Header {
		h := event("report_created")
		h.Set("X-H1-Signature", sign("new", body))
		return h
	}})
}

func FuzzDecode(f *testing.F) {
	f.Add("report_created", created(f))
	f.Add("", []byte(`{"data":{"activity":{"type":"activity-comment","id":1e9},"report":{"id":[]}}}`))
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		got, _ := intaketest.Decode(t, source, event(name), body)
		for _, s := range got {
			if a := s.Alert; a != nil && a.Correlation == "hackerone:" {
				t.Fatalf("alert %+v has no report id", a)
			}
		}
	})
}
