package slack

import (
	"context"
	"errors"
	"fmt"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// Post posts the message about the event in the channel of the incident.
func (s *Slack) Post(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	m, ok := render(b)
	if !ok {
		return noCommand, nil
	}
	_, err := s.postToChannel(ctx, b, m)
	if b.Event.Kind == incident.EventEffectFailed && isPermanent(err) {
		// A failure event about this failure would cause an endless loop.
		s.log.ErrorContext(ctx, "post failure message failed", "incident", b.Incident.ID, "err", err)
		return noCommand, nil
	}
	return noCommand, err
}

// postToChannel posts a message once in the channel of the incident.
func (s *Slack) postToChannel(ctx context.Context, b incident.Brief, m message) (ts string, err error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return "", err
	}
	return s.postOnce(ctx, b, channel, b.Mark, m, b.Attempt > 1)
}

// postOnce posts a message with a mark. If search is true and the channel
// already has a message with this mark, postOnce returns the timestamp of
// that message instead.
func (s *Slack) postOnce(ctx context.Context, b incident.Brief, channel, mark string, m message, search bool) (ts string, err error) {
	if search {
		found, ok, err := s.findMessage(ctx, channel, searchStart(b), hasMark(mark))
		if err != nil || ok {
			return found.Timestamp, err
		}
	}
	return s.post(ctx, channel, m, metadata(b, mark))
}

func metadata(b incident.Brief, mark string) slack.SlackMetadata {
	payload := map[string]any{metaKey: mark}
	if b.Incident.ID != 0 {
		payload[metaIncident] = b.Incident.ID.String()
	}
	if b.Event.Seq != 0 {
		payload[metaSeq] = b.Event.Seq
	}
	return slack.SlackMetadata{EventType: eventType, EventPayload: payload}
}

// post sends a message. If the bot is not a member of a public channel, post
// joins the channel and tries again.
func (s *Slack) post(ctx context.Context, channel string, m message, meta slack.SlackMetadata) (ts string, err error) {
	send := func() error {
		_, ts, err = s.client.PostMessageContext(ctx, channel, m.options(meta)...)
		return err
	}
	if err = send(); errorCode(err) == "not_in_channel" {
		if _, _, _, joined := s.client.JoinConversationContext(ctx, channel); joined == nil {
			err = send()
		}
	}
	return ts, classify("post a message", err)
}

func (m message) options(meta slack.SlackMetadata) []slack.MsgOption {
	return []slack.MsgOption{slack.MsgOptionText(m.text, false), slack.MsgOptionBlocks(m.blocks...), slack.MsgOptionMetadata(meta),
		slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl()}
}

// sendToEach sends a direct message to each person once and returns the
// number of recipients. It skips people without a Slack user. A permanent
// error for one person does not stop the others. sendToEach returns an error
// if a message should be retried, or if there were only permanent errors.
func (s *Slack) sendToEach(ctx context.Context, b incident.Brief, persons []incident.PersonID, m message) (reached int, err error) {
	var failed, retryable []error
	for _, id := range persons {
		user := slackID(b.Directory, id)
		if user == "" {
			continue
		}
		err := s.direct(ctx, b, user, m)
		switch {
		case err == nil:
			reached++
		case isPermanent(err):
			failed = append(failed, fmt.Errorf("%s: %w", b.Directory.Name(id), err))
		default:
			retryable = append(retryable, err)
		}
	}
	switch {
	case len(retryable) > 0:
		return reached, errors.Join(retryable...)
	case len(failed) > 0 && reached == 0:
		return 0, &incident.Permanent{Err: errors.Join(failed...)}
	case len(failed) > 0:
		s.log.WarnContext(ctx, "send direct messages failed", "incident", b.Incident.ID, "err", errors.Join(failed...))
	}
	return reached, nil
}

// direct sends a direct message once. It always searches first, because an
// earlier attempt may have stopped between two messages.
func (s *Slack) direct(ctx context.Context, b incident.Brief, user string, m message) error {
	c, _, _, err := s.client.OpenConversationContext(ctx, &slack.OpenConversationParameters{Users: []string{user}})
	if err != nil {
		return classify("open a direct message", err)
	}
	_, err = s.postOnce(ctx, b, c.ID, b.Mark+"/"+user, m, true)
	return err
}
