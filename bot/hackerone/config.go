// Package hackerone decodes the webhooks of a HackerOne program. A new report
// becomes an alert. Later events of a report become notes in its incident.
//
// All text from a researcher is untrusted Markdown. The package passes it on as
// plain text, renders none of it and fetches none of its links. It sends nothing
// to HackerOne.
package hackerone

import "tocsin/bot/secret"

const sourceName = "hackerone"

// Config holds the accepted webhook secrets.
type Config struct {
	// Secrets holds the secret of the webhook, or two during a rotation. HackerOne
	// does not sign a webhook without a secret, and Verify rejects unsigned bodies.
	Secrets []secret.String
}

// Source verifies and decodes HackerOne webhooks. It is safe for concurrent use.
type Source struct{ secrets []secret.String }

// New returns a source that accepts the secrets in c.
func New(c Config) *Source { return &Source{secrets: c.Secrets} }

// Name returns the last element of the webhook's path.
func (*Source) Name() string { return sourceName }

// Headers returns the header that Decode needs: the type of the event.
func (*Source) Headers() []string { return []string{headerEvent} }

const (
	headerEvent     = "X-H1-Event"
	headerSignature = "X-H1-Signature"
)
