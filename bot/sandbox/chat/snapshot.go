package chat

import "encoding/json"

// Channel is a snapshot of a conversation.
type Channel struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Kind     string   `json:"kind"`
	Topic    string   `json:"topic,omitempty"`
	Purpose  string   `json:"purpose,omitempty"`
	Creator  string   `json:"creator,omitempty"`
	Created  int64    `json:"created"`
	Archived bool     `json:"archived,omitempty"`
	Members  []string `json:"members"`
	Messages int      `json:"messages"` // number of top-level messages
	LastTS   string   `json:"last_ts,omitempty"`
}

// Message is a snapshot of a message.
type Message struct {
	Channel     string          `json:"channel"`
	TS          string          `json:"ts"`
	ThreadTS    string          `json:"thread_ts,omitempty"` // timestamp of the parent, for a reply
	User        string          `json:"user"`
	BotID       string          `json:"bot_id,omitempty"`
	Subtype     string          `json:"subtype,omitempty"`
	Text        string          `json:"text"`
	Blocks      json.RawMessage `json:"blocks,omitempty"`
	Attachments json.RawMessage `json:"attachments,omitempty"`
	Metadata    *Metadata       `json:"metadata,omitempty"`
	Edited      string          `json:"edited,omitempty"` // timestamp of the last edit
	Reactions   []Reaction      `json:"reactions,omitempty"`
	Files       []File          `json:"files,omitempty"`
	Replies     int             `json:"replies,omitempty"`
	Pinned      bool            `json:"pinned,omitempty"`
	Ephemeral   bool            `json:"ephemeral,omitempty"`
	Broadcast   bool            `json:"broadcast,omitempty"`
	Notified    []string        `json:"notified,omitempty"`    // people whom the message notified when it was posted
	ReplyUsers  []string        `json:"reply_users,omitempty"` // authors of the replies, in order of their first one
	LatestReply string          `json:"latest_reply,omitempty"`
}

// File is a snapshot of an uploaded file. [Workspace.FileContent] returns its bytes.
type File struct {
	ID        string              `json:"id"`
	Name      string              `json:"name"`
	Title     string              `json:"title"`
	Mimetype  string              `json:"mimetype"`
	Size      int                 `json:"size"`
	User      string              `json:"user"`
	Permalink string              `json:"permalink"`
	Complete  bool                `json:"complete"` // whether files.completeUploadExternal was called
	Deleted   bool                `json:"deleted,omitempty"`
	Shares    map[string][]string `json:"shares,omitempty"` // message timestamps by channel
}

// View is a snapshot of a person's open modal or App Home.
type View struct {
	ID              string          `json:"id"`
	Type            string          `json:"type"`
	User            string          `json:"user"`
	CallbackID      string          `json:"callback_id,omitempty"`
	ExternalID      string          `json:"external_id,omitempty"`
	PrivateMetadata string          `json:"private_metadata,omitempty"`
	Hash            string          `json:"hash"`
	Root            string          `json:"root_view_id"`
	Previous        string          `json:"previous_view_id,omitempty"`
	Title           string          `json:"title,omitempty"`
	Submit          string          `json:"submit,omitempty"`
	Close           string          `json:"close,omitempty"`
	Blocks          json.RawMessage `json:"blocks"`
	State           json.RawMessage `json:"state"` // state.values
}

// Pin is a pinned message.
type Pin struct {
	Channel string  `json:"channel"`
	By      string  `json:"by"`
	Created int64   `json:"created"`
	Message Message `json:"message"`
}

func (ch *channel) snapshot() Channel {
	c := Channel{ID: ch.id, Name: ch.name, Kind: ch.kind, Topic: ch.topic.value, Purpose: ch.purpose.value, Creator: ch.creator, Created: ch.created,
		Archived: ch.archived, Members: append([]string{}, ch.order...), Messages: len(ch.roots)}
	if n := len(ch.roots); n > 0 {
		c.LastTS = ch.roots[n-1].ts
	}
	return c
}

func (m *message) snapshot(w *Workspace) Message {
	out := Message{Channel: m.ch.id, TS: m.ts, User: m.user, BotID: m.botID, Subtype: m.subtype, Text: m.text, Blocks: m.blocks, Attachments: m.attachments,
		Metadata: m.metadata, Edited: m.edited, Reactions: m.reactions, Replies: len(m.replies), Pinned: m.isPinned, Ephemeral: m.ephemeral,
		Broadcast: m.broadcast, ThreadTS: m.threadTS, Notified: m.notified, ReplyUsers: m.replyUsers()}
	if n := len(m.replies); n > 0 {
		out.LatestReply = m.replies[n-1].ts
	}
	for _, f := range m.files {
		out.Files = append(out.Files, f.snapshot(w))
	}
	return out
}

