package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrOffline is returned for actions of people while the workspace is offline.
var ErrOffline = errors.New("the workspace is offline")

// Actor acts as one person in Slack's client. Its methods return a [*ClientError] if the app does not answer correctly,
// and another error if the client would not allow the action.
type Actor struct {
	w    *Workspace
	user string
}

// Act returns an Actor for a user id. Each action checks that the person exists and is active.
func (w *Workspace) Act(user string) Actor { return Actor{w: w, user: user} }

// lockChannel locks mu and returns a channel that the person can see. An empty id locks without a channel. The caller
// unlocks mu if the error is nil.
func (a Actor) lockChannel(channelID string) (*channel, error) {
	if a.w.Offline() {
		return nil, ErrOffline
	}
	a.w.mu.Lock()
	p := a.w.people[a.user]
	ch := a.w.channels[channelID]
	switch {
	case p == nil || p.Deactivated:
		a.w.mu.Unlock()
		return nil, fmt.Errorf("%s is not an active member of the workspace", a.user)
	case channelID != "" && (ch == nil || !ch.visible(a.user)):
		a.w.mu.Unlock()
		return nil, fmt.Errorf("channel %s is not visible to %s", channelID, a.user)
	}
	return ch, nil
}

// lockJoinedChannel is like lockChannel, but the person must be a member and the channel must not be archived.
func (a Actor) lockJoinedChannel(channelID string) (*channel, error) {
	ch, err := a.lockChannel(channelID)
	if err != nil {
		return nil, err
	}
	if ch == nil || !ch.members[a.user] || ch.archived {
		a.w.mu.Unlock()
		return nil, fmt.Errorf("%s is not a member of %s, or the channel is archived", a.user, channelID)
	}
	return ch, nil
}

func (a Actor) userWire() obj {
	p := a.w.people[a.user]
	return obj{"id": p.ID, "username": p.Name, "name": p.Name, "team_id": a.w.cfg.Team.ID}
}

// Command types a slash command, such as "/incident" with the text "list". It returns the message that the app answered
// with, or nil if the response was empty.
func (a Actor) Command(channelID, command, text string) (*Message, error) {
	ch, err := a.lockChannel(channelID)
	if err != nil {
		return nil, err
	}
	w := a.w
	if ch == nil || ch.archived || !w.acceptsCommand(command) {
		w.mu.Unlock()
		return nil, fmt.Errorf("%s is not a valid command", command)
	}
	name := map[string]string{KindPublic: ch.name, KindPrivate: "privategroup", KindDM: "directmessage", KindGroupDM: ch.name}[ch.kind]
	trigger := w.newTrigger(a.user, "")
	fields := map[string]string{"token": "sandbox", "team_id": w.cfg.Team.ID, "team_domain": w.cfg.Team.Domain, "channel_id": ch.id, "channel_name": name,
		"user_id": a.user, "user_name": w.people[a.user].Name, "command": command, "text": text, "api_app_id": w.cfg.Bot.AppID,
		"is_enterprise_install": "false", "response_url": w.newResponseURL(ch, a.user, nil), "trigger_id": trigger}
	w.mu.Unlock()
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	body, err := w.deliverForPerson(delivery{kind: "command", typ: command, id: trigger, user: a.user, payload: raw, wantsAnswer: true}, command)
	if err != nil {
		return nil, err
	}
	return a.showAnswer(ch, body)
}

func (w *Workspace) acceptsCommand(command string) bool {
	if !strings.HasPrefix(command, "/") {
		return false
	}
	if w.cfg.Commands == nil {
		return true
	}
	for _, c := range w.cfg.Commands {
		if c == command {
			return true
		}
	}
	return false
}

// showAnswer posts the response to a command as a message and returns it, or nil for an empty response.
func (a Actor) showAnswer(ch *channel, body []byte) (*Message, error) {
	text := strings.TrimSpace(string(body))
	if text == "" {
		return nil, nil
	}
	c := &call{w: a.w, args: map[string]any{"text": text}, now: a.w.clock()}
	if strings.HasPrefix(text, "{") {
		c.args = map[string]any{}
		if err := json.Unmarshal(body, &c.args); err != nil {
			return nil, &ClientError{Code: "invalid_command_response", Text: "failed with the error \"invalid_command_response\""}
		}
	}
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	p, err := c.content()
	if err != nil {
		return nil, &ClientError{Code: "invalid_command_response", Text: "failed with the error \"invalid_command_response\": " + err.Error()}
	}
	if p.empty() {
		return nil, nil
	}
	m := a.w.postAnswer(ch, a.user, c.str("response_type"), "", p).snapshot(a.w)
	return &m, nil
}

// Post posts a message, or a reply if threadTS is not empty. text is in Slack's wire form, with mentions as <@U1> and
// &amp; escapes.
func (a Actor) Post(channelID, text, threadTS string) (Message, error) {
	return a.post(channelID, threadTS, &message{user: a.user, text: text})
}

func (a Actor) post(channelID, threadTS string, m *message) (Message, error) {
	ch, err := a.lockJoinedChannel(channelID)
	if err != nil {
		return Message{}, err
	}
	defer a.w.mu.Unlock()
	if threadTS != "" {
		if m.parent = ch.byTS[threadTS]; m.parent == nil || m.parent.parent != nil {
			return Message{}, fmt.Errorf("thread %s does not exist in %s", threadTS, channelID)
		}
	}
	for _, f := range m.files {
		a.w.files[f.id] = f
	}
	a.w.append(ch, m)
	return m.snapshot(a.w), nil
}

