package chat

import (
	"encoding/json"
	"fmt"
)

// Action is the use of one interactive element. Block may stay empty where the action id (or its value) is unique.
type Action struct {
	ID    string `json:"action_id"`
	Block string `json:"block_id,omitempty"`
	// Value is what was chosen: for a menu an option's value or an id, for multi-selects a list of them, for inputs the
	// text. For a button it may name the button's value, to tell apart buttons with the same action id.
	Value any `json:"value,omitempty"`
	// Values are other elements' values of the same surface, by block id and action id, as they stand on the screen.
	Values map[string]map[string]any `json:"values,omitempty"`
}

// blocksOf decodes a message's blocks for use.
func blocksOf(raw json.RawMessage) []any {
	var list []any
	_ = json.Unmarshal(raw, &list) // it was marshalled by us, or is empty
	return list
}

// find returns the element that an action means, with its block.
func (act Action) find(blocks []any) (block, element obj) {
	for _, b := range blocks {
		o, _ := b.(obj)
		if act.Block != "" && o["block_id"] != act.Block {
			continue
		}
		for _, e := range interactive(o) {
			if e["action_id"] != act.ID {
				continue
			}
			if e["type"] == "button" && act.Value != nil && act.Value != "" && e["value"] != act.Value {
				continue
			}
			return o, e
		}
	}
	return nil, nil
}

// Click uses an element of a message: one in the channel, or an ephemeral one that the person sees there.
func (a Actor) Click(channelID, ts string, act Action) error {
	ch, err := a.enter(channelID)
	if err != nil {
		return err
	}
	w := a.w
	m := w.seen(ch, a.user, ts)
	if m == nil {
		w.mu.Unlock()
		return fmt.Errorf("%s sees no message %s in %s", a.user, ts, channelID)
	}
	blocks := blocksOf(m.blocks)
	typed := map[string]map[string]obj{}
	action, _, err := w.use(blocks, act, typed)
	if err != nil {
		w.mu.Unlock()
		return err
	}
	container := obj{"type": "message", "message_ts": m.ts, "channel_id": ch.id, "is_ephemeral": m.toPerson}
	if m.parent != nil {
		container["thread_ts"] = m.parent.ts
	}
	extra := obj{"container": container, "channel": obj{"id": ch.id, "name": channelLabel(ch)}, "actions": []obj{action},
		"state": obj{"values": stateOf(blocks, typed)}, "response_url": w.newResponseURL(ch, a.user, m)}
	if !m.toPerson {
		extra["message"] = m.wire(w, false)
	}
	d := a.interaction("block_actions", w.newTrigger(a.user, ""), extra)
	w.mu.Unlock()
	_, err = w.ask(d, "the button")
	return err
}

// channelLabel is the name that interactions carry.
func channelLabel(ch *channel) string {
	return map[string]string{KindPublic: ch.name, KindPrivate: "privategroup", KindDM: "directmessage", KindGroupDM: ch.name}[ch.kind]
}

// seen finds a message that a person has before them.
func (w *Workspace) seen(ch *channel, user, ts string) *message {
	if ch == nil {
		return nil
	}
	if m := ch.byTS[ts]; m != nil {
		return m
	}
	for _, m := range w.private[user] {
		if m.ts == ts && m.ch == ch {
			return m
		}
	}
	return nil
}

// use finds an action's element, notes what was typed, and renders the entry of actions[].
func (w *Workspace) use(blocks []any, act Action, typed map[string]map[string]obj) (action, block obj, err error) {
	block, e := act.find(blocks)
	if e == nil {
		return nil, nil, fmt.Errorf("no element %q", act.ID)
	}
	if err := w.typeIn(blocks, act.Values, typed); err != nil {
		return nil, nil, err
	}
	ts, _ := w.stamp()
	action = obj{"type": e["type"], "action_id": e["action_id"], "block_id": block["block_id"], "action_ts": ts}
	switch e["type"] {
	case "button":
		action["text"] = e["text"]
		if e["value"] != nil {
			action["value"] = e["value"]
		}
		return action, block, nil
	case "workflow_button":
		return nil, nil, fmt.Errorf("workflow buttons start workflows, which the sandbox has not")
	case "overflow":
		if action["selected_option"], err = pickOption(e, act.Value); err != nil {
			return nil, nil, err
		}
		return action, block, nil
	}
	state, err := w.inputState(e, act.Value)
	if err != nil {
		return nil, nil, fmt.Errorf("use %q: %w", act.ID, err)
	}
	remember(typed, block["block_id"], e["action_id"], state)
	for k, v := range state {
		action[k] = v
	}
	return action, block, nil
}

