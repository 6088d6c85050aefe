package pagerduty

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/PagerDuty/go-pagerduty"

	"tocsin/bot/health"
	"tocsin/bot/incident"
	"tocsin/bot/outbound"
	"tocsin/bot/text"
)

// maxSummary is PagerDuty's limit for a summary, in characters.
const maxSummary = 1024

// Page notifies the people on call for the integration's service. The title of the page
// holds the ID, the severity and words of a closed list, because a page appears on lock
// screens and passes through a third party. The details hold the title of the incident
// unless it is restricted.
//
// The Events API does not report whether an earlier attempt succeeded. The dedup key
// makes a repeated page a log entry.
//
// The error is [incident.RetryAfter] if PagerDuty limits the rate and
// [incident.Blocked] if it rejects the event.
func (c *Client) Page(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	round, route := intArg(e, "round"), intArg(e, "escalation_step")
	inc := b.Incident
	event := &pagerduty.V2Event{
		Action:   "trigger",
		DedupKey: incident.PageKey(inc.ID, round),
		Client:   "Tocsin",
		Payload: &pagerduty.V2Payload{
			Summary: summary(b, round), Source: "tocsin", Severity: severity(inc.Severity),
			Component: inc.ID.String(), Class: string(inc.Severity), Details: details(b, round),
		},
		Links: links(b),
	}
	if !inc.OpenedAt.IsZero() {
		event.Payload.Timestamp = inc.OpenedAt.UTC().Format(time.RFC3339)
	}
	if err := c.send(ctx, event); err != nil {
		return incident.Command{}, fmt.Errorf("page through PagerDuty: %w", err)
	}
	return incident.Command{
		Key: e.Key, For: inc.ID, Verb: incident.VerbPaged, By: incident.System, Via: incident.ViaSystem,
		Round: round, EscalationStep: route, Effect: e.Key,
	}, nil
}

// Withdraw ends the page of a round. An [incident.EffectPageAck] acknowledges the page,
// which stops PagerDuty's escalation, and an [incident.EffectPageResolve] resolves it.
// PagerDuty ignores the event if no alert is open under the key.
func (c *Client) Withdraw(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	action := "acknowledge"
	if e.Kind == incident.EffectPageResolve {
		action = "resolve"
	}
	return incident.Command{}, c.sendAction(ctx, action, b, e)
}

func (c *Client) sendAction(ctx context.Context, action string, b incident.Brief, e incident.Effect) error {
	event := &pagerduty.V2Event{Action: action, DedupKey: incident.PageKey(b.Incident.ID, intArg(e, "round")), Client: "Tocsin"}
	if err := c.send(ctx, event); err != nil {
		return fmt.Errorf("%s in PagerDuty: %w", action, err)
	}
	return nil
}

// noticePrefix begins the dedup key of a page about Tocsin. PagerDuty's webhooks about
// such a page are ignored: Tocsin must not open an incident about itself and page again.
const noticePrefix = "tocsin-notice/"

// Notice is a page about Tocsin, without an incident.
type Notice struct {
	Key        string // the page that a later notice resolves
	Summary    string
	Details    string
	IsResolved bool // resolve the page
	At         time.Time
}

// Notice sends or resolves a page about Tocsin.
func (c *Client) Notice(ctx context.Context, n Notice) error {
	event := &pagerduty.V2Event{Action: "trigger", DedupKey: noticePrefix + n.Key, Client: "Tocsin", Payload: &pagerduty.V2Payload{Summary: text.Truncate(text.Line(n.Summary), maxSummary),
		Source: "tocsin", Severity: "error", Class: "degraded", Timestamp: n.At.UTC().Format(time.RFC3339), Details: map[string]string{"advice": n.Details}}}
	if n.IsResolved {
		event.Action, event.Payload = "resolve", nil
	}
	if err := c.send(ctx, event); err != nil {
		return fmt.Errorf("page about Tocsin through PagerDuty: %w", err)
	}
	return nil
}

// testPrefix begins the key of a test page. The page is a notice, so its webhooks have no
// effect on incidents.
const testPrefix = "test/"

// SendTestPage pages the people on call with a test page.
func (c *Client) SendTestPage(ctx context.Context, t incident.TestPageText, at time.Time) error {
	return c.Notice(ctx, Notice{Key: testPrefix + t.Key(), At: at, Summary: "TEST " + t.Code + ": a test page of Tocsin. Nothing is wrong. Acknowledge it",
		Details: "This page is a test. Nobody needs to respond to an incident. " + t.Advice() + "."})
}

// ResolveTestPage ends a test page.
func (c *Client) ResolveTestPage(ctx context.Context, t incident.TestPageText, at time.Time) error {
	return c.Notice(ctx, Notice{Key: testPrefix + t.Key(), IsResolved: true, At: at})
}

