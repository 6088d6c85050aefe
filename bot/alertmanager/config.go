// Package alertmanager decodes the webhooks of Prometheus Alertmanager, version
// 4 of the body.
//
// Alertmanager repeats notifications by design. It sends the whole group again
// when one alert of the group changes, and every few hours while an alert fires.
// A pair of Alertmanagers may send everything twice. The delivery ID therefore
// covers the alerts, their start times, their states and the hour, but not the
// raw bytes. An alert is identified by its fingerprint and its start time: the
// same labels that fire again from another start are a new alert. An alert that
// still fires after its incident has ended does not open another incident.
//
// The correlation key is the group key, because the author of an Alertmanager
// route has already grouped the related alerts.
package alertmanager

import (
	"encoding/base64"
	"net/http"
	"strings"

	"tocsin/bot/intake"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
)

const sourceName = "alertmanager"

// Config holds the accepted credentials. Alertmanager does not sign its
// webhooks, so its http_config must send authorization credentials or
// basic_auth. Each field may hold two values during a rotation.
type Config struct {
	Tokens []secret.String `yaml:"tokens"`
	Basic  []Basic         `yaml:"basic"`
	Limits intake.Limits   `yaml:"limits"`
	Usual  intake.Usual    `yaml:",inline"`
}

// Basic is a user name and password for HTTP basic authentication.
type Basic struct {
	Username string        `yaml:"username"`
	Password secret.String `yaml:"password"`
}

const example = `alertmanager:                           # POST /hooks/alertmanager
  tokens: ["${ALERTMANAGER_TOKEN}"]     # Authorization: Bearer …
  basic: [{username: alertmanager, password: "${ALERTMANAGER_PASSWORD}"}]
`

// Validate returns the problems of the configuration.
func (c Config) Validate() setting.Problems {
	var p setting.Problems
	p.CheckSecrets("tokens", c.Tokens)
	for n, b := range c.Basic {
		if b.Username == "" || setting.IsShort(b.Password) {
			p.Add(setting.Index("basic", n), "is incomplete. Set a username and a password of at least 16 characters")
		}
	}
	return p
}

// Registration describes the source.
func (c Config) Registration() intake.Registration {
	return intake.Registration{Name: sourceName, On: len(c.Tokens)+len(c.Basic) > 0, Limits: c.Limits, Usual: c.Usual, Secret: "tokens", Example: example,
		Alerts: intake.Alerts{Kinds: []string{"alertmanager.alert"}},
		New:    func(intake.Deps) (intake.Source, error) { return New(c), nil },
		Post:   intake.Poster{Sign: c.sign}}
}

// sign adds the token, or USER:PASSWORD if only basic authentication is
// configured.
func (c Config) sign(h http.Header, key, _ string, _ []byte) {
	if strings.Contains(key, ":") && len(c.Basic) > 0 && len(c.Tokens) == 0 {
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(key)))
		return
	}
	h.Set("Authorization", "Bearer "+key)
}

// Source verifies and decodes Alertmanager webhooks. It is safe for concurrent
// use.
type Source struct {
	tokens []secret.String
	basic  []Basic
}

// New returns a source that accepts the credentials in c.
func New(c Config) *Source { return &Source{tokens: c.Tokens, basic: c.Basic} }

// Name returns the last element of the webhook's path.
func (*Source) Name() string { return sourceName }

// Headers returns nil because Decode needs only the body.
func (*Source) Headers() []string { return nil }
