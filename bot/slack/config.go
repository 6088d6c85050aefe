package slack

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"tocsin/bot/outbound"
	"tocsin/bot/secret"
)

// Config configures a workspace. AppToken (for Socket Mode) or SigningSecret
// (for HTTP) is required. Both may be set.
type Config struct {
	BotToken      secret.String // xoxb-…
	AppToken      secret.String // xapp-…, for Socket Mode
	SigningSecret secret.String // verifies HTTP requests

	APIURL          string // base URL of the Web API (default: Slack's)
	AnnounceChannel string // ID or name of the channel for announcements
	CommandName     string // slash command in the manifest of the app (default "/incident")

	Zone            *time.Location        // time zone of times without a zone, such as "02:31" (default UTC)
	OnGroupsChanged func(context.Context) // called when the members of a user group change, or nil
	OnRejected      func(status int)      // called for each rejected request, with its HTTP status, or nil
	OnVerified      func(*http.Request)   // called for each request that Slack signed, or nil

	// Redact removes personal data and secrets from a text (required). The Desk redacts
	// its results. Redact is for errors of this package, which quote input.
	Redact func(string) string

	HTTPClient *http.Client
	Clock      func() time.Time
	Logger     *slog.Logger
}

// withDefaults fills in defaults. It returns all configuration errors joined.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.BotToken.IsZero() {
		errs = append(errs, errors.New("slack.bot_token: is missing. Copy the token that begins with xoxb- from OAuth & Permissions"))
	}
	if c.AppToken.IsZero() && c.SigningSecret.IsZero() {
		errs = append(errs, errors.New("slack: set app_token for Socket Mode, or signing_secret for HTTP"))
	}
	if c.Redact == nil {
		errs = append(errs, errors.New("slack: the redactor is missing"))
	}
	if c.CommandName == "" {
		c.CommandName = "/incident"
	}
	if !strings.HasPrefix(c.CommandName, "/") || len(c.CommandName) > 32 || strings.ContainsAny(c.CommandName, " \t") {
		errs = append(errs, errors.New("slack.command: must begin with a slash, have at most 32 characters and contain no space"))
	}
	if c.APIURL != "" && !strings.HasSuffix(c.APIURL, "/") {
		c.APIURL += "/"
	}
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if c.HTTPClient == nil {
		c.HTTPClient = outbound.NewClient(15*time.Second, outbound.Limits{})
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, errors.Join(errs...)
}
