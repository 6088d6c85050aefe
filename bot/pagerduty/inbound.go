package pagerduty

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/secret"
)

// Source takes PagerDuty's v3 webhooks.
type Source struct{ secrets []secret.String }

// NewSource makes the source. There are several secrets with several
// subscriptions, or while one is rotated.
func NewSource(webhookSecrets []secret.String) *Source { return &Source{secrets: webhookSecrets} }

// Name is the last element of the webhook's path.
func (*Source) Name() string { return name }

// Headers is empty: the body says everything.
func (*Source) Headers() []string { return nil }

// errNoSecret is our own fault, not PagerDuty's: the edge answers 5xx, and
// PagerDuty keeps the event for up to 48 hours. Three 4xx in a row would cost
// the subscription.
var errNoSecret = errors.New("pagerduty: no webhook secret is configured")

// Verify accepts a body if any of its v1 signatures was made with any of the
// configured secrets. PagerDuty sends one signature for each secret of the
// subscription, separated by commas, with or without blanks.
func (s *Source) Verify(h http.Header, body []byte, _ time.Time) (string, error) {
	var signatures [][]byte
	for _, value := range h.Values("X-Pagerduty-Signature") {
		for part := range strings.SplitSeq(value, ",") {
			hexed, v1 := strings.CutPrefix(strings.TrimSpace(part), "v1=")
			if sum, err := hex.DecodeString(hexed); v1 && err == nil && len(sum) == sha256.Size {
				signatures = append(signatures, sum)
			}
		}
	}
	genuine, known := secret.VerifyAny(s.secrets, body, signatures...)
	switch {
	case !known:
		return "", errNoSecret
	case !genuine:
		return "", incident.Forbidden("no v1 signature in X-PagerDuty-Signature matches the body")
	}
	if id := h.Get("X-Webhook-Id"); id != "" {
		return id, nil
	}
	var v struct {
		Event struct {
			ID text `json:"id"`
		} `json:"event"`
	}
	_ = decode(body, &v) // without an id, the edge tells deliveries apart by the body
	return string(v.Event.ID), nil
}

// event is a v3 event, as far as it is read.
type event struct {
	ID         text `json:"id"`
	Type       text `json:"event_type"`
	OccurredAt text `json:"occurred_at"`
	Agent      *ref `json:"agent"`
	Data       struct {
		ID          text  `json:"id"`
		IncidentKey text  `json:"incident_key"`
		Title       text  `json:"title"`
		HTMLURL     text  `json:"html_url"`
		Urgency     text  `json:"urgency"`
		Service     ref   `json:"service"`
		Priority    *ref  `json:"priority"`
		Assignees   []ref `json:"assignees"`
		Incident    *ref  `json:"incident"` // of notes, status updates, responders
		Content     text  `json:"content"`
		Message     text  `json:"message"`
		User        *ref  `json:"user"`
		State       text  `json:"state"`
	} `json:"data"`
}

type ref struct {
	ID      text `json:"id"`
	Type    text `json:"type"`
	Summary text `json:"summary"`
}

// The events that are noted in the timeline and move nothing, with what they
// say about the incident.
var noted = map[text]string{
	"incident.resolved":                "resolved",
	"incident.reopened":                "reopened",
	"incident.unacknowledged":          "no longer acknowledged",
	"incident.escalated":               "escalated",
	"incident.reassigned":              "reassigned",
	"incident.delegated":               "delegated to another escalation policy",
	"incident.priority_updated":        "priority changed",
	"incident.annotated":               "noted",
	"incident.status_update_published": "status update published",
	"incident.responder.added":         "responder asked for",
	"incident.responder.replied":       "responder replied",
}

// The events that say nothing about the response to an incident.
var ignored = []text{
	"pagey.ping", "incident.service_updated", "incident.incident_type.changed", "incident.custom_field_values.updated",
	"incident.conference_bridge.updated", "incident.role.assigned", "incident.task.created", "incident.task.updated", "incident.task.completed",
	"incident.workflow.started", "incident.workflow.completed", "incident.action_invocation.created", "incident.action_invocation.updated",
	"incident.action_invocation.terminated", "service.created", "service.updated", "service.deleted", "service.custom_field_values.updated",
}

