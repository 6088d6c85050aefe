package generic_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/generic"
	"tocsin/bot/incident"
	"tocsin/bot/intake/intaketest"
	"tocsin/bot/secret"
)

var now = time.Date(2026, 11, 3, 2, 31, 0, 0, time.UTC)

// monitor sends lists of alerts.
var monitor = generic.Config{
	Name: "monitor", Tokens: []secret.String{secret.New("old"), secret.New("new")}, Headers: []string{"x-team"}, DeliveryHeader: "X-Delivery",
	Mapping: generic.Mapping{
		"when": `item.state != "muted"`, "each": `body.alerts`, "resolved": `item.state == "ok"`,
		"title": `item.name + " on " + item.host`, "kind": `"monitor.disk"`, "level": `item.severity`, "fingerprint": `item.id`,
		"correlation": `item.host`, "detail": `"Team " + header["X-Team"]`, "url": `item.link ?? ""`, "at": `item.since`,
		"environment": `body.env`, "sample": `body.env == "test"`,
	},
	Tags: generic.Tags{"host": `item.host`, "none": `item?.nothing`},
}

func source(t testing.TB, c generic.Config) *generic.Source {
	t.Helper()
	s, err := generic.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func simple(title string) generic.Config {
	return generic.Config{Tokens: []secret.String{secret.New("t")}, Mapping: generic.Mapping{"title": title}}
}

func TestVerifyToken(t *testing.T) {
	s := source(t, monitor)
	for authorization, ok := range map[string]bool{"Bearer old": true, "bearer  new": true, "Bearer": false, "Basic new": false, "new": false, "": false, "Bearer third": false} {
		_, err := s.Verify(t.Context(), http.Header{"Authorization": {authorization}}, nil, now)
		if ok != (err == nil) || !ok && incident.CodeOf(err) != incident.CodeForbidden {
			t.Errorf("%q: got error %v, want accepted %v", authorization, err, ok)
		}
	}
}

func TestVerifySignature(t *testing.T) {
	body := []byte(`{"a":"é"}`)
	sum := func(key string) []byte {
		m := hmac.New(sha256.New, []byte(key))
		m.Write(body)
		return m.Sum(nil)
	}
	c := simple("body.a")
	c.Tokens, c.HMAC = nil, generic.HMAC{Header: "X-Hub-Signature-256", Prefix: "sha256=", Secrets: []secret.String{secret.New("old"), secret.New("new"), {}}}
	s := source(t, c)
	tests := []struct {
		name, signature string
		ok              bool
	}{
		{"hex", "sha256=" + hex.EncodeToString(sum("old")), true},
		{"upper case", "sha256=" + strings.ToUpper(hex.EncodeToString(sum("new"))), true},
		{"base64", "sha256=" + base64.StdEncoding.EncodeToString(sum("new")), true},
		{"no prefix", hex.EncodeToString(sum("old")), false},
		{"wrong secret", "sha256=" + hex.EncodeToString(sum("third")), false},
		{"empty secret", "sha256=" + hex.EncodeToString(sum("")), false},
		{"truncated", "sha256=" + hex.EncodeToString(sum("old"))[:32], false},
		{"no signature", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.Verify(t.Context(), http.Header{"X-Hub-Signature-256": {tt.signature}}, body, now)
			if tt.ok != (err == nil) || !tt.ok && incident.CodeOf(err) != incident.CodeForbidden {
				t.Errorf("got error %v, want accepted %v", err, tt.ok)
			}
		})
	}
	c.HMAC.Secrets = []secret.String{{}}
	if _, err := source(t, c).Verify(t.Context(), http.Header{}, body, now); err == nil || incident.CodeOf(err) != "" {
		t.Errorf("no secret configured: got error %v, want an error without a domain code", err)
	}
}