// TestAcknowledged returns who acknowledged the test page with a code, if the webhook with
// this body reports it.
func TestAcknowledged(body []byte, code string) (by string, ok bool) {
	var v struct {
		Event event `json:"event"`
	}
	if text.DecodeJSON(body, &v) != nil || v.Event.Type != "incident.acknowledged" || testPageCode(string(v.Event.Data.IncidentKey)) != code {
		return "", false
	}
	user, _ := v.Event.user()
	return cmp.Or(string(user.Summary), string(user.ID), "somebody"), true
}

// testPageCode returns the code in the key of a test page, or "" for any other key.
func testPageCode(key string) string {
	rest, isTest := strings.CutPrefix(key, noticePrefix+testPrefix)
	if !isTest {
		return ""
	}
	return incident.TestPageCode(rest)
}

// intArg returns a numeric argument of an effect, or 0 if it is missing.
func intArg(e incident.Effect, name string) int {
	n, _ := strconv.Atoi(e.Args[name])
	return n
}

// summary returns the title of a page. It begins with the mark of the origin and the
// incident ID, because webhooks about notes contain nothing else to identify the
// incident (see event.subject).
func summary(b incident.Brief, round int) string {
	s := b.PageTitle()
	if number := b.Incident.PageNumber(round); number > 1 {
		s += fmt.Sprintf(", page %d", number)
	}
	return text.Truncate(text.Line(s), maxSummary)
}

// isWebURL reports whether a page may link to a URL of an alert. A link with another
// scheme could run code in the browser of the person who is paged.
func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && text.Line(s) == s && !strings.ContainsAny(s, " <>\"'`\\")
}

func severity(s incident.Severity) string {
	switch s {
	case incident.Sev1:
		return "critical"
	case incident.Sev2:
		return "error"
	case incident.Sev4:
		return "info"
	}
	return "warning"
}

// details returns the custom details of a page. They contain the head of the timeline:
// a copy outside Tocsin lets a recipient check later that the timeline up to this
// point was not rewritten.
func details(b incident.Brief, round int) map[string]string {
	inc := b.Incident
	d := map[string]string{
		"next":     incident.AcknowledgeHint,
		"incident": inc.ID.String(), "severity": string(inc.Severity), "status": string(inc.Status), "round": strconv.Itoa(round),
	}
	if !inc.Restricted && inc.Title != "" {
		d["title"] = text.Truncate(text.Line(inc.Title), maxSummary)
	}
	if b.Page.Note != "" {
		d["note"] = b.Page.Note + "."
	}
	if inc.Head.Hash != "" {
		d["timeline_head"] = fmt.Sprintf("%d %s", inc.Head.Seq, inc.Head.Hash)
	}
	return d
}

// links returns the links of the page, which reveal nothing, and up to five links to
// alerts at their sources unless the incident is restricted.
func links(b incident.Brief) []any {
	type link struct {
		Href string `json:"href"`
		Text string `json:"text"`
	}
	inc := b.Incident
	var out []any
	for _, l := range b.Page.Links.List() {
		out = append(out, link{l.URL, l.Label})
	}
	if !inc.Restricted {
		for _, a := range inc.Alerts[:min(len(inc.Alerts), 5)] {
			if isWebURL(a.URL) {
				out = append(out, link{a.URL, text.Line(a.Source + ": " + a.Kind)})
			}
		}
	}
	return out
}

// send posts one event to PagerDuty. PagerDuty answers 202 if it accepts the event. If it
// rejects the event as invalid, send tries the parts that PagerDuty requires alone: a page
// without details is better than none.
func (c *Client) send(ctx context.Context, e *pagerduty.V2Event) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	e.RoutingKey = c.key.Reveal()
	status, err := c.post(ctx, e)
	if status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge {
		if reduced := reduce(e); reduced != nil {
			_, err = c.post(ctx, reduced)
			if err == nil {
				c.log.ErrorContext(ctx, "page reduced because PagerDuty rejected it: this is a bug in Tocsin", "key", e.DedupKey)
			}
		}
	}
	return err
}

// reduce returns an event without its optional parts, or nil if it has none.
func reduce(e *pagerduty.V2Event) *pagerduty.V2Event {
	if e.Payload == nil {
		return nil
	}
	return &pagerduty.V2Event{RoutingKey: e.RoutingKey, Action: e.Action, DedupKey: e.DedupKey,
		Payload: &pagerduty.V2Payload{Summary: e.DedupKey + " (" + e.Payload.Class + ") needs a responder: " + incident.AcknowledgeHint, Source: e.Payload.Source, Severity: e.Payload.Severity}}
}

// post makes one call. status is the status of PagerDuty's response, or 0.
func (c *Client) post(ctx context.Context, e *pagerduty.V2Event) (status int, err error) {
	recorder := &responseRecorder{http: c.http}
	api := pagerduty.NewClient("", pagerduty.WithV2EventsAPIEndpoint(c.url))
	api.HTTPClient = recorder
	_, err = api.ManageEventWithContext(ctx, e)
	if err == nil {
		return http.StatusAccepted, nil
	}
	return recorder.status, recorder.classify(err)
}