// Decode says what a webhook means. Without an agent who is a user, an event
// was caused by an integration: by ours, as the echo of what we said ourselves,
// or by PagerDuty's own clocks.
func (*Source) Decode(_ http.Header, body []byte) ([]incident.Signal, error) {
	var v struct {
		Event *event `json:"event"`
	}
	if err := decode(body, &v); err != nil {
		return nil, fmt.Errorf("decode pagerduty webhook: %w", err)
	}
	if v.Event == nil || v.Event.Type == "" {
		return nil, errors.New("decode pagerduty webhook: event.event_type is missing")
	}
	ev := v.Event
	what, note := noted[ev.Type]
	switch {
	case slices.Contains(ignored, ev.Type):
		return nil, nil
	case ev.Type == "incident.triggered":
		return ev.triggered()
	case ev.Type == "incident.acknowledged":
		return ev.acknowledged()
	case note:
		return ev.noted(what)
	}
	return nil, fmt.Errorf("decode pagerduty webhook: event type %q is unknown", ev.Type)
}

// person is who did it, if a user did.
func (ev *event) person() (ref, bool) {
	if ev.Agent == nil || ev.Agent.ID == "" || ev.Agent.Type != "user_reference" && ev.Agent.Type != "user" {
		return ref{}, false
	}
	return *ev.Agent, true
}

// triggered: a page of ours coming back is no news. Any other incident was
// raised there, and opens one here.
func (ev *event) triggered() ([]incident.Signal, error) {
	d := ev.Data
	if _, _, ours := incident.ParsePageKey(string(d.IncidentKey)); ours {
		return nil, nil
	}
	if d.ID == "" {
		return nil, errors.New("decode pagerduty webhook: data.id of the incident is missing")
	}
	level := incident.LevelMedium
	if d.Urgency == "high" {
		level = incident.LevelHigh
	}
	title := d.Title
	if title == "" {
		title = "PagerDuty incident " + d.ID
	}
	by, _ := ev.person()
	return []incident.Signal{{Alert: &incident.Alert{
		Source: name, Kind: "pagerduty.incident", Level: level, Title: string(title),
		Detail:      lines(field("Service", d.Service.Summary), field("Urgency", d.Urgency), field("Priority", d.Priority.summary()), field("Raised by", by.Summary)),
		Fingerprint: string(key(d.ID)), Correlation: string(key(d.ID)),
		EventID: string(d.ID), At: instant(ev.OccurredAt), URL: webURL(d.HTMLURL),
		Project: string(d.Service.Summary), Principal: string(by.ID),
	}}}, nil
}

// acknowledged: only a user acknowledges, and only by their own id; whether
// that is somebody we know, and a responder, is judged where all commands are.
func (ev *event) acknowledged() ([]incident.Signal, error) {
	by, ok := ev.person()
	if !ok {
		return nil, nil
	}
	subject, ok := ev.subject()
	if !ok {
		return nil, errors.New("decode pagerduty webhook: it names no incident")
	}
	return []incident.Signal{{Command: ev.command(incident.VerbAcknowledge, by, ""), Subject: subject}}, nil
}

// noted: what moves an incident there is written down here and moves nothing.
func (ev *event) noted(what string) ([]incident.Signal, error) {
	by, human := ev.person()
	if !human && ev.Type == "incident.resolved" {
		return nil, nil // our own echo
	}
	subject, ok := ev.subject()
	if !ok {
		return nil, errors.New("decode pagerduty webhook: it names no incident")
	}
	says := "PagerDuty: " + what
	if human {
		says += " by " + string(by.name())
	}
	d := ev.Data
	switch ev.Type {
	case "incident.priority_updated":
		says += suffix(" to ", d.Priority.summary())
	case "incident.reassigned", "incident.escalated":
		says += suffix(" to ", names(d.Assignees))
	case "incident.responder.added", "incident.responder.replied":
		says += suffix(": ", d.User.summary()) + suffix(", ", d.State)
	}
	says += suffix(": ", d.Content) + suffix(": ", d.Message)
	return []incident.Signal{{Command: ev.command(incident.VerbSourceNote, by, says), Subject: subject}}, nil
}

