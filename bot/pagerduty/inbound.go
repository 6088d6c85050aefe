package pagerduty

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/secret"
	"tocsin/bot/text"
)

// Source verifies and decodes PagerDuty's v3 webhooks. It is safe for concurrent
// use.
type Source struct{ secrets []secret.String }

// NewSource returns a source that accepts the secrets in c.
func NewSource(c SourceConfig) *Source { return &Source{secrets: c.WebhookSecrets} }

// Name returns the last element of the webhook's path.
func (*Source) Name() string { return sourceName }

// Headers returns nil because Decode needs only the body.
func (*Source) Headers() []string { return nil }

// SignsTimes returns true because the signature covers the whole body.
func (*Source) SignsTimes() bool { return true }

// errNoSecret is a configuration error. The edge answers it with a 5xx status, and
// PagerDuty retries the event for up to 48 hours. Three 4xx responses in a row would
// disable the subscription.
var errNoSecret = errors.New("pagerduty: no webhook secret is configured")

// Verify accepts a body if any of its v1 signatures matches any configured secret.
// PagerDuty sends one signature for each secret of the subscription, separated by
// commas and optional spaces. The returned ID is the ID of the event in the signed
// body, or empty if there is none, and then the edge uses the hash of the body.
// Verify ignores X-Webhook-Id because the signatures do not cover it.
//
// Verify accepts an event of any age, because PagerDuty disables a subscription after
// three rejections.
func (s *Source) Verify(_ context.Context, h http.Header, body []byte, _ time.Time) (string, error) {
	var signatures [][]byte
	for _, value := range h.Values(headerSignature) {
		for part := range strings.SplitSeq(value, ",") {
			digits, v1 := strings.CutPrefix(strings.TrimSpace(part), "v1=")
			if sum, err := hex.DecodeString(digits); v1 && err == nil && len(sum) == sha256.Size {
				signatures = append(signatures, sum)
			}
		}
	}
	genuine, configured := secret.VerifyAny(s.secrets, body, signatures...)
	switch {
	case !configured:
		return "", errNoSecret
	case !genuine:
		return "", incident.Forbidden("no v1 signature in %s matches the body", headerSignature)
	}
	var v struct {
		Event struct {
			ID text.Flex `json:"id"`
		} `json:"event"`
	}
	_ = text.DecodeJSON(body, &v) // the edge uses the hash of the body if there is no ID
	return string(v.Event.ID), nil
}

// event holds the fields of a v3 event that Tocsin reads.
type event struct {
	ID         text.Flex `json:"id"`
	Type       text.Flex `json:"event_type"`
	OccurredAt text.Flex `json:"occurred_at"`
	Agent      *ref      `json:"agent"`
	Data       struct {
		ID          text.Flex `json:"id"`
		IncidentKey text.Flex `json:"incident_key"`
		Title       text.Flex `json:"title"`
		HTMLURL     text.Flex `json:"html_url"`
		Urgency     text.Flex `json:"urgency"`
		Service     ref       `json:"service"`
		Priority    *ref      `json:"priority"`
		Assignees   []ref     `json:"assignees"`
		Incident    *ref      `json:"incident"` // set for notes, status updates and responders
		Content     text.Flex `json:"content"`
		Message     text.Flex `json:"message"`
		User        *ref      `json:"user"`
		State       text.Flex `json:"state"`
	} `json:"data"`
}

type ref struct {
	ID      text.Flex `json:"id"`
	Type    text.Flex `json:"type"`
	Summary text.Flex `json:"summary"`
}

// noteTexts holds the events that become a note in the timeline, by event type. A
// note does not change the status of the incident.
var noteTexts = map[text.Flex]string{
	"incident.resolved":                "resolved",
	"incident.reopened":                "reopened",
	"incident.unacknowledged":          "no longer acknowledged",
	"incident.escalated":               "escalated",
	"incident.reassigned":              "reassigned",
	"incident.delegated":               "delegated to another escalation policy",
	"incident.priority_updated":        "priority changed",
	"incident.annotated":               "note added",
	"incident.status_update_published": "status update published",
	"incident.responder.added":         "responder requested",
	"incident.responder.replied":       "responder replied",
}

// ignoredTypes lists the event types without information about the response to an
// incident.
var ignoredTypes = []text.Flex{
	"pagey.ping", "incident.service_updated", "incident.incident_type.changed", "incident.custom_field_values.updated",
	"incident.conference_bridge.updated", "incident.role.assigned", "incident.task.created", "incident.task.updated", "incident.task.completed",
	"incident.workflow.started", "incident.workflow.completed", "incident.action_invocation.created", "incident.action_invocation.updated",
	"incident.action_invocation.terminated", "service.created", "service.updated", "service.deleted", "service.custom_field_values.updated",
}