func (f *file) snapshot(w *Workspace) File {
	out := File{ID: f.id, Name: f.name, Title: f.title, Mimetype: f.mimetype(), Size: f.size, User: f.user, Permalink: w.filePermalink(f),
		Complete: f.complete, Deleted: f.deleted, Shares: map[string][]string{}}
	for ch, ts := range f.shares {
		out.Shares[ch] = append([]string(nil), ts...)
	}
	return out
}

func (v *view) snapshot() View {
	text := func(field string) string {
		o, _ := v.raw[field].(obj)
		s, _ := o["text"].(string)
		return s
	}
	str := func(field string) string { s, _ := v.raw[field].(string); return s }
	blocks, _ := json.Marshal(v.blocks) // cannot fail: the blocks were decoded from JSON
	state, _ := json.Marshal(stateOf(v.blocks, v.values))
	return View{ID: v.id, Type: v.kind, User: v.user, CallbackID: str("callback_id"), ExternalID: v.externalID, PrivateMetadata: str("private_metadata"),
		Hash: v.hash, Root: v.root, Previous: v.previous, Title: text("title"), Submit: text("submit"), Close: text("close"), Blocks: blocks, State: state}
}

// Channels returns the conversations that user can see, in order of creation. An empty user returns all of them.
func (w *Workspace) Channels(user string) []Channel {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []Channel{}
	for _, id := range w.channelIDs {
		if ch := w.channels[id]; user == "" || ch.visible(user) {
			out = append(out, ch.snapshot())
		}
	}
	return out
}

// Channel returns one conversation by id or by name.
func (w *Workspace) Channel(idOrName string) (Channel, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch := w.channels[idOrName]
	if ch == nil {
		ch = w.byName[idOrName]
	}
	if ch == nil {
		return Channel{}, false
	}
	return ch.snapshot(), true
}

// Messages returns the top-level messages of a conversation, oldest first.
func (w *Workspace) Messages(channelID string) []Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []Message{}
	if ch := w.channels[channelID]; ch != nil {
		for _, m := range ch.roots {
			out = append(out, m.snapshot(w))
		}
	}
	return out
}

// Thread returns a message and its replies, oldest first.
func (w *Workspace) Thread(channelID, ts string) []Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []Message{}
	if ch := w.channels[channelID]; ch != nil && ch.byTS[ts] != nil {
		m := ch.byTS[ts]
		out = append(out, m.snapshot(w))
		for _, r := range m.replies {
			out = append(out, r.snapshot(w))
		}
	}
	return out
}

// Ephemerals returns the ephemeral messages to user in all channels, oldest first.
func (w *Workspace) Ephemerals(user string) []Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []Message{}
	for _, m := range w.ephemerals[user] {
		out = append(out, m.snapshot(w))
	}
	return out
}

// DMs returns the direct conversations of a person.
func (w *Workspace) DMs(user string) []Channel {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []Channel{}
	for _, id := range w.channelIDs {
		if ch := w.channels[id]; ch.isDirect() && ch.members[user] {
			out = append(out, ch.snapshot())
		}
	}
	return out
}

// Pins returns a channel's pins, oldest first.
func (w *Workspace) Pins(channelID string) []Pin {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []Pin{}
	if ch := w.channels[channelID]; ch != nil {
		for _, p := range ch.pins {
			out = append(out, Pin{Channel: ch.id, By: p.by, Created: p.created, Message: p.m.snapshot(w)})
		}
	}
	return out
}

// Bookmarks returns a channel's bookmarks, oldest first.
func (w *Workspace) Bookmarks(channelID string) []Bookmark {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []Bookmark{}
	if ch := w.channels[channelID]; ch != nil {
		for _, b := range ch.bookmarks {
			out = append(out, *b)
		}
	}
	return out
}

// Files returns all files in order of id.
func (w *Workspace) Files() []File {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []File{}
	for _, id := range sortedKeys(w.files) {
		out = append(out, w.files[id].snapshot(w))
	}
	return out
}

// FileContent returns the bytes of a file.
func (w *Workspace) FileContent(id string) ([]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.files[id]
	if f == nil || !f.uploaded {
		return nil, false
	}
	return append([]byte(nil), f.content...), true
}

// OpenViews returns the modal stack of a user, root first. The last view is the one on top.
func (w *Workspace) OpenViews(user string) []View {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []View{}
	for _, v := range w.stacks[user] {
		out = append(out, v.snapshot())
	}
	return out
}

// Home returns the published App Home of a user.
func (w *Workspace) Home(user string) (View, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.homes[user]
	if v == nil {
		return View{}, false
	}
	return v.snapshot(), true
}
