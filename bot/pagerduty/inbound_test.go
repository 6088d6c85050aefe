package pagerduty_test

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
	"tocsin/bot/pagerduty"
	"tocsin/bot/sandbox/pager"
	"tocsin/bot/secret"
)

var source = newSource(secret.New("old"), secret.New("new"))

func newSource(secrets ...secret.String) *pagerduty.Source {
	return pagerduty.NewSource(pagerduty.SourceConfig{WebhookSecrets: secrets})
}

func fixture(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decodeOne(t *testing.T, body []byte) incident.Signal {
	t.Helper()
	got, err := source.Decode(nil, body)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 {
		t.Fatalf("got %d signals, want 1", len(got))
	}
	return got[0]
}

func TestVerify(t *testing.T) {
	body := []byte(`{"event":{"id":"E1"}}`)
	good := pager.Sign(body, "new")
	bad := pager.Sign([]byte("else"), "new")
	tests := []struct {
		name, header string
		ok           bool
	}{
		{"one signature", good, true},
		{"old secret", pager.Sign(body, "old"), true},
		{"both secrets", pager.Sign(body, "old", "new"), true},
		{"second signature matches", bad + "," + good, true},
		{"with spaces", " " + bad + " , " + good + " ", true},
		{"v2 signature first", "v2=00," + good, true},
		{"invalid signature first", "v1=zz," + good, true},
		{"wrong secret", pager.Sign(body, "third"), false},
		{"empty secret", pager.Sign(body, ""), false},
		{"changed body", bad, false},
		{"only a v2 signature", strings.Replace(good, "v1=", "v2=", 1), false},
		{"truncated", good[:40], false},
		{"no signature", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"X-Pagerduty-Signature": {tt.header}, "X-Webhook-Id": {"W1"}}
			id, err := source.Verify(t.Context(), h, body, time.Time{})
			if tt.ok && (err != nil || id != "E1") {
				t.Errorf("got id %q, error %v; want id E1", id, err)
			}
			if !tt.ok && incident.CodeOf(err) != incident.CodeForbidden {
				t.Errorf("got error %v, want forbidden", err)
			}
		})
	}
	t.Run("two headers", func(t *testing.T) {
		if _, err := source.Verify(t.Context(), http.Header{"X-Pagerduty-Signature": {bad, good}}, body, time.Time{}); err != nil {
			t.Errorf("got error %v, want none", err)
		}
	})
	t.Run("no event id", func(t *testing.T) {
		body := []byte(`{"event":{}}`)
		h := http.Header{"X-Pagerduty-Signature": {pager.Sign(body, "new")}, "X-Webhook-Id": {"W1"}}
		if id, err := source.Verify(t.Context(), h, body, time.Time{}); id != "" || err != nil {
			t.Errorf("got id %q, error %v; want an empty id", id, err)
		}
	})
	t.Run("no secret configured", func(t *testing.T) {
		for _, s := range []*pagerduty.Source{newSource(), newSource(secret.String{})} {
			if _, err := s.Verify(t.Context(), http.Header{"X-Pagerduty-Signature": {pager.Sign(body, "")}}, body, time.Time{}); err == nil || incident.CodeOf(err) != "" {
				t.Errorf("got error %v, want an error without a domain code", err)
			}
		}
	})
}

// TestVerify_SignaturesComputedElsewhere verifies signatures that another
// implementation computed.
func TestVerify_SignaturesComputedElsewhere(t *testing.T) {
	intaketest.OnBoth(t, []string{"testdata/webhook/signature-cases.json"}, []string{"pagerduty/webhook-v3-signature-cases.json"}, func(t *testing.T, payloads []intaketest.Payload) {
		var v struct {
			Secret string
			File   string `json:"body_file"`
			Cases  []struct {
				Name   string
				Value  *string
				Body   *string
				Expect string
			}
		}
		if err := json.Unmarshal(payloads[0].Body, &v); err != nil {
			t.Fatal(err)
		}
		if len(v.Cases) != 6 {
			t.Fatalf("got %d cases, want 6", len(v.Cases))
		}
		body, err := os.ReadFile(filepath.Join(filepath.Dir(payloads[0].Path), v.File))
		if err != nil {
			t.Fatal(err)
		}
		s := newSource(secret.New(v.Secret))
		for _, c := range v.Cases {
			h, b := http.Header{}, body
			if c.Value != nil {
				h.Set("X-PagerDuty-Signature", *c.Value)
			}
			if c.Body != nil {
				b = []byte(*c.Body)
			}
			if _, err := s.Verify(t.Context(), h, b, time.Time{}); (err == nil) != (c.Expect == "accept") {
				t.Errorf("%s: got error %v, want %s", c.Name, err, c.Expect)
			}
		}
		var sent struct {
			Event struct {
				Agent struct{ Summary string }
				Data  struct {
					ID       string
					Priority struct{ Summary string }
				}
			}
		}
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Fatal(err)
		}
		text, correlation := "PagerDuty: priority changed by "+sent.Event.Agent.Summary+" to "+sent.Event.Data.Priority.Summary, "pagerduty:"+sent.Event.Data.ID
		if s := decodeOne(t, body); s.Command == nil || s.Command.Text != text || s.Subject.Correlation != correlation {
			t.Errorf("got %+v %+v, want %q for %s", s.Command, s.Subject, text, correlation)
		}
	})
}

