package slack

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"tocsin/bot/outbound"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
)

// Config configures a workspace. AppToken (for Socket Mode) or SigningSecret
// (for HTTP) is required. Both may be set.
type Config struct {
	BotToken        secret.String `yaml:"bot_token"`        // xoxb-…
	AppToken        secret.String `yaml:"app_token"`        // xapp-…, for Socket Mode
	SigningSecret   secret.String `yaml:"signing_secret"`   // verifies HTTP requests
	AnnounceChannel string        `yaml:"announce_channel"` // ID or name of the channel for announcements
	CommandName     string        `yaml:"command"`          // slash command in the manifest of the app (default "/incident")
	APIURL          string        `yaml:"api_url"`          // base URL of the Web API (default: Slack's)
}

// Defaults returns the configuration that a file completes.
func Defaults() Config { return Config{AnnounceChannel: "incidents", CommandName: defaultCommand} }

// Connections reports how Slack sends requests: through Socket Mode, over HTTP or both.
func (c Config) Connections() (socket, requests bool) {
	return !c.AppToken.IsZero(), !c.SigningSecret.IsZero()
}

const defaultCommand = "/incident"

// Validate returns the problems of the configuration of a whole instance.
func (c Config) Validate() setting.Problems {
	p := c.problems()
	if c.AnnounceChannel == "" {
		p.Add("announce_channel", "is missing. Write the name of the channel for incident announcements")
	}
	if c.APIURL != "" && !setting.IsURL(c.APIURL) {
		p.Add("api_url", "is not a URL. Write one that begins with https://, or omit the key")
	}
	return p
}

// problems returns the problems without which the client cannot work.
func (c Config) problems() setting.Problems {
	var p setting.Problems
	if c.BotToken.IsZero() {
		p.Add("bot_token", "is missing. Copy the token that begins with xoxb- from OAuth & Permissions in the settings of the Slack app")
	}
	if c.AppToken.IsZero() && c.SigningSecret.IsZero() {
		p.Add("app_token", "is missing. Set it to use Socket Mode, or set slack.signing_secret to use HTTP")
	}
	if !strings.HasPrefix(c.CommandName, "/") || strings.ContainsAny(c.CommandName, " \t") || len(c.CommandName) > 32 {
		p.Add("command", "is not a slash command. Write the command of the Slack app, such as /incident")
	}
	return p
}

// RequestTimeout is the maximum duration of a request to Slack.
const RequestTimeout = 15 * time.Second

// Deps are the parts of the process that a [Slack] uses. Redact is required.
type Deps struct {
	Zone            *time.Location        // time zone of times without a zone, such as "02:31" (default UTC)
	OnGroupsChanged func(context.Context) // called when the members of a user group change, or nil
	OnRejected      func(status int)      // called for each rejected request, with its HTTP status, or nil
	OnVerified      func(*http.Request)   // called for each request that Slack signed, or nil
	OnSocket        func(error)           // called with the state of the connection in Socket Mode when it changes, or nil

	// Redact removes personal data and secrets from a text. The Desk redacts its
	// results. Redact is for errors of this package, which quote input.
	Redact func(string) string

	HTTPClient *http.Client
	Clock      func() time.Time
	Logger     *slog.Logger
}

// options are the configuration and the dependencies with their defaults.
type options struct {
	Config
	Deps
}

// newOptions fills in defaults. It returns all configuration errors joined.
func newOptions(c Config, d Deps) (options, error) {
	c.CommandName = cmp.Or(c.CommandName, defaultCommand)
	err := c.problems().Err()
	if d.Redact == nil {
		err = errors.Join(err, errors.New("the redactor is missing"))
	}
	if c.APIURL != "" && !strings.HasSuffix(c.APIURL, "/") {
		c.APIURL += "/"
	}
	if d.Zone == nil {
		d.Zone = time.UTC
	}
	if d.HTTPClient == nil {
		d.HTTPClient = outbound.NewClient(RequestTimeout, outbound.Limits{})
	}
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	return options{c, d}, err
}
