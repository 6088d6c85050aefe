package chat

import "unicode/utf8"

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
		return nil, apiError("name_taken")
	}
	ch := c.w.createChannel(name, kind, c.w.cfg.Bot.UserID)
	c.applied = true
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

// join adds a user to a channel, posts the channel_join message and queues the member_joined_channel event. The caller
// holds mu.
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
	ch, err := c.writableChannel("channel")
	if err != nil {
		return nil, err
	}
	users := c.list("users")
	if len(users) == 0 {
		return nil, apiError("no_user")
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
		return nil, &responseError{code: errs[0]["error"].(string), extra: obj{"errors": errs}}
	}
	for _, u := range valid {
		c.w.join(ch, u, c.w.cfg.Bot.UserID)
	}
	c.applied = true
	answer := obj{"channel": ch.wire(c.w.cfg.Bot.UserID, false)}
	if len(errs) > 0 {
		answer["errors"] = errs
	}
	return answer, nil
}

// inviteProblem returns Slack's error code if user cannot be added to the channel, or "".
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
	ch, err := c.writableChannel("channel")
	if err != nil {
		return nil, err
	}
	user := c.str("user")
	switch {
	case user == c.w.cfg.Bot.UserID:
		return nil, apiError("cant_kick_self")
	case c.w.people[user] == nil:
		return nil, apiError("user_not_found")
	case ch.general:
		return nil, apiError("cant_kick_from_general")
	case !ch.members[user]:
		return nil, apiError("not_in_channel")
	}
	c.w.leave(ch, user)
	c.applied = true
	return obj{"errors": obj{}}, nil
}

func conversationsJoin(c *call) (obj, error) {
	ch, err := c.channel("channel")
	switch {
	case err != nil:
		return nil, err
	case ch.kind != KindPublic:
		return nil, apiError("method_not_supported_for_channel_type")
	case ch.archived:
		return nil, apiError("is_archived")
	}
	answer := obj{}
	if bot := c.w.cfg.Bot.UserID; ch.members[bot] {
		answer["warning"] = "already_in_channel"
		answer["response_metadata"] = obj{"warnings": []string{"already_in_channel"}}
	} else {
		c.w.join(ch, bot, "")
		c.applied = true
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
	ids, next, err := paginate(c, ch.order, 1000)
	if err != nil {
		return nil, err
	}
	return obj{"members": append([]string{}, ids...), "response_metadata": obj{"next_cursor": next}}, nil
}

func conversationsList(c *call) (obj, error) {
	return c.listChannels(func(*channel) bool { return true })
}

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
			return nil, apiError("invalid_types")
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
	for _, id := range c.w.channelIDs {
		ch := c.w.channels[id]
		if kinds[ch.kind] && ch.visible(c.w.cfg.Bot.UserID) && want(ch) && !(ch.archived && c.flag("exclude_archived")) {
			ids = append(ids, id)
		}
	}
	ids, next, err := paginate(c, ids, 1000)
	if err != nil {
		return nil, err
	}
	list := []obj{}
	for _, id := range ids {
		list = append(list, c.w.channels[id].wire(c.w.cfg.Bot.UserID, true))
	}
	return obj{"channels": list, "response_metadata": obj{"next_cursor": next}}, nil
}

func conversationsSetTopic(c *call) (obj, error) { return c.setChannelText("topic") }

func conversationsSetPurpose(c *call) (obj, error) { return c.setChannelText("purpose") }

func (c *call) setChannelText(field string) (obj, error) {
	ch, err := c.writableChannel("channel")
	if err != nil {
		return nil, err
	}
	value := c.str(field)
	if utf8.RuneCountInString(value) > 250 {
		return nil, apiError("too_long")
	}
	bot := c.w.cfg.Bot
	n := channelText{value: value, creator: bot.UserID, lastSet: c.now.Unix()}
	m := &message{subtype: "channel_" + field, user: bot.UserID, topic: &value, text: "<@" + bot.UserID + "> set the channel " + field + ": " + value}
	if field == "topic" {
		ch.topic = n
	} else {
		ch.purpose = n
	}
	c.w.append(ch, m)
	c.applied = true
	return obj{"channel": ch.wire(bot.UserID, false), field: value}, nil
}