// Decode returns an alert, a command or nothing for a webhook. It returns an error
// for an unknown event type.
//
// An event whose agent is not a user has one of two causes: a request that Tocsin
// sent to PagerDuty, or a timer of PagerDuty.
func (*Source) Decode(_ http.Header, body []byte) ([]incident.Signal, error) {
	var v struct {
		Event *event `json:"event"`
	}
	if err := text.DecodeJSON(body, &v); err != nil {
		return nil, fmt.Errorf("decode pagerduty webhook: %w", err)
	}
	if v.Event == nil || v.Event.Type == "" {
		return nil, errors.New("decode pagerduty webhook: event.event_type is missing")
	}
	ev := v.Event
	note, hasNote := noteTexts[ev.Type]
	switch {
	case ev.Type == "incident.acknowledged" && testPageCode(string(ev.Data.IncidentKey)) != "":
		return ev.testAcknowledged(), nil
	case slices.Contains(ignoredTypes, ev.Type), strings.HasPrefix(string(ev.Data.IncidentKey), noticePrefix):
		return nil, nil
	case ev.Type == "incident.triggered":
		return ev.triggered()
	case ev.Type == "incident.acknowledged":
		return ev.acknowledged()
	case ev.Type == "incident.annotated" && ownNote.MatchString(string(ev.Data.Content)):
		return nil, nil // by Tocsin: see [REST.UpdatePage]
	case hasNote:
		return ev.note(note)
	}
	return nil, fmt.Errorf("decode pagerduty webhook: unknown event type %q", ev.Type)
}

// user returns the agent of the event if it is a user.
func (ev *event) user() (ref, bool) {
	if ev.Agent == nil || ev.Agent.ID == "" || ev.Agent.Type != "user_reference" && ev.Agent.Type != "user" {
		return ref{}, false
	}
	return *ev.Agent, true
}

// triggered returns nothing for a PagerDuty incident that a page of Tocsin opened. Any
// other incident was raised in PagerDuty and becomes an alert.
func (ev *event) triggered() ([]incident.Signal, error) {
	d := ev.Data
	if _, ok := pagedIncident(string(d.IncidentKey)); ok {
		return nil, nil
	}
	if d.ID == "" {
		return nil, errors.New("decode pagerduty webhook: data.id is missing")
	}
	level := incident.LevelMedium
	if d.Urgency == "high" {
		level = incident.LevelHigh
	}
	title := d.Title
	if title == "" {
		title = "PagerDuty incident " + d.ID
	}
	by, _ := ev.user()
	return []incident.Signal{{Alert: &incident.Alert{
		Source: sourceName, Kind: "pagerduty.incident", Level: level, Title: string(title),
		Detail: text.Lines(text.Field("Service", d.Service.Summary), text.Field("Urgency", d.Urgency), text.Field("Priority", d.Priority.summary()), text.Field("Raised by", by.Summary),
			text.Field("Time", text.UnreadTime(text.Timestamp(ev.OccurredAt), ev.OccurredAt))),
		Fingerprint: string(correlationKey(d.ID)), Correlation: string(correlationKey(d.ID)),
		EventID: string(d.ID), At: text.Timestamp(ev.OccurredAt), URL: text.WebURL(d.HTMLURL),
		Project: string(d.Service.Summary), Principal: string(by.ID),
	}}}, nil
}

// acknowledged returns an acknowledgement under the PagerDuty ID of the user. It
// returns nothing if the agent is not a user. The desk checks whether the user is a
// known responder, as for every command.
func (ev *event) acknowledged() ([]incident.Signal, error) {
	by, ok := ev.user()
	if !ok {
		return nil, nil
	}
	subject, ok := ev.subject()
	if !ok {
		return nil, errors.New("decode pagerduty webhook: the event has no incident")
	}
	signals := []incident.Signal{{Command: ev.command(incident.VerbAcknowledge, by, ""), Subject: subject}}
	if text.UnreadTime(text.Timestamp(ev.OccurredAt), ev.OccurredAt) != "" { // an acknowledgement has no text
		note := ev.command(incident.VerbSourceNote, by, "PagerDuty: acknowledged by "+string(by.name()))
		if note.Key != "" {
			note.Key += ":time"
		}
		signals = append(signals, incident.Signal{Command: note, Subject: subject})
	}
	return signals, nil
}

// testAcknowledged returns the acknowledgement of a test page by a user.
func (ev *event) testAcknowledged() []incident.Signal {
	by, ok := ev.user()
	if !ok {
		return nil
	}
	return []incident.Signal{{TestPage: &incident.TestPageAck{Code: testPageCode(string(ev.Data.IncidentKey)), Name: string(by.name()), At: text.Timestamp(ev.OccurredAt),
		By: incident.Identity{Provider: incident.ProviderPagerDuty, ID: string(by.ID)}}}}
}