// responseRecorder performs one call for go-pagerduty. It records the parts of the
// response that go-pagerduty drops: Retry-After and the errors in the Events API
// format.
type responseRecorder struct {
	http       *http.Client
	isREST     bool
	failure    error // of the call, which go-pagerduty does not wrap
	status     int
	retryAfter string
	body       []byte
}

// maxResponseBytes is the maximum number of bytes read from a response. A list of the REST
// API has up to 100 entries, and an incident of PagerDuty has several kilobytes.
const maxResponseBytes = 4 << 20

// Do implements pagerduty.HTTPClient.
func (r *responseRecorder) Do(req *http.Request) (*http.Response, error) {
	res, err := r.http.Do(req) //nolint:gosec // G704: the operator configures the URL
	if err != nil {
		r.failure = err
		return nil, err
	}
	defer res.Body.Close()
	r.body, err = io.ReadAll(io.LimitReader(res.Body, maxResponseBytes))
	if err != nil {
		r.failure = fmt.Errorf("read response: %w", err)
		return nil, r.failure
	}
	r.status, r.retryAfter = res.StatusCode, res.Header.Get("Retry-After")
	res.Body = io.NopCloser(bytes.NewReader(r.body))
	return res, nil
}

// defaultRetryAfter is the delay after a 429 response without Retry-After.
// PagerDuty's rate limit counts requests per minute.
const defaultRetryAfter = 30 * time.Second

// classify converts an API error. Every refusal is an [incident.Blocked], because an
// administrator can repair the integration. After any other error the page must be
// retried.
func (r *responseRecorder) classify(err error) error {
	if untrusted := new(tls.CertificateVerificationError); errors.As(r.failure, &untrusted) {
		return blocked(incident.Say("the certificate of PagerDuty is not trusted"),
			incident.Say("Check the clock of this machine, and add the certificate authority of your proxy to the trusted ones"), err)
	}
	var api pagerduty.APIError
	switch {
	case r.failure != nil: // in place of err, which has its text only
		return r.failure
	case !errors.As(err, &api):
		return err
	}
	err = r.explain(api.StatusCode)
	switch status := api.StatusCode; {
	case status == http.StatusTooManyRequests:
		after := defaultRetryAfter
		if d, ok := outbound.ParseRetryAfter(r.retryAfter, time.Now()); ok && d > 0 {
			after = d
		}
		return &incident.RetryAfter{After: after, Err: err}
	case status == http.StatusRequestTimeout:
		return err
	case status >= http.StatusInternalServerError:
		return health.Status("PagerDuty", status, err)
	case r.isREST && status >= 400 && status < 500:
		return refusedREST(status, err)
	case status >= 400 && status < 500:
		cause := incident.Say("PagerDuty rejects the event (status %d)", status)
		if r.namesRoutingKey() || status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound {
			cause = incident.Say("PagerDuty does not accept the routing key (status %d)", status)
		}
		return blocked(cause, incident.Say("Copy the key of an Events API v2 integration to routing_key under escalation.steps and reload Tocsin, and enable the service in PagerDuty"), err)
	}
	return err
}

// refusedREST classifies a refusal of the REST API. A call with wrong content is wrong every
// time, and everything else is repaired in the configuration or in PagerDuty.
func refusedREST(status int, err error) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return blocked(incident.Say("PagerDuty does not accept the API key (status %d)", status),
			incident.Say("Write a REST API key with full access to pagerduty.api_key and reload Tocsin"), err)
	case http.StatusNotFound:
		return blocked(incident.Say("PagerDuty does not know the service, the user or the incident (status %d)", status),
			incident.Say("Correct pagerduty.service and the PagerDuty IDs under people, and reload Tocsin"), err)
	}
	return blocked(incident.Say("PagerDuty rejects the call of its REST API (status %d)", status),
		incident.Say("Check that pagerduty.from is the address of a user of PagerDuty and that pagerduty.service is active, and reload Tocsin"), err)
}

func blocked(cause, fix incident.Sentence, err error) error {
	return &incident.Blocked{System: incident.SystemPagerDuty, Cause: cause, Fix: fix, Err: err}
}

// namesRoutingKey reports whether PagerDuty's answer is about the routing key, which it
// spells in two ways.
func (r *responseRecorder) namesRoutingKey() bool {
	body := bytes.ReplaceAll(bytes.ToLower(r.body), []byte("_"), []byte(" "))
	return bytes.Contains(body, []byte("routing key"))
}

func (r *responseRecorder) explain(status int) error {
	type problem struct {
		Message string   `json:"message"`
		Errors  []string `json:"errors"`
	}
	var v struct {
		problem
		Error *problem `json:"error"` // of the REST API
	}
	if json.Unmarshal(r.body, &v) == nil && v.Error != nil {
		v.problem = *v.Error
	}
	if v.Message == "" {
		return fmt.Errorf("got status %d", status)
	}
	return fmt.Errorf("got status %d: %s", status, strings.Join(append([]string{v.Message}, v.Errors...), "; "))
}
