// Package alertmanager takes the webhooks of Prometheus Alertmanager, version 4
// of their body.
//
// Alertmanager repeats itself by design: the whole group comes again when one
// alert of it changes, and every few hours while any fires; a pair of them may
// send everything twice. So a delivery is told from others by what it says within
// an hour – which alerts, since when, in which state – and not by its bytes, and an
// alert by its fingerprint together with the time at which it began to fire. The
// same labels firing later, from another start, are a new alert. A firing that an
// incident has dealt with, and that is told again after its end, opens no other.
//
// How alerts hang together: the group is the correlation key, because whoever
// wrote the route grouped what belongs together.
package alertmanager

import (
	"tocsin/bot/secret"
)

const name = "alertmanager"

// Config of the source. The webhook is not signed, so Alertmanager must show a
// secret in its http_config: authorization credentials or basic_auth. There are
// two of a kind while one is rotated.
type Config struct {
	Tokens []secret.String
	Basic  []Basic
}

// Basic is a pair for basic authentication.
type Basic struct {
	Username string
	Password secret.String
}

// Source is Alertmanager, as intake sees it.
type Source struct {
	tokens []secret.String
	basic  []Basic
}

// New makes the source.
func New(c Config) *Source { return &Source{tokens: c.Tokens, basic: c.Basic} }

// Name is the last element of the webhook's path.
func (*Source) Name() string { return name }

// Headers is empty: the body says everything.
func (*Source) Headers() []string { return nil }
