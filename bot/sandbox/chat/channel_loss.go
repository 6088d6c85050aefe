package chat

import "slices"

// Archive archives a channel. Its messages stay readable, and its name stays taken.
func (a Actor) Archive(channelID string) error {
	ch, err := a.lockJoinedChannel(channelID)
	if err != nil {
		return err
	}
	defer a.w.mu.Unlock()
	a.w.append(ch, &message{subtype: "channel_archive", user: a.user, text: "<@" + a.user + "> archived the channel"})
	ch.archived = true
	a.w.emitIn(ch, channelEvent(ch, "archive"), "read", obj{"channel": ch.id, "user": a.user})
	a.w.touch()
	return nil
}

// Delete deletes a channel with its messages. Its name is free again.
func (a Actor) Delete(channelID string) error {
	ch, err := a.lockChannel(channelID)
	if err != nil {
		return err
	}
	defer a.w.mu.Unlock()
	a.w.emitIn(ch, channelEvent(ch, "deleted"), "read", obj{"channel": ch.id, "actor_id": a.user})
	delete(a.w.channels, ch.id)
	a.w.channelIDs = slices.DeleteFunc(a.w.channelIDs, func(id string) bool { return id == ch.id })
	if a.w.byName[ch.name] == ch {
		delete(a.w.byName, ch.name)
	}
	for _, f := range a.w.files {
		delete(f.shares, ch.id)
		f.order = without(f.order, []string{ch.id})
	}
	a.w.touch()
	return nil
}
