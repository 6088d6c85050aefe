package slack

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
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
	if strings.HasPrefix(c.BotToken.Reveal(), "xapp-") {
		p.Add("bot_token", "is an app-level token. Write it to slack.app_token, and here the token that begins with xoxb- from OAuth & Permissions")
	}
	if t := c.AppToken.Reveal(); strings.HasPrefix(t, "xoxb-") || strings.HasPrefix(t, "xoxp-") {
		p.Add("app_token", "is not an app-level token. Write here the token that begins with xapp- from Basic Information, App-Level Tokens, and a token that begins with xoxb- to slack.bot_token")
	}
	if c.AppToken.IsZero() && c.SigningSecret.IsZero() {
		p.Add("app_token", "is missing. Set it to use Socket Mode, or set slack.signing_secret to use HTTP")
	}
	if !strings.HasPrefix(c.CommandName, "/") || strings.ContainsAny(c.CommandName, " \t") || len(c.CommandName) > 32 {
		p.Add("command", "is not a slash command. Write the command of the Slack app, such as /incident")
	}
	return p
}

var (
	signingSecret = regexp.MustCompile(`^[0-9a-f]{32}$`)
	channelName   = regexp.MustCompile(`^#?[\p{Ll}\p{Lo}\p{N}_-]{1,80}$`)
)

// Warnings returns what is valid, but does not work with Slack.
func (c Config) Warnings() setting.Problems {
	var p setting.Problems
	if t := c.BotToken.Reveal(); !strings.HasPrefix(t, "xoxb-") && !strings.HasPrefix(t, "xoxe.xoxb-") {
		p.Add("bot_token", "does not begin with xoxb-, so it is not a bot token. Copy it from OAuth & Permissions in the settings of the Slack app")
	}
	if t := c.AppToken.Reveal(); t != "" && !strings.HasPrefix(t, "xapp-") {
		p.Add("app_token", "does not begin with xapp-, so it is not an app-level token. Copy it from Basic Information, App-Level Tokens")
	}
	if s := c.SigningSecret.Reveal(); s != "" && !signingSecret.MatchString(s) {
		p.Add("signing_secret", "does not have the form of a signing secret, 32 characters 0-9 and a-f. Copy it from Basic Information, App Credentials")
	}
	if !channelID.MatchString(c.AnnounceChannel) && !channelName.MatchString(c.AnnounceChannel) {
		p.Add("announce_channel", "%q is not the name of a channel: names have no capital letters, spaces and dots. Write the name or the id of the channel", c.AnnounceChannel)
	}
	if setting.IsPlainHTTP(c.APIURL) {
		p.Add("api_url", "sends the tokens without encryption. Write a URL that begins with https://")
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
