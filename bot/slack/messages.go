package slack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/chat"
	"tocsin/bot/incident"
)

// handleMessage handles a message event. A message to Tocsin is a command. A message in
// the channel of an incident shows that its author is here. Everything else that people
// write stays in Slack.
func (s *Slack) handleMessage(e slackEvent) {
	switch e.Subtype {
	case "", "file_share", "thread_broadcast", "me_message":
	case "message_changed", "message_deleted":
		s.handleEdit(e)
		return
	default:
		return
	}
	switch {
	case e.BotID != "" || e.User == "" || e.Channel == "":
	case e.Kind == "im":
		s.handleSpoken(e)
	default:
		s.notePost(e)
	}
}

// postInterval is the minimum time between two messages of a person in a channel that
// Tocsin looks at. The incident decides which of them extend an acknowledgement.
const postInterval = time.Minute

// notePost reports a message in the channel of an incident to the Desk. Repeats and other
// replicas cause no further event, because the state of the incident decides.
func (s *Slack) notePost(e slackEvent) {
	now := s.cfg.Clock()
	if s.recent.seen(fmt.Sprintf("post/%s/%s/%d", e.Channel, e.User, now.Unix()/int64(postInterval.Seconds())), now) {
		return
	}
	s.runInBackground(func(ctx context.Context) {
		pc, err := s.parseContext(ctx, s.identityOf(e.account()), string(e.Channel))
		if err == nil && pc.Incident != 0 && pc.Who != "" {
			at := sentAt(e.TS)
			if at.After(now) {
				at = now
			}
			_, err = s.desk.Do(ctx, s.commandBy(e.account(), "", incident.Command{Verb: incident.VerbHere, For: pc.Incident, Item: e.TS, HappenedAt: at}))
		}
		if err != nil && incident.CodeOf(err) == "" {
			s.log.WarnContext(ctx, "note post failed", "channel", e.Channel, "err", err)
		}
	})
}

// handleSpoken executes the command in a mention or in a direct message. Any other text
// gets a short help.
func (s *Slack) handleSpoken(e slackEvent) {
	s.runInBackground(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, s.timeout)
		defer cancel()
		// The ID of the message takes the place of the ID of a slash command: it is the
		// same in every repeat of the event.
		c := slashCommand{Text: s.withoutMention(ctx, e.Text), User: string(e.User), Team: e.account().team, Channel: string(e.Channel), TriggerID: "message/" + e.TS}
		typed, err := s.parseCommand(ctx, c)
		if isUnknownCommand(err) || strings.TrimSpace(c.Text) == "" {
			s.sendBack(e, s.reply(chat.ShortHelp()))
			return
		}
		if err != nil {
			s.sendBack(e, s.failedReply(ctx, typed, err))
			return
		}
		form := func(r formRequest) (*ephemeral, error) { return s.reply(chat.FormNeeded(r.prefill)), nil }
		late := func(ctx context.Context, cmd incident.Command, o outcome) {
			s.sendBack(e, s.resultReply(ctx, typed, cmd, o))
		}
		if answer := s.run(ctx, c, typed, form, late); answer != nil {
			s.sendBack(e, answer)
		}
	})
}

// isUnknownCommand reports whether a text does not begin with a command.
func isUnknownCommand(err error) bool {
	var refused *incident.Error
	return errors.As(err, &refused) && refused.Code == incident.CodeInvalid && refused.Field == "verb"
}

// withoutMention removes the mention of the bot from a text.
func (s *Slack) withoutMention(ctx context.Context, text string) string {
	self, err := s.Self(ctx)
	if err != nil {
		s.log.WarnContext(ctx, "find own user failed", "err", err)
		return text
	}
	return strings.TrimSpace(strings.NewReplacer("<@"+self+">", "").Replace(userLabel.ReplaceAllString(text, "$1>")))
}

// sendBack answers a message where it was written: to its author alone in a channel, and
// as a message in direct messages.
func (s *Slack) sendBack(e slackEvent, answer *ephemeral) {
	s.runInBackground(func(ctx context.Context) {
		options := []slack.MsgOption{slack.MsgOptionText(answer.Text, false), slack.MsgOptionBlocks(answer.Blocks...), slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl()}
		if e.Thread != "" {
			options = append(options, slack.MsgOptionTS(e.Thread))
		}
		var err error
		if e.Kind == "im" {
			_, _, err = s.client.PostMessageContext(ctx, string(e.Channel), options...)
		} else {
			_, err = s.client.PostEphemeralContext(ctx, string(e.Channel), string(e.User), options...)
		}
		if err != nil {
			s.log.WarnContext(ctx, "send reply failed", "err", err)
		}
	})
}