func TestVerify_DeliveryID(t *testing.T) {
	s := source(t, monitor)
	id := func(delivery, body string, at time.Time) string {
		h := http.Header{"Authorization": {"Bearer new"}}
		h.Set("X-Delivery", delivery)
		id, err := s.Verify(t.Context(), h, []byte(body), at)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if got := id("d-1", "x", now); got != "d-1" {
		t.Errorf("got id %q, want d-1", got)
	}
	if id("", "x", now) != id("", "x", now.Add(time.Minute)) {
		t.Error("identical body after a minute: got another id, want an equal one")
	}
	if id("", "x", now) == id("", "x", now.Add(time.Hour)) {
		t.Error("identical body after an hour: got an equal id, want another one")
	}
	if id("", "x", now) == id("", "y", now) {
		t.Error("another body: got an equal id, want another one")
	}
}

func TestDecode_List(t *testing.T) {
	body, err := os.ReadFile("testdata/mapping.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := source(t, monitor).Decode(http.Header{"X-Team": {"data"}}, body)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Alert == nil || got[1].Command == nil {
		t.Fatalf("got signals %+v, want an alert and a command", got)
	}
	want := &incident.Alert{Source: "monitor", Kind: "monitor.disk", Level: incident.LevelCritical, Title: "Disk full on db-1", Detail: "Team data",
		Fingerprint: "monitor:9007199254740993", Correlation: "monitor:db-1", At: time.Unix(1793673060, 5e8).UTC(),
		URL: "https://monitor.example.com/a/1", Environment: "prod", Tags: map[string]string{"host": "db-1"}}
	if d := cmp.Diff(want, got[0].Alert); d != "" {
		t.Error(d)
	}
	if c := got[1].Command; c.Text != "monitor: Disk full on db-2: resolved" || got[1].Subject.Correlation != "monitor:db-2" || !c.HappenedAt.Equal(now) {
		t.Errorf("got note %+v for %+v", c, got[1].Subject)
	}
}

func TestDecode_Defaults(t *testing.T) {
	got, err := source(t, simple("body.title")).Decode(nil, []byte(`{"title":"Hello"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []incident.Signal{{Alert: &incident.Alert{Source: "generic", Kind: "generic.alert", Level: incident.LevelMedium, Title: "Hello",
		Fingerprint: "generic:generic.alert Hello", Correlation: "generic:generic.alert Hello"}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDecode_Time(t *testing.T) {
	c := simple("body.title")
	c.Mapping["at"] = "body.at"
	for at, want := range map[string]time.Time{"1793673060500": now.Add(500 * time.Millisecond), `"1793673060"`: now, `"2026-11-03 03:31:00+01:00"`: now, `"yesterday"`: {}, `{"s":1}`: {}, "-5": {}, `""`: {}} {
		got, err := source(t, c).Decode(nil, []byte(`{"title":"Hello","at":`+at+`}`))
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: got %d signals, error %v; want 1", at, len(got), err)
		}
		reported := strings.Contains(got[0].Alert.Detail, "mapping.at failed: ")
		if a := got[0].Alert; !a.At.Equal(want) || reported != (want.IsZero() && at != `""`) {
			t.Errorf("%s: got the time %v and detail %q, want %v and unknown forms reported", at, a.At, a.Detail, want)
		}
	}
}

func TestDecode_FailingExpressionStillAlerts(t *testing.T) {
	c := simple("body.title")
	c.Mapping["when"], c.Mapping["url"], c.Mapping["detail"] = `body.a.b == 1`, `body.a.b.c`, `body`
	got, err := source(t, c).Decode(nil, []byte(`{"title":"Hello"}`))
	if err != nil || len(got) != 1 {
		t.Fatalf("got %d signals, error %v; want 1 signal", len(got), err)
	}
	a := got[0].Alert
	for _, field := range []string{"mapping.when", "mapping.url"} {
		if !strings.Contains(a.Detail, field+" failed: ") {
			t.Errorf("got detail %q, want an error of %s", a.Detail, field)
		}
	}
	if !strings.HasPrefix(a.Detail, `{"title":"Hello"}`+"\n") {
		t.Errorf("got detail %q, want the object as JSON", a.Detail)
	}
	if got, err := source(t, c).Decode(nil, []byte(`[1]`)); err != nil || len(got) != 1 || got[0].Alert.Title != "Alert from generic" {
		t.Errorf("list body: got signals %+v, error %v", got, err)
	}
}

func TestDecode_UnknownLevelIsReported(t *testing.T) {
	c := simple("body.title")
	c.Mapping["level"] = "body.level"
	s := source(t, c)
	for level, want := range map[string]incident.Level{`"CRITICAL "`: incident.LevelCritical, `"warning"`: incident.LevelMedium, `"medium"`: incident.LevelMedium,
		`""`: incident.LevelMedium, `null`: incident.LevelMedium, `"severe"`: "", `9.8`: "", `"` + strings.Repeat("é", 300) + `"`: ""} {
		got, err := s.Decode(nil, []byte(`{"title":"Hello","level":`+level+`}`))
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: got %d signals, error %v; want 1 signal", level, len(got), err)
		}
		a, unknown := got[0].Alert, want == ""
		if unknown {
			want = incident.LevelMedium
		}
		if a.Level != want || strings.Contains(a.Detail, ", treated as medium. Use critical") != unknown || len(a.Detail) > 250 {
			t.Errorf("%s: got level %s, detail %q; want level %s", level, a.Level, a.Detail, want)
		}
	}
}

func TestDecode_HostileBodies(t *testing.T) {
	s := source(t, simple(`string(body?.n ?? "none")`))
	tests := []struct{ name, body, title, wantErr string }{
		{"repeated key", `{"n":1,"n":2}`, "", `the key "n" is repeated`},
		{"repeated nested key", `{"a":[{"k":1,"k":1}]}`, "", `the key "k" is repeated`},
		{"deeply nested objects", strings.Repeat(`{"a":`, 101) + "1" + strings.Repeat("}", 101), "", "nested deeper than 100"},
		{"deeply nested lists", strings.Repeat(`[`, 9000) + strings.Repeat("]", 9000), "", "nested deeper than 100"},
		{"truncated", `{"n":`, "", "not JSON"},
		{"two documents", `{"n":1} {"n":2}`, "", "data follows"},
		{"huge number", `{"n":1e999}`, "1e999", ""},
		{"huge integer", `{"n":123456789012345678901234567890}`, "123456789012345680000000000000", ""},
		{"invalid UTF-8", "{\"n\":\"a\xff\"}", "a\uFFFD", ""},
		{"lone surrogate", `{"n":"\ud800"}`, "\uFFFD", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Decode(nil, []byte(tt.body))
			switch {
			case tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)):
				t.Errorf("got error %v, want %q", err, tt.wantErr)
			case tt.wantErr == "" && (err != nil || len(got) != 1):
				t.Errorf("got %d signals, error %v; want 1 signal", len(got), err)
			case tt.wantErr == "" && tt.name != "huge integer" && got[0].Alert.Title != tt.title:
				t.Errorf("got title %q, want %q", got[0].Alert.Title, tt.title)
			}
		})
	}
}

func TestNew_ReportsAllProblems(t *testing.T) {
	_, err := generic.New(generic.Config{Name: "A b", Headers: []string{"authorization"}, Mapping: generic.Mapping{
		"when": `"yes"`, "each": `"no list"`, "kind": `bodi.x`, "level": `body.`, "detail": `{"a": 1}`, "resolved": `1`}, Tags: generic.Tags{"t": `[1]`}})
	if err == nil {
		t.Fatal("got no error, want one")
	}
	for _, field := range []string{"name:", "tokens:", "headers[0]:", "mapping.title:", "mapping.when:", "mapping.each:", "mapping.kind:",
		"mapping.level:", "mapping.detail:", "mapping.resolved:", "tags.t:"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("got error %v, want it to contain %s", err, field)
		}
	}
}

func TestNew_ExpressionReadsUnstoredHeader(t *testing.T) {
	for code, want := range map[string]string{
		`header["X-Team"]`:                       "",
		`header["X-Team"] + header["X-Other"]`:   "mapping.title: reads header X-Other, which is not stored: add it to headers",
		`(header["x-team"] ?? "") + body.a`:      `mapping.title: reads header x-team: write header["X-Team"]`,
		`header.Authorization`:                   "mapping.title: reads header Authorization, which is not stored: add it to headers",
		`body.header["X-Other"] + item["X-One"]`: "",
	} {
		c := simple(code)
		c.Headers = []string{"x-team"}
		_, err := generic.New(c)
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && got != want {
			t.Errorf("%s: got error %v, want %q", code, err, want)
		}
	}
	c := simple("body.a")
	c.Mapping["when"], c.Tags = `header["X-Event"] == "x"`, generic.Tags{"t": `header["X-Tag"]`}
	if _, err := generic.New(c); err == nil || !strings.Contains(err.Error(), "mapping.when: reads header X-Event") || !strings.Contains(err.Error(), "tags.t: reads header X-Tag") {
		t.Errorf("got error %v, want one for mapping.when and one for tags.t", err)
	}
}

func TestSource_HostileBodies(t *testing.T) {
	body, err := os.ReadFile("testdata/mapping.json")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("token", func(t *testing.T) {
		intaketest.Hostile(t, intaketest.SourceCase{Source: source(t, monitor), Genuine: body, Signed: func([]byte) http.Header { return http.Header{"Authorization": {"Bearer new"}} }})
	})
	t.Run("signature", func(t *testing.T) {
		c := generic.Config{HMAC: generic.HMAC{Header: "X-Sum", Secrets: []secret.String{secret.New("k")}}, Mapping: generic.Mapping{"title": "body.title"}}
		intaketest.Hostile(t, intaketest.SourceCase{Source: source(t, c), Genuine: []byte(`{"title":"disk full"}`), Signed: func(body []byte) http.Header {
			m := hmac.New(sha256.New, []byte("k"))
			m.Write(body)
			return http.Header{"X-Sum": {hex.EncodeToString(m.Sum(nil))}}
		}})
	})
}

func FuzzDecode(f *testing.F) {
	body, err := os.ReadFile("testdata/mapping.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"alerts":[1,null,{"name":1e999}]}`))
	f.Add([]byte(`{"alerts":{"a":1}}`))
	for _, p := range append(intaketest.Fixtures(f, "testdata/events/*.json"), intaketest.Corpus(f, "aws-lambda-go/*.json", "aws-eventbridge/*/*.json")...) {
		f.Add(p.Body)
	}
	list, one := source(f, monitor), source(f, simple("body.title"))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, s := range []*generic.Source{list, one} {
			got, _ := intaketest.Decode(t, s, http.Header{"X-Team": {"storage"}}, body)
			for _, signal := range got {
				if a := signal.Alert; a != nil && a.Correlation == "" {
					t.Fatalf("alert %+v has no correlation key", a)
				}
			}
		}
	})
}

// FuzzMapping checks that New rejects an expression with an equal error each time
// that contains the field, or that decoding with the expression is deterministic.
func FuzzMapping(f *testing.F) {
	m := monitor.Mapping
	for _, expression := range []string{m["when"], m["each"], m["title"], m["level"], m["detail"], m["url"], monitor.Tags["none"], `body.a + 1`, `map(body.alerts, #.name)`, `item`, `"a" * 3`,
		`reduce(1..1000000, #acc + 1)`, `header["X"] matches "("`, `let x = body; x.y ?? "z"`, `toJSON(body)`, `date(item.since)`, `body.alerts[100].name`} {
		f.Add(expression, []byte(`{"alerts":[{"name":"disk","host":"h","since":"2026-11-03T02:31:00Z"}],"env":"test"}`))
	}
	f.Fuzz(func(t *testing.T, expression string, body []byte) {
		for _, c := range []generic.Config{{Mapping: generic.Mapping{"title": expression, "detail": expression, "level": expression}, Tags: generic.Tags{"t": expression}},
			{Mapping: generic.Mapping{"title": "body", "when": expression}}, {Mapping: generic.Mapping{"title": "item", "each": expression}},
			{Mapping: generic.Mapping{"title": "body", "at": expression, "url": expression, "resolved": expression}}} {
			c.Tokens = []secret.String{secret.New("t")}
			s, err := generic.New(c)
			_, err2 := generic.New(c)
			if err != nil {
				if err2 == nil || err.Error() != err2.Error() || !strings.Contains(err.Error(), "mapping.") {
					t.Fatalf("got error %v first and %v second", err, err2)
				}
				continue
			}
			if strings.Contains(expression, "now(") { // the only function that depends on more than the body
				_, _ = s.Decode(http.Header{}, body)
				continue
			}
			_, _ = intaketest.Decode(t, s, http.Header{}, body)
		}
	})
}
