package chat

import (
	"net/url"
	"regexp"
)

// pin is a message pinned to its channel.
type pin struct {
	m       *message
	by      string
	created int64
}

// Bookmark is a link in the bookmark bar of a channel.
type Bookmark struct {
	ID      string `json:"id"`
	Channel string `json:"channel_id"`
	Title   string `json:"title"`
	Link    string `json:"link"`
	Emoji   string `json:"emoji,omitempty"`
	Type    string `json:"type"`
	Created int64  `json:"date_created"`
	Updated int64  `json:"date_updated,omitempty"`
}

// Limits of a channel and of a message.
const (
	maxPins      = 100
	maxBookmarks = 100
	maxEmoji     = 23 // different emoji that one user may add to a message
)

// messageArg returns the channel and message of a call of the pin and reaction methods.
func (c *call) messageArg() (*channel, *message, error) {
	ch, err := c.channel("channel")
	if err != nil {
		return nil, nil, err
	}
	ts := c.str("timestamp")
	if ts == "" {
		return nil, nil, apiError("no_item_specified")
	}
	if _, ok := parseTS(ts); !ok {
		return nil, nil, apiError("bad_timestamp")
	}
	m := ch.byTS[ts]
	if m == nil {
		return nil, nil, apiError("message_not_found")
	}
	return ch, m, nil
}

func pinsAdd(c *call) (obj, error) {
	ch, err := c.channel("channel")
	if err != nil {
		return nil, err
	}
	if !ch.members[c.w.cfg.Bot.UserID] {
		return nil, apiError("not_in_channel")
	}
	if ch.archived {
		return nil, apiError("is_archived")
	}
	_, m, err := c.messageArg()
	switch {
	case err != nil:
		return nil, err
	case m.isPinned:
		return nil, apiError("already_pinned")
	case len(ch.pins) >= maxPins:
		return nil, apiError("too_many_pins")
	}
	c.w.pin(ch, m, c.w.cfg.Bot.UserID)
	c.applied = true
	return obj{}, nil
}

func (w *Workspace) pin(ch *channel, m *message, by string) {
	p := pin{m: m, by: by, created: w.clock().Unix()}
	ch.pins = append(ch.pins, p)
	m.isPinned = true
	w.emitIn(ch, "pin_added", "pins:read", obj{"user": by, "channel_id": ch.id, "item": p.wire(w), "item_user": m.user, "pin_count": len(ch.pins), "pinned_info": obj{}})
	w.touch()
}

func (p pin) wire(w *Workspace) obj {
	return obj{"type": "message", "channel": p.m.ch.id, "created": p.created, "created_by": p.by, "message": p.m.wire(w, false)}
}

func pinsList(c *call) (obj, error) {
	ch, err := c.channel("channel")
	if err != nil {
		return nil, err
	}
	if !ch.members[c.w.cfg.Bot.UserID] {
		return nil, apiError("not_in_channel")
	}
	items := []obj{}
	for i := len(ch.pins) - 1; i >= 0; i-- {
		items = append(items, ch.pins[i].wire(c.w))
	}
	return obj{"items": items}, nil
}

// bookmarkChannel returns the channel of a call of the bookmark methods.
func (c *call) bookmarkChannel() (*channel, error) {
	ch, err := c.channel("channel_id")
	switch {
	case err != nil:
		return nil, err
	case !ch.members[c.w.cfg.Bot.UserID]:
		return nil, apiError("channel_not_found")
	}
	return ch, nil
}

func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

var emojiName = regexp.MustCompile(`^:[a-z0-9_+'-]+(::skin-tone-[2-6])?:$`)

func bookmarksAdd(c *call) (obj, error) {
	ch, err := c.bookmarkChannel()
	switch {
	case err != nil:
		return nil, err
	case ch.archived:
		return nil, apiError("permission_denied")
	case c.str("title") == "":
		return nil, missingArgument("title")
	case c.str("type") != "link":
		return nil, apiError("invalid_bookmark_type")
	case !isWebURL(c.str("link")):
		return nil, apiError("invalid_link")
	case c.str("emoji") != "" && !emojiName.MatchString(c.str("emoji")):
		return nil, apiError("invalid_emoji")
	case len(ch.bookmarks) >= maxBookmarks:
		return nil, apiError("too_many_bookmarks")
	}
	b := &Bookmark{ID: c.w.newID("Bk"), Channel: ch.id, Title: c.str("title"), Link: c.str("link"), Emoji: c.str("emoji"), Type: "link", Created: c.now.Unix()}
	ch.bookmarks = append(ch.bookmarks, b)
	c.w.touch()
	c.applied = true
	return obj{"bookmark": b.wire()}, nil
}

