package chat

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kinds of a conversation.
const (
	KindPublic  = "public_channel"
	KindPrivate = "private_channel"
	KindDM      = "im"
	KindGroupDM = "mpim"
)

// channelText is the topic or the purpose of a channel.
type channelText struct {
	value, creator string
	lastSet        int64
}

type channel struct {
	id, name, kind, creator string
	created                 int64
	archived, general       bool
	topic, purpose          channelText
	members                 map[string]bool
	order                   []string // members in order of joining
	roots                   []*message
	byTS                    map[string]*message
	pins                    []pin
	bookmarks               []*Bookmark
}

func (ch *channel) isDirect() bool { return ch.kind == KindDM || ch.kind == KindGroupDM }

func (ch *channel) add(user string) {
	if !ch.members[user] {
		ch.members[user] = true
		ch.order = append(ch.order, user)
	}
}

func (ch *channel) remove(user string) {
	delete(ch.members, user)
	ch.order = without(ch.order, []string{user})
}

func (w *Workspace) seedChannel(s SeedChannel) {
	kind := KindPublic
	if s.Private {
		kind = KindPrivate
	}
	ch := w.newChannel(s.ID, s.Name, kind, "")
	ch.general = s.Name == "general"
	ch.topic.value, ch.purpose.value = s.Topic, s.Purpose
	for _, m := range s.Members {
		ch.add(m)
	}
}

// newChannel adds an empty conversation. An empty id means a generated one. The caller holds mu, or no other goroutine
// uses the workspace yet.
func (w *Workspace) newChannel(id, name, kind, creator string) *channel {
	if id == "" {
		prefix := "C"
		if kind == KindDM {
			prefix = "D"
		}
		id = w.newID(prefix)
	}
	ch := &channel{id: id, name: name, kind: kind, creator: creator, created: w.clock().Unix(), members: map[string]bool{}, byTS: map[string]*message{}}
	w.channels[id] = ch
	w.channelIDs = append(w.channelIDs, id)
	if !ch.isDirect() {
		w.byName[name] = ch
	}
	return ch
}

// openDirect returns the DM or group DM of these users, who may include the bot. It creates the conversation if it does
// not exist. The caller holds mu.
func (w *Workspace) openDirect(users ...string) (ch *channel, existed bool) {
	sort.Strings(users)
	key := strings.Join(users, " ")
	if ch := w.direct[key]; ch != nil {
		return ch, true
	}
	kind := KindDM
	if len(users) > 2 {
		kind = KindGroupDM
	}
	ch = w.newChannel("", "", kind, users[0])
	if kind == KindGroupDM {
		ch.name = "mpdm-" + strings.ToLower(strings.Join(users, "--")) + "-1"
	}
	for _, u := range users {
		ch.add(u)
	}
	w.direct[key] = ch
	w.touch()
	return ch, false
}

func (ch *channel) wire(viewer string, count bool) obj {
	text := func(n channelText) obj { return obj{"value": n.value, "creator": n.creator, "last_set": n.lastSet} }
	o := obj{"id": ch.id, "created": ch.created, "is_archived": ch.archived, "is_im": ch.kind == KindDM, "is_mpim": ch.kind == KindGroupDM,
		"is_private": ch.kind != KindPublic, "is_channel": ch.kind == KindPublic, "is_group": ch.kind == KindPrivate,
		"is_org_shared": false, "is_shared": false, "is_ext_shared": false}
	if ch.kind == KindDM {
		for _, u := range ch.order {
			if u != viewer {
				o["user"] = u
			}
		}
		return o
	}
	o["name"], o["name_normalized"], o["creator"] = ch.name, ch.name, ch.creator
	o["is_general"], o["is_member"] = ch.general, ch.members[viewer]
	o["topic"], o["purpose"] = text(ch.topic), text(ch.purpose)
	if count {
		o["num_members"] = len(ch.members)
	}
	return o
}

// visible reports whether a user can see the conversation.
func (ch *channel) visible(user string) bool { return ch.kind == KindPublic || ch.members[user] }

// channel returns the conversation whose id is in an argument, if the bot can see it.
func (c *call) channel(arg string) (*channel, error) {
	ch := c.w.channels[c.str(arg)]
	if ch == nil || !ch.visible(c.w.cfg.Bot.UserID) {
		return nil, apiError("channel_not_found")
	}
	return ch, nil
}

// scope requires the scope for verb ("read", "history" or "write") that matches the kind of the conversation.
func (c *call) scope(ch *channel, verb string) error {
	switch {
	case ch.kind == KindPublic && verb == "write":
		return c.requireScope("channels:manage", "channels:write", "channels:write.topic", "channels:write.invites")
	case ch.kind == KindPublic:
		return c.requireScope("channels:" + verb)
	case ch.kind == KindPrivate && verb == "write":
		return c.requireScope("groups:write", "groups:write.topic", "groups:write.invites")
	case ch.kind == KindPrivate:
		return c.requireScope("groups:" + verb)
	}
	return c.requireScope(ch.kind + ":" + verb)
}

// writableChannel returns the channel whose id is in an argument, for methods that change it. The bot must be a member,
// and the channel must not be archived or direct.
func (c *call) writableChannel(arg string) (*channel, error) {
	ch, err := c.channel(arg)
	switch {
	case err != nil:
		return nil, err
	case ch.isDirect():
		return nil, apiError("method_not_supported_for_channel_type")
	case !ch.members[c.w.cfg.Bot.UserID]:
		return nil, apiError("not_in_channel")
	case ch.archived:
		return nil, apiError("is_archived")
	}
	return ch, c.scope(ch, "write")
}

// checkName returns Slack's error for an invalid channel name, or nil.
func checkName(name string) error {
	if name == "" {
		return apiError("invalid_name_required")
	}
	if utf8.RuneCountInString(name) > 80 {
		return apiError("invalid_name_maxlength")
	}
	letters := false
	for _, r := range name {
		switch {
		case r == '-' || r == '_':
		case unicode.IsDigit(r) || unicode.IsLetter(r) && !unicode.IsUpper(r):
			letters = true
		default:
			return apiError("invalid_name_specials")
		}
	}
	if !letters {
		return apiError("invalid_name_punctuation")
	}
	return nil
}