func conversationsRename(c *call) (obj, error) {
	ch, err := c.writableChannel("channel")
	if err != nil {
		return nil, err
	}
	name := c.str("name")
	if err := checkName(name); err != nil {
		return nil, err
	}
	if other := c.w.byName[name]; other != nil && other != ch {
		return nil, apiError("name_taken")
	}
	old := ch.name
	delete(c.w.byName, old)
	ch.name = name
	c.w.byName[name] = ch
	bot := c.w.cfg.Bot.UserID
	c.w.append(ch, &message{subtype: "channel_name", user: bot, text: "<@" + bot + "> has renamed the channel from \"" + old + "\" to \"" + name + "\""})
	c.w.emitIn(ch, channelEvent(ch, "rename"), "read", obj{"channel": obj{"id": ch.id, "name": name, "created": ch.created}})
	c.applied = true
	return obj{"channel": ch.wire(bot, false)}, nil
}

// channelEvent returns the name of an event for the kind of channel, such as channel_archive or group_archive.
func channelEvent(ch *channel, action string) string {
	if ch.kind == KindPrivate {
		return "group_" + action
	}
	return "channel_" + action
}

func conversationsArchive(c *call) (obj, error) {
	ch, err := c.channel("channel")
	switch {
	case err != nil:
		return nil, err
	case ch.isDirect():
		return nil, apiError("method_not_supported_for_channel_type")
	case ch.archived:
		return nil, apiError("already_archived")
	case ch.general:
		return nil, apiError("cant_archive_general")
	case !ch.members[c.w.cfg.Bot.UserID]:
		return nil, apiError("not_in_channel")
	}
	if err := c.scope(ch, "write"); err != nil {
		return nil, err
	}
	bot := c.w.cfg.Bot.UserID
	c.w.append(ch, &message{subtype: "channel_archive", user: bot, text: "<@" + bot + "> archived the channel"})
	ch.archived = true
	c.w.emitIn(ch, channelEvent(ch, "archive"), "read", obj{"channel": ch.id, "user": bot})
	c.w.touch()
	c.applied = true
	return obj{}, nil
}

func conversationsOpen(c *call) (obj, error) {
	bot := c.w.cfg.Bot.UserID
	if id := c.str("channel"); id != "" {
		ch := c.w.channels[id]
		if ch == nil || !ch.isDirect() || !ch.members[bot] {
			return nil, apiError("channel_not_found")
		}
		return obj{"channel": obj{"id": ch.id}, "already_open": true, "no_op": true}, nil
	}
	users := without(c.list("users"), []string{bot})
	switch {
	case c.str("users") == "" && len(users) == 0:
		return nil, apiError("users_list_not_supplied")
	case len(users) == 0:
		return nil, apiError("not_enough_users")
	case len(users) > 8:
		return nil, apiError("too_many_users")
	case len(users) == 1:
		if err := c.requireScope("im:write"); err != nil {
			return nil, err
		}
	default:
		if err := c.requireScope("mpim:write"); err != nil {
			return nil, err
		}
	}
	for _, u := range users {
		if p := c.w.people[u]; p == nil {
			return nil, apiError("user_not_found")
		} else if p.Deactivated {
			return nil, apiError("user_disabled")
		}
	}
	ch, existed := c.w.openDirect(append(users, bot)...)
	c.applied = !existed
	answer := obj{"channel": obj{"id": ch.id}}
	if c.flag("return_im") {
		answer["channel"] = ch.wire(bot, false)
	}
	if existed {
		answer["already_open"], answer["no_op"] = true, true
	}
	return answer, nil
}
