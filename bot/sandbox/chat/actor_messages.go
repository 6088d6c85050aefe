package chat

import (
	"fmt"
	"slices"
)

// lockMessage locks mu and returns a message of a channel that the person can see. The caller unlocks mu if the error is
// nil.
func (a Actor) lockMessage(channelID, ts string) (*message, error) {
	ch, err := a.lockChannel(channelID)
	if err != nil {
		return nil, err
	}
	if ch == nil || ch.byTS[ts] == nil {
		a.w.mu.Unlock()
		return nil, fmt.Errorf("message %s does not exist in %s", ts, channelID)
	}
	return ch.byTS[ts], nil
}

// lockOwnMessage is like lockMessage, but the person must have written the message and the channel must not be archived.
func (a Actor) lockOwnMessage(channelID, ts string) (*message, error) {
	m, err := a.lockMessage(channelID, ts)
	switch {
	case err != nil:
		return nil, err
	case m.user != a.user || m.botID != "" || isSystem(m.subtype):
		a.w.mu.Unlock()
		return nil, fmt.Errorf("message %s is not from %s, who can change only own messages", ts, a.user)
	case m.ch.archived || !m.ch.members[a.user]:
		a.w.mu.Unlock()
		return nil, fmt.Errorf("%s is not a member of %s, or the channel is archived", a.user, channelID)
	}
	return m, nil
}

// EditMessage replaces the text of a message of the person. Mentions in the new text notify nobody.
func (a Actor) EditMessage(channelID, ts, text string) error {
	m, err := a.lockOwnMessage(channelID, ts)
	if err != nil {
		return err
	}
	defer a.w.mu.Unlock()
	a.w.edit(m, content{text: text, hasText: true}, nil)
	return nil
}

// DeleteMessage deletes a message of the person. A message with replies becomes a tombstone, and its thread stays.
func (a Actor) DeleteMessage(channelID, ts string) error {
	m, err := a.lockOwnMessage(channelID, ts)
	if err != nil {
		return err
	}
	defer a.w.mu.Unlock()
	a.w.remove(m)
	return nil
}

// Unreact removes a reaction of the person from a message.
func (a Actor) Unreact(channelID, ts, name string) error {
	m, err := a.lockMessage(channelID, ts)
	if err != nil {
		return err
	}
	defer a.w.mu.Unlock()
	if !a.w.unreact(m, a.user, name) {
		return fmt.Errorf("react: no_reaction")
	}
	return nil
}

// unreact removes a reaction and queues the event reaction_removed. It reports whether the reaction existed. The caller
// holds mu.
func (w *Workspace) unreact(m *message, user, name string) bool {
	var next []Reaction
	found := false
	for _, r := range m.reactions {
		if r.Name == name && slices.Contains(r.Users, user) {
			found = true
			r = Reaction{Name: name, Users: without(r.Users, []string{user}), Count: r.Count - 1}
		}
		if r.Count > 0 {
			next = append(next, r)
		}
	}
	if !found {
		return false
	}
	m.reactions = next
	w.emitIn(m.ch, "reaction_removed", "reactions:read", reactionEvent(m, user, name))
	w.touch()
	return true
}

// lockOwnFile locks mu and returns a file that the person uploaded. The caller unlocks mu if the error is nil.
func (a Actor) lockOwnFile(id string) (*file, error) {
	if _, err := a.lockChannel(""); err != nil {
		return nil, err
	}
	f := a.w.files[id]
	if f == nil || f.deleted || f.user != a.user {
		a.w.mu.Unlock()
		return nil, fmt.Errorf("file %s does not exist, or is not from %s", id, a.user)
	}
	return f, nil
}

// EditFile replaces the title of a file of the person, and its content if data is not nil, as Slack allows for text
// snippets.
func (a Actor) EditFile(id, title string, data []byte) error {
	f, err := a.lockOwnFile(id)
	if err != nil {
		return err
	}
	defer a.w.mu.Unlock()
	f.title = cmpOr(title, f.title)
	if data != nil {
		f.content, f.size = append([]byte(nil), data...), len(data)
	}
	a.w.emitFile(f, "file_change", obj{"file": obj{"id": f.id}})
	a.w.touch()
	return nil
}

// DeleteFile deletes a file of the person. Messages that contain nothing else are deleted too, and others show that the
// file is gone.
func (a Actor) DeleteFile(id string) error {
	f, err := a.lockOwnFile(id)
	if err != nil {
		return err
	}
	defer a.w.mu.Unlock()
	a.w.deleteFile(f)
	return nil
}

// deleteFile deletes a file and queues the event file_deleted and those of its messages. The caller holds mu.
func (w *Workspace) deleteFile(f *file) {
	w.emitFile(f, "file_deleted", obj{})
	type change struct {
		m      *message
		before obj
	}
	var changes []change
	for _, id := range f.order {
		for _, ts := range f.shares[id] {
			if m := w.channels[id].byTS[ts]; m != nil {
				changes = append(changes, change{m, m.wire(w, false)})
			}
		}
	}
	f.deleted, f.content = true, nil
	for _, c := range changes {
		if c.m.text == "" && c.m.blocks == nil && len(c.m.files) == 1 {
			w.remove(c.m)
		} else {
			w.emitChange(c.m, c.before)
		}
	}
	w.touch()
}

// otherBot is the bot of another app, such as a webhook or a workflow.
const otherBot = "B0OTHER"

// PostAsApp posts a message of another app under a name that it chooses.
func (w *Workspace) PostAsApp(channelID, name, text string) (Message, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch := w.channels[channelID]
	if ch == nil {
		return Message{}, fmt.Errorf("channel %s does not exist", channelID)
	}
	m := &message{subtype: "bot_message", botID: otherBot, username: name, text: text}
	w.append(ch, m)
	return m.snapshot(w), nil
}