func TestDecode_TriggeredInPagerDuty(t *testing.T) {
	got := decodeOne(t, fixture(t, "triggered.json"))
	want := incident.Alert{
		Source: "pagerduty", Kind: "pagerduty.incident", Level: incident.LevelHigh, Title: "Payroll is down",
		Detail: "Service: Security\nUrgency: high\nRaised by: Ana Lima", Fingerprint: "pagerduty:PABC", Correlation: "pagerduty:PABC",
		EventID: "PABC", At: time.Date(2026, 11, 3, 2, 31, 0, 0, time.UTC), URL: "https://acme.pagerduty.com/incidents/PABC",
		Project: "Security", Principal: "PANA",
	}
	if d := cmp.Diff(&want, got.Alert); d != "" {
		t.Error(d)
	}
}

func TestDecode_TriggeredByPage(t *testing.T) {
	body := bytes.Replace(fixture(t, "triggered.json"), []byte("a1b2c3"), []byte("INC-42/1"), 1)
	if got, err := source.Decode(nil, body); got != nil || err != nil {
		t.Errorf("got %+v, error %v; want no signal", got, err)
	}
}

func TestDecode_Notes(t *testing.T) {
	annotated := string(fixture(t, "annotated.json"))
	s := decodeOne(t, []byte(annotated))
	if s.Command == nil || s.Command.Verb != incident.VerbSourceNote || s.Command.Text != "PagerDuty: note added by Ana Lima: key disabled" ||
		s.Command.By != (incident.Identity{Provider: incident.ProviderSource, ID: "pagerduty"}) || s.Command.Key != "pagerduty:01E" || s.Command.HappenedAt.IsZero() {
		t.Errorf("got command %+v", s.Command)
	}
	for summary, want := range map[string]incident.IncidentRef{
		"[#17] INC-42 sev2 Leaked key": {PageKey: "INC-42/1"},
		"INC-7 sev1":                   {PageKey: "INC-7/1"},
		"Payroll INC-42":               {Correlation: "pagerduty:PABC"},
		"inc-42 x":                     {Correlation: "pagerduty:PABC"},
		"INC-x":                        {Correlation: "pagerduty:PABC"},
		"[#1 INC-42":                   {Correlation: "pagerduty:PABC"},
	} {
		if got := decodeOne(t, []byte(strings.Replace(annotated, "[#17] INC-42 sev2 Leaked key", summary, 1))).Subject; got != want {
			t.Errorf("summary %q: got subject %+v, want %+v", summary, got, want)
		}
	}
}

