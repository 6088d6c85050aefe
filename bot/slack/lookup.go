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

// eventType is the metadata type of every message of the bot. Any app in the
// workspace can read metadata, so the payload contains only IDs.
const eventType = "tocsin_event"

// The keys of the metadata payload.
const (
	metaKey      = "key"      // Brief.Mark, which identifies the message
	metaIncident = "incident" // "INC-42"
	metaSeq      = "seq"      // sequence number of the event
	metaCard     = "card"     // true on the card
)

// clockSkew is the maximum difference between the clocks of Slack and Tocsin
// that findMessage tolerates.
const clockSkew = time.Hour

// findMessage returns the newest message of the bot in a channel that was
// posted after since and whose metadata matches. A zero since searches the
// whole history.
func (s *Slack) findMessage(ctx context.Context, channel string, since time.Time, match func(payload map[string]any) bool) (slack.Message, bool, error) {
	self, err := s.Self(ctx)
	if err != nil {
		return slack.Message{}, false, classify("search for an earlier message", err)
	}
	params := slack.GetConversationHistoryParameters{ChannelID: channel, Limit: 200, IncludeAllMetadata: true}
	if !since.IsZero() {
		params.Oldest = strconv.FormatInt(since.Add(-clockSkew).Unix(), 10) + ".000000"
	}
	for {
		page, err := s.client.GetConversationHistoryContext(ctx, &params)
		if err != nil {
			return slack.Message{}, false, classify("search for an earlier message", err)
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

// hasMark returns a matcher for the message with a mark.
func hasMark(mark string) func(map[string]any) bool {
	return func(payload map[string]any) bool { return payload[metaKey] == mark }
}

// searchStart returns a time before any attempt can have posted the message
// of b.
func searchStart(b incident.Brief) time.Time {
	switch {
	case !b.Event.RecordedAt.IsZero():
		return b.Event.RecordedAt
	case !b.Incident.OpenedAt.IsZero():
		return b.Incident.OpenedAt
	}
	return b.Now.Add(-24 * time.Hour) // an effect without an incident, from a schedule
}

// eachChannel calls yield for every channel that the bot can see, until yield
// returns true.
func (s *Slack) eachChannel(ctx context.Context, yield func(slack.Channel) bool) error {
	params := slack.GetConversationsParameters{Types: []string{"public_channel", "private_channel"}, Limit: 200}
	for {
		list, next, err := s.client.GetConversationsContext(ctx, &params)
		if err != nil {
			return classify("list the channels", err)
		}
		for _, c := range list {
			if yield(c) {
				return nil
			}
		}
		if next == "" {
			return nil
		}
		params.Cursor = next
	}
}

// cachedID is an ID that was looked up by name.
type cachedID struct {
	mu sync.Mutex
	id string
}

var channelID = regexp.MustCompile(`^[CG][A-Z0-9]{8,}$`)

// announceChannel returns the ID of the announce channel, or "" if none is
// configured.
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
		return "", &incident.Permanent{Err: fmt.Errorf("the bot cannot see the channel #%s: create the channel, invite the bot, or correct slack.announce_channel", name)}
	}
	return s.announceCache.id, nil
}
