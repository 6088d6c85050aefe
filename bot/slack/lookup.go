package slack

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// eventType is the metadata type of every message of the bot. Metadata can be
// read by any app in the workspace, so only ids stand in it.
const eventType = "tocsin_event"

// The keys of the metadata's payload.
const (
	metaKey      = "key"      // Brief.Mark, by which a message is found again
	metaIncident = "incident" // "INC-42"
	metaSeq      = "seq"      // of the event that is said
	metaCard     = "card"     // true on the card
)

// clockSkew is how far Slack's clock and ours may be apart before a message
// that landed is no longer found.
const clockSkew = time.Hour

// findMessage looks through a channel's messages since a moment, the newest first,
// for one of ours whose metadata matches.
func (s *Slack) findMessage(ctx context.Context, channel string, since time.Time, match func(payload map[string]any) bool) (slack.Message, bool, error) {
	self, err := s.Self(ctx)
	if err != nil {
		return slack.Message{}, false, classify("find an earlier message", err)
	}
	params := slack.GetConversationHistoryParameters{ChannelID: channel, Limit: 200, IncludeAllMetadata: true}
	if !since.IsZero() {
		params.Oldest = strconv.FormatInt(since.Add(-clockSkew).Unix(), 10) + ".000000"
	}
	for {
		page, err := s.client.GetConversationHistoryContext(ctx, &params)
		if err != nil {
			return slack.Message{}, false, classify("find an earlier message", err)
		}
		for _, m := range page.Messages {
			if m.User == self && m.Metadata.EventType == eventType && match(m.Metadata.EventPayload) {
				return m, true, nil
			}
		}
		if params.Cursor = page.ResponseMetaData.NextCursor; params.Cursor == "" {
			return slack.Message{}, false, nil
		}
	}
}

// hasMark matches the message that carries a mark.
func hasMark(mark string) func(map[string]any) bool {
	return func(payload map[string]any) bool { return payload[metaKey] == mark }
}

// searchStart is the moment before which the brief's effect cannot have landed.
func searchStart(b incident.Brief) time.Time {
	switch {
	case !b.Event.RecordedAt.IsZero():
		return b.Event.RecordedAt
	case !b.Incident.OpenedAt.IsZero():
		return b.Incident.OpenedAt
	}
	return b.Now.Add(-24 * time.Hour) // an effect of no incident: a schedule's
}

// eachChannel lists every channel the bot can see until yes says that it has seen enough.
func (s *Slack) eachChannel(ctx context.Context, yes func(slack.Channel) bool) error {
	params := slack.GetConversationsParameters{Types: []string{"public_channel", "private_channel"}, Limit: 200}
	for {
		list, next, err := s.client.GetConversationsContext(ctx, &params)
		if err != nil {
			return classify("list the channels", err)
		}
		for _, c := range list {
			if yes(c) {
				return nil
			}
		}
		if next == "" {
			return nil
		}
		params.Cursor = next
	}
}

// cachedID is an id that was looked up by name.
type cachedID struct {
	mu sync.Mutex
	id string
}

var channelID = regexp.MustCompile(`^[CG][A-Z0-9]{8,}$`)

// announceChannel is the id of the channel that hears of every incident; ""
// where none is configured.
func (s *Slack) announceChannel(ctx context.Context) (string, error) {
	name := strings.TrimPrefix(s.cfg.AnnounceChannel, "#")
	if name == "" || channelID.MatchString(name) {
		return name, nil
	}
	s.announceCache.mu.Lock()
	defer s.announceCache.mu.Unlock()
	if s.announceCache.id != "" {
		return s.announceCache.id, nil
	}
	err := s.eachChannel(ctx, func(c slack.Channel) bool {
		if c.Name == name && !c.IsArchived {
			s.announceCache.id = c.ID
		}
		return s.announceCache.id != ""
	})
	if err != nil {
		return "", err
	}
	if s.announceCache.id == "" {
		return "", &incident.Permanent{Err: fmt.Errorf("the bot sees no channel #%s: create it, invite the bot, or correct slack.announce_channel", name)}
	}
	return s.announceCache.id, nil
}