// note returns a note with the given text. It returns nothing if an integration
// resolved the incident, because Tocsin itself sent that resolution.
func (ev *event) note(note string) ([]incident.Signal, error) {
	by, isUser := ev.user()
	if !isUser && ev.Type == "incident.resolved" {
		return nil, nil
	}
	subject, ok := ev.subject()
	if !ok {
		return nil, errors.New("decode pagerduty webhook: the event has no incident")
	}
	note = "PagerDuty: " + note
	if isUser {
		note += " by " + string(by.name())
	}
	d := ev.Data
	switch ev.Type {
	case "incident.priority_updated":
		note += suffix(" to ", d.Priority.summary())
	case "incident.reassigned", "incident.escalated":
		note += suffix(" to ", joinNames(d.Assignees))
	case "incident.responder.added", "incident.responder.replied":
		note += suffix(": ", d.User.summary()) + suffix(", ", d.State)
	}
	note += suffix(": ", d.Content) + suffix(": ", d.Message)
	return []incident.Signal{{Command: ev.command(incident.VerbSourceNote, by, note), Subject: subject}}, nil
}

// command returns a command whose key is derived from the event ID. That ID is equal
// in every delivery and for every subscription. The source is the author of a note,
// and the user is the author of an acknowledgement.
func (ev *event) command(verb incident.Verb, by ref, note string) *incident.Command {
	c := &incident.Command{
		Verb: verb, By: incident.Identity{Provider: incident.ProviderSource, ID: sourceName}, Auth: "pagerduty webhook", Via: incident.ViaSource,
		HappenedAt: text.Timestamp(ev.OccurredAt), Text: note,
	}
	if ev.ID != "" {
		c.Key = sourceName + ":" + string(ev.ID)
	}
	if verb == incident.VerbSourceNote {
		c.Text = text.WithUnreadTime(note, ev.OccurredAt)
	} else {
		c.By, c.Via = incident.Identity{Provider: incident.ProviderPagerDuty, ID: string(by.ID)}, incident.ViaPager
	}
	return c
}

// subject returns a reference to the incident of an event:
//
//   - If incident_key is a page key, a page of Tocsin opened the PagerDuty incident,
//     and the key identifies the incident.
//   - Notes, status updates and responders have no incident_key, only a reference
//     with a summary. If a page of Tocsin opened the PagerDuty incident, the summary
//     begins with the ID ("INC-42 sev2 …", possibly after "[#17] " and a mark). A summary can be
//     edited, but a note does not change the incident. An acknowledgement always has
//     the key.
//   - Otherwise the PagerDuty ID identifies it: it is the correlation key of the
//     alert for an incident raised in PagerDuty.
func (ev *event) subject() (incident.IncidentRef, bool) {
	d := ev.Data
	if ref, ok := pagedIncident(string(d.IncidentKey)); ok {
		return ref, true
	}
	if d.Incident == nil {
		return incident.IncidentRef{Correlation: string(correlationKey(d.ID))}, d.ID != ""
	}
	if id, ok := incidentInSummary(string(d.Incident.Summary)); ok {
		return incident.IncidentRef{PageKey: incident.PageKey(id, 1)}, true
	}
	return incident.IncidentRef{Correlation: string(correlationKey(d.Incident.ID))}, d.Incident.ID != ""
}

// incidentInSummary returns the incident ID at the beginning of a summary written by
// [Client.Page].
func incidentInSummary(s string) (incident.ID, bool) {
	if rest, ok := strings.CutPrefix(s, "[#"); ok {
		if _, after, found := strings.Cut(rest, "] "); found {
			s = after
		}
	}
	word, _, _ := strings.Cut(incident.TrimMark(s), " ")
	if !strings.HasPrefix(word, "INC-") {
		return 0, false
	}
	id, err := incident.ParseID(word)
	return id, err == nil
}

// correlationKey returns the correlation key of an incident raised in PagerDuty.
func correlationKey(id text.Flex) text.Flex { return sourceName + ":" + id }

func (r *ref) summary() text.Flex {
	if r == nil {
		return ""
	}
	return r.name()
}

func (r ref) name() text.Flex {
	if r.Summary != "" {
		return r.Summary
	}
	return r.ID
}

func joinNames(rs []ref) text.Flex {
	var out []string
	for _, r := range rs {
		out = append(out, string(r.name()))
	}
	return text.Flex(strings.Join(out, ", "))
}

func suffix(before string, t text.Flex) string {
	if t == "" {
		return ""
	}
	return before + string(t)
}
