package chat

import (
	"regexp"
	"slices"
	"strings"
)

var mentionMark = regexp.MustCompile(`<(@|!subteam\^|!)([A-Za-z0-9]+)[^<>]*>`)

// notified returns the people whom a new message notifies: everybody else in a direct conversation, and otherwise the
// members of the channel whom the text or a block mentions. Slack does not document whether a mention in the text counts
// if there are blocks, so it does. An edit notifies nobody. The caller holds mu.
func (w *Workspace) notified(m *message) []string {
	if m.ephemeral || isSystem(m.subtype) {
		return nil
	}
	found := map[string]bool{}
	if m.ch.isDirect() {
		for _, u := range m.ch.order {
			found[u] = true
		}
	} else {
		w.mentions(m, m.text, found)
		for _, b := range blocksOf(m.blocks) {
			w.blockMentions(m, b, found)
		}
	}
	var out []string
	for _, u := range m.ch.order {
		if found[u] && u != m.user && w.people[u] != nil {
			out = append(out, u)
		}
	}
	return out
}

// mentions adds the people whom a text in Slack's markup mentions.
func (w *Workspace) mentions(m *message, text string, found map[string]bool) {
	for _, mark := range mentionMark.FindAllStringSubmatch(text, -1) {
		w.mention(m, map[string]string{"@": "user", "!subteam^": "usergroup", "!": "broadcast"}[mark[1]], mark[2], found)
	}
}

// mention adds the people behind one mention. @here, @channel and @everyone do nothing in a thread.
func (w *Workspace) mention(m *message, kind, name string, found map[string]bool) {
	switch kind {
	case "user":
		found[name] = true
	case "usergroup":
		if g := w.group(name); g != nil && !g.Disabled {
			for _, u := range g.Members {
				found[u] = true
			}
		}
	case "broadcast":
		if m.parent == nil && slices.Contains([]string{"here", "channel", "everyone"}, name) {
			for _, u := range m.ch.order {
				found[u] = true
			}
		}
	}
}

// blockMentions adds the people whom a block or a part of one mentions. Only markup and rich text can mention.
func (w *Workspace) blockMentions(m *message, v any, found map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, inner := range v {
			w.blockMentions(m, inner, found)
		}
	case obj:
		str := func(field string) string { s, _ := v[field].(string); return s }
		switch v["type"] {
		case "mrkdwn", "markdown":
			w.mentions(m, str("text"), found)
		case "user", "usergroup":
			w.mention(m, str("type"), str(str("type")+"_id"), found)
		case "broadcast":
			w.mention(m, "broadcast", str("range"), found)
		case "plain_text":
		default:
			for _, inner := range v {
				w.blockMentions(m, inner, found)
			}
		}
	}
}

// isSystem reports whether messages of a subtype are posted by Slack itself, such as a join. They make no channel unread.
func isSystem(subtype string) bool {
	return subtype == "tombstone" || strings.HasPrefix(subtype, "channel_") || strings.HasPrefix(subtype, "group_")
}

// readKey identifies a conversation, or a thread of it, for the marks of what a person has read.
func readKey(channelID, threadTS string) string { return channelID + "/" + threadTS }

// Unread is the part of a conversation or of a thread that a person has not read.
type Unread struct {
	Messages int    `json:"messages"`
	Mentions int    `json:"mentions"`        // messages that notified the person
	First    string `json:"first,omitempty"` // timestamp of the oldest one
	Last     string `json:"last,omitempty"`  // timestamp of the newest one
}

// unread counts the messages after the mark of a person. Own messages and those of Slack itself do not count. The caller
// holds mu.
func (w *Workspace) unread(user, key string, list []*message) Unread {
	var out Unread
	mark := w.read[user][key]
	for i := len(list) - 1; i >= 0 && list[i].ts > mark; i-- {
		m := list[i]
		if m.user == user && m.botID == "" || isSystem(m.subtype) {
			continue
		}
		if out.Messages++; out.Last == "" {
			out.Last = m.ts
		}
		out.First = m.ts
		if slices.Contains(m.notified, user) {
			out.Mentions++
		}
	}
	return out
}

// ThreadState is a thread that a person follows. Slack's client lists these under Threads.
type ThreadState struct {
	Channel string `json:"channel"`
	TS      string `json:"ts"` // timestamp of the parent
	Latest  string `json:"latest"`
	Replies int    `json:"replies"`
	Unread  Unread `json:"unread"`
}

// Unread returns the unread parts of the conversations of a person, by channel id. Channels without unread messages are
// left out. Replies in a thread count for the thread only.
func (w *Workspace) Unread(user string) map[string]Unread {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]Unread{}
	for _, id := range w.channelIDs {
		ch := w.channels[id]
		if !ch.members[user] {
			continue
		}
		var own []*message // ephemeral messages, oldest first
		for _, m := range w.ephemerals[user] {
			if m.ch == ch && m.threadTS == "" {
				own = append(own, m)
			}
		}
		u, e := w.unread(user, readKey(id, ""), ch.roots), w.unread(user, readKey(id, ""), own)
		if u.Messages += e.Messages; u.Messages > 0 {
			u.First, u.Last = min(cmpOr(u.First, e.First), cmpOr(e.First, u.First)), max(u.Last, e.Last)
			out[id] = u
		}
	}
	return out
}

// Threads returns the threads that a person follows, the one with the newest reply first.
func (w *Workspace) Threads(user string) []ThreadState {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []ThreadState{}
	for _, id := range w.channelIDs {
		ch := w.channels[id]
		if !ch.members[user] {
			continue
		}
		for _, m := range ch.byTS {
			if n := len(m.replies); n > 0 && m.followedBy(user) {
				out = append(out, ThreadState{Channel: id, TS: m.ts, Latest: m.replies[n-1].ts, Replies: n, Unread: w.unread(user, readKey(id, m.ts), m.replies)})
			}
		}
	}
	slices.SortFunc(out, func(a, b ThreadState) int { return strings.Compare(b.Latest+b.TS, a.Latest+a.TS) })
	return out
}

// followedBy reports whether a person follows the thread of a message. A person follows the threads in which they wrote
// or were mentioned, unless they chose otherwise.
func (m *message) followedBy(user string) bool {
	if chosen, ok := m.follows[user]; ok {
		return chosen
	}
	if m.user == user && m.botID == "" {
		return true
	}
	return slices.ContainsFunc(m.replies, func(r *message) bool { return r.user == user && r.botID == "" || slices.Contains(r.notified, user) })
}

// MarkRead marks a conversation, or a thread of it if threadTS is not empty, as read up to the message ts. An earlier mark is
// not moved back.
func (a Actor) MarkRead(channelID, threadTS, ts string) error {
	if _, err := a.lockChannel(channelID); err != nil {
		return err
	}
	w := a.w
	defer w.mu.Unlock()
	key := readKey(channelID, threadTS)
	if w.read[a.user][key] >= ts {
		return nil
	}
	if w.read[a.user] == nil {
		w.read[a.user] = map[string]string{}
	}
	w.read[a.user][key] = ts
	w.touch()
	return nil
}

// Follow follows or unfollows the thread of a message.
func (a Actor) Follow(channelID, ts string, on bool) error {
	m, err := a.lockMessage(channelID, ts)
	if err != nil {
		return err
	}
	defer a.w.mu.Unlock()
	if m.follows == nil {
		m.follows = map[string]bool{}
	}
	m.follows[a.user] = on
	a.w.touch()
	return nil
}
