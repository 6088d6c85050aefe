package chat

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// delivery is a request to the app that was not sent yet.
type delivery struct {
	kind        string // command, interaction, event
	typ         string
	id          string
	user        string
	payload     json.RawMessage
	attempt     int
	reason      string // why the previous attempt failed
	wantsAnswer bool   // the response body has a meaning for this kind
}

// outcome is the result of a delivery. If the delivery failed, reason is one of Slack's retry reasons.
type outcome struct {
	ok      bool
	status  int
	body    []byte
	reason  string
	noRetry bool
	err     error
}

var errTooManyRedirects = errors.New("too many redirects")

func limitRedirects(_ *http.Request, via []*http.Request) error {
	if len(via) > 2 {
		return errTooManyRedirects
	}
	return nil
}

// Sign returns the value of the header X-Slack-Signature for a request body and its timestamp.
func Sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + timestamp + ":"))
	mac.Write(body)
	return "v0=" + hex.EncodeToString(mac.Sum(nil))
}

// send delivers to the app over HTTP or Socket Mode, waits for the acknowledgement and logs both. The caller must not
// hold mu.
func (w *Workspace) send(d delivery) outcome {
	cfg := w.Config()
	entry := Delivery{Time: w.clock(), Kind: d.kind, Type: d.typ, ID: d.id, User: d.user, Via: cfg.Mode, Payload: d.payload, Attempt: d.attempt}
	begin := time.Now()
	var out outcome
	switch {
	case w.Offline():
		out = outcome{reason: "connection_failed", err: errors.New("workspace is offline")}
	case cfg.Mode == ModeSocket:
		out = w.sendSocket(cfg, d)
	default:
		out = w.sendHTTP(cfg, d)
	}
	entry.Duration, entry.OK, entry.Status, entry.Answer = time.Since(begin), out.ok, out.status, string(out.body)
	if out.err != nil {
		entry.Error = out.reason + ": " + out.err.Error()
	}
	w.journal.delivery(entry)
	return out
}

func (w *Workspace) sendHTTP(cfg Config, d delivery) outcome {
	target, body, media, err := httpBody(cfg, d)
	if err != nil || target == "" {
		return outcome{reason: "unknown_error", err: fmt.Errorf("no URL configured for deliveries of kind %s", d.kind)}
	}
	ctx, cancel := context.WithTimeout(w.ctx, cfg.AckTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return outcome{reason: "unknown_error", err: err}
	}
	ts := strconv.FormatInt(w.clock().Unix(), 10)
	req.Header.Set("Content-Type", media)
	req.Header.Set("User-Agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
	req.Header.Set("X-Slack-Request-Timestamp", ts)
	req.Header.Set("X-Slack-Signature", Sign(cfg.SigningSecret, ts, body))
	if d.attempt > 0 {
		req.Header.Set("X-Slack-Retry-Num", strconv.Itoa(d.attempt))
		req.Header.Set("X-Slack-Retry-Reason", d.reason)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return outcome{reason: failureReason(ctx, err), err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	out := outcome{ok: resp.StatusCode/100 == 2 && err == nil, status: resp.StatusCode, body: answer, noRetry: resp.Header.Get("X-Slack-No-Retry") == "1"}
	switch {
	case err != nil:
		out.reason, out.err = failureReason(ctx, err), err
	case !out.ok:
		out.reason, out.err = "http_error", fmt.Errorf("app returned status %s", resp.Status)
	}
	return out
}

func failureReason(ctx context.Context, err error) string {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "http_timeout"
	case errors.Is(err, errTooManyRedirects):
		return "too_many_redirects"
	}
	return "connection_failed"
}

// httpBody returns the URL, body and content type of a delivery over HTTP. Commands are a form, interactions are a form
// with one field payload, and events are JSON.
func httpBody(cfg Config, d delivery) (target string, body []byte, media string, err error) {
	const form = "application/x-www-form-urlencoded"
	switch d.kind {
	case "command":
		var fields map[string]string
		if err := json.Unmarshal(d.payload, &fields); err != nil {
			return "", nil, "", err
		}
		values := url.Values{}
		for k, v := range fields {
			values.Set(k, v)
		}
		return cfg.CommandsURL, []byte(values.Encode()), form, nil
	case "interaction":
		return cfg.InteractionsURL, []byte(url.Values{"payload": {string(d.payload)}}.Encode()), form, nil
	}
	return cfg.EventsURL, d.payload, "application/json", nil
}

// ClientError is the error that Slack's client shows a person if the app does not answer correctly.
type ClientError struct {
	Code string `json:"code"` // operation_timeout, dispatch_failed, trouble_connecting
	Text string `json:"text"`
}

func (e *ClientError) Error() string { return e.Text }

// deliverForPerson delivers a command or an interaction and returns the body of the response. If the delivery fails, it
// returns the *ClientError that the person would see. subject is the first part of that text.
func (w *Workspace) deliverForPerson(d delivery, subject string) ([]byte, error) {
	out := w.send(d)
	if out.ok {
		return out.body, nil
	}
	code := "dispatch_failed"
	if out.reason == "http_timeout" {
		code = "operation_timeout"
	}
	return nil, &ClientError{Code: code, Text: fmt.Sprintf("%s failed with the error %q", subject, code)}
}

// VerifyURL sends the url_verification challenge to the events URL and checks the response. Slack does this when an app
// is configured.
func (w *Workspace) VerifyURL() error {
	challenge := ticket()
	raw, err := json.Marshal(obj{"type": "url_verification", "token": "", "challenge": challenge})
	if err != nil {
		return err
	}
	out := w.send(delivery{kind: "event", typ: "url_verification", id: challenge, payload: raw})
	if !out.ok {
		return fmt.Errorf("verify events URL: %w", out.err)
	}
	text := strings.TrimSpace(string(out.body))
	if strings.HasPrefix(text, "{") {
		var o struct {
			Challenge string `json:"challenge"`
		}
		if json.Unmarshal(out.body, &o) == nil {
			text = o.Challenge
		}
	}
	if strings.TrimPrefix(text, "challenge=") != challenge {
		return fmt.Errorf("verify events URL: response does not contain the challenge")
	}
	return nil
}
