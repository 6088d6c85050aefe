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
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/secret"
	"tocsin/store"
)

const sourceToken = "0123456789abcdef-token"

// startWithEndpoints runs the bot as it is put together, with every door that takes what
// the world sends, until the test ends. It returns its address.
func startWithEndpoints(t *testing.T) string {
	t.Helper()
	world, err := company.Open(company.Options{Seed: 6, HTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = world.Close() })
	cfg, err := demoConfig(world, demoOptions{Dir: t.TempDir(), HTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	key := secret.New(sourceToken)
	cfg.Sources.Alertmanager.Tokens = []secret.String{key}
	cfg.Sources.HackerOne.Secrets = []secret.String{key}
	cfg.Sources.Generic = []bot.GenericSource{{Name: "siem", Tokens: []secret.String{key}, Mapping: map[string]string{"title": "body.title"}}}
	cfg.Sources.Report.Form = &bot.ReportForm{Company: "Payroll"}
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
	world.Connect(base)
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

// credentials are the headers by which each door takes a body for its sender's own.
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

// post posts a body with headers, and returns what is answered.
func post(t *testing.T, url, body string, header ...string) (int, string) {
	t.Helper()
	return request(t.Context(), t, http.MethodPost, url, body, header...)
}

// request sends a request with headers, and returns what is answered.
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

// internalsPattern are what no answer may show.
var internalsPattern = regexp.MustCompile(`json:|cannot unmarshal|Go (struct|value|type)|\.go\b|goroutine|runtime|panic|%!|<nil>|tocsin/bot|/root|/work`)

// TestHostileBodiesAtEveryDoor posts bodies that no sender sends, each with the
// right credential, to every door of the bot as it is put together. They are
// refused in words that name the fault, show nothing of our insides, and leave
// the bot as it was.
func TestHostileBodiesAtEveryDoor(t *testing.T) {
	base, doors := startWithEndpoints(t), credentials()
	for name, c := range map[string]struct{ body, says string }{
		"deep nesting":     {`{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}", "nested deeper than 200 levels at /a"},
		"a huge number":    {`{"a":{"b":1e999999}}`, "a number is too large at /a/b"},
		"a huge int":       {`{"a":` + strings.Repeat("9", 400) + "}", "a number is too large at /a"},
		"bad UTF-8":        {"{\"a\":\"\xff\"}", "not valid UTF-8"},
		"a repeated key":   {`{"a":1,"a":2}`, "a key is repeated at /a"},
		"no JSON":          {"<xml/>", "is not JSON"},
		"nothing":          {"", "the body is empty"},
		"a form of a form": {url.Values{"payload": {strings.Repeat("[", 10_000)}}.Encode(), "is not JSON"},
	} {
		for path, credential := range doors {
			status, said := post(t, base+path, c.body, credential(c.body)...)
			hook := strings.HasPrefix(path, "/hooks/") && path != "/hooks/sns" // SNS messages carry their signature inside
			switch {
			case internalsPattern.MatchString(said):
				t.Errorf("%s to %s: our insides are shown: %.300s", name, path, said)
			case hook && (status != http.StatusBadRequest || !strings.Contains(said, c.says)):
				t.Errorf("%s to %s: %d %.300s, want %q", name, path, status, said, c.says)
			case status/100 == 5 || !hook && status == http.StatusAccepted:
				t.Errorf("%s to %s: %d %.300s", name, path, status, said)
			}
		}
	}
	if status, said := post(t, base+"/hooks/siem", `{"title":"all is as it was"}`, doors["/hooks/siem"]("")...); status != http.StatusAccepted {
		t.Errorf("afterwards a good one is answered %d %s", status, said)
	}
}