func TestDecode_EventTypes(t *testing.T) {
	const user, service = `{"id":"PANA","type":"user_reference","summary":"Ana"}`, `{"id":"PINT","type":"inbound_integration_reference"}`
	const paged, raised = `{"id":"P1","incident_key":"INC-42/2"}`, `{"id":"P1","incident_key":"x"}`
	body := func(kind, agent, data string) string {
		return `{"event":{"id":"E","event_type":"` + kind + `","agent":` + agent + `,"data":` + data + `}}`
	}
	tests := []struct {
		name, body string
		verb       incident.Verb // "" means no signal
		subject    incident.IncidentRef
		fails      bool
	}{
		{"acknowledged by a user", body("incident.acknowledged", user, paged), incident.VerbAcknowledge, incident.IncidentRef{PageKey: "INC-42/2"}, false},
		{"acknowledged by a user, raised in PagerDuty", body("incident.acknowledged", user, raised), incident.VerbAcknowledge, incident.IncidentRef{Correlation: "pagerduty:P1"}, false},
		{"acknowledged by Tocsin", body("incident.acknowledged", `null`, paged), "", incident.IncidentRef{}, false},
		{"acknowledged by an integration", body("incident.acknowledged", service, paged), "", incident.IncidentRef{}, false},
		{"resolved by a user", body("incident.resolved", user, paged), incident.VerbSourceNote, incident.IncidentRef{PageKey: "INC-42/2"}, false},
		{"resolved by Tocsin", body("incident.resolved", `null`, paged), "", incident.IncidentRef{}, false},
		{"escalated by a timer", body("incident.escalated", `null`, paged), incident.VerbSourceNote, incident.IncidentRef{PageKey: "INC-42/2"}, false},
		{"ping", body("pagey.ping", `null`, `{"message":"hello"}`), "", incident.IncidentRef{}, false},
		{"workflow", body("incident.workflow.started", `null`, `{}`), "", incident.IncidentRef{}, false},
		{"service", body("service.updated", user, `{}`), "", incident.IncidentRef{}, false},
		{"fields of unexpected types", body("incident.resolved", user, `{"id":7,"assignees":"x","incident_key":["INC-1/1"],"priority":3}`), incident.VerbSourceNote, incident.IncidentRef{Correlation: "pagerduty:7"}, false},
		{"unknown type", body("incident.exploded", user, paged), "", incident.IncidentRef{}, true},
		{"acknowledged without incident", body("incident.acknowledged", user, `{}`), "", incident.IncidentRef{}, true},
		{"resolved without incident", body("incident.resolved", user, `{}`), "", incident.IncidentRef{}, true},
		{"triggered without data", body("incident.triggered", user, `null`), "", incident.IncidentRef{}, true},
		{"no event", `{}`, "", incident.IncidentRef{}, true},
		{"an array", `[]`, "", incident.IncidentRef{}, true},
		{"nested too deeply", `{"event":` + strings.Repeat("[", 11000) + strings.Repeat("]", 11000) + `}`, "", incident.IncidentRef{}, true},
		{"not JSON", `{`, "", incident.IncidentRef{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := source.Decode(nil, []byte(tt.body))
			switch {
			case (err != nil) != tt.fails:
				t.Errorf("got error %v, want error %v", err, tt.fails)
			case tt.verb == "" && got != nil:
				t.Errorf("got %+v, want no signal", got)
			case tt.verb != "" && (len(got) != 1 || got[0].Command == nil || got[0].Command.Verb != tt.verb || got[0].Subject != tt.subject):
				t.Errorf("got %+v, want %s for %+v", got, tt.verb, tt.subject)
			}
			if tt.verb == incident.VerbAcknowledge && got[0].Command.By != (incident.Identity{Provider: incident.ProviderPagerDuty, ID: "PANA"}) {
				t.Errorf("got author %+v", got[0].Command.By)
			}
		})
	}
}

func TestSource_HostileBodies(t *testing.T) {
	intaketest.Hostile(t, intaketest.SourceCase{Source: source, Genuine: fixture(t, "triggered.json"), Signed: func(body []byte) http.Header {
		m := hmac.New(sha256.New, []byte("new"))
		m.Write(body)
		return http.Header{"X-Pagerduty-Signature": {"v1=" + hex.EncodeToString(m.Sum(nil))}}
	}})
}

func FuzzDecode(f *testing.F) {
	f.Add(fixture(f, "annotated.json"))
	f.Add(fixture(f, "triggered.json"))
	f.Add([]byte(`{"event":{"event_type":"incident.acknowledged","agent":{"id":1,"type":"user"},"data":{"incident_key":"INC-1/1"}}}`))
	f.Add([]byte(`{"event":{"event_type":"incident.responder.added","data":{"incident":{"id":"P"},"user":{"summary":"x"}}}}`))
	for _, p := range append(intaketest.Fixtures(f, "testdata/webhook/*.json"), intaketest.Corpus(f, "pagerduty/*.json")...) {
		f.Add(p.Body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := intaketest.Decode(t, source, nil, body)
		if err == nil && !json.Valid(body) {
			t.Fatal("invalid JSON: got no error, want one")
		}
		for _, s := range got {
			if s.Command != nil && s.Subject == (incident.IncidentRef{}) {
				t.Fatalf("command without a subject: %+v", s)
			}
			if s.Command != nil && s.Command.Verb == incident.VerbAcknowledge && s.Command.By.ID == "" {
				t.Fatal("acknowledgement without a user id")
			}
		}
		if _, err := source.Verify(t.Context(), http.Header{"X-Pagerduty-Signature": {string(body)}}, body, time.Time{}); err == nil {
			t.Fatal("forged signature: got no error, want one")
		}
	})
}

// PagerDuty sends webhooks about the pages about Tocsin itself. They must open no incident.
func TestDecode_NoticeIsIgnored(t *testing.T) {
	for _, kind := range []string{"incident.triggered", "incident.acknowledged", "incident.resolved", "incident.escalated"} {
		body := strings.Replace(`{"event":{"id":"E1","event_type":"KIND","agent":{"id":"P1","type":"user_reference"},"data":{"id":"Q1","incident_key":"tocsin-notice/Slack API/2026-11-03T12:00:00Z","title":"Tocsin: degraded"}}}`, "KIND", kind, 1)
		if got, err := (&pagerduty.Source{}).Decode(nil, []byte(body)); err != nil || len(got) != 0 {
			t.Errorf("%s: got %+v, %v, want nothing", kind, got, err)
		}
	}
}
