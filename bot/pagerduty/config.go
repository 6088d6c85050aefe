// Package pagerduty pages responders through PagerDuty's Events API v2 and decodes
// PagerDuty's v3 webhooks.
//
// The dedup key connects the two directions. Each paging round of an incident has
// its own key, incident.PageKey ("INC-42/1"). PagerDuty returns the key as
// incident_key in every event about the PagerDuty incident that the page opened.
//
// The key also makes it safe to repeat a page. While the PagerDuty alert is open, a
// trigger with an equal key adds a log entry and notifies no one.
package pagerduty

import (
	"cmp"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/outbound"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
)

const (
	sourceName      = "pagerduty"
	headerSignature = "X-PagerDuty-Signature"

	// callTimeout is the maximum duration of one API call. After a timeout PagerDuty
	// counts as down, and the next escalation step runs.
	callTimeout = 5 * time.Second
)

// Config configures the Events API, for which each escalation step has its own [Target],
// and the REST API. APIKey, From and Service are needed together.
type Config struct {
	EventsURL string        `yaml:"events_url"` // base URL (default https://events.pagerduty.com)
	APIURL    string        `yaml:"api_url"`    // base URL (default https://api.pagerduty.com)
	APIKey    secret.String `yaml:"api_key"`    // of the REST API, or empty
	From      string        `yaml:"from"`       // login address of the user in whose name Tocsin writes
	Service   string        `yaml:"service"`    // ID of the service whose people are paged
}

var serviceID = regexp.MustCompile(`^P[0-9A-Z]{3,}$`)

// validateREST adds the problems of the keys of the REST API.
func (c Config) validateREST(p *setting.Problems) {
	if c.APIURL != "" && !setting.IsURL(c.APIURL) {
		p.Add("api_url", "is not a URL. Write one that begins with https://, or omit the key")
	}
	if c.APIKey.IsZero() && c.From == "" && c.Service == "" {
		return
	}
	if c.APIKey.IsZero() {
		p.Add("api_key", "is missing, but from or service is set. Write a REST API key that may write, or omit all three keys")
	}
	if c.From == "" {
		p.Add("from", "is missing, but api_key or service is set. Write the login address of a PagerDuty user")
	} else {
		p.CheckAddress("from", c.From)
	}
	if !serviceID.MatchString(c.Service) {
		p.Add("service", "is not the ID of a service. Copy it from the address of the service in PagerDuty, such as PABC123")
	}
}

// Validate returns the problems of the configuration.
func (c Config) Validate() setting.Problems {
	var p setting.Problems
	if c.EventsURL != "" && !setting.IsURL(c.EventsURL) {
		p.Add("events_url", "is not a URL. Write one that begins with https://, or omit the key")
	}
	c.validateREST(&p)
	return p
}

// Target is an Events API v2 integration that an escalation step pages.
type Target struct {
	RoutingKey secret.String `yaml:"routing_key"` // equal for a page and its acknowledgement and resolution
}

// NewTarget returns the target of a routing key that is stored elsewhere.
func NewTarget(routingKey string) Target { return Target{RoutingKey: secret.New(routingKey)} }

// Validate returns the problems of the target.
func (t Target) Validate() setting.Problems {
	var p setting.Problems
	key := t.RoutingKey.Reveal()
	if len(key) == 20 {
		p.Add("routing_key", "has 20 characters, like an API access key. Copy the key of an Events API v2 integration, which has 32")
	} else if len(key) != 32 {
		p.Add("routing_key", "does not have 32 characters. Copy the key of an Events API v2 integration")
	}
	return p
}

var routingKey = regexp.MustCompile(`^[0-9A-Za-z]{32}$`)

// Warnings returns what is valid, but does not work with PagerDuty.
func (t Target) Warnings() setting.Problems {
	var p setting.Problems
	if !routingKey.MatchString(t.RoutingKey.Reveal()) {
		p.Add("routing_key", "has characters other than letters and digits, so it is not a routing key. Copy the key of an Events API v2 integration")
	}
	return p
}

// Warnings returns what is valid, but does not work with PagerDuty.
func (c Config) Warnings() setting.Problems {
	var p setting.Problems
	if setting.IsPlainHTTP(c.EventsURL) {
		p.Add("events_url", "sends routing keys without encryption. Write a URL that begins with https://")
	}
	if routingKey.MatchString(c.APIKey.Reveal()) {
		p.Add("api_key", "has 32 characters, like a routing key. Copy a REST API key, which has 20")
	}
	if setting.IsPlainHTTP(c.APIURL) {
		p.Add("api_url", "sends the API key without encryption. Write a URL that begins with https://")
	}
	return p
}

// SourceConfig holds the accepted webhook secrets. Several subscriptions or a
// rotation need several secrets.
type SourceConfig struct {
	WebhookSecrets []secret.String `yaml:"webhook_secrets"`
	Limits         intake.Limits   `yaml:"limits"`
	Usual          intake.Usual    `yaml:",inline"`
}

const example = `pagerduty:                              # POST /hooks/pagerduty, a v3 webhook subscription
  webhook_secrets: ["${PAGERDUTY_WEBHOOK_SECRET}"]
`

// Validate returns the problems of the configuration.
func (c SourceConfig) Validate() setting.Problems {
	var p setting.Problems
	p.CheckSecrets("webhook_secrets", c.WebhookSecrets)
	return p
}

// Registration describes the source.
func (c SourceConfig) Registration() intake.Registration {
	return intake.Registration{Name: sourceName, On: len(c.WebhookSecrets) > 0, Limits: c.Limits, Usual: c.Usual, Secret: "webhook_secrets", Example: example,
		Alerts: intake.Alerts{Kinds: []string{"pagerduty.incident"}, Levels: []incident.Level{incident.LevelMedium, incident.LevelHigh}},
		New:    func(intake.Deps) (intake.Source, error) { return NewSource(c), nil },
		Post: intake.Poster{Sign: func(h http.Header, key, _ string, body []byte) {
			h.Set(headerSignature, "v1="+hex.EncodeToString(secret.New(key).Sign(body)))
		}}}
}

// Client pages responders through one integration. It is safe for concurrent use.
type Client struct {
	key  secret.String
	url  string
	http *http.Client
	log  *slog.Logger
}

// NewHTTPClient returns an HTTP client for [New]. It calls observe, if not nil, after each
// request.
func NewHTTPClient(observe func(outbound.Exchange)) *http.Client {
	return outbound.NewClient(callTimeout, outbound.Limits{MaxResponse: maxResponseBytes, Observe: observe})
}

// LogTo sets the logger. Without it the client logs nothing.
func (c *Client) LogTo(log *slog.Logger) { c.log = log.With("component", "pagerduty") }

// New returns a Client that pages one target. Without an HTTP client it creates one.
// It returns an error if the routing key is missing.
func New(c Config, t Target, client *http.Client) (*Client, error) {
	if t.RoutingKey.IsZero() {
		return nil, errors.New("pagerduty: routing key is missing")
	}
	if client == nil {
		client = NewHTTPClient(nil)
	}
	return &Client{key: t.RoutingKey, url: strings.TrimRight(cmp.Or(c.EventsURL, "https://events.pagerduty.com"), "/"), http: client, log: slog.New(slog.DiscardHandler)}, nil
}
