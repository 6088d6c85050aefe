// Package hackerone takes the webhooks of a HackerOne program: a new report is
// an alert, what happens to a report afterwards is noted.
//
// Everything a researcher writes is hostile Markdown. It is passed on as plain
// text, never rendered, and nothing in it is fetched. Nothing is answered.
package hackerone

import "tocsin/bot/secret"

const name = "hackerone"

// Config of the source.
type Config struct {
	// Secrets of the webhook; there are two while one is rotated. HackerOne does
	// not sign when the webhook has no secret, and what is not signed is refused.
	Secrets []secret.String
}

// Source is HackerOne, as intake sees it.
type Source struct{ secrets []secret.String }

// New makes the source.
func New(c Config) *Source { return &Source{secrets: c.Secrets} }

// Name is the last element of the webhook's path.
func (*Source) Name() string { return name }

// Headers names what Decode needs: what happened.
func (*Source) Headers() []string { return []string{headerEvent} }

const (
	headerEvent     = "X-H1-Event"
	headerSignature = "X-H1-Signature"
)
