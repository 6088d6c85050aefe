package chat

import (
	"sort"
	"strings"
	"time"
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

// note is a topic or a purpose.
type note struct {
	value, creator string
	set            int64
}

type channel struct {
	id, name, kind, creator string
	created                 int64
	archived, general       bool
	topic, purpose          note
	members                 map[string]bool
	order                   []string // of joining
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

// newChannel files an empty conversation. The caller holds mu or owns the workspace alone.
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
	w.ordered = append(w.ordered, id)
	if !ch.isDirect() {
		w.byName[name] = ch
	}
	return ch
}

// openDirect returns the DM or group DM of these people (the bot's user id counts as one), made at need.
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
	text := func(n note) obj { return obj{"value": n.value, "creator": n.creator, "last_set": n.set} }
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

// visible tells whether a user may know of the conversation.
func (ch *channel) visible(user string) bool { return ch.kind == KindPublic || ch.members[user] }

// channel resolves an argument to a conversation that the bot may know of.
func (c *call) channel(arg string) (*channel, error) {
	ch := c.w.channels[c.str(arg)]
	if ch == nil || !ch.visible(c.w.cfg.Bot.UserID) {
		return nil, refuse("channel_not_found")
	}
	return ch, nil
}

// scope demands the scope of the conversation's own family: read, history or write.
func (c *call) scope(ch *channel, verb string) error {
	switch {
	case ch.kind == KindPublic && verb == "write":
		return c.need("channels:manage", "channels:write", "channels:write.topic", "channels:write.invites")
	case ch.kind == KindPublic:
		return c.need("channels:" + verb)
	case ch.kind == KindPrivate && verb == "write":
		return c.need("groups:write", "groups:write.topic", "groups:write.invites")
	case ch.kind == KindPrivate:
		return c.need("groups:" + verb)
	}
	return c.need(ch.kind + ":" + verb)
}

// ours resolves a channel that the bot is a member of, which is not archived, for a changing method.
func (c *call) ours(arg string) (*channel, error) {
	ch, err := c.channel(arg)
	switch {
	case err != nil:
		return nil, err
	case ch.isDirect():
		return nil, refuse("method_not_supported_for_channel_type")
	case !ch.members[c.w.cfg.Bot.UserID]:
		return nil, refuse("not_in_channel")
	case ch.archived:
		return nil, refuse("is_archived")
	}
	return ch, c.scope(ch, "write")
}

// checkName says what is wrong with a channel name, by Slack's codes.
func checkName(name string) error {
	if name == "" {
		return refuse("invalid_name_required")
	}
	if utf8.RuneCountInString(name) > 80 {
		return refuse("invalid_name_maxlength")
	}
	letters := false
	for _, r := range name {
		switch {
		case r == '-' || r == '_':
		case unicode.IsDigit(r) || unicode.IsLetter(r) && !unicode.IsUpper(r):
			letters = true
		default:
			return refuse("invalid_name_specials")
		}
	}
	if !letters {
		return refuse("invalid_name_punctuation")
	}
	return nil
}

func conversationsCreate(c *call) (obj, error) {
	kind := KindPublic
	if c.flag("is_private") {
		kind = KindPrivate
	}
	if err := c.scope(&channel{kind: kind}, "write"); err != nil {
		return nil, err
	}
	name := c.str("name")
	if err := checkName(name); err != nil {
		return nil, err
	}
	if c.w.byName[name] != nil {
		return nil, refuse("name_taken")
	}
	ch := c.w.createChannel(name, kind, c.w.cfg.Bot.UserID)
	c.landed = true
	return obj{"channel": ch.wire(c.w.cfg.Bot.UserID, false)}, nil
}

func (w *Workspace) createChannel(name, kind, creator string) *channel {
	ch := w.newChannel("", name, kind, creator)
	ch.add(creator)
	if kind == KindPublic {
		w.emit("channel_created", "channels:read", obj{"channel": obj{"id": ch.id, "name": name, "created": ch.created, "creator": creator}})
	}
	w.touch()
	return ch
}

// join makes a user a member, with the channel_join message and member_joined_channel event of the real service.
func (w *Workspace) join(ch *channel, user, inviter string) {
	ch.add(user)
	m := &message{subtype: "channel_join", user: user, inviter: inviter, text: "<@" + user + "> has joined the channel"}
	w.append(ch, m)
	kind := "C"
	if ch.kind == KindPrivate {
		kind = "G"
	}
	e := obj{"user": user, "channel": ch.id, "channel_type": kind, "team": w.cfg.Team.ID}
	if inviter != "" {
		e["inviter"] = inviter
	}
	w.emitIn(ch, "member_joined_channel", "read", e)
}

func (w *Workspace) leave(ch *channel, user string) {
	kind := "C"
	if ch.kind == KindPrivate {
		kind = "G"
	}
	w.emitIn(ch, "member_left_channel", "read", obj{"user": user, "channel": ch.id, "channel_type": kind, "team": w.cfg.Team.ID})
	if user == w.cfg.Bot.UserID {
		left := map[string]string{KindPublic: "channel_left", KindPrivate: "group_left"}[ch.kind]
		w.emitIn(ch, left, "read", obj{"channel": ch.id, "actor_id": user})
	}
	ch.remove(user)
	w.touch()
}

func conversationsInvite(c *call) (obj, error) {
	ch, err := c.ours("channel")
	if err != nil {
		return nil, err
	}
	users := c.list("users")
	if len(users) == 0 {
		return nil, refuse("no_user")
	}
	if len(users) > 100 {
		return nil, invalidArguments("[ERROR] no more than 100 users allowed [json-pointer:/users]")
	}
	var valid []string
	var errs []obj
	for _, u := range users {
		if code := c.w.inviteProblem(ch, u, c.w.cfg.Bot.UserID); code != "" {
			errs = append(errs, obj{"user": u, "ok": false, "error": code})
		} else {
			valid = append(valid, u)
		}
	}
	if len(errs) > 0 && (!c.flag("force") || len(valid) == 0) {
		return nil, &refusal{code: errs[0]["error"].(string), extra: obj{"errors": errs}}
	}
	for _, u := range valid {
		c.w.join(ch, u, c.w.cfg.Bot.UserID)
	}
	c.landed = true
	answer := obj{"channel": ch.wire(c.w.cfg.Bot.UserID, false)}
	if len(errs) > 0 {
		answer["errors"] = errs
	}
	return answer, nil
}

// inviteProblem says why somebody cannot be added, or "".
func (w *Workspace) inviteProblem(ch *channel, user, by string) string {
	if user == by {
		return "cant_invite_self"
	}
	if user == w.cfg.Bot.UserID {
		if ch.members[user] {
			return "already_in_channel"
		}
		return ""
	}
	p := w.people[user]
	switch {
	case p == nil:
		return "user_not_found"
	case ch.members[user]:
		return "already_in_channel"
	case p.Deactivated:
		return "cant_invite"
	case p.Guest == GuestSingle:
		for _, other := range w.channels {
			if !other.isDirect() && !other.archived && other.members[user] {
				return "ura_max_channels"
			}
		}
	}
	return ""
}

func conversationsKick(c *call) (obj, error) {
	ch, err := c.ours("channel")
	if err != nil {
		return nil, err
	}
	user := c.str("user")
	switch {
	case user == c.w.cfg.Bot.UserID:
		return nil, refuse("cant_kick_self")
	case c.w.people[user] == nil:
		return nil, refuse("user_not_found")
	case ch.general:
		return nil, refuse("cant_kick_from_general")
	case !ch.members[user]:
		return nil, refuse("not_in_channel")
	}
	c.w.leave(ch, user)
	c.landed = true
	return obj{"errors": obj{}}, nil
}

func conversationsJoin(c *call) (obj, error) {
	ch, err := c.channel("channel")
	switch {
	case err != nil:
		return nil, err
	case ch.kind != KindPublic:
		return nil, refuse("method_not_supported_for_channel_type")
	case ch.archived:
		return nil, refuse("is_archived")
	}
	answer := obj{}
	if bot := c.w.cfg.Bot.UserID; ch.members[bot] {
		answer["warning"] = "already_in_channel"
		answer["response_metadata"] = obj{"warnings": []string{"already_in_channel"}}
	} else {
		c.w.join(ch, bot, "")
		c.landed = true
	}
	answer["channel"] = ch.wire(c.w.cfg.Bot.UserID, false)
	return answer, nil
}

func conversationsInfo(c *call) (obj, error) {
	ch, err := c.channel("channel")
	if err != nil {
		return nil, err
	}
	if err := c.scope(ch, "read"); err != nil {
		return nil, err
	}
	return obj{"channel": ch.wire(c.w.cfg.Bot.UserID, c.flag("include_num_members"))}, nil
}

func conversationsMembers(c *call) (obj, error) {
	ch, err := c.channel("channel")
	if err != nil {
		return nil, err
	}
	if err := c.scope(ch, "read"); err != nil {
		return nil, err
	}
	ids, next, err := page(c, ch.order, 1000)
	if err != nil {
		return nil, err
	}
	return obj{"members": append([]string{}, ids...), "response_metadata": obj{"next_cursor": next}}, nil
}

func conversationsList(c *call) (obj, error) { return c.listChannels(func(*channel) bool { return true }) }

func usersConversations(c *call) (obj, error) {
	user := cmpOr(c.str("user"), c.w.cfg.Bot.UserID)
	return c.listChannels(func(ch *channel) bool { return ch.members[user] })
}

func (c *call) listChannels(want func(*channel) bool) (obj, error) {
	kinds := map[string]bool{}
	for _, t := range c.list("types") {
		switch t {
		case KindPublic, KindPrivate, KindDM, KindGroupDM:
			kinds[t] = true
		default:
			return nil, refuse("invalid_types")
		}
	}
	if len(kinds) == 0 {
		kinds[KindPublic] = true
	}
	for k := range kinds {
		if err := c.scope(&channel{kind: k}, "read"); err != nil {
			return nil, err
		}
	}
	var ids []string
	for _, id := range c.w.ordered {
		ch := c.w.channels[id]
		if kinds[ch.kind] && ch.visible(c.w.cfg.Bot.UserID) && want(ch) && !(ch.archived && c.flag("exclude_archived")) {
			ids = append(ids, id)
		}
	}
	ids, next, err := page(c, ids, 1000)
	if err != nil {
		return nil, err
	}
	list := []obj{}
	for _, id := range ids {
		list = append(list, c.w.channels[id].wire(c.w.cfg.Bot.UserID, true))
	}
	return obj{"channels": list, "response_metadata": obj{"next_cursor": next}}, nil
}

func conversationsSetTopic(c *call) (obj, error) { return c.setNote("topic") }

func conversationsSetPurpose(c *call) (obj, error) { return c.setNote("purpose") }

func (c *call) setNote(field string) (obj, error) {
	ch, err := c.ours("channel")
	if err != nil {
		return nil, err
	}
	value := c.str(field)
	if utf8.RuneCountInString(value) > 250 {
		return nil, refuse("too_long")
	}
	bot := c.w.cfg.Bot
	n := note{value: value, creator: bot.UserID, set: c.now.Unix()}
	m := &message{subtype: "channel_" + field, user: bot.UserID, topic: &value, text: "<@" + bot.UserID + "> set the channel " + field + ": " + value}
	if field == "topic" {
		ch.topic = n
	} else {
		ch.purpose = n
	}
	c.w.append(ch, m)
	c.landed = true
	return obj{"channel": ch.wire(bot.UserID, false), field: value}, nil
}

func conversationsRename(c *call) (obj, error) {
	ch, err := c.ours("channel")
	if err != nil {
		return nil, err
	}
	name := c.str("name")
	if err := checkName(name); err != nil {
		return nil, err
	}
	if other := c.w.byName[name]; other != nil && other != ch {
		return nil, refuse("name_taken")
	}
	old := ch.name
	delete(c.w.byName, old)
	ch.name = name
	c.w.byName[name] = ch
	bot := c.w.cfg.Bot.UserID
	c.w.append(ch, &message{subtype: "channel_name", user: bot, text: "<@" + bot + "> has renamed the channel from \"" + old + "\" to \"" + name + "\""})
	c.w.emitIn(ch, familyEvent(ch, "rename"), "read", obj{"channel": obj{"id": ch.id, "name": name, "created": ch.created}})
	c.landed = true
	return obj{"channel": ch.wire(bot, false)}, nil
}

// familyEvent names a channel event by the channel's kind: channel_archive, group_archive.
func familyEvent(ch *channel, what string) string {
	if ch.kind == KindPrivate {
		return "group_" + what
	}
	return "channel_" + what
}

func conversationsArchive(c *call) (obj, error) {
	ch, err := c.channel("channel")
	switch {
	case err != nil:
		return nil, err
	case ch.isDirect():
		return nil, refuse("method_not_supported_for_channel_type")
	case ch.archived:
		return nil, refuse("already_archived")
	case ch.general:
		return nil, refuse("cant_archive_general")
	case !ch.members[c.w.cfg.Bot.UserID]:
		return nil, refuse("not_in_channel")
	}
	if err := c.scope(ch, "write"); err != nil {
		return nil, err
	}
	bot := c.w.cfg.Bot.UserID
	c.w.append(ch, &message{subtype: "channel_archive", user: bot, text: "<@" + bot + "> archived the channel"})
	ch.archived = true
	c.w.emitIn(ch, familyEvent(ch, "archive"), "read", obj{"channel": ch.id, "user": bot})
	c.w.touch()
	c.landed = true
	return obj{}, nil
}

func conversationsOpen(c *call) (obj, error) {
	bot := c.w.cfg.Bot.UserID
	if id := c.str("channel"); id != "" {
		ch := c.w.channels[id]
		if ch == nil || !ch.isDirect() || !ch.members[bot] {
			return nil, refuse("channel_not_found")
		}
		return obj{"channel": obj{"id": ch.id}, "already_open": true, "no_op": true}, nil
	}
	users := without(c.list("users"), []string{bot})
	switch {
	case c.str("users") == "" && len(users) == 0:
		return nil, refuse("users_list_not_supplied")
	case len(users) == 0:
		return nil, refuse("not_enough_users")
	case len(users) > 8:
		return nil, refuse("too_many_users")
	case len(users) == 1:
		if err := c.need("im:write"); err != nil {
			return nil, err
		}
	default:
		if err := c.need("mpim:write"); err != nil {
			return nil, err
		}
	}
	for _, u := range users {
		if p := c.w.people[u]; p == nil {
			return nil, refuse("user_not_found")
		} else if p.Deactivated {
			return nil, refuse("user_disabled")
		}
	}
	ch, existed := c.w.openDirect(append(users, bot)...)
	c.landed = !existed
	answer := obj{"channel": obj{"id": ch.id}}
	if c.flag("return_im") {
		answer["channel"] = ch.wire(bot, false)
	}
	if existed {
		answer["already_open"], answer["no_op"] = true, true
	}
	return answer, nil
}

// clockSeconds is a unix time as Slack writes it in events: seconds and microseconds.
func clockSeconds(t time.Time) string { return formatTS(t.UnixMicro()) }
