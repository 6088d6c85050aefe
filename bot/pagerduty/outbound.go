package pagerduty

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/PagerDuty/go-pagerduty"

	"tocsin/bot/incident"
)

// maxSummary is PagerDuty's limit of a summary, in characters.
const maxSummary = 1024

// Page rings whoever is on call for the integration's service. It says the
// incident's id and severity, and its title only where the incident is not
// restricted: a page shows on locked screens and passes through a third party.
//
// The Events API cannot be asked whether an earlier attempt landed. It need not
// be: the dedup key makes the repeat a log entry.
func (c *Client) Page(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	round, route := intArg(e, "round"), intArg(e, "escalation_step")
	inc := b.Incident
	event := &pagerduty.V2Event{
		Action:   "trigger",
		DedupKey: incident.PageKey(inc.ID, round),
		Client:   "Tocsin",
		Payload: &pagerduty.V2Payload{
			Summary: summary(inc, round), Source: "tocsin", Severity: severity(inc.Severity),
			Component: inc.ID.String(), Class: string(inc.Severity), Details: details(inc, round),
		},
		Links: links(inc),
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

// Acknowledge tells PagerDuty that somebody has it, so that it stops to
// escalate. Without an open alert under the key it is dropped there in silence.
func (c *Client) Acknowledge(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	return incident.Command{}, c.end(ctx, "acknowledge", b, e)
}

// Resolve tells PagerDuty that it is over.
func (c *Client) Resolve(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	return incident.Command{}, c.end(ctx, "resolve", b, e)
}

func (c *Client) end(ctx context.Context, action string, b incident.Brief, e incident.Effect) error {
	event := &pagerduty.V2Event{Action: action, DedupKey: incident.PageKey(b.Incident.ID, intArg(e, "round")), Client: "Tocsin"}
	if err := c.send(ctx, event); err != nil {
		return fmt.Errorf("%s in PagerDuty: %w", action, err)
	}
	return nil
}

// intArg reads a number among an effect's arguments; who enqueued it wrote it.
func intArg(e incident.Effect, name string) int {
	n, _ := strconv.Atoi(e.Args[name])
	return n
}

// summary begins with the incident's id: webhooks about notes give back nothing
// else of it (see event.subject).
func summary(inc incident.Incident, round int) string {
	words := []string{inc.ID.String(), string(inc.Severity)}
	if round > 1 {
		words = append(words, fmt.Sprintf("(page %d)", round))
	}
	if !inc.Restricted && inc.Title != "" {
		words = append(words, inc.Title)
	}
	s := []rune(strings.Join(strings.Fields(strings.Join(words, " ")), " "))
	if len(s) > maxSummary {
		s = append(s[:maxSummary-1], '…')
	}
	return string(s)
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

// details carry the head of the timeline out of the house: with it, somebody
// who received the page can tell later whether the history up to then was
// rewritten.
func details(inc incident.Incident, round int) map[string]string {
	d := map[string]string{
		"incident": inc.ID.String(), "severity": string(inc.Severity), "status": string(inc.Status), "round": strconv.Itoa(round),
	}
	if inc.Head.Hash != "" {
		d["timeline_head"] = fmt.Sprintf("%d %s", inc.Head.Seq, inc.Head.Hash)
	}
	return d
}

// links lead to the channel, whose address says nothing, and, where the
// incident is open to everybody, to the alerts at their sources.
func links(inc incident.Incident) []any {
	type link struct {
		Href string `json:"href"`
		Text string `json:"text"`
	}
	var out []any
	if channel := inc.Links[incident.LinkChannel]; channel != "" {
		out = append(out, link{"https://slack.com/app_redirect?channel=" + channel, "Channel of " + inc.ID.String()})
	}
	if !inc.Restricted {
		for _, a := range inc.Alerts[:min(len(inc.Alerts), 5)] {
			if a.URL != "" {
				out = append(out, link{a.URL, a.Source + ": " + a.Kind})
			}
		}
	}
	return out
}

// send hands one event to PagerDuty. 202 means that it was accepted.
func (c *Client) send(ctx context.Context, e *pagerduty.V2Event) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	e.RoutingKey = c.key.Reveal()
	answer := &responseRecorder{http: c.http}
	api := pagerduty.NewClient("", pagerduty.WithV2EventsAPIEndpoint(c.url))
	api.HTTPClient = answer
	_, err := api.ManageEventWithContext(ctx, e)
	if err == nil {
		return nil
	}
	return answer.classify(err)
}

// responseRecorder does one call for go-pagerduty and remembers what it does not pass on:
// Retry-After, and the reasons in the Events API's form of an error.
type responseRecorder struct {
	http  *http.Client
	after string
	body  []byte
}

// maxAnswer bounds how much of an answer is read.
const maxAnswer = 64 << 10

func (a *responseRecorder) Do(req *http.Request) (*http.Response, error) {
	res, err := a.http.Do(req) //nolint:gosec // G704: the address is the operator's setting
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	a.body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	a.after = res.Header.Get("Retry-After")
	res.Body = io.NopCloser(bytes.NewReader(a.body))
	return res, nil
}

// defaultRetryAfter is how long to leave PagerDuty alone when it does not say; its
// window is a minute.
const defaultRetryAfter = 30 * time.Second

// classify says what the failure means for a repeat. Only 400 is final: the
// event itself is wrong. Whatever else it is, the page is still owed.
func (a *responseRecorder) classify(err error) error {
	var api pagerduty.APIError
	if !errors.As(err, &api) {
		return err
	}
	err = a.explain(api.StatusCode)
	switch api.StatusCode {
	case http.StatusTooManyRequests:
		after := defaultRetryAfter
		if s, e := strconv.Atoi(a.after); e == nil && s > 0 && s <= 3600 {
			after = time.Duration(s) * time.Second
		}
		return &incident.RetryAfter{After: after, Err: err}
	case http.StatusBadRequest:
		return &incident.Permanent{Err: err}
	}
	return err
}

func (a *responseRecorder) explain(status int) error {
	var v struct {
		Message string   `json:"message"`
		Errors  []string `json:"errors"`
	}
	if json.Unmarshal(a.body, &v) != nil || v.Message == "" {
		return fmt.Errorf("it answered %d", status)
	}
	return fmt.Errorf("it answered %d: %s", status, strings.Join(append([]string{v.Message}, v.Errors...), "; "))
}
