// Package sentry takes the webhooks of Sentry's integration platform: internal
// and public integrations, every resource. It verifies them on the raw bytes
// and says what they mean as incident.Signals.
//
// How alerts hang together. The fingerprint is the kind of the alert and the
// Sentry issue (for a metric, its rule), so that the events of one issue are
// copies of one alert. The correlation key is organisation and project, and
// nothing finer: issue webhooks name neither release nor environment, so with
// one of them in the key, the same failure reported as an issue and by an
// alert rule would open two incidents and page twice. Release and environment
// stand in the alert for the routing to look at.
package sentry

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/secret"
)

const name = "sentry"

// Config of the source.
type Config struct {
	// ClientSecrets are the client secrets of the integrations that send here.
	// There are two or more with several integrations, or while one is rotated.
	ClientSecrets []secret.String
}

// Source is Sentry, as intake sees it.
type Source struct{ secrets []secret.String }

// New makes the source.
func New(c Config) *Source { return &Source{secrets: c.ClientSecrets} }

// Name is the last element of the webhook's path.
func (*Source) Name() string { return name }

// Headers names what Decode needs: which resource the body is about.
func (*Source) Headers() []string { return []string{headerResource} }

const (
	headerResource  = "Sentry-Hook-Resource"
	headerSignature = "Sentry-Hook-Signature"
	headerRequest   = "Request-Id"
)

// errNoSecret is our own fault, not the sender's: the edge answers 5xx.
var errNoSecret = errors.New("sentry: no client secret is configured")

// Verify checks the HMAC of the raw body against every configured secret. The
// delivery id is Sentry's request id; without one it is empty, and the edge
// tells deliveries apart by the body. Sentry-Hook-Timestamp is not part of what
// is signed and proves nothing, so nothing is made of it.
func (s *Source) Verify(h http.Header, body []byte, _ time.Time) (string, error) {
	got, err := hex.DecodeString(strings.TrimSpace(h.Get(headerSignature)))
	if err != nil || len(got) != sha256.Size {
		return "", incident.Forbidden("%s must be the hex HMAC-SHA256 of the body", headerSignature)
	}
	genuine, known := secret.VerifyAny(s.secrets, body, got)
	switch {
	case !known:
		return "", errNoSecret
	case !genuine:
		return "", incident.Forbidden("the signature does not match the body")
	}
	return strings.TrimSpace(h.Get(headerRequest)), nil
}
