// Package slack connects Tocsin to one Slack workspace. [Slack] receives
// slash commands, buttons, forms and events. It is a [chat.Platform]: it lays
// the messages of Tocsin out as Block Kit and sends them.
//
// Requests arrive over HTTP ([Slack.Handler]) or Socket Mode
// ([Slack.RunSocket]), and the same functions handle both. A request becomes
// an [incident.Command] for the [Desk]. The reply is sent within the three
// seconds that Slack allows. It confirms only commands that are durable.
package slack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"
	"golang.org/x/time/rate"

	"tocsin/bot/chat"
	"tocsin/bot/health"
	"tocsin/bot/incident"
	"tocsin/bot/outbound"
)

// Desk is the part of the write path that this package uses.
//
// If Do returns an error, nothing was recorded. The exception is an error
// with a method OutcomeUnknown() bool that returns true: the connection broke
// during the commit, and the command may have been recorded.
type Desk interface {
	chat.Desk
	Do(ctx context.Context, cmd incident.Command) (incident.Result, error)
	// Offer returns an [incident.Error] if no form can make a command possible any more.
	Offer(ctx context.Context, cmd incident.Command) error
	IncidentByLink(ctx context.Context, name, value string) (incident.ID, error)
	// SaveDraft and CloseForm return an [incident.Error] if the person may not read the incident.
	SaveDraft(ctx context.Context, who incident.Identity, key incident.FormKey, draft incident.FormDraft) error
	CloseForm(ctx context.Context, who incident.Identity, key incident.FormKey, submitted bool) error
}

// deskTimeout is how long the Desk may take for a command. The rest of the
// three seconds that Slack waits is for the network.
const deskTimeout = 2500 * time.Millisecond

// deskGracePeriod is how long the Desk may take, after deskTimeout, to return
// its error.
const deskGracePeriod = 200 * time.Millisecond

// Slack is a client and server for one workspace. It is safe for concurrent
// use after Serve.
type Slack struct {
	cfg    options
	client *slack.Client
	files  *slack.Client // for downloads, with other limits
	log    *slog.Logger
	desk   Desk

	timeout    time.Duration
	recent     recentKeys
	homes      homes
	drafts     drafts
	background background
	rejections rate.Sometimes // limits the log records about rejected requests
	signatures signatures
	reconnect  chan struct{} // see Reconnect

	mu   sync.Mutex
	self slack.AuthTestResponse // the bot user, set by the first auth.test call

	announceCache cachedID // the announce channel, if it is configured by name
}

// New returns a workspace with the given configuration. It makes no request;
// [Slack.Check] does.
func New(c Config, d Deps) (*Slack, error) {
	cfg, err := newOptions(c, d)
	if err != nil {
		return nil, fmt.Errorf("configure slack: %w", err)
	}
	options := []slack.Option{slack.OptionHTTPClient(cfg.HTTPClient)}
	if cfg.APIURL != "" {
		options = append(options, slack.OptionAPIURL(cfg.APIURL))
	}
	if !cfg.AppToken.IsZero() {
		options = append(options, slack.OptionAppLevelToken(cfg.AppToken.Reveal()))
	}
	s := &Slack{
		rejections: rate.Sometimes{Interval: rejectionLogInterval},
		cfg:        cfg,
		client:     slack.New(cfg.BotToken.Reveal(), options...),
		log:        cfg.Logger.With("component", "slack"),
		timeout:    deskTimeout,
		reconnect:  make(chan struct{}),
	}
	s.files = slack.New(cfg.BotToken.Reveal(), append(options, slack.OptionHTTPClient(outbound.NewClient(FileTimeout, outbound.Limits{MaxResponse: MaxFile + 1})))...)
	s.background.ended.L = &s.background.mu
	return s, nil
}

// Serve sets the Desk. Call Serve once, before requests arrive.
func (s *Slack) Serve(desk Desk) { s.desk = desk }

// Scopes returns the OAuth scopes that the bot token needs.
func Scopes() []string {
	return []string{"app_mentions:read", "bookmarks:read", "bookmarks:write", "channels:history", "channels:manage",
		"channels:join", "channels:read", "chat:write", "commands", "files:read", "files:write", "groups:history", "groups:read",
		"groups:write", "im:history", "im:write", "pins:write", "reactions:read", "usergroups:read", "users:read"}
}

// Check identifies the bot user and returns an error that lists the scopes
// that the token lacks. It returns nil if the response has no scopes header.
func (s *Slack) Check(ctx context.Context) error {
	self, err := s.client.AuthTestContext(ctx)
	if err != nil {
		return fmt.Errorf("call auth.test: %w", err)
	}
	s.mu.Lock()
	s.self = *self
	s.mu.Unlock()
	granted := self.Header.Get("X-OAuth-Scopes")
	if granted == "" {
		return nil
	}
	have := strings.FieldsFunc(granted, func(r rune) bool { return r == ',' || r == ' ' })
	var missing []string
	for _, scope := range Scopes() {
		if !slices.Contains(have, scope) {
			missing = append(missing, scope)
		}
	}
	if len(missing) > 0 {
		return &health.Problem{Cause: "The Slack app lacks the scopes " + strings.Join(missing, ", "), IsRefusal: true,
			Fix: "Add them under OAuth & Permissions in the settings of the Slack app and reinstall the app. After an upgrade, replace the whole manifest as docs/install.md describes"}
	}
	return nil
}

// Self returns the user ID of the bot. The first call requests it from Slack.
func (s *Slack) Self(ctx context.Context) (string, error) {
	s.mu.Lock()
	id := s.self.UserID
	s.mu.Unlock()
	if id != "" {
		return id, nil
	}
	self, err := s.client.AuthTestContext(ctx)
	if err != nil {
		return "", fmt.Errorf("call auth.test: %w", err)
	}
	s.mu.Lock()
	s.self = *self
	s.mu.Unlock()
	return self.UserID, nil
}

// URL returns the address of a channel. Without a channel it returns the one of the
// announce channel, if it is known, and otherwise the one of the workspace. It makes no
// request, because a page must not wait for Slack.
func (s *Slack) URL(channel string) string {
	s.mu.Lock()
	self := s.self
	s.mu.Unlock()
	if channel == "" {
		channel = s.knownAnnounceChannel()
	}
	switch {
	case channel != "" && self.TeamID != "":
		return "https://slack.com/app_redirect?channel=" + channel + "&team=" + self.TeamID
	case channel != "":
		return "https://slack.com/app_redirect?channel=" + channel
	case self.URL != "":
		return self.URL
	}
	return "https://app.slack.com/client"
}

// Groups returns the members of the given user groups. It leaves out groups
// that cannot be read and names them in the error. The map is valid even if
// the error is not nil.
func (s *Slack) Groups(ctx context.Context, groups []string) (map[string][]string, error) {
	members := map[string][]string{}
	var errs []error
	for _, group := range groups {
		users, err := s.client.GetUserGroupMembersContext(ctx, group)
		if err != nil {
			errs = append(errs, fmt.Errorf("read members of user group %s: %w", group, err))
			continue
		}
		members[group] = users
	}
	return members, errors.Join(errs...)
}

// Events returns the types of events that the app subscribes to. Of a message in a
// channel Tocsin stores only that its author is here, unless people add the message to the
// timeline.
func Events() []string {
	return []string{"app_home_opened", "app_mention", "file_change", "file_deleted", "message.channels", "message.groups", "message.im",
		"reaction_added", "reaction_removed", "subteam_members_changed"}
}
