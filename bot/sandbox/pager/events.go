package pager

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of the Events API v2.
const (
	maxEventBytes = 512 << 10
	maxKey        = 255
	maxSummary    = 1024
)

// Event is a request to the Events API v2.
type Event struct {
	RoutingKey string   `json:"routing_key"`
	Action     string   `json:"event_action"`
	DedupKey   string   `json:"dedup_key,omitempty"`
	Payload    *Payload `json:"payload,omitempty"`
	Client     string   `json:"client,omitempty"`
	ClientURL  string   `json:"client_url,omitempty"`
	Links      []Link   `json:"links,omitempty"`
	Images     []Image  `json:"images,omitempty"`
}

// Payload is the content of a trigger event.
type Payload struct {
	Summary   string          `json:"summary"`
	Source    string          `json:"source"`
	Severity  string          `json:"severity"`
	Timestamp string          `json:"timestamp,omitempty"`
	Component string          `json:"component,omitempty"`
	Group     string          `json:"group,omitempty"`
	Class     string          `json:"class,omitempty"`
	Details   json.RawMessage `json:"custom_details,omitempty"`
}

// Link is a link shown with an incident.
type Link struct {
	Href string `json:"href"`
	Text string `json:"text,omitempty"`
}

// Image is a picture shown with an incident.
type Image struct {
	Src  string `json:"src"`
	Href string `json:"href,omitempty"`
	Alt  string `json:"alt,omitempty"`
}

type eventReply struct {
	Status   string   `json:"status"`
	Message  string   `json:"message"`
	DedupKey string   `json:"dedup_key,omitempty"`
	Errors   []string `json:"errors,omitempty"`
}

func invalidEvent(problems ...string) reply {
	return reply{http.StatusBadRequest, eventReply{Status: "invalid event", Message: "Event object is invalid", Errors: problems}}
}

// parseEvent decodes an event and returns all problems with it. It does not
// check whether the routing key exists. The event is nil if body is not JSON.
func parseEvent(body []byte) (*Event, []string) {
	var ev Event
	if err := json.Unmarshal(body, &ev); err != nil {
		return nil, []string{"JSON is invalid: " + err.Error()}
	}
	var wrong []string
	if strings.TrimSpace(ev.RoutingKey) == "" {
		wrong = append(wrong, "'routing_key' is missing or blank")
	}
	switch ev.Action {
	case "trigger":
		wrong = append(wrong, ev.Payload.validate()...)
	case "acknowledge", "resolve":
		if ev.DedupKey == "" {
			wrong = append(wrong, "'dedup_key' is missing or blank")
		}
	case "":
		wrong = append(wrong, "'event_action' is missing or blank")
	default:
		wrong = append(wrong, "'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge' or 'resolve')")
	}
	if utf8.RuneCountInString(ev.DedupKey) > maxKey {
		wrong = append(wrong, fmt.Sprintf("'dedup_key' is too long (maximum is %d characters)", maxKey))
	}
	for _, l := range ev.Links {
		if l.Href == "" {
			wrong = append(wrong, "'links.href' is missing or blank")
		}
	}
	for _, i := range ev.Images {
		if i.Src == "" {
			wrong = append(wrong, "'images.src' is missing or blank")
		}
	}
	return &ev, wrong
}

func (p *Payload) validate() []string {
	if p == nil {
		return []string{"'payload' is missing or blank"}
	}
	var wrong []string
	for name, v := range map[string]string{"summary": p.Summary, "source": p.Source, "severity": p.Severity} {
		if strings.TrimSpace(v) == "" {
			wrong = append(wrong, "'payload."+name+"' is missing or blank")
		}
	}
	slices.Sort(wrong)
	if utf8.RuneCountInString(p.Summary) > maxSummary {
		wrong = append(wrong, fmt.Sprintf("'payload.summary' is too long (maximum is %d characters)", maxSummary))
	}
	if p.Severity != "" && !slices.Contains([]string{"critical", "error", "warning", "info"}, p.Severity) {
		wrong = append(wrong, "'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')")
	}
	if p.Timestamp != "" && !isISO8601(p.Timestamp) {
		wrong = append(wrong, "'payload.timestamp' is invalid (must be a valid ISO 8601 timestamp)")
	}
	return wrong
}

func isISO8601(s string) bool {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}

// enqueue processes one event. If swallow is true, it sends the success
// response without processing the event.
func (a *Account) enqueue(req *Request, r *http.Request, body []byte, swallow bool) reply {
	if len(body) > maxEventBytes {
		return reply{http.StatusRequestEntityTooLarge, eventReply{Status: "invalid event", Message: "Event exceeds the maximum size of 512 KB"}}
	}
	ev, wrong := parseEvent(body)
	if len(wrong) > 0 {
		return invalidEvent(wrong...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.cfg.Services, func(s Service) bool { return s.RoutingKey == ev.RoutingKey })
	if i < 0 {
		return invalidEvent("Invalid routing key")
	}
	if !a.allowEvent(ev.RoutingKey) {
		return throttled()
	}
	if ev.DedupKey == "" {
		ev.DedupKey = a.nextID("key", "", 32)
	}
	if !swallow {
		effect, incident := a.applyEvent(a.cfg.Services[i], ev)
		a.recordEffect(req, r, effect, incident)
	}
	return reply{http.StatusAccepted, eventReply{Status: "success", Message: "Event processed", DedupKey: ev.DedupKey}}
}

func throttled() reply {
	return reply{http.StatusTooManyRequests, eventReply{
		Status:  "throttle exceeded",
		Message: "Requests for this service or account are arriving too quickly. Please retry later.",
	}}
}

// allowEvent reports whether the routing key is within its rate limit, and
// counts the event if so. The caller holds a.mu.
func (a *Account) allowEvent(key string) bool {
	if a.cfg.EventsPerMinute == 0 {
		return true
	}
	now := a.cfg.Now()
	recent := slices.DeleteFunc(a.recent[key], func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	a.recent[key] = recent
	if len(recent) >= a.cfg.EventsPerMinute {
		return false
	}
	a.recent[key] = append(recent, now)
	return true
}

// applyEvent applies an event to the account. It returns one of the Effect
// constants and the incident ID, if any. The caller holds a.mu.
func (a *Account) applyEvent(s Service, ev *Event) (effect, incident string) {
	var client *Client
	if ev.Client != "" {
		client = &Client{Name: ev.Client, URL: ev.ClientURL}
	}
	in := a.open[alertKey{s.ID, ev.DedupKey}]
	switch {
	case ev.Action == "trigger" && in == nil:
		payload, _ := json.Marshal(ev.Payload) // decoded from JSON before
		in = a.trigger(s, Incident{
			Key: ev.DedupKey, Title: ev.Payload.Summary, Urgency: urgency(ev.Payload.Severity),
			Event: payload, Client: client, Links: ev.Links,
		}, "")
		return EffectPaged, in.ID
	case ev.Action == "trigger":
		in.Log = append(in.Log, LogEntry{At: a.cfg.Now().UTC(), Kind: Triggered, Text: ev.Payload.Summary})
		return EffectLogged, in.ID
	case in == nil || (ev.Action == "acknowledge" && in.Status == Acknowledged):
		return EffectIgnored, ""
	case ev.Action == "acknowledge":
		a.setStatus(in, Acknowledged, "", client)
		return EffectAcknowledged, in.ID
	default:
		a.setStatus(in, Resolved, "", client)
		return EffectResolved, in.ID
	}
}

// urgency maps a severity as services with severity-based urgency do.
func urgency(severity string) string {
	if severity == "critical" || severity == "error" {
		return "high"
	}
	return "low"
}
