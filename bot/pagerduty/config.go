// Package pagerduty pages through PagerDuty's Events API v2 and listens to its
// v3 webhooks.
//
// The two halves find each other by the dedup key. Each round of paging of an
// incident has its own, incident.PageKey ("INC-42/1"); PagerDuty gives it back
// as incident_key in every event about the incident that the page opened there.
// Because of it, repeating a page is safe: while the alert is open, the same
// key adds a log entry and rings nobody.
package pagerduty

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"tocsin/bot/secret"
)

const (
	name = "pagerduty"

	// callWithin bounds one call. A pager that does not answer by then is treated
	// as down, and the next route goes.
	callWithin = 5 * time.Second
)

// Config of one Events API v2 integration.
type Config struct {
	RoutingKey secret.String // of the integration; pages and their ends must use the same
	EventsURL  string        // base of the Events API; default https://events.pagerduty.com
	HTTPClient *http.Client  // default: one of its own
}

// Client pages through one integration.
type Client struct {
	key  secret.String
	url  string
	http *http.Client
}

// New makes a Client.
func New(c Config) (*Client, error) {
	if c.RoutingKey.IsZero() {
		return nil, errors.New("pagerduty: the routing key of the integration is missing")
	}
	if c.EventsURL == "" {
		c.EventsURL = "https://events.pagerduty.com"
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	return &Client{key: c.RoutingKey, url: strings.TrimRight(c.EventsURL, "/"), http: c.HTTPClient}, nil
}
