// Package sentry decodes the webhooks of Sentry's integration platform: internal and
// public integrations, and every resource. It verifies the raw bytes and returns
// [incident.Signal] values.
//
// The fingerprint consists of the kind of the alert and the Sentry issue, or the rule
// of a metric alert. All events of an issue are therefore occurrences of one alert.
//
// The correlation key consists of organisation and project only. Issue webhooks
// contain neither release nor environment. With either in the key, one failure
// reported by an issue and by an alert rule would open two incidents and page twice.
// Release and environment are fields of the alert for the routing rules.
package sentry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
)

const sourceName = "sentry"

// Config holds the accepted client secrets.
type Config struct {
	// ClientSecrets holds the client secrets of the integrations that send webhooks.
	// Several integrations or a rotation need several secrets.
	ClientSecrets []secret.String `yaml:"client_secrets"`
	Limits        intake.Limits   `yaml:"limits"`
	Usual         intake.Usual    `yaml:",inline"`
}

const example = `sentry:                                 # POST /hooks/sentry
  client_secrets: ["${SENTRY_CLIENT_SECRET}"]
  usual_severity: sev3                  # every source: severity of an incident about a delivery that cannot be read
  expected_interval: 0s                 # every source: a longer silence is reported. 0s: any silence is normal
  limits:                               # available for every source with a webhook
    off: false
    networks: [0.0.0.0/0, "::/0"]       # allowed senders
    max_body: 1048576                   # bytes
    rate: 0                             # verified deliveries per second and sender, 0 for no limit. Sentry does not retry rejected requests
    burst: 0                            # verified deliveries of one sender at once, default 2 seconds of rate
    max_waiting: 1024                   # deliveries that wait for a commit
`

// Validate returns the problems of the configuration.
func (c Config) Validate() setting.Problems {
	var p setting.Problems
	p.CheckSecrets("client_secrets", c.ClientSecrets)
	return p
}

// Registration describes the source.
func (c Config) Registration() intake.Registration {
	return intake.Registration{Name: sourceName, On: len(c.ClientSecrets) > 0, Limits: c.Limits, Usual: c.Usual, Secret: "client_secrets", Example: example, BareHeader: bareHeader,
		Alerts: intake.Alerts{Kinds: []string{"sentry.issue", "sentry.event_alert", "sentry.error", "sentry.metric_alert", "sentry.activity_alert", "sentry.installation"}},
		New:    func(intake.Deps) (intake.Source, error) { return New(c), nil },
		Post: intake.Poster{Sign: func(h http.Header, key, _ string, body []byte) {
			h.Set(headerSignature, hex.EncodeToString(secret.New(key).Sign(body)))
		}}}
}

// bareHeader guesses the resource of a webhook from its body. The original webhook
// has it in a header.
func bareHeader(body []byte) map[string]string {
	var shape struct {
		Data map[string]json.RawMessage `json:"data"`
	}
	_ = json.Unmarshal(body, &shape) // any other shape leaves Data empty
	for _, known := range []struct{ key, resource string }{{"metric_alert", "metric_alert"}, {"event", "event_alert"}, {"error", "error"},
		{"comment_id", "comment"}, {"activity", "activity_alert"}, {"issue", "issue"}, {"installation", "installation"}} {
		if _, ok := shape.Data[known.key]; ok {
			return map[string]string{headerResource: known.resource}
		}
	}
	return map[string]string{headerResource: "unknown"}
}

// Source verifies and decodes Sentry webhooks. It is safe for concurrent use.
type Source struct{ secrets []secret.String }

// New returns a source that accepts the secrets in c.
func New(c Config) *Source { return &Source{secrets: c.ClientSecrets} }

// Name returns the last element of the webhook's path.
func (*Source) Name() string { return sourceName }

// Headers returns the header that Decode needs: the resource of the body.
func (*Source) Headers() []string { return []string{headerResource} }

const (
	headerResource  = "Sentry-Hook-Resource"
	headerSignature = "Sentry-Hook-Signature"
)

// SignsTimes returns true because the signature covers the whole body.
func (*Source) SignsTimes() bool { return true }

// errNoSecret is a configuration error. The edge answers it with a 5xx status.
var errNoSecret = errors.New("sentry: no client secret is configured")

// Verify checks the HMAC of the raw body against every configured secret. It returns
// an empty ID, and the edge identifies the delivery by the hash of the body. The
// signature covers neither Request-ID nor Sentry-Hook-Timestamp, so an attacker could
// replay a body with other values. The event ID does not identify a delivery, because
// two alert rules may fire on one event.
func (s *Source) Verify(_ context.Context, h http.Header, body []byte, _ time.Time) (string, error) {
	got, err := hex.DecodeString(strings.TrimSpace(h.Get(headerSignature)))
	if err != nil || len(got) != sha256.Size {
		return "", incident.Forbidden("%s must be the hex HMAC-SHA256 of the body", headerSignature)
	}
	genuine, configured := secret.VerifyAny(s.secrets, body, got)
	switch {
	case !configured:
		return "", errNoSecret
	case !genuine:
		return "", incident.Forbidden("%s does not match the body", headerSignature)
	}
	return "", nil
}
