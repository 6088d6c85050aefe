// Package slack is the door through which most people come: slash commands,
// buttons and forms come in, the incident's channel goes out.
//
// It is a door and not the house. What comes in becomes an incident.Command
// for the Desk, and is answered within the three seconds Slack allows: done,
// and then it is durable, or not recorded. What goes out are effects, which
// survive being done twice. Requests arrive over HTTP or Socket Mode; both
// end in the same functions.
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

	"tocsin/bot/incident"
)

// Desk is what this door needs of the one write path.
//
// An error of Do means that nothing was recorded. Where that cannot be known,
// because the connection broke during the commit, the error has a method
// OutcomeUnknown() bool that says so.
type Desk interface {
	Do(ctx context.Context, cmd incident.Command) (incident.Result, error)
	Show(ctx context.Context, who incident.Identity, id incident.ID, reason string) (incident.View, error)
	List(ctx context.Context, who incident.Identity, f incident.Filter) ([]incident.Summary, error)
	Alerts(ctx context.Context, who incident.Identity, e incident.AlertRequest) (incident.AlertResult, error)
	Directory(ctx context.Context) (incident.Directory, error)
	IncidentByLink(ctx context.Context, name, value string) (incident.ID, error)
}

// deskTimeout is how long the Desk may take over a command. The rest of Slack's
// three seconds is for the way there and back.
const deskTimeout = 2500 * time.Millisecond

// deskGracePeriod is how long, after that, the Desk may take to say that it gave up.
const deskGracePeriod = 200 * time.Millisecond

// Slack is one workspace.
type Slack struct {
	cfg    Config
	client *slack.Client
	log    *slog.Logger
	desk   Desk

	timeout    time.Duration
	recent     recentKeys
	background background

	mu   sync.Mutex
	self slack.AuthTestResponse // who we are, once Check has asked

	announceCache cachedID // the announce channel, once it was looked up by name
}

// New makes a workspace out of its configuration. It calls nobody; Check does.
func New(cfg Config) (*Slack, error) {
	cfg, err := cfg.withDefaults()
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
		cfg:     cfg,
		client:  slack.New(cfg.BotToken.Reveal(), options...),
		log:     cfg.Logger.With("component", "slack"),
		timeout: deskTimeout,
	}
	s.background.ended.L = &s.background.mu
	return s, nil
}

// Serve gives the workspace its Desk. It is called once, before anything comes in.
func (s *Slack) Serve(desk Desk) { s.desk = desk }

// Scopes are what the bot token has to be allowed.
func Scopes() []string {
	return []string{"app_mentions:read", "bookmarks:read", "bookmarks:write", "channels:history", "channels:manage",
		"channels:join", "channels:read", "chat:write", "commands", "files:read", "files:write", "groups:history", "groups:read",
		"groups:write", "im:history", "im:write", "pins:write", "usergroups:read", "users:read"}
}

// Check asks Slack who we are and whether the token may do what we do. It
// names what is missing. What a token cannot tell, because the answer has no
// scopes header, is passed over.
func (s *Slack) Check(ctx context.Context) error {
	self, err := s.client.AuthTestContext(ctx)
	if err != nil {
		return fmt.Errorf("ask slack who we are: %w", err)
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
		return fmt.Errorf("slack.bot_token: lacks the scopes %s; add them to the app and install it again", strings.Join(missing, ", "))
	}
	return nil
}

// Self returns our own user id, asking for it the first time.
func (s *Slack) Self(ctx context.Context) (string, error) {
	s.mu.Lock()
	id := s.self.UserID
	s.mu.Unlock()
	if id != "" {
		return id, nil
	}
	self, err := s.client.AuthTestContext(ctx)
	if err != nil {
		return "", fmt.Errorf("ask slack who we are: %w", err)
	}
	s.mu.Lock()
	s.self = *self
	s.mu.Unlock()
	return self.UserID, nil
}

// Groups reads who is in each of the given user groups. A group that cannot
// be read is left out of the map and named in the error; the others stand.
func (s *Slack) Groups(ctx context.Context, groups []string) (map[string][]string, error) {
	members := map[string][]string{}
	var faults []error
	for _, group := range groups {
		users, err := s.client.GetUserGroupMembersContext(ctx, group)
		if err != nil {
			faults = append(faults, fmt.Errorf("read the members of the user group %s: %w", group, err))
			continue
		}
		members[group] = users
	}
	return members, errors.Join(faults...)
}
