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
	"errors"
	"net/http"
	"strings"
	"time"

	"tocsin/bot/outbound"
	"tocsin/bot/secret"
)

const (
	sourceName = "pagerduty"

	// callTimeout is the maximum duration of one API call. After a timeout PagerDuty
	// counts as down, and the next escalation step runs.
	callTimeout = 5 * time.Second
)

// Config configures one Events API v2 integration.
type Config struct {
	RoutingKey secret.String // of the integration, equal for a page and its acknowledgement and resolution
	EventsURL  string        // base URL of the Events API (default https://events.pagerduty.com)
	HTTPClient *http.Client  // default: a new client
}

// Client pages responders through one integration. It is safe for concurrent use.
type Client struct {
	key  secret.String
	url  string
	http *http.Client
}

// New returns a Client. It returns an error if the routing key is missing.
func New(c Config) (*Client, error) {
	if c.RoutingKey.IsZero() {
		return nil, errors.New("pagerduty: routing key is missing")
	}
	if c.EventsURL == "" {
		c.EventsURL = "https://events.pagerduty.com"
	}
	if c.HTTPClient == nil {
		c.HTTPClient = outbound.NewClient(callTimeout, outbound.Limits{MaxResponse: maxResponseBytes})
	}
	return &Client{key: c.RoutingKey, url: strings.TrimRight(c.EventsURL, "/"), http: c.HTTPClient}, nil
}