// command is keyed by the event, which is the same in every delivery of it and
// for every subscription. A note is the source's, an acknowledgement the person's.
func (ev *event) command(verb incident.Verb, by ref, says string) *incident.Command {
	c := &incident.Command{
		Verb: verb, By: incident.Identity{Provider: incident.ProviderSource, ID: name}, Auth: "pagerduty webhook", Via: incident.ViaSource,
		HappenedAt: instant(ev.OccurredAt), Text: says,
	}
	if ev.ID != "" {
		c.Key = name + ":" + string(ev.ID)
	}
	if verb == incident.VerbAcknowledge {
		c.By, c.Via = incident.Identity{Provider: incident.ProviderPagerDuty, ID: string(by.ID)}, incident.ViaPager
	}
	return c
}

// subject finds the incident that an event is about:
//
//   - by incident_key, where it is a page key of ours: the page opened it there;
//   - notes, status updates and responders carry no incident_key, only a
//     reference with a summary, which begins with our id ("INC-42 sev2 …",
//     perhaps behind "[#17] ") when a page of ours opened it. This is good
//     enough for a note, which moves nothing; an acknowledgement always has the key;
//   - else by PagerDuty's id, the correlation key of the alert that an incident
//     raised over there made here.
func (ev *event) subject() (incident.IncidentRef, bool) {
	d := ev.Data
	if _, _, ours := incident.ParsePageKey(string(d.IncidentKey)); ours {
		return incident.IncidentRef{PageKey: string(d.IncidentKey)}, true
	}
	if d.Incident == nil {
		return incident.IncidentRef{Correlation: string(key(d.ID))}, d.ID != ""
	}
	if id, ok := summarised(string(d.Incident.Summary)); ok {
		return incident.IncidentRef{PageKey: incident.PageKey(id, 1)}, true
	}
	return incident.IncidentRef{Correlation: string(key(d.Incident.ID))}, d.Incident.ID != ""
}

// summarised reads the id at the beginning of a summary that Page wrote.
func summarised(s string) (incident.ID, bool) {
	if rest, ok := strings.CutPrefix(s, "[#"); ok {
		if _, after, found := strings.Cut(rest, "] "); found {
			s = after
		}
	}
	word, _, _ := strings.Cut(s, " ")
	if !strings.HasPrefix(word, "INC-") {
		return 0, false
	}
	id, err := incident.ParseID(word)
	return id, err == nil
}

// key is the correlation key of an incident that was raised in PagerDuty.
func key(id text) text { return name + ":" + id }

func (r *ref) summary() text {
	if r == nil {
		return ""
	}
	return r.name()
}

func (r ref) name() text {
	if r.Summary != "" {
		return r.Summary
	}
	return r.ID
}

func names(rs []ref) text {
	var out []string
	for _, r := range rs {
		out = append(out, string(r.name()))
	}
	return text(strings.Join(out, ", "))
}

func suffix(before string, t text) string {
	if t == "" {
		return ""
	}
	return before + string(t)
}

func field(label string, t text) string {
	if t == "" {
		return ""
	}
	return label + ": " + string(t)
}

func lines(ss ...string) string {
	return strings.Join(slices.DeleteFunc(ss, func(s string) bool { return s == "" }), "\n")
}

func instant(s text) time.Time {
	t, err := time.Parse(time.RFC3339Nano, string(s))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

func webURL(s text) string {
	if u, err := url.Parse(string(s)); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return string(s)
}

// decode reads JSON and forgives a field of an unexpected type, which stays
// empty: PagerDuty sends numbers where it documents strings.
func decode(body []byte, v any) error {
	err := json.Unmarshal(body, v)
	var mismatch *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &mismatch) {
		return fmt.Errorf("not JSON: %w", err)
	}
	return nil
}

// text is what may also come as a number or a boolean.
type text = incident.FlexString
