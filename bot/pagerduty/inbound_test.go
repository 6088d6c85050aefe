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

var source = pagerduty.NewSource([]secret.String{secret.New("old"), secret.New("new")})

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
		t.Fatalf("%d signals, want 1", len(got))
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
		{"one", good, true},
		{"the older secret", pager.Sign(body, "old"), true},
		{"both secrets", pager.Sign(body, "old", "new"), true},
		{"ours is the second", bad + "," + good, true},
		{"with blanks", " " + bad + " , " + good + " ", true},
		{"beside another version", "v2=00," + good, true},
		{"a broken one before it", "v1=zz," + good, true},
		{"another secret", pager.Sign(body, "third"), false},
		{"empty secret", pager.Sign(body, ""), false},
		{"another body", bad, false},
		{"another version only", strings.Replace(good, "v1=", "v2=", 1), false},
		{"cut", good[:40], false},
		{"absent", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"X-Pagerduty-Signature": {tt.header}, "X-Webhook-Id": {"W1"}}
			id, err := source.Verify(h, body, time.Time{})
			if tt.ok && (err != nil || id != "W1") {
				t.Errorf("id %q, error %v", id, err)
			}
			if !tt.ok && incident.CodeOf(err) != incident.CodeForbidden {
				t.Errorf("error is %v, want forbidden", err)
			}
		})
	}
	t.Run("two headers", func(t *testing.T) {
		if _, err := source.Verify(http.Header{"X-Pagerduty-Signature": {bad, good}}, body, time.Time{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("without X-Webhook-Id", func(t *testing.T) {
		if id, err := source.Verify(http.Header{"X-Pagerduty-Signature": {good}}, body, time.Time{}); id != "E1" || err != nil {
			t.Errorf("id %q, error %v", id, err)
		}
	})
	t.Run("no secret configured", func(t *testing.T) {
		for _, s := range []*pagerduty.Source{pagerduty.NewSource(nil), pagerduty.NewSource([]secret.String{{}})} {
			if _, err := s.Verify(http.Header{"X-Pagerduty-Signature": {pager.Sign(body, "")}}, body, time.Time{}); err == nil || incident.CodeOf(err) != "" {
				t.Errorf("error is %v, want one that is our fault", err)
			}
		}
	})
}

func TestVerifyPublishedCases(t *testing.T) {
	const dir = "/work/shared/data/pagerduty"
	raw, err := os.ReadFile(dir + "/webhook-v3-signature-cases.json")
	if err != nil {
		t.Skipf("no samples in %s", dir)
	}
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
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(filepath.Join(dir, v.File))
	if err != nil {
		t.Fatal(err)
	}
	s := pagerduty.NewSource([]secret.String{secret.New(v.Secret)})
	for _, c := range v.Cases {
		h, b := http.Header{}, body
		if c.Value != nil {
			h.Set("X-PagerDuty-Signature", *c.Value)
		}
		if c.Body != nil {
			b = []byte(*c.Body)
		}
		if _, err := s.Verify(h, b, time.Time{}); (err == nil) != (c.Expect == "accept") {
			t.Errorf("%s: error %v", c.Name, err)
		}
	}
	if s := decodeOne(t, body); s.Command == nil || s.Command.Text != "PagerDuty: priority changed by Tenex Engineer to P1" || s.Subject.Correlation != "pagerduty:PGR0VU2" {
		t.Errorf("decoded %+v %+v", s.Command, s.Subject)
	}
}

func TestDecodeAnIncidentRaisedThere(t *testing.T) {
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

func TestDecodeAnIncidentThatOurPageOpened(t *testing.T) {
	body := bytes.Replace(fixture(t, "triggered.json"), []byte("a1b2c3"), []byte("INC-42/1"), 1)
	if got, err := source.Decode(nil, body); got != nil || err != nil {
		t.Errorf("our own page became %+v, %v", got, err)
	}
}

func TestDecodeNotes(t *testing.T) {
	ours := string(fixture(t, "annotated.json"))
	s := decodeOne(t, []byte(ours))
	if s.Command == nil || s.Command.Verb != incident.VerbSourceNote || s.Command.Text != "PagerDuty: noted by Ana Lima: key disabled" ||
		s.Command.By != (incident.Identity{Provider: incident.ProviderSource, ID: "pagerduty"}) || s.Command.Key != "pagerduty:01E" || s.Command.HappenedAt.IsZero() {
		t.Errorf("command %+v", s.Command)
	}
	for summary, want := range map[string]incident.IncidentRef{
		"[#17] INC-42 sev2 Leaked key": {PageKey: "INC-42/1"},
		"INC-7 sev1":                   {PageKey: "INC-7/1"},
		"Payroll INC-42":               {Correlation: "pagerduty:PABC"},
		"inc-42 x":                     {Correlation: "pagerduty:PABC"},
		"INC-x":                        {Correlation: "pagerduty:PABC"},
		"[#1 INC-42":                   {Correlation: "pagerduty:PABC"},
	} {
		if got := decodeOne(t, []byte(strings.Replace(ours, "[#17] INC-42 sev2 Leaked key", summary, 1))).Subject; got != want {
			t.Errorf("summary %q: subject %+v, want %+v", summary, got, want)
		}
	}
}

func TestDecodeOther(t *testing.T) {
	const person, service = `{"id":"PANA","type":"user_reference","summary":"Ana"}`, `{"id":"PINT","type":"inbound_integration_reference"}`
	const ours, theirs = `{"id":"P1","incident_key":"INC-42/2"}`, `{"id":"P1","incident_key":"x"}`
	body := func(kind, agent, data string) string {
		return `{"event":{"id":"E","event_type":"` + kind + `","agent":` + agent + `,"data":` + data + `}}`
	}
	tests := []struct {
		name, body string
		verb       incident.Verb // "": no signal
		subject    incident.IncidentRef
		fails      bool
	}{
		{"acknowledged by a person", body("incident.acknowledged", person, ours), incident.VerbAcknowledge, incident.IncidentRef{PageKey: "INC-42/2"}, false},
		{"acknowledged by a person, raised there", body("incident.acknowledged", person, theirs), incident.VerbAcknowledge, incident.IncidentRef{Correlation: "pagerduty:P1"}, false},
		{"our own acknowledgement", body("incident.acknowledged", `null`, ours), "", incident.IncidentRef{}, false},
		{"acknowledged by an integration", body("incident.acknowledged", service, ours), "", incident.IncidentRef{}, false},
		{"resolved by a person", body("incident.resolved", person, ours), incident.VerbSourceNote, incident.IncidentRef{PageKey: "INC-42/2"}, false},
		{"our own resolution", body("incident.resolved", `null`, ours), "", incident.IncidentRef{}, false},
		{"escalated by the clock", body("incident.escalated", `null`, ours), incident.VerbSourceNote, incident.IncidentRef{PageKey: "INC-42/2"}, false},
		{"ping", body("pagey.ping", `null`, `{"message":"hello"}`), "", incident.IncidentRef{}, false},
		{"workflow", body("incident.workflow.started", `null`, `{}`), "", incident.IncidentRef{}, false},
		{"service", body("service.updated", person, `{}`), "", incident.IncidentRef{}, false},
		{"fields of unexpected types", body("incident.resolved", person, `{"id":7,"assignees":"x","incident_key":["INC-1/1"],"priority":3}`), incident.VerbSourceNote, incident.IncidentRef{Correlation: "pagerduty:7"}, false},
		{"unknown type", body("incident.exploded", person, ours), "", incident.IncidentRef{}, true},
		{"acknowledged nothing", body("incident.acknowledged", person, `{}`), "", incident.IncidentRef{}, true},
		{"resolved nothing", body("incident.resolved", person, `{}`), "", incident.IncidentRef{}, true},
		{"triggered nothing", body("incident.triggered", person, `null`), "", incident.IncidentRef{}, true},
		{"no event", `{}`, "", incident.IncidentRef{}, true},
		{"an array", `[]`, "", incident.IncidentRef{}, true},
		{"nested too deeply", `{"event":` + strings.Repeat("[", 11000) + strings.Repeat("]", 11000) + `}`, "", incident.IncidentRef{}, true},
		{"no JSON", `{`, "", incident.IncidentRef{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := source.Decode(nil, []byte(tt.body))
			switch {
			case (err != nil) != tt.fails:
				t.Errorf("error %v", err)
			case tt.verb == "" && got != nil:
				t.Errorf("got %+v", got)
			case tt.verb != "" && (len(got) != 1 || got[0].Command == nil || got[0].Command.Verb != tt.verb || got[0].Subject != tt.subject):
				t.Errorf("got %+v", got)
			}
			if tt.verb == incident.VerbAcknowledge && got[0].Command.By != (incident.Identity{Provider: incident.ProviderPagerDuty, ID: "PANA"}) {
				t.Errorf("by %+v", got[0].Command.By)
			}
		})
	}
}

// Whatever comes with a good signature is kept as it came, or refused in words.
func TestHostileBodies(t *testing.T) {
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
	for _, p := range intaketest.Recorded(f, "pagerduty/*.json") {
		f.Add(p.Body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := intaketest.Decode(t, source, nil, body)
		if err == nil && !json.Valid(body) {
			t.Fatal("what is no JSON was decoded")
		}
		for _, s := range got {
			if s.Command != nil && s.Subject == (incident.IncidentRef{}) {
				t.Fatalf("a command for no incident: %+v", s)
			}
			if s.Command != nil && s.Command.Verb == incident.VerbAcknowledge && s.Command.By.ID == "" {
				t.Fatal("acknowledged by nobody")
			}
		}
		if _, err := source.Verify(http.Header{"X-Pagerduty-Signature": {string(body)}}, body, time.Time{}); err == nil {
			t.Fatal("a forged signature is let in")
		}
	})
}
