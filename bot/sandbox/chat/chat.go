package chat

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

func itoa(i int) string { return strconv.Itoa(i) }

// postTarget returns the channel of a posting method. The argument is a channel id, a channel name, or a user id, which
// opens a DM. With the scope chat:write.public the bot can post to a public channel without being a member.
func (c *call) postTarget() (*channel, error) {
	w, arg, bot := c.w, c.str("channel"), c.w.cfg.Bot.UserID
	if arg == "" {
		return nil, apiError("channel_not_found")
	}
	if p := w.people[arg]; p != nil && !p.Deactivated {
		ch, _ := w.openDirect(arg, bot)
		return ch, nil
	}
	ch := w.channels[arg]
	if ch == nil {
		ch = w.byName[strings.TrimPrefix(arg, "#")]
	}
	switch {
	case ch == nil || !ch.visible(bot):
		return nil, apiError("channel_not_found")
	case ch.archived:
		return nil, apiError("is_archived")
	case !ch.members[bot] && !w.scopes["chat:write.public"]:
		return nil, apiError("not_in_channel")
	}
	return ch, nil
}

// threadParent returns the message that thread_ts refers to, or nil if thread_ts is empty.
func (c *call) threadParent(ch *channel) (*message, error) {
	ts := c.str("thread_ts")
	if ts == "" {
		return nil, nil
	}
	parent := ch.byTS[ts]
	if parent == nil || parent.parent != nil {
		return nil, apiError("cannot_reply_to_message")
	}
	return parent, nil
}

func chatPostMessage(c *call) (obj, error) {
	ch, err := c.postTarget()
	if err != nil {
		return nil, err
	}
	p, err := c.content()
	if err != nil {
		return nil, err
	}
	if p.empty() {
		return nil, apiError("no_text")
	}
	parent, err := c.threadParent(ch)
	if err != nil {
		return nil, err
	}
	m := c.w.botMessage(p)
	m.parent, m.broadcast = parent, parent != nil && c.flag("reply_broadcast")
	c.w.append(ch, m)
	c.applied = true
	return obj{"channel": ch.id, "ts": m.ts, "message": m.wire(c.w, true)}, nil
}

func (w *Workspace) botMessage(p content) *message {
	return &message{user: w.cfg.Bot.UserID, botID: w.cfg.Bot.BotID, text: p.text, blocks: p.blocks, attachments: p.attachments, metadata: p.metadata}
}

// appMessage returns the message to update or delete. It returns the error code refusal if the app did not post it.
func (c *call) appMessage(refusal string) (*message, error) {
	ch := c.w.channels[c.str("channel")]
	if ch == nil || !ch.visible(c.w.cfg.Bot.UserID) {
		return nil, apiError("channel_not_found")
	}
	m := ch.byTS[c.str("ts")]
	switch {
	case m == nil:
		return nil, apiError("message_not_found")
	case m.botID == "" || m.subtype != "" && m.subtype != "file_share":
		return nil, apiError(refusal)
	}
	return m, nil
}

func chatUpdate(c *call) (obj, error) {
	m, err := c.appMessage("cant_update_message")
	if err != nil {
		return nil, err
	}
	if m.ch.archived {
		return nil, apiError("is_inactive")
	}
	if utf8.RuneCountInString(c.str("text")) > maxUpdateText {
		return nil, apiError("msg_too_long")
	}
	p, err := c.content()
	if err != nil {
		return nil, err
	}
	files, err := c.attachedFiles()
	if err != nil {
		return nil, err
	}
	if p.empty() && len(files) == 0 {
		return nil, apiError("no_text")
	}
	if c.flag("reply_broadcast") {
		return nil, apiError("no_dual_broadcast_content_update")
	}
	c.w.edit(m, p, files)
	c.applied = true
	return obj{"channel": m.ch.id, "ts": m.ts, "text": m.text, "message": m.wire(c.w, true)}, nil
}

// attachedFiles returns the files listed in the argument file_ids of chat.update.
func (c *call) attachedFiles() ([]*file, error) {
	v, err := c.value("file_ids")
	if err != nil {
		return nil, apiError("file_not_found")
	}
	list, _ := v.([]any)
	var out []*file
	for _, id := range list {
		s, _ := id.(string)
		f := c.w.files[s]
		if f == nil || !f.complete {
			return nil, apiError("file_not_found")
		}
		if f.deleted {
			return nil, apiError("file_deleted")
		}
		out = append(out, f)
	}
	return out, nil
}

