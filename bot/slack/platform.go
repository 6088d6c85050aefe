package slack

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/slack-go/slack"

	"tocsin/bot/chat"
	"tocsin/bot/incident"
)

// Name is the provider of Slack users, and the [incident.Via] of commands from
// Slack.
func (s *Slack) Name() string { return string(incident.ProviderSlack) }

// Post sends a message. If the bot is not a member of a public channel, Post
// joins the channel and tries again. If Slack rejects the content, Post sends the text
// alone.
func (s *Slack) Post(ctx context.Context, channel string, m chat.Message, mark chat.Mark) (chat.Posted, error) {
	if len(m.Files) > 0 {
		return s.share(ctx, channel, m, mark)
	}
	options := s.options(m, mark)
	ts, err := s.post(ctx, channel, options)
	if reduced := s.reduce(ctx, m, mark, err); reduced != nil {
		_, ts, err = s.client.PostMessageContext(ctx, channel, reduced...)
	}
	return chat.Posted{ID: ts}, s.lost(ctx, channel, err, classify("post messages", err))
}

func (s *Slack) post(ctx context.Context, channel string, options []slack.MsgOption) (ts string, err error) {
	err = s.asMember(ctx, channel, func() (err error) {
		_, ts, err = s.client.PostMessageContext(ctx, channel, options...)
		return err
	})
	return ts, err
}

// Update replaces a message. A message that another app posted, such as an earlier
// installation of this one, does not exist for this app.
func (s *Slack) Update(ctx context.Context, channel, id string, m chat.Message, mark chat.Mark) error {
	m.Broadcast = false // Slack refuses to edit a reply and to broadcast it in one call
	err := s.asMember(ctx, channel, func() error {
		_, _, _, err := s.client.UpdateMessageContext(ctx, channel, id, s.options(m, mark)...)
		return err
	})
	if reduced := s.reduce(ctx, m, mark, err); reduced != nil {
		_, _, _, err = s.client.UpdateMessageContext(ctx, channel, id, reduced...)
	}
	switch errorCode(err) {
	case "message_not_found", "cant_update_message":
		return chat.ErrNoMessage
	}
	return s.lost(ctx, channel, err, classify("edit messages", err))
}

// Fingerprint implements [chat.Platform].
func (s *Slack) Fingerprint(m chat.Message) string {
	laid := s.layout(m)
	blocks, err := json.Marshal(laid.blocks)
	if err != nil {
		return ""
	}
	return laid.text + string(blocks)
}

// maxReducedText is the maximum length of a message in its reduced form.
const maxReducedText = 3000

// reduce returns the options of a message in a form that Slack accepts after it rejected
// the content, or nil after any other error. The message loses its layout and buttons
// instead of being lost. Its metadata stays unless Slack rejected that.
func (s *Slack) reduce(ctx context.Context, m chat.Message, mark chat.Mark, err error) []slack.MsgOption {
	code := errorCode(err)
	var options []slack.MsgOption
	switch code {
	case "invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text", "invalid_arguments", "too_many_attachments", "invalid_attachments", "block_mismatch":
		options = messageOptions(m, mark)
	case "invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large":
		options = threadOptions(m)
	case "cannot_reply_to_message", "thread_not_found":
		m.Thread = ""
		options = messageOptions(m, mark)
	default:
		return nil
	}
	s.log.ErrorContext(ctx, "message reduced to its text because Slack rejected it: this is a bug in Tocsin", "incident", mark.Incident, "code", code, "seq", mark.Seq)
	text, _ := clip(cmp.Or(s.layout(m).text, "Tocsin could not show this message."), maxReducedText)
	return append(options, slack.MsgOptionText(text, false), slack.MsgOptionBlocks([]slack.Block{}...), slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl())
}

func (s *Slack) options(m chat.Message, mark chat.Mark) []slack.MsgOption {
	laid := s.layout(m)
	return append(messageOptions(m, mark), slack.MsgOptionText(laid.text, false), slack.MsgOptionBlocks(laid.blocks...),
		slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl())
}

// messageOptions returns the options of a message besides its content.
func messageOptions(m chat.Message, mark chat.Mark) []slack.MsgOption {
	return append(threadOptions(m), slack.MsgOptionMetadata(metadata(mark)))
}