// Upload shares a file with a comment in a channel, or in a thread if threadTS is not empty.
func (a Actor) Upload(channelID, name string, data []byte, comment, threadTS string) (Message, error) {
	a.w.mu.Lock()
	f := &file{id: a.w.newID("F"), name: name, title: name, user: a.user, size: len(data), created: a.w.clock().Unix(),
		content: append([]byte(nil), data...), uploaded: true, complete: true, shares: map[string][]string{}}
	a.w.mu.Unlock()
	return a.post(channelID, threadTS, &message{user: a.user, text: comment, subtype: "file_share", files: []*file{f}})
}

// Join joins a public channel.
func (a Actor) Join(channelID string) error {
	ch, err := a.lockChannel(channelID)
	if err != nil {
		return err
	}
	defer a.w.mu.Unlock()
	if ch == nil || ch.kind != KindPublic || ch.archived {
		return fmt.Errorf("channel %s cannot be joined", channelID)
	}
	if !ch.members[a.user] {
		a.w.join(ch, a.user, "")
	}
	return nil
}

// Leave leaves a channel.
func (a Actor) Leave(channelID string) error {
	ch, err := a.lockJoinedChannel(channelID)
	if err != nil {
		return err
	}
	defer a.w.mu.Unlock()
	a.w.leave(ch, a.user)
	return nil
}

// Invite adds people or the bot to a channel. It stops at the first user who cannot be added.
func (a Actor) Invite(channelID string, users ...string) error {
	ch, err := a.lockJoinedChannel(channelID)
	if err != nil {
		return err
	}
	defer a.w.mu.Unlock()
	for _, u := range users {
		if code := a.w.inviteProblem(ch, u, a.user); code != "" {
			return fmt.Errorf("invite %s: %s", u, code)
		}
		a.w.join(ch, u, a.user)
	}
	return nil
}

// Kick removes a person or the bot from a channel.
func (a Actor) Kick(channelID, user string) error {
	ch, err := a.lockJoinedChannel(channelID)
	if err != nil {
		return err
	}
	defer a.w.mu.Unlock()
	if !ch.members[user] {
		return fmt.Errorf("%s is not a member of %s", user, channelID)
	}
	a.w.leave(ch, user)
	return nil
}

// CreateChannel creates a channel with the person as its only member and returns its id.
func (a Actor) CreateChannel(name string, private bool) (string, error) {
	if _, err := a.lockChannel(""); err != nil {
		return "", err
	}
	defer a.w.mu.Unlock()
	if err := checkName(name); err != nil {
		return "", fmt.Errorf("create #%s: %w", name, err)
	}
	if a.w.byName[name] != nil {
		return "", fmt.Errorf("create #%s: name_taken", name)
	}
	kind := KindPublic
	if private {
		kind = KindPrivate
	}
	return a.w.createChannel(name, kind, a.user).id, nil
}

// React adds a reaction to a message. name is the name of the emoji without colons.
func (a Actor) React(channelID, ts, name string) error {
	ch, err := a.lockJoinedChannel(channelID)
	if err != nil {
		return err
	}
	defer a.w.mu.Unlock()
	m := ch.byTS[ts]
	if m == nil {
		return fmt.Errorf("message %s does not exist", ts)
	}
	if code := a.w.react(m, a.user, name); code != "" {
		return fmt.Errorf("react: %s", code)
	}
	return nil
}

// Pin pins a message to its channel.
func (a Actor) Pin(channelID, ts string) error {
	ch, err := a.lockJoinedChannel(channelID)
	if err != nil {
		return err
	}
	defer a.w.mu.Unlock()
	m := ch.byTS[ts]
	if m == nil || m.isPinned {
		return fmt.Errorf("message %s cannot be pinned", ts)
	}
	a.w.pin(ch, m, a.user)
	return nil
}

// OpenDM opens the app's Messages tab and returns the DM's channel id.
func (a Actor) OpenDM() (string, error) {
	if _, err := a.lockChannel(""); err != nil {
		return "", err
	}
	defer a.w.mu.Unlock()
	ch, _ := a.w.openDirect(a.user, a.w.cfg.Bot.UserID)
	a.w.emit("app_home_opened", "", obj{"user": a.user, "channel": ch.id, "tab": "messages"})
	return ch.id, nil
}

// OpenHome opens the app's Home tab and returns the published view, or nil if there is none.
func (a Actor) OpenHome() (*View, error) {
	if _, err := a.lockChannel(""); err != nil {
		return nil, err
	}
	defer a.w.mu.Unlock()
	ch, _ := a.w.openDirect(a.user, a.w.cfg.Bot.UserID)
	e := obj{"user": a.user, "channel": ch.id, "tab": "home"}
	v := a.w.homes[a.user]
	if v != nil {
		e["view"] = a.w.viewWire(v)
	}
	a.w.emit("app_home_opened", "", e)
	if v == nil {
		return nil, nil
	}
	s := v.snapshot()
	return &s, nil
}
