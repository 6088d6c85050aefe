package chat

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// message is a message of a conversation, or an ephemeral message to one person.
type message struct {
	ch                   *channel
	ts, threadTS         string
	us                   int64
	subtype, user, botID string
	username             string // of another app, which chooses it
	text                 string
	blocks, attachments  json.RawMessage
	metadata             *Metadata
	edited, editedBy     string
	reactions            []Reaction
	files                []*file
	replies              []*message
	parent               *message
	inviter              string
	topic                *string // new text, for the subtypes channel_topic and channel_purpose
	broadcast, isPinned  bool
	notified             []string        // people whom the message notified
	follows              map[string]bool // people who chose to follow or not to follow the thread
	ephemeral            bool
}

// Metadata is the event metadata of a message.
type Metadata struct {
	EventType    string          `json:"event_type"`
	EventPayload json.RawMessage `json:"event_payload"`
}

// Reaction is an emoji on a message, with the users who added it.
type Reaction struct {
	Name  string   `json:"name"`
	Users []string `json:"users"`
	Count int      `json:"count"`
}

// append adds a message to the end of a conversation, or of its thread, and queues the events. The caller holds mu.
func (w *Workspace) append(ch *channel, m *message) {
	m.ch = ch
	m.ts, m.us = w.stamp()
	ch.byTS[m.ts] = m
	if m.parent != nil {
		m.threadTS = m.parent.ts
		m.parent.replies = append(m.parent.replies, m)
	}
	if m.parent == nil || m.broadcast {
		ch.roots = append(ch.roots, m)
	}
	m.files = append(m.files, w.linkedFiles(m)...)
	m.notified = w.notified(m)
	for _, f := range m.files {
		w.share(f, m)
	}
	w.emitIn(ch, "message", "history", w.messageEvent(m))
	if m.botID == "" && ch.kind != KindDM && strings.Contains(m.text, "<@"+w.cfg.Bot.UserID) && !isSystem(m.subtype) {
		e := w.messageEvent(m)
		delete(e, "channel_type")
		w.emitIn(ch, "app_mention", "app_mentions:read", e)
	}
	w.touch()
}

var filePermalink = regexp.MustCompile(`/files/(?:[UW][0-9A-Z]+/)?(F[0-9A-Z]+)`)

// share shares a file in a message and queues the event file_shared. The caller holds mu.
func (w *Workspace) share(f *file, m *message) {
	f.share(m.ch.id, m.ts)
	w.emitFile(f, "file_shared", obj{"user_id": f.user, "channel_id": m.ch.id, "file": obj{"id": f.id}})
}

// linkedFiles returns the completed files whose permalinks are in the text of a message. Posting a permalink shares the
// file.
func (w *Workspace) linkedFiles(m *message) []*file {
	if !strings.Contains(m.text, "/files/") {
		return nil
	}
	var out []*file
	for _, found := range filePermalink.FindAllStringSubmatch(m.text, -1) {
		if f := w.files[found[1]]; f != nil && f.complete && !f.deleted {
			out = append(out, f)
		}
	}
	return out
}

func (w *Workspace) messageEvent(m *message) obj {
	e := m.wire(w, false)
	e["channel"], e["event_ts"] = m.ch.id, m.ts
	e["channel_type"] = map[string]string{KindPublic: "channel", KindPrivate: "group", KindDM: "im", KindGroupDM: "mpim"}[m.ch.kind]
	return e
}

// wire returns a message as it appears in history, events and responses.
func (m *message) wire(w *Workspace, metadata bool) obj {
	o := obj{"type": "message", "ts": m.ts, "text": m.text, "team": w.cfg.Team.ID}
	set := func(key, value string) {
		if value != "" {
			o[key] = value
		}
	}
	set("user", m.user)
	set("subtype", m.subtype)
	set("inviter", m.inviter)
	set("username", m.username)
	if m.botID == otherBot {
		o["bot_id"], o["app_id"] = m.botID, "A0OTHER"
	} else if m.botID != "" {
		o["bot_id"], o["app_id"] = m.botID, w.cfg.Bot.AppID
	}
	if m.topic != nil {
		o[strings.TrimPrefix(m.subtype, "channel_")] = *m.topic
	}
	if m.blocks != nil {
		o["blocks"] = m.blocks
	}
	if m.attachments != nil {
		o["attachments"] = m.attachments
	}
	if m.edited != "" {
		o["edited"] = obj{"user": m.editedBy, "ts": m.edited}
	}
	if len(m.reactions) > 0 {
		o["reactions"] = m.reactions
	}
	if len(m.files) > 0 {
		var files []obj
		for _, f := range m.files {
			files = append(files, f.wire(w))
		}
		o["files"], o["upload"] = files, false
	}
	if m.isPinned {
		o["pinned_to"] = []string{m.ch.id}
	}
	if metadata && m.metadata != nil {
		o["metadata"] = m.metadata
	}
	m.threadWire(o)
	return o
}