func remember(typed map[string]map[string]obj, block, action any, state obj) {
	b, _ := block.(string)
	id, _ := action.(string)
	if typed[b] == nil {
		typed[b] = map[string]obj{}
	}
	typed[b][id] = state
}

// typeIn fills elements with values given by block id and action id.
func (w *Workspace) typeIn(blocks []any, values map[string]map[string]any, typed map[string]map[string]obj) error {
	for id, actions := range values {
		for action, given := range actions {
			_, e := Action{ID: action, Block: id}.find(blocks)
			if e == nil {
				return fmt.Errorf("no element %q in block %q", action, id)
			}
			if _, holds := statefulKinds[e["type"].(string)]; !holds {
				continue
			}
			state, err := w.inputState(e, given)
			if err != nil {
				return fmt.Errorf("fill %q: %w", action, err)
			}
			remember(typed, id, action, state)
		}
	}
	return nil
}

// interaction renders a payload with what all of them share. The caller holds mu.
func (a Actor) interaction(typ, trigger string, extra obj) delivery {
	w := a.w
	payload := obj{"type": typ, "team": obj{"id": w.cfg.Team.ID, "domain": w.cfg.Team.Domain}, "user": a.userWire(), "api_app_id": w.cfg.Bot.AppID,
		"token": "sandbox", "enterprise": nil, "is_enterprise_install": false}
	if trigger != "" {
		payload["trigger_id"] = trigger
	}
	for k, v := range extra {
		payload[k] = v
	}
	raw, _ := json.Marshal(payload) // every part was JSON before
	return delivery{kind: "interaction", typ: typ, id: trigger, user: a.user, payload: raw, answers: typ == "view_submission" || typ == "block_suggestion"}
}

// view takes the lock with the person's view before them.
func (a Actor) view(id string) (*view, error) {
	if _, err := a.enter(""); err != nil {
		return nil, err
	}
	v := a.w.topOf(a.user, id)
	if v == nil {
		a.w.mu.Unlock()
		return nil, fmt.Errorf("%s has no view %s before them", a.user, id)
	}
	return v, nil
}

// ClickView uses an element of a modal or of the App Home. An input without dispatch_action is only filled in: the app
// hears of it with the submission.
func (a Actor) ClickView(viewID string, act Action) error {
	v, err := a.view(viewID)
	if err != nil {
		return err
	}
	w := a.w
	action, block, err := w.use(v.blocks, act, v.values)
	if err != nil || block["type"] == "input" && block["dispatch_action"] != true {
		w.touch()
		w.mu.Unlock()
		return err
	}
	wire := w.viewWire(v)
	d := a.interaction("block_actions", w.newTrigger(a.user, v.id), obj{"container": obj{"type": "view", "view_id": v.id}, "view": wire,
		"state": wire["state"], "actions": []obj{action}})
	w.mu.Unlock()
	_, err = w.ask(d, "the button")
	return err
}

// Shortcut uses a global shortcut.
func (a Actor) Shortcut(callbackID string) error {
	if _, err := a.enter(""); err != nil {
		return err
	}
	ts, _ := a.w.stamp()
	d := a.interaction("shortcut", a.w.newTrigger(a.user, ""), obj{"callback_id": callbackID, "action_ts": ts})
	a.w.mu.Unlock()
	_, err := a.w.ask(d, "the shortcut")
	return err
}

// MessageShortcut uses a shortcut on a message.
func (a Actor) MessageShortcut(callbackID, channelID, ts string) error {
	ch, err := a.enter(channelID)
	if err != nil {
		return err
	}
	w := a.w
	m := w.seen(ch, a.user, ts)
	if m == nil {
		w.mu.Unlock()
		return fmt.Errorf("%s sees no message %s in %s", a.user, ts, channelID)
	}
	actionTS, _ := w.stamp()
	d := a.interaction("message_action", w.newTrigger(a.user, ""), obj{"callback_id": callbackID, "channel": obj{"id": ch.id, "name": channelLabel(ch)},
		"message": m.wire(w, false), "message_ts": ts, "action_ts": actionTS, "response_url": w.newResponseURL(ch, a.user, m)})
	w.mu.Unlock()
	_, err = w.ask(d, "the shortcut")
	return err
}
