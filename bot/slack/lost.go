package slack

import (
	"context"
	"slices"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// asMember makes a call in a channel. If the bot is not a member of a public channel,
// asMember joins the channel and makes the call again.
func (s *Slack) asMember(ctx context.Context, channel string, call func() error) error {
	err := call()
	if errorCode(err) != "not_in_channel" {
		return err
	}
	if _, _, _, joined := s.client.JoinConversationContext(ctx, channel); joined == nil {
		return call()
	}
	return err
}

// goneCodes are the error codes about a channel that was deleted or archived, or that the
// bot is not a member of. Slack returns channel_not_found for a private channel without
// the bot, which the bot cannot join.
var goneCodes = []string{"channel_not_found", "is_archived", "is_inactive", "not_in_channel", "invalid_channel"}

// lost returns the classified error of a call in a channel as an [incident.ChannelGone] if
// the channel is lost. It asks Slack about the channel first, because a missing permission
// can look like a missing channel. A channel that was found by its name is looked up again.
func (s *Slack) lost(ctx context.Context, channel string, err, classified error) error {
	if !slices.Contains(goneCodes, errorCode(err)) {
		return classified
	}
	info, infoErr := s.client.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: channel})
	switch {
	case infoErr == nil && !info.IsArchived && (info.IsMember || !info.IsPrivate):
		return classified
	case infoErr != nil && !slices.Contains(goneCodes, errorCode(infoErr)):
		return classified
	}
	s.announceCache.forget(channel)
	return &incident.ChannelGone{Channel: channel, Archived: infoErr == nil && info.IsArchived, Err: classified}
}
