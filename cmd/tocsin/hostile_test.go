package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/bot"
	"tocsin/bot/generic"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/secret"
	"tocsin/bot/vulnreport"
	"tocsin/store"
)

const sourceToken = "0123456789abcdef-token"

// startWithEndpoints runs the bot with every endpoint enabled until the end of the
// test. It returns the base URL.
func startWithEndpoints(t *testing.T) string {
	t.Helper()
	sandbox, err := company.Open(company.Options{Seed: 6, HTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sandbox.Close() })
	cfg, err := demoConfig(sandbox, demoOptions{Dir: t.TempDir(), HTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	key := secret.New(sourceToken)
	cfg.Sources.Alertmanager.Tokens = []secret.String{key}
	cfg.Sources.HackerOne.Secrets = []secret.String{key}
	cfg.Sources.Generic = []generic.Config{{Name: "siem", Tokens: []secret.String{key}, Mapping: map[string]string{"title": "body.title"}}}
	cfg.Sources.Report.Form = &vulnreport.FormConfig{Company: "Payroll"}
	cfg.Sources.SNS.Topics = []string{"arn:aws:sns:eu-west-3:123456789012:security-events"}
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithTimeout(context.Background(), time.Minute)
	b, err := bot.New(run, cfg, bot.Options{Keyset: keys})
	if err != nil {
		stop()
		t.Fatal(err)
	}
	base := "http://" + b.Addr()
	sandbox.Connect(base)
	ended := make(chan error, 1)
	go func() { ended <- b.Run(run) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		b.Close()
	})
	return base
}

// credentials returns, for each endpoint, a function that returns the headers that
// authenticate a body.
func credentials() map[string]func(body string) []string {
	sum := func(key, body string) string {
		m := hmac.New(sha256.New, []byte(key))
		_, _ = io.WriteString(m, body)
		return hex.EncodeToString(m.Sum(nil))
	}
	bearer := func(string) []string { return []string{"Authorization", "Bearer " + sourceToken} }
	toSlack := func(kind string) func(string) []string {
		return func(body string) []string {
			at := strconv.FormatInt(time.Now().Unix(), 10)
			return []string{"Content-Type", kind, "X-Slack-Request-Timestamp", at, "X-Slack-Signature", chat.Sign(company.SigningSecret, at, []byte(body))}
		}
	}
	return map[string]func(body string) []string{
		"/hooks/sentry": func(body string) []string {
			return []string{"Sentry-Hook-Resource", "issue", "Sentry-Hook-Signature", sum(company.SentrySecret, body)}
		},
		"/hooks/cloudtrail": func(string) []string { return []string{"X-Api-Key", company.TrailKey} },
		"/hooks/pagerduty": func(body string) []string {
			return []string{"X-PagerDuty-Signature", "v1=" + sum(company.PagerSecret, body)}
		},
		"/hooks/alertmanager": bearer,
		"/hooks/siem":         bearer,
		"/hooks/hackerone": func(body string) []string {
			return []string{"X-H1-Event", "x", "X-H1-Signature", "sha256=" + sum(sourceToken, body)}
		},
		"/hooks/sns":          func(string) []string { return []string{"x-amz-sns-message-type", "Notification"} },
		"/slack/events":       toSlack("application/json"),
		"/slack/interactions": toSlack("application/x-www-form-urlencoded"),
		"/slack/commands":     toSlack("application/x-www-form-urlencoded"),
		"/report":             func(string) []string { return []string{"Content-Type", "application/x-www-form-urlencoded"} },
	}
}

// post posts a body with headers and returns the status and the response.
func post(t *testing.T, url, body string, header ...string) (int, string) {
	t.Helper()
	return request(t.Context(), t, http.MethodPost, url, body, header...)
}

// request sends a request with headers and returns the status and the response.
func request(ctx context.Context, t *testing.T, method, url, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(header); n += 2 {
		req.Header.Set(header[n], header[n+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// internalsPattern matches internal details that no response may contain.
var internalsPattern = regexp.MustCompile(`json:|cannot unmarshal|Go (struct|value|type)|\.go\b|goroutine|runtime|panic|%!|<nil>|tocsin/bot|/root|/work`)

// TestEndpoints_HostileBodies posts malformed bodies with valid credentials to every
// endpoint of the bot. A source accepts them, and the drain reports them. Other responses
// must name the problem without internal details. The bot must accept valid bodies
// afterwards.
func TestEndpoints_HostileBodies(t *testing.T) {
	base, endpoints := startWithEndpoints(t), credentials()
	for name, body := range map[string]string{
		"deep nesting":     `{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}",
		"a huge number":    `{"a":{"b":1e999999}}`,
		"a huge int":       `{"a":` + strings.Repeat("9", 400) + "}",
		"bad UTF-8":        "{\"a\":\"\xff\"}",
		"a repeated key":   `{"a":1,"a":2}`,
		"not JSON":         "<xml/>",
		"an empty body":    "",
		"many parameters":  strings.Repeat("a&", 50_000),
		"many members":     "{" + strings.TrimSuffix(strings.Repeat(`"x":0,`, 20_000), ",") + "}",
		"a form of a form": url.Values{"payload": {strings.Repeat("[", 10_000)}}.Encode(),
	} {
		for path, credential := range endpoints {
			status, text := post(t, base+path, body, credential(body)...)
			hook := strings.HasPrefix(path, "/hooks/") && path != "/hooks/sns" // SNS messages carry their signature inside
			switch {
			case internalsPattern.MatchString(text):
				t.Errorf("%s to %s: got internal details: %.300s", name, path, text)
			case hook && status != http.StatusAccepted:
				t.Errorf("%s to %s: got %d %.300s, want 202", name, path, status, text)
			case status/100 == 5 || !hook && status == http.StatusAccepted:
				t.Errorf("%s to %s: got %d %.300s", name, path, status, text)
			}
		}
	}
	if status, text := post(t, base+"/hooks/siem", `{"title":"a valid body"}`, endpoints["/hooks/siem"]("")...); status != http.StatusAccepted {
		t.Errorf("valid body afterwards: got %d %s, want 202", status, text)
	}
}
