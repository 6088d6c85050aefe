package slack

import (
	"context"
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/chat"
	"tocsin/bot/health"
	"tocsin/bot/incident"
)

// ProbeAppToken returns an error if Slack does not accept the app token. It asks for the
// address of a connection and does not connect, so it does not disturb a running bot.
func (s *Slack) ProbeAppToken(ctx context.Context) error {
	_, _, err := s.client.StartSocketModeContext(ctx)
	return explainAppToken(err)
}

// explainAppToken returns why Slack does not open a connection for the app token.
func explainAppToken(err error) error {
	switch code := errorCode(err); {
	case err == nil:
		return nil
	case strings.Contains(code, "auth") || strings.Contains(code, "token") || code == "missing_scope":
		return &health.Problem{Cause: "Slack does not accept the app token", IsRefusal: true, Err: err,
			Fix: "Create an app-level token with the scope connections:write, set slack.app_token to it and restart Tocsin"}
	}
	return problem(err)
}

// ProbeChannel returns an error if the announce channel does not exist or Tocsin cannot
// post there.
func (s *Slack) ProbeChannel(ctx context.Context) error {
	id, err := s.AnnounceChannel(ctx)
	if err != nil {
		return problem(err)
	}
	name := "#" + strings.TrimPrefix(s.cfg.AnnounceChannel, "#")
	c, err := s.client.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: id})
	switch {
	case errorCode(err) == "channel_not_found":
		return &health.Problem{Cause: "The channel " + name + " does not exist, or it is private and the app is not a member", Fix: "Create the channel and invite the app, or correct slack.announce_channel and restart Tocsin", IsRefusal: true, Err: err}
	case err != nil:
		return problem(err)
	case c.IsArchived:
		return &health.Problem{Cause: "The channel " + name + " is archived", Fix: "Restore the channel, or correct slack.announce_channel and restart Tocsin", IsRefusal: true}
	case !c.IsMember:
		return &health.Problem{Cause: "The app is not a member of the channel " + name, Fix: "Type /invite @tocsin in the channel", IsRefusal: true}
	}
	return nil
}

// ProbeUser returns an error if a member ID is not the account of an active person. key
// is where the configuration has it.
func (s *Slack) ProbeUser(ctx context.Context, id, key string) error {
	user, err := s.client.GetUserInfoContext(ctx, id)
	switch {
	case errorCode(err) == "user_not_found", errorCode(err) == "user_not_visible":
		return &health.Problem{Cause: "Slack has no member with the id " + id, Fix: "Copy the member ID from the profile in Slack, and correct " + key + ". Then reload Tocsin", IsRefusal: true, Err: err}
	case err != nil:
		return problem(err)
	case user.Deleted:
		return &health.Problem{Cause: "The Slack account " + id + " is deactivated", Fix: "Remove the person from the configuration, or correct " + key + ". Then reload Tocsin", IsRefusal: true}
	case user.IsBot:
		return &health.Problem{Cause: "The Slack account " + id + " is an app and not a person", Fix: "Correct " + key + ". Then reload Tocsin", IsRefusal: true}
	}
	return nil
}

// SendTestPage mentions a user group in the announce channel, with the code of a test.
func (s *Slack) SendTestPage(ctx context.Context, group string, t incident.TestPageText) error {
	channel, err := s.AnnounceChannel(ctx)
	if err != nil {
		return problem(err)
	}
	_, err = s.Post(ctx, channel, chat.TestPage(group, t), chat.Mark{Key: "test-page-" + t.Key()})
	return problem(err)
}