func (b *Bookmark) wire() obj {
	return obj{"id": b.ID, "channel_id": b.Channel, "title": b.Title, "link": b.Link, "emoji": b.Emoji, "icon_url": "", "type": b.Type,
		"date_created": b.Created, "date_updated": b.Updated, "rank": "U", "app_id": "", "entity_id": ""}
}

func bookmarksList(c *call) (obj, error) {
	ch, err := c.bookmarkChannel()
	if err != nil {
		return nil, err
	}
	list := []obj{}
	for _, b := range ch.bookmarks {
		list = append(list, b.wire())
	}
	return obj{"bookmarks": list}, nil
}

func bookmarksEdit(c *call) (obj, error) {
	ch, err := c.bookmarkChannel()
	if err != nil {
		return nil, err
	}
	var b *Bookmark
	for _, x := range ch.bookmarks {
		if x.ID == c.str("bookmark_id") {
			b = x
		}
	}
	_, emoji := c.args["emoji"]
	switch {
	case b == nil:
		return nil, apiError("not_found")
	case c.str("link") != "" && !isWebURL(c.str("link")):
		return nil, apiError("invalid_link")
	case c.str("emoji") != "" && !emojiName.MatchString(c.str("emoji")):
		return nil, apiError("invalid_emoji")
	}
	b.Title, b.Link, b.Updated = cmpOr(c.str("title"), b.Title), cmpOr(c.str("link"), b.Link), c.now.Unix()
	if emoji {
		b.Emoji = c.str("emoji")
	}
	c.w.touch()
	c.applied = true
	return obj{"bookmark": b.wire()}, nil
}

var reactionName = regexp.MustCompile(`^[a-z0-9_+'-]+(::skin-tone-[2-6])?$`)

func reactionsAdd(c *call) (obj, error) {
	if !reactionName.MatchString(c.str("name")) {
		return nil, apiError("invalid_name")
	}
	ch, m, err := c.messageArg()
	switch {
	case err != nil:
		return nil, err
	case ch.archived:
		return nil, apiError("is_archived")
	case !ch.members[c.w.cfg.Bot.UserID]:
		return nil, apiError("no_access")
	}
	if code := c.w.react(m, c.w.cfg.Bot.UserID, c.str("name")); code != "" {
		return nil, apiError(code)
	}
	c.applied = true
	return obj{}, nil
}

// react adds a reaction and queues the event reaction_added. It returns Slack's error code, or "". The caller holds mu.
func (w *Workspace) react(m *message, user, name string) string {
	mine, at := 0, -1
	for i, r := range m.reactions {
		if len(without([]string{user}, r.Users)) == 0 {
			mine++
			if r.Name == name {
				return "already_reacted"
			}
		}
		if r.Name == name {
			at = i
		}
	}
	if mine >= maxEmoji {
		return "too_many_emoji"
	}
	next := append([]Reaction(nil), m.reactions...)
	if at < 0 {
		next = append(next, Reaction{Name: name, Users: []string{user}, Count: 1})
	} else {
		r := next[at]
		next[at] = Reaction{Name: name, Users: append(append([]string(nil), r.Users...), user), Count: r.Count + 1}
	}
	m.reactions = next
	w.emitIn(m.ch, "reaction_added", "reactions:read", reactionEvent(m, user, name))
	w.touch()
	return ""
}

func reactionEvent(m *message, user, name string) obj {
	return obj{"user": user, "reaction": name, "item_user": m.user, "item": obj{"type": "message", "channel": m.ch.id, "ts": m.ts}}
}

func reactionsGet(c *call) (obj, error) {
	ch, m, err := c.messageArg()
	if err != nil {
		return nil, err
	}
	return obj{"type": "message", "channel": ch.id, "message": m.wire(c.w, false)}, nil
}