func (m *message) threadWire(o obj) {
	if m.parent != nil {
		o["thread_ts"] = m.parent.ts
		o["parent_user_id"] = m.parent.user
		if m.broadcast {
			root := obj{"type": "message", "ts": m.parent.ts, "user": m.parent.user, "text": m.parent.text, "thread_ts": m.parent.ts}
			o["subtype"], o["root"] = "thread_broadcast", root
		}
	} else if m.threadTS != "" {
		o["thread_ts"] = m.threadTS
	}
	if len(m.replies) == 0 {
		return
	}
	users := m.replyUsers()
	o["thread_ts"], o["reply_count"], o["latest_reply"] = m.ts, len(m.replies), m.replies[len(m.replies)-1].ts
	o["reply_users"], o["reply_users_count"] = users, len(users)
	o["subscribed"], o["is_locked"] = false, false
}

// replyUsers returns the authors of the replies to a message, in order of their first one.
func (m *message) replyUsers() []string {
	var users []string
	for _, r := range m.replies {
		if !slices.Contains(users, r.user) {
			users = append(users, r.user)
		}
	}
	return users
}

// content is the content of a message, as passed to a posting method.
type content struct {
	text                         string
	hasText, hasBlocks           bool
	blocks                       json.RawMessage
	attachments                  json.RawMessage
	metadata                     *Metadata
	hasMetadata, removesMetadata bool
}

func (p content) empty() bool {
	return strings.TrimSpace(p.text) == "" && p.blocks == nil && p.attachments == nil
}

// Limits of a message's parts.
const (
	maxText        = 40_000
	maxUpdateText  = 4_000
	maxMarkdown    = 12_000
	maxBlockText   = 13_200 // all blocks of a message (observed, not documented)
	maxAttachments = 100
	maxMetadata    = 16 << 10
)

// content reads and validates the text, blocks, attachments and metadata of a posting call.
func (c *call) content() (content, error) {
	var p content
	_, p.hasText = c.args["text"]
	p.text = c.str("text")
	if r := []rune(p.text); len(r) > maxText {
		p.text = string(r[:maxText])
	}
	blocks, err := c.value("blocks")
	if err != nil {
		return p, apiError("invalid_blocks_format")
	}
	if md := c.str("markdown_text"); md != "" {
		if p.text != "" || blocks != nil {
			return p, apiError("markdown_text_conflict")
		}
		if len([]rune(md)) > maxMarkdown {
			return p, apiError("msg_too_long")
		}
		p.text, p.hasText = md, true
	}
	if blocks != nil {
		list, ok := blocks.([]any)
		if !ok {
			return p, apiError("invalid_blocks_format")
		}
		if p.hasBlocks = true; len(list) > 0 {
			if p.blocks, err = c.w.messageBlocks(list, "/blocks"); err != nil {
				return p, err
			}
		}
	}
	if err := c.attachments(&p); err != nil {
		return p, err
	}
	return p, c.metadata(&p)
}

func (c *call) attachments(p *content) error {
	v, err := c.value("attachments")
	if err != nil {
		return apiError("invalid_attachments")
	}
	if v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		return apiError("invalid_attachments")
	}
	if len(list) > maxAttachments {
		return apiError("too_many_attachments")
	}
	for i, a := range list {
		m, ok := a.(obj)
		if !ok {
			return apiError("invalid_attachments")
		}
		m["id"] = i + 1
		blocks, ok := m["blocks"].([]any)
		if !ok {
			continue
		}
		raw, err := c.w.messageBlocks(blocks, "/attachments/"+itoa(i)+"/blocks")
		if err != nil {
			return err
		}
		m["blocks"] = raw
	}
	if len(list) > 0 {
		p.attachments, err = json.Marshal(list)
	}
	return err
}

func (c *call) metadata(p *content) error {
	v, err := c.value("metadata")
	if err != nil {
		return apiError("invalid_metadata_format")
	}
	if v == nil {
		return nil
	}
	m, ok := v.(obj)
	if !ok {
		return apiError("invalid_metadata_format")
	}
	p.hasMetadata = true
	if len(m) == 0 {
		p.removesMetadata = true
		return nil
	}
	name, ok := m["event_type"].(string)
	payload, isObject := m["event_payload"].(obj)
	if !ok || name == "" || !isObject {
		return apiError("invalid_metadata_format")
	}
	for _, value := range payload {
		if !isFlatMetadata(value, 1) {
			return apiError("invalid_metadata_schema")
		}
	}
	raw, err := json.Marshal(payload)
	if err != nil {
		return apiError("invalid_metadata_format")
	}
	if len(raw) > maxMetadata {
		return apiError("metadata_too_large")
	}
	p.metadata = &Metadata{EventType: name, EventPayload: raw}
	return nil
}

// isFlatMetadata reports whether a value is a scalar, an object of scalars, or an array of scalars and such objects.
func isFlatMetadata(v any, depth int) bool {
	switch v := v.(type) {
	case nil, string, float64, bool:
		return true
	case obj:
		for _, inner := range v {
			if depth == 0 || !isFlatMetadata(inner, depth-1) {
				return false
			}
		}
		return true
	case []any:
		for _, inner := range v {
			if o, ok := inner.(obj); ok {
				if depth == 0 || !isFlatMetadata(o, depth) {
					return false
				}
			} else if _, nested := inner.([]any); nested || !isFlatMetadata(inner, 0) {
				return false
			}
		}
		return true
	}
	return false
}
