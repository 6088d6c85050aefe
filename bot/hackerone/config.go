// Package hackerone decodes the webhooks of a HackerOne program. A new report
// becomes an alert. Later events of a report become notes in its incident.
//
// All text from a researcher is untrusted Markdown. The package passes it on as
// plain text, renders none of it and fetches none of its links. It sends nothing
// to HackerOne.
package hackerone

import (
	"encoding/hex"
	"net/http"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
)

const sourceName = "hackerone"

// Config holds the accepted webhook secrets.
type Config struct {
	// Secrets holds the secret of the webhook, or two during a rotation. HackerOne
	// does not sign a webhook without a secret, and Verify rejects unsigned bodies.
	Secrets []secret.String `yaml:"secrets"`
	Limits  intake.Limits   `yaml:"limits"`
	Usual   intake.Usual    `yaml:",inline"`
}

const example = `hackerone:                              # POST /hooks/hackerone
  secrets: ["${HACKERONE_SECRET}"]
`

// Validate returns the problems of the configuration.
func (c Config) Validate() setting.Problems {
	var p setting.Problems
	p.CheckSecrets("secrets", c.Secrets)
	return p
}

// Registration describes the source.
func (c Config) Registration() intake.Registration {
	return intake.Registration{Name: sourceName, On: len(c.Secrets) > 0, Limits: c.Limits, Usual: c.Usual, Secret: "secrets", Example: example,
		Alerts: intake.Alerts{Source: "report", Kinds: []string{"report.hackerone"}, Levels: []incident.Level{incident.LevelCritical, incident.LevelHigh, incident.LevelMedium, incident.LevelLow}},
		New:    func(intake.Deps) (intake.Source, error) { return New(c), nil },
		Post: intake.Poster{Sign: func(h http.Header, key, _ string, body []byte) {
			h.Set(headerSignature, "sha256="+hex.EncodeToString(secret.New(key).Sign(body)))
		}}}
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