// edit changes a message in place. Parts that p does not set stay unchanged. An empty block list or empty metadata
// removes the blocks or the metadata. The caller holds mu.
func (w *Workspace) edit(m *message, p content, files []*file) {
	before := m.wire(w, false)
	if p.hasText {
		m.text = p.text
	}
	if p.hasBlocks {
		m.blocks = p.blocks
	}
	if p.attachments != nil {
		m.attachments = p.attachments
	}
	if p.hasMetadata {
		m.metadata = p.metadata
	}
	for _, f := range files {
		m.files = append(m.files, f)
		w.share(f, m)
	}
	m.edited, _ = w.stamp()
	m.editedBy = m.user
	w.touch()
	if !m.ephemeral {
		w.emitChange(m, before)
	}
}

// emitChange queues the event of a message that changed. before is the message before the change. The caller holds mu.
func (w *Workspace) emitChange(m *message, before obj) {
	ts, _ := w.stamp()
	e := obj{"subtype": "message_changed", "hidden": true, "channel": m.ch.id, "ts": ts, "event_ts": ts, "message": m.wire(w, false), "previous_message": before}
	e["channel_type"] = w.messageEvent(m)["channel_type"]
	w.emitIn(m.ch, "message", "history", e)
}

func chatDelete(c *call) (obj, error) {
	m, err := c.appMessage("cant_delete_message")
	if err != nil {
		return nil, err
	}
	c.w.remove(m)
	c.applied = true
	return obj{"channel": m.ch.id, "ts": m.ts}, nil
}

// remove deletes a message. A message with replies becomes a tombstone, which goes with its last reply. The caller holds
// mu.
func (w *Workspace) remove(m *message) {
	if len(m.replies) > 0 {
		w.bury(m)
		return
	}
	ch := m.ch
	delete(ch.byTS, m.ts)
	ch.roots = withoutMessage(ch.roots, m)
	if m.parent != nil {
		m.parent.replies = withoutMessage(m.parent.replies, m)
	}
	w.unpin(m)
	ts, _ := w.stamp()
	e := obj{"subtype": "message_deleted", "hidden": true, "channel": ch.id, "ts": ts, "event_ts": ts, "deleted_ts": m.ts, "previous_message": m.wire(w, false)}
	e["channel_type"] = w.messageEvent(m)["channel_type"]
	w.emitIn(ch, "message", "history", e)
	w.touch()
	if p := m.parent; p != nil && p.subtype == "tombstone" && len(p.replies) == 0 {
		w.remove(p)
	}
}

// bury replaces the content of a message by Slack's note that it was deleted. The caller holds mu.
func (w *Workspace) bury(m *message) {
	before := m.wire(w, false)
	w.unpin(m)
	m.subtype, m.user, m.botID, m.text = "tombstone", "USLACKBOT", "", "This message was deleted."
	m.blocks, m.attachments, m.metadata, m.reactions, m.files = nil, nil, nil, nil, nil
	w.emitChange(m, before)
	w.touch()
}

// unpin removes the pin of a message that is deleted. The caller holds mu.
func (w *Workspace) unpin(m *message) {
	m.ch.pins = slices.DeleteFunc(m.ch.pins, func(p pin) bool { return p.m == m })
	m.isPinned = false
}

func withoutMessage(list []*message, m *message) []*message {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == m {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

func chatPostEphemeral(c *call) (obj, error) {
	ch, err := c.postTarget()
	if err != nil {
		return nil, err
	}
	user := c.str("user")
	if !ch.members[user] {
		return nil, apiError("user_not_in_channel")
	}
	if utf8.RuneCountInString(c.str("text")) > maxText {
		return nil, apiError("msg_too_long")
	}
	p, err := c.content()
	if err != nil {
		return nil, err
	}
	if p.empty() {
		return nil, apiError("no_text")
	}
	parent, err := c.threadParent(ch)
	if err != nil {
		return nil, err
	}
	m := c.w.botMessage(p)
	m.metadata = nil
	if parent != nil {
		m.threadTS = parent.ts
	}
	c.w.postEphemeral(ch, user, m)
	c.applied = true
	return obj{"message_ts": m.ts}, nil
}

// postEphemeral shows a message to one user. An ephemeral message does not appear in the history and triggers no event.
// The caller holds mu.
func (w *Workspace) postEphemeral(ch *channel, user string, m *message) {
	m.ch, m.ephemeral = ch, true
	m.ts, m.us = w.stamp()
	w.ephemerals[user] = append(w.ephemerals[user], m)
	w.touch()
}

func chatGetPermalink(c *call) (obj, error) {
	ch, err := c.channel("channel")
	if err != nil {
		return nil, err
	}
	m := ch.byTS[c.str("message_ts")]
	if m == nil {
		return nil, apiError("message_not_found")
	}
	link := "https://" + c.w.cfg.Team.Domain + ".slack.com/archives/" + ch.id + "/p" + strings.ReplaceAll(m.ts, ".", "")
	if m.parent != nil {
		link += "?thread_ts=" + m.parent.ts + "&cid=" + ch.id
	}
	return obj{"channel": ch.id, "permalink": link}, nil
}
