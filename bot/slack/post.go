package slack

import (
	"context"
	"errors"
	"fmt"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// Post says the event in the incident's channel.
func (s *Slack) Post(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	m, ok := render(b)
	if !ok {
		return noCommand, nil
	}
	_, err := s.postToChannel(ctx, b, m)
	if b.Event.Kind == incident.EventEffectFailed && isPermanent(err) {
		// Reporting that the report failed would go on for ever.
		s.log.ErrorContext(ctx, "a failure could not be told in the channel", "incident", b.Incident.ID, "error", err)
		return noCommand, nil
	}
	return noCommand, err
}

// postToChannel says something once in the incident's channel.
func (s *Slack) postToChannel(ctx context.Context, b incident.Brief, m message) (ts string, err error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return "", err
	}
	return s.postOnce(ctx, b, channel, b.Mark, m, b.Attempt > 1)
}

// postOnce posts a message that stands in the channel once, however often this is
// called with the same mark: where look is set, it is searched for first.
func (s *Slack) postOnce(ctx context.Context, b incident.Brief, channel, mark string, m message, look bool) (ts string, err error) {
	if look {
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

// post sends a message. A public channel the bot is not in is joined first.
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

// sendToEach sends a message to several people, to each once. Somebody who cannot be
// reached does not keep it from the others; it is an error when nobody was
// reached, or when it is worth trying again.
func (s *Slack) sendToEach(ctx context.Context, b incident.Brief, persons []incident.PersonID, m message) (reached int, err error) {
	var hopeless, again []error
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
			hopeless = append(hopeless, fmt.Errorf("%s: %w", b.Directory.Name(id), err))
		default:
			again = append(again, err)
		}
	}
	switch {
	case len(again) > 0:
		return reached, errors.Join(again...)
	case len(hopeless) > 0 && reached == 0:
		return 0, &incident.Permanent{Err: errors.Join(hopeless...)}
	case len(hopeless) > 0:
		s.log.WarnContext(ctx, "somebody could not be reached", "incident", b.Incident.ID, "error", errors.Join(hopeless...))
	}
	return reached, nil
}

// direct sends a direct message. It always looks first: of several that one
// effect sends, some may have landed before another was told to wait, and
// waiting is no attempt.
func (s *Slack) direct(ctx context.Context, b incident.Brief, user string, m message) error {
	c, _, _, err := s.client.OpenConversationContext(ctx, &slack.OpenConversationParameters{Users: []string{user}})
	if err != nil {
		return classify("open a direct message", err)
	}
	_, err = s.postOnce(ctx, b, c.ID, b.Mark+"/"+user, m, true)
	return err
}
