package slack

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"tocsin/bot/secret"
)

// Config is what this workspace needs. Either AppToken (Socket Mode) or
// SigningSecret (HTTP) has to be set; both may be.
type Config struct {
	BotToken      secret.String // xoxb-…
	AppToken      secret.String // xapp-…; Socket Mode, with nothing open to the internet
	SigningSecret secret.String // of requests that come over HTTP

	APIURL          string // of the Web API; empty means Slack's own
	AnnounceChannel string // id or name of the channel that hears of every incident
	CommandName     string // as the app's manifest declares it; empty means "/incident"

	Zone            *time.Location        // in which a bare "02:31" is read; nil means UTC
	OnGroupsChanged func(context.Context) // the members of a user group changed; may be nil
	OnRejected      func(status int)      // a request was turned away, to be counted; may be nil

	HTTPClient *http.Client
	Clock      func() time.Time
	Logger     *slog.Logger
}

// withDefaults fills in what may be left out and reports every fault at once.
func (c Config) withDefaults() (Config, error) {
	var faults []error
	if c.BotToken.IsZero() {
		faults = append(faults, errors.New("slack.bot_token: is missing; it begins with xoxb- and stands under OAuth & Permissions"))
	}
	if c.AppToken.IsZero() && c.SigningSecret.IsZero() {
		faults = append(faults, errors.New("slack: set app_token for Socket Mode, or signing_secret for HTTP"))
	}
	if c.CommandName == "" {
		c.CommandName = "/incident"
	}
	if !strings.HasPrefix(c.CommandName, "/") || len(c.CommandName) > 32 || strings.ContainsAny(c.CommandName, " \t") {
		faults = append(faults, errors.New("slack.command: has to begin with a slash, hold no space and at most 32 characters"))
	}
	if c.APIURL != "" && !strings.HasSuffix(c.APIURL, "/") {
		c.APIURL += "/"
	}
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{Timeout: 15 * time.Second}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, errors.Join(faults...)
}
