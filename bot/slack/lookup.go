package slack

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/chat"
	"tocsin/bot/incident"
)

// eventType is the metadata type of every message of the bot. Any app in the
// workspace can read metadata, so the payload contains only IDs.
const eventType = "tocsin_event"

// The keys of the metadata payload.
const (
	metaKey      = "key"      // chat.Mark.Key, which identifies the message
	metaIncident = "incident" // "INC-42"
	metaSeq      = "seq"      // sequence number of the event
	metaFile     = "file"     // ID of the first shared file
)

// clockSkew is the maximum difference between the clocks of Slack and Tocsin
// that Find tolerates.
const clockSkew = time.Hour

// Find returns the newest message of the bot in a channel with a key that was
// posted after since. A zero since searches the whole history.
func (s *Slack) Find(ctx context.Context, channel, thread, key string, since time.Time) (chat.Posted, bool, error) {
	self, err := s.Self(ctx)
	if err != nil {
		return chat.Posted{}, false, classify("read the history of channels", err)
	}
	oldest := ""
	if !since.IsZero() {
		oldest = strconv.FormatInt(since.Add(-clockSkew).Unix(), 10) + ".000000"
	}
	for cursor := ""; ; {
		var messages []slack.Message
		var next string
		read := func() (err error) {
			messages, next, err = s.history(ctx, channel, thread, oldest, cursor)
			return err
		}
		err := s.asMember(ctx, channel, func() error { return readPage(ctx, cursor, read) })
		if err != nil {
			return chat.Posted{}, false, s.lost(ctx, channel, err, classify("read the history of channels", err))
		}
		for _, m := range messages {
			if payload := m.Metadata.EventPayload; m.User == self && m.Metadata.EventType == eventType && payload[metaKey] == key {
				file, _ := payload[metaFile].(string)
				seq, _ := payload[metaSeq].(float64)
				return chat.Posted{ID: m.Timestamp, Seq: int(seq), File: file}, true, nil
			}
		}
		if cursor = next; cursor == "" {
			return chat.Posted{}, false, nil
		}
	}
}

// readPage reads the page of a list at a cursor. At a rate limit before a further page, it
// waits for as long as ctx allows. An error would lose the pages before, and among many
// effects that each begin with the first page again, none would reach the last one.
func readPage(ctx context.Context, cursor string, read func() error) error {
	for {
		err := read()
		var limited *slack.RateLimitedError
		if cursor == "" || !errors.As(err, &limited) {
			return err
		}
		pause := max(limited.RetryAfter, minRetryAfter)
		if end, ok := ctx.Deadline(); ok && time.Until(end) < pause {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

// history returns a page of the messages in a channel or thread.
func (s *Slack) history(ctx context.Context, channel, thread, oldest, cursor string) (messages []slack.Message, next string, err error) {
	const limit = 200
	if thread != "" {
		messages, _, next, err = s.client.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{ChannelID: channel, Timestamp: thread,
			Oldest: oldest, Cursor: cursor, Limit: limit, IncludeAllMetadata: true})
		return messages, next, err
	}
	page, err := s.client.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{ChannelID: channel,
		Oldest: oldest, Cursor: cursor, Limit: limit, IncludeAllMetadata: true})
	if err != nil {
		return nil, "", err
	}
	return page.Messages, page.ResponseMetaData.NextCursor, nil
}

// eachChannel calls yield for every channel that the bot can see, until yield
// returns true.
func (s *Slack) eachChannel(ctx context.Context, yield func(slack.Channel) bool) error {
	params := slack.GetConversationsParameters{Types: []string{"public_channel", "private_channel"}, Limit: 200}
	for {
		var list []slack.Channel
		var next string
		err := readPage(ctx, params.Cursor, func() (err error) {
			list, next, err = s.client.GetConversationsContext(ctx, &params)
			return err
		})
		if err != nil {
			return classify("list channels", err)
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

// forget removes an ID that Slack does not know any more. The name is looked up again.
func (c *cachedID) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.id == id {
		c.id = ""
	}
}

var channelID = regexp.MustCompile(`^[CG][A-Z0-9]{8,}$`)

// knownAnnounceChannel returns the ID of the announce channel if it is known, without a
// request and without waiting for one.
func (s *Slack) knownAnnounceChannel() string {
	name := strings.TrimPrefix(s.cfg.AnnounceChannel, "#")
	if channelID.MatchString(name) {
		return name
	}
	if !s.announceCache.mu.TryLock() {
		return ""
	}
	defer s.announceCache.mu.Unlock()
	return s.announceCache.id
}

var errNoChannel = errors.New("the channel does not exist, or the app is not a member")

// AnnounceChannel returns the ID of the announce channel, or "" if none is
// configured.
func (s *Slack) AnnounceChannel(ctx context.Context) (string, error) {
	name := strings.TrimPrefix(s.cfg.AnnounceChannel, "#")
	if name == "" || channelID.MatchString(name) {
		return name, nil
	}
	s.announceCache.mu.Lock()
	defer s.announceCache.mu.Unlock()
	if s.announceCache.id != "" {
		return s.announceCache.id, nil
	}
	id, err := s.channelNamed(ctx, name, "slack.announce_channel")
	s.announceCache.id = id
	return id, err
}

// NamedChannel returns the ID of a channel of an audience. Audiences get few messages, so
// the ID is looked up each time.
func (s *Slack) NamedChannel(ctx context.Context, name string) (string, error) {
	name = strings.TrimPrefix(name, "#")
	if channelID.MatchString(name) {
		return name, nil
	}
	return s.channelNamed(ctx, name, "updates.audiences")
}

// channelNamed looks for a channel by its name, which a setting contains.
func (s *Slack) channelNamed(ctx context.Context, name, setting string) (id string, err error) {
	err = s.eachChannel(ctx, func(c slack.Channel) bool {
		if c.Name == name && !c.IsArchived {
			id = c.ID
		}
		return id != ""
	})
	if err != nil {
		return "", err
	}
	if id == "" {
		return "", &incident.Blocked{System: incident.SystemSlack, Cause: incident.Say("the app cannot see the channel %s", incident.Literal("#"+name)),
			Fix: incident.Say("Create the channel, invite the app, or correct %s and restart Tocsin", incident.Literal(setting)), Err: errNoChannel}
	}
	return id, nil
}
