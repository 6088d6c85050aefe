package page_test

import (
	"errors"
	"net/http"
	"net/smtp"
	"net/textproto"
	"net/url"
	"strings"
	"testing"

	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/aws"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/sandbox/page"
	"tocsin/bot/sandbox/pager"
)

// answered is a page whose systems share one set of answers.
type answered struct {
	*fixture
	slack, paged, smtp, aws string
}

// newAnswered starts a page and systems that share one set of answers.
func newAnswered(t *testing.T) answered {
	t.Helper()
	set := answer.NewSet()
	out := answered{}
	start := func(s interface {
		Start(string) (string, error)
		Close() error
	}) string {
		t.Helper()
		url, err := s.Start("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return url
	}
	out.slack = start(chat.New(chat.Config{Answers: set}))
	out.paged = start(pager.New(pager.Config{Services: []pager.Service{{ID: "P1", RoutingKey: routingKey}}, Answers: set}))
	out.smtp = start(mailbox.New(mailbox.Config{Username: "tocsin", Password: "right", Answers: set}))
	out.aws = start(aws.New(aws.Config{Answers: set}))
	out.fixture = newFixture(t, func(c *page.Config) { c.Answers = set })
	return out
}

// send posts a form and returns the status and the body.
func (w answered) send(method string, header http.Header, form url.Values) (int, string) {
	w.Helper()
	req, err := http.NewRequest(http.MethodPost, method, strings.NewReader(form.Encode()))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name := range header {
		req.Header.Set(name, header.Get(name))
	}
	res, body := w.do(req)
	return res.StatusCode, strings.TrimSpace(string(body))
}

// authTest calls a method of Slack that needs nothing but the token.
func (w answered) authTest() string {
	w.Helper()
	_, body := w.send(w.slack+"/api/auth.test", nil, url.Values{"token": {"xoxb-sandbox"}})
	return body
}

// mail sends one mail and returns the reply code of the first refusal, or 0.
func (w answered) mail() int {
	w.Helper()
	auth := smtp.PlainAuth("", "tocsin", "right", "127.0.0.1")
	err := smtp.SendMail(w.smtp, auth, "tocsin@example.com", []string{"ada@example.com"}, []byte("Subject: x\r\n\r\nx\r\n"))
	var refused *textproto.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &refused):
		return refused.Code
	}
	w.Fatal(err)
	return 0
}

func TestAnswers_SlackMethodUntilNoneIsLeft(t *testing.T) {
	w := newAnswered(t)
	const refusal = `{"ok":false,"error":"restricted_action"}`
	w.post("/api/answers", m{"method": "auth.test", "body": m{"ok": false, "error": "restricted_action"}, "left": 2})
	for n := range 2 {
		if got := w.authTest(); !strings.Contains(got, `"restricted_action"`) {
			t.Errorf("call %d: got %s, want %s", n+1, got, refusal)
		}
	}
	if got := w.authTest(); !strings.Contains(got, `"ok":true`) {
		t.Errorf("got %s after two calls, want Slack's own answer", got)
	}
	if got := len(w.get("/api/answers").at("answers").v.([]any)); got != 0 {
		t.Errorf("got %d answers after all were used, want 0", got)
	}
}

func TestAnswers_StayUntilCleared(t *testing.T) {
	w := newAnswered(t)
	clears := map[string]m{"the answer": {"method": "auth.*", "left": 0}, "all answers": {"clear": true}}
	for name, clearing := range clears {
		w.post("/api/answers", m{"method": "auth.*", "status": 503, "header": m{"Retry-After": "7"}, "body": "<h1>down</h1>"})
		for range 3 {
			if got := w.authTest(); got != "<h1>down</h1>" {
				t.Errorf("got %s, want the body as it was given", got)
			}
		}
		w.post("/api/answers", clearing)
		if got := w.authTest(); !strings.Contains(got, `"ok":true`) {
			t.Errorf("clear %s: got %s, want Slack's own answer", name, got)
		}
	}
	w.post("/api/answers", m{"method": "auth.test", "body": "x"})
	w.post("/api/faults", m{"clear": true})
	if got := w.authTest(); !strings.Contains(got, `"ok":true`) {
		t.Errorf("got %s after all faults were cleared, want Slack's own answer", got)
	}
}

func TestAnswers_EverySystem(t *testing.T) {
	w := newAnswered(t)
	w.post("/api/answers", m{"method": "pagerduty.events", "status": 400, "body": m{"status": "invalid event", "errors": []string{"Invalid routing key"}}, "left": 1})
	if status, body := w.send(w.paged+"/v2/enqueue", nil, nil); status != http.StatusBadRequest || !strings.Contains(body, "Invalid routing key") {
		t.Errorf("PagerDuty: got %d %s, want 400 with the body", status, body)
	}
	w.post("/api/answers", m{"method": "sqs:ReceiveMessage", "status": 403, "body": m{"__type": "com.amazonaws.sqs#AccessDenied"}, "left": 1})
	if status, body := w.send(w.aws+"/", http.Header{"X-Amz-Target": {"AmazonSQS.ReceiveMessage"}}, nil); status != http.StatusForbidden || !strings.Contains(body, "AccessDenied") {
		t.Errorf("AWS: got %d %s, want 403 with the body", status, body)
	}
	for method, code := range map[string]int{"smtp.hello": 554, "smtp.auth": 535, "smtp.mail": 451, "smtp.rcpt": 552, "smtp.data": 452} {
		w.post("/api/answers", m{"method": method, "status": code, "body": "refused by a test"})
		if got := w.mail(); got != code {
			t.Errorf("%s: got reply code %d, want %d", method, got, code)
		}
		w.post("/api/answers", m{"method": method, "left": 0})
		if got := w.mail(); got != 0 {
			t.Errorf("%s: got reply code %d after it was cleared, want an accepted mail", method, got)
		}
	}
}

func TestAnswers_RefusesWhatNoSystemCanSend(t *testing.T) {
	w := newAnswered(t)
	for name, in := range map[string]m{
		"no method":             {"body": "x"},
		"misspelt method":       {"method": "conversations.crate", "body": "x"},
		"misspelt field":        {"method": "auth.test", "times": 1},
		"negative left":         {"method": "auth.test", "left": -1},
		"status of no protocol": {"method": "auth.test", "status": 99},
		"smtp code that agrees": {"method": "smtp.data", "status": 250},
		"smtp with two lines":   {"method": "smtp.data", "body": "one\r\ntwo"},
	} {
		status := http.StatusBadRequest
		if strings.Contains(name, "method") {
			status = http.StatusNotFound
		}
		if got := w.postError("/api/answers", in, status); got == "" {
			t.Errorf("%s: got no message, want one that names the fix", name)
		}
	}
	if got := w.authTest(); !strings.Contains(got, `"ok":true`) {
		t.Errorf("got %s after refused answers, want Slack's own answer", got)
	}
}

func TestSetup_OnlyBesideAnotherProcess(t *testing.T) {
	w := newFixture(t)
	w.request(http.MethodGet, "/api/setup", nil, http.StatusNotFound)
	with := newFixture(t, func(c *page.Config) { c.Setup = m{"page": "here"} })
	if got := with.get("/api/setup").str("page"); got != "here" {
		t.Errorf("got page %q in the setup, want here", got)
	}
}