// threadOptions returns the options of a reply in a thread.
func threadOptions(m chat.Message) []slack.MsgOption {
	switch {
	case m.Thread == "":
		return nil
	case m.Broadcast:
		return []slack.MsgOption{slack.MsgOptionTS(m.Thread), slack.MsgOptionBroadcast()}
	}
	return []slack.MsgOption{slack.MsgOptionTS(m.Thread)}
}

func metadata(mark chat.Mark) slack.SlackMetadata {
	payload := map[string]any{metaKey: mark.Key}
	if mark.Incident != 0 {
		payload[metaIncident] = mark.Incident.String()
	}
	if mark.Seq != 0 {
		payload[metaSeq] = mark.Seq
	}
	return slack.SlackMetadata{EventType: eventType, EventPayload: payload}
}

// DirectChannel opens the direct messages with a person.
func (s *Slack) DirectChannel(ctx context.Context, p incident.Person) (string, error) {
	c, _, _, err := s.client.OpenConversationContext(ctx, &slack.OpenConversationParameters{Users: []string{userOf(p)}})
	if err != nil {
		return "", classify("open direct messages", err)
	}
	return c.ID, nil
}

// Pin pins a message.
func (s *Slack) Pin(ctx context.Context, channel, id string) error {
	err := s.asMember(ctx, channel, func() error { return s.client.AddPinContext(ctx, channel, slack.NewRefToMessage(channel, id)) })
	if errorCode(err) == "already_pinned" {
		return nil
	}
	return s.lost(ctx, channel, err, classifyExtra("pin messages", err))
}

// Bookmark adds a link to the bookmark bar and returns its ID. If a bookmark
// with this title exists, Bookmark returns the ID of that one.
func (s *Slack) Bookmark(ctx context.Context, channel string, b chat.Bookmark) (string, error) {
	have, err := s.client.ListBookmarksContext(ctx, channel)
	if err != nil {
		return "", s.lost(ctx, channel, err, classifyExtra("list bookmarks", err))
	}
	if n := slices.IndexFunc(have, func(m slack.Bookmark) bool { return m.Title == b.Title }); n >= 0 {
		return have[n].ID, nil
	}
	added, err := s.client.AddBookmarkContext(ctx, channel, slack.AddBookmarkParameters{Title: b.Title, Type: "link", Link: b.URL, Emoji: ":" + string(b.Icon) + ":"})
	if err != nil {
		return "", s.lost(ctx, channel, err, classifyExtra("add bookmarks", err))
	}
	return added.ID, nil
}

// extraCodes are the permanent error codes of pins and bookmarks, which no admin
// needs to fix.
var extraCodes = []string{"too_many_pins", "not_pinnable", "permission_denied", "too_many_bookmarks", "too_many_tabs",
	"invalid_link", "invalid_bookmark_type", "not_implemented", "parent_bookmark_disabled"}

// classifyExtra classifies the error of a pin or bookmark.
func classifyExtra(what string, err error) error {
	if slices.Contains(extraCodes, errorCode(err)) {
		return &incident.Permanent{Err: fmt.Errorf("%s: %w", what, err)}
	}
	return classify(what, err)
}

// share uploads the files of a message without sharing them, and then posts the
// message, which shares them. A retry can leave unshared uploads behind, but
// never shares the files twice.
func (s *Slack) share(ctx context.Context, channel string, m chat.Message, mark chat.Mark) (chat.Posted, error) {
	files, err := s.upload(ctx, m.Files)
	if err != nil {
		return chat.Posted{}, err
	}
	meta := metadata(mark)
	meta.EventPayload[metaFile] = files[0].ID
	// A link to a file shares the file, so this message must allow links. It has no
	// blocks, because links in them share nothing.
	ts, err := s.post(ctx, channel, append(messageOptions(m, mark), slack.MsgOptionText(s.layoutText(m, files), false), slack.MsgOptionMetadata(meta)))
	return chat.Posted{ID: ts, File: files[0].ID, URL: files[0].Permalink}, s.lost(ctx, channel, err, classify("share files", err))
}
