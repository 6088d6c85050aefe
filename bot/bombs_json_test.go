package bot_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/alertmanager"
	"tocsin/bot/cloudtrail"
	"tocsin/bot/detect"
	"tocsin/bot/generic"
	"tocsin/bot/hackerone"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/pagerduty"
	"tocsin/bot/sandbox/feed"
	"tocsin/bot/sandbox/pager"
	"tocsin/bot/secret"
	"tocsin/bot/sentry"
)

const bombSecret = "0123456789abcdef-secret"

// maxHook is the default of limits.max_body.
const maxHook = 1 << 20

// hookSource returns the source of a webhook, which accepts bombSecret.
func hookSource(t testing.TB, name string) intake.Source {
	t.Helper()
	keys := []secret.String{secret.New(bombSecret)}
	switch name {
	case "sentry":
		return sentry.New(sentry.Config{ClientSecrets: keys})
	case "pagerduty":
		return pagerduty.NewSource(pagerduty.SourceConfig{WebhookSecrets: keys})
	case "hackerone":
		return hackerone.New(hackerone.Config{Secrets: keys})
	case "alertmanager":
		return alertmanager.New(alertmanager.Config{Tokens: keys})
	case "cloudtrail":
		rules, _ := detect.Load(detect.Options{Builtin: true})
		return cloudtrail.New(cloudtrail.Config{APIKeys: keys}, rules)
	case "siem":
		s, err := generic.New(generic.Config{Name: "siem", Tokens: keys, Mapping: map[string]string{"each": "body", "title": `"x"`}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	case "monitor":
		s, err := generic.New(generic.Config{Name: "monitor", Tokens: keys, Mapping: map[string]string{"title": "body.title", "resolved": "body.over", "at": "body.at"}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Fatalf("unknown source %s", name)
	return nil
}

// filled returns prefix, copies of item up to the maximum size of a body, and suffix.
func filled(prefix, item, suffix string) string {
	n := (maxHook - len(prefix) - len(suffix)) / (len(item) + 1)
	return prefix + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + suffix
}

// unique returns members with different names.
func unique(prefix, suffix string) string {
	var b strings.Builder
	b.WriteString(prefix)
	for n := 0; b.Len() < maxHook-len(suffix)-20; n++ {
		fmt.Fprintf(&b, `"%x":0,`, n)
	}
	return strings.TrimSuffix(b.String(), ",") + suffix
}

// hookBombs returns webhooks of every source that a sender can post.
func hookBombs() []bomb {
	const issue = `{"action":"created","data":{"issue":{"id":"1","title":"x"`
	const am = `{"version":"4","groupKey":"g","status":"firing","alerts":[`
	const pd = `{"event":{"id":"E","event_type":"incident.triggered","data":{"id":"P","title":"x"`
	const h1 = `{"data":{"activity":{"type":"activity-bug-filed","id":"1"},"report":{"id":"7","attributes":{"title":"x"`
	const event = `{"action":"triggered","data":{"event":{"event_id":"1","issue_id":"1","title":"x",`
	const record = `{"eventName":"PutBucketPolicy","eventSource":"s3.amazonaws.com","userIdentity":{"type":"IAMUser","userName":"ada"},"requestParameters":`
	tooMany := "names and values"
	all := []struct{ name, source, body, omitted string }{
		{"sentry: numbers", "sentry", filled(issue+`,"x":[`, "0", "]}}}"), tooMany},
		{"sentry: long number", "sentry", issue + `,"x":` + strings.Repeat("9", 300) + "}}}", ""},
		{"sentry: names", "sentry", unique(issue+`,"x":{`, "}}}}"), ""},
		{"sentry: nesting", "sentry", filled(issue+`,"x":[`, strings.Repeat("[", 150)+strings.Repeat("]", 150), "]}}}"), tooMany},
		{"sentry: frames", "sentry", filled(event+`"exception":{"values":[{"stacktrace":{"frames":[`, `{"a":0}`, "]}}]}}}}"), tooMany},
		{"sentry: tags", "sentry", filled(event+`"tags":[`, `["abcd","efgh"]`, "]}}}"), ""},
		{"sentry: escapes", "sentry", issue + `,"culprit":"` + strings.Repeat(`\ud800`, 170_000) + `"}}}`, ""},
		{"pagerduty: assignees", "pagerduty", filled(pd+`,"assignees":[`, `{}`, "]}}}"), tooMany},
		{"hackerone: text", "hackerone", h1 + `,"vulnerability_information":"` + strings.Repeat(`\nurl: http://a.b/c`, 50_000) + `"}}}}`, ""},
		{"hackerone: lines", "hackerone", h1 + `,"vulnerability_information":"` + strings.Repeat(`\n`, 500_000) + `"}}}}`, ""},
		{"alertmanager: empty alerts", "alertmanager", filled(am, `{}`, "]}"), tooMany},
		{"alertmanager: alerts", "alertmanager", filled(am, `{"status":"firing","labels":{"severity":"critical","alertname":"a"}}`, "]}"), "1000 alerts of one delivery"},
		{"alertmanager: labels", "alertmanager", unique(am+`{"status":"firing","labels":{`, "}}]}"), ""},
		{"cloudtrail: records", "cloudtrail", filled("[", `{"eventName":"a","eventSource":"b"}`, "]"), "2000 records of one delivery"},
		{"cloudtrail: records of rules", "cloudtrail", filled("[", record+`{"policy":"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"*\",\"Resource\":\"*\"}}"}}`, "]"), "2000 records of one delivery"},
		{"cloudtrail: policy texts", "cloudtrail", filled(record+`{"a":[`, `"{\"Statement\":{\"Effect\":\"Allow\"}}"`, `]}}`), ""},
		{"cloudtrail: statements", "cloudtrail", filled(record+`{"policy":{"Statement":[`, `{"Effect":"Allow","Principal":{"AWS":["1","*"]},"Action":["a:*","*"],"Resource":"*","Condition":{"StringLike":{"aws:x":["a","b"]}}}`, `]}}}`), ""},
		{"cloudtrail: nested policies", "cloudtrail", record + strings.Repeat(`{"Statement":`, 150) + `[{"Effect":"Allow"}` + strings.Repeat(`,{"Effect":"Allow","Principal":"*"}`, 20_000) + "]" + strings.Repeat("}", 151), ""},
		{"cloudtrail: long texts", "cloudtrail", record + `{"a":"` + strings.Repeat("a*?%7B", 90_000) + `"},"userAgent":"` + strings.Repeat("aws-cli/kali", 20_000) + `","sourceIPAddress":"` + strings.Repeat("1.", 100_000) + `"}`, ""},
		{"cloudtrail: parameters", "cloudtrail", unique(`{"eventName":"a","eventSource":"b","requestParameters":{`, "}}"), ""},
		{"cloudtrail: resources", "cloudtrail", filled(`{"eventName":"a","eventSource":"b","resources":[`, `{}`, "]}"), tooMany},
		{"generic: maps", "siem", filled("[", `{"":0}`, "]"), tooMany},
		{"generic: lists", "siem", filled("[", `[]`, "]"), tooMany},
		{"generic: items", "siem", filled("[", `"abcdefg"`, "]"), "1000 items of one delivery"},
		{"generic: names", "siem", unique("[{", "}]"), ""},
	}
	out := make([]bomb, 0, len(all))
	for _, b := range all {
		if len(b.body) > maxHook {
			panic(fmt.Sprintf("%s has %d bytes", b.name, len(b.body)))
		}
		out = append(out, bomb{name: b.name, source: b.source, body: []byte(b.body), omitted: b.omitted})
	}
	return out
}

// hookRequest returns the genuine request with a body.
func hookRequest(source string, body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/hooks/"+source, bytes.NewReader(body))
	sum := feed.SignSentry(bombSecret, body)
	for name, value := range map[string]string{"Sentry-Hook-Resource": "issue", "Sentry-Hook-Signature": sum, "X-Pagerduty-Signature": pager.Sign(body, bombSecret),
		"X-H1-Signature": "sha256=" + sum, "X-H1-Event": "report_created", "Authorization": "Bearer " + bombSecret, "X-Api-Key": bombSecret} {
		r.Header.Set(name, value)
	}
	if bytes.Contains(body[:min(len(body), 100)], []byte(`"event":{"event_id"`)) {
		r.Header.Set("Sentry-Hook-Resource", "event_alert")
	}
	return r
}

// memoryInbox stores deliveries, and the signals of the last drain.
type memoryInbox struct {
	rows    []intake.Row
	signals []incident.Signal
	failed  string
}

func (m *memoryInbox) Accept(_ context.Context, ds []intake.Delivery) error {
	for _, d := range ds {
		m.rows = append(m.rows, intake.Row{ID: int64(len(m.rows) + 1), Delivery: d})
	}
	return nil
}

func (m *memoryInbox) Rows(_ context.Context, from, to int64) ([]intake.Row, error) {
	return slices.DeleteFunc(slices.Clone(m.rows), func(r intake.Row) bool { return r.ID < from || r.ID > to }), nil
}

func (m *memoryInbox) Ingest(_ context.Context, batch []incident.DecodedDelivery) error {
	for _, d := range batch {
		m.signals, m.failed = append(m.signals, d.Signals...), d.Failed
	}
	return nil
}

// receive sends a body through the endpoint of its source, or a mail as the mailbox
// delivers it, and decodes what was stored.
func (b bomb) receive(t testing.TB) *memoryInbox {
	t.Helper()
	inbox := &memoryInbox{}
	var source intake.Source
	if b.source == "report" {
		source = mailSource(t, b.private)
	} else {
		source = hookSource(t, b.source)
	}
	edge := intake.New(intake.Options{Store: inbox, Desk: inbox, Sources: []intake.Source{source}, Logger: slog.New(slog.DiscardHandler), Clock: func() time.Time { return bombTime }})
	defer func() { _ = edge.Close() }()
	if b.source == "report" {
		header := map[string]string{}
		for name := range b.header {
			header[name] = b.header.Get(name)
		}
		if err := edge.Deliver(t.Context(), intake.Delivery{Source: "report", ID: "1", Header: header, Body: b.body}); err != nil {
			t.Fatal(err)
		}
	} else {
		w := httptest.NewRecorder()
		edge.ServeHTTP(w, hookRequest(b.source, b.body))
		if w.Code != http.StatusAccepted {
			t.Fatalf("got status %d, want 202: %s", w.Code, w.Body)
		}
	}
	if err := edge.Drain(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	return inbox
}
