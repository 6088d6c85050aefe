package chat

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Action is a click on, or a change of, one interactive element. Block may be empty if the action id and value are
// unique.
type Action struct {
	ID    string `json:"action_id"`
	Block string `json:"block_id,omitempty"`
	// Value is the chosen value: the value of an option or an id for a menu, a list of them for a multi-select, the text
	// for an input. For a button it may be the value of the button, to select one of several with the same action id.
	Value any `json:"value,omitempty"`
	// Typing reports that the person typed a character and did not press Enter. It matters for text inputs with
	// dispatch_action, which tell the app about one of the two or about both.
	Typing bool `json:"typing,omitempty"`
	// Values are the displayed values of the other elements on the surface, by block id and action id.
	Values map[string]map[string]any `json:"values,omitempty"`
	// Outdated is set if the client of the person still shows a button that the app removed.
	Outdated bool
}

// blocksOf decodes the blocks of a message.
func blocksOf(raw json.RawMessage) []any {
	var list []any
	_ = json.Unmarshal(raw, &list) // raw was marshalled by this package or is empty
	return list
}

// findElement returns the element that the action refers to and its block, or nil if there is none.
func (act Action) findElement(blocks []any) (block, element obj) {
	for _, b := range blocks {
		o, _ := b.(obj)
		if act.Block != "" && o["block_id"] != act.Block {
			continue
		}
		for _, e := range interactiveElements(o) {
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

// Click clicks or changes an element of a message. ts is a message of the channel or an ephemeral message to the person.
func (a Actor) Click(channelID, ts string, act Action) error {
	ch, err := a.lockChannel(channelID)
	if err != nil {
		return err
	}
	w := a.w
	m := w.visibleMessage(ch, a.user, ts)
	if m == nil {
		w.mu.Unlock()
		return fmt.Errorf("message %s in %s is not visible to %s", ts, channelID, a.user)
	}
	blocks := blocksOf(m.blocks)
	typed := map[string]map[string]obj{}
	if _, e := act.findElement(blocks); e == nil {
		act.Block, act.Values = "", nil // the app updated the message while the person pressed, which gave its blocks new ids
	}
	action, _, err := w.applyAction(blocks, act, typed)
	if err != nil {
		w.mu.Unlock()
		return err
	}
	container := obj{"type": "message", "message_ts": m.ts, "channel_id": ch.id, "is_ephemeral": m.ephemeral}
	if m.parent != nil {
		container["thread_ts"] = m.parent.ts
	}
	extra := obj{"container": container, "channel": obj{"id": ch.id, "name": channelLabel(ch)}, "actions": []obj{action},
		"state": obj{"values": stateOf(blocks, typed)}, "response_url": w.newResponseURL(ch, a.user, m)}
	if !m.ephemeral {
		extra["message"] = m.wire(w, false)
	}
	d := a.interaction("block_actions", w.newTrigger(a.user, ""), extra)
	w.mu.Unlock()
	_, err = w.deliverForPerson(d, "the button")
	return err
}

// channelLabel returns the channel name that interaction payloads contain.
func channelLabel(ch *channel) string {
	return map[string]string{KindPublic: ch.name, KindPrivate: "privategroup", KindDM: "directmessage", KindGroupDM: ch.name}[ch.kind]
}

// visibleMessage returns a message of the channel or an ephemeral message to user, or nil. The caller holds mu.
func (w *Workspace) visibleMessage(ch *channel, user, ts string) *message {
	if ch == nil {
		return nil
	}
	if m := ch.byTS[ts]; m != nil {
		return m
	}
	for _, m := range w.ephemerals[user] {
		if m.ts == ts && m.ch == ch {
			return m
		}
	}
	return nil
}

// applyAction finds the element of an action, stores the values in typed and returns the entry for the list actions with
// the block. The caller holds mu.
func (w *Workspace) applyAction(blocks []any, act Action, typed map[string]map[string]obj) (action, block obj, err error) {
	block, e := act.findElement(blocks)
	if e == nil && act.Outdated {
		ts, _ := w.stamp()
		return obj{"type": "button", "action_id": act.ID, "block_id": "outdated", "action_ts": ts, "value": act.Value}, nil, nil
	}
	if e == nil {
		return nil, nil, fmt.Errorf("element %q does not exist", act.ID)
	}
	if err := w.fillElements(blocks, act.Values, typed); err != nil {
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
		return nil, nil, fmt.Errorf("workflow buttons are not supported by the sandbox")
	case "overflow":
		if action["selected_option"], err = findOption(e, act.Value); err != nil {
			return nil, nil, err
		}
		return action, block, nil
	}
	state, err := w.inputState(e, act.Value)
	if err != nil {
		return nil, nil, fmt.Errorf("set value of %q: %w", act.ID, err)
	}
	storeState(typed, block["block_id"], e["action_id"], state)
	for k, v := range state {
		action[k] = v
	}
	return action, block, nil
}

func storeState(typed map[string]map[string]obj, block, action any, state obj) {
	b, _ := block.(string)
	id, _ := action.(string)
	if typed[b] == nil {
		typed[b] = map[string]obj{}
	}
	typed[b][id] = state
}

// fillElements stores values in typed, by block id and action id.
func (w *Workspace) fillElements(blocks []any, values map[string]map[string]any, typed map[string]map[string]obj) error {
	for id, actions := range values {
		for action, given := range actions {
			_, e := Action{ID: action, Block: id}.findElement(blocks)
			if e == nil {
				return fmt.Errorf("element %q does not exist in block %q", action, id)
			}
			if _, hasState := inputKinds[e["type"].(string)]; !hasState {
				continue
			}
			state, err := w.inputState(e, given)
			if err != nil {
				return fmt.Errorf("set value of %q: %w", action, err)
			}
			storeState(typed, id, action, state)
		}
	}
	return nil
}

// interaction returns the delivery of an interaction: the fields of every payload, plus extra. The caller holds mu.
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
	raw, _ := json.Marshal(payload) // cannot fail: every part was decoded from JSON
	return delivery{kind: "interaction", typ: typ, id: trigger, user: a.user, payload: raw, wantsAnswer: typ == "view_submission" || typ == "block_suggestion"}
}

// lockView locks mu and returns the open view with this id. The caller unlocks mu if the error is nil.
func (a Actor) lockView(id string) (*view, error) {
	if _, err := a.lockChannel(""); err != nil {
		return nil, err
	}
	v := a.w.activeView(a.user, id)
	if v == nil {
		a.w.mu.Unlock()
		return nil, fmt.Errorf("view %s is not open for %s", id, a.user)
	}
	return v, nil
}

// dispatches reports whether a change of an element is sent to the app at once.
func (act Action) dispatches(block obj) bool {
	if block["type"] != "input" {
		return true
	}
	e, _ := block["element"].(obj)
	if block["dispatch_action"] != true || !act.Typing {
		return block["dispatch_action"] == true
	}
	config, _ := e["dispatch_action_config"].(obj)
	on, _ := config["trigger_actions_on"].([]any)
	return slices.Contains(on, any(onCharacter))
}

// ClickView clicks or changes an element of a modal or of the App Home. The value of an input without dispatch_action is
// only stored. The app receives it with the submission.
func (a Actor) ClickView(viewID string, act Action) error {
	v, err := a.lockView(viewID)
	if err != nil {
		return err
	}
	w := a.w
	action, block, err := w.applyAction(v.blocks, act, v.values)
	if err != nil || !act.dispatches(block) {
		w.touch()
		w.mu.Unlock()
		return err
	}
	wire := w.viewWire(v)
	d := a.interaction("block_actions", w.newTrigger(a.user, v.id), obj{"container": obj{"type": "view", "view_id": v.id}, "view": wire,
		"state": wire["state"], "actions": []obj{action}})
	w.mu.Unlock()
	_, err = w.deliverForPerson(d, "the button")
	return err
}

// Shortcut runs a global shortcut.
func (a Actor) Shortcut(callbackID string) error {
	if _, err := a.lockChannel(""); err != nil {
		return err
	}
	if !a.w.declares(ShortcutGlobal, callbackID) {
		a.w.mu.Unlock()
		return fmt.Errorf("the app has no global shortcut %q", callbackID)
	}
	ts, _ := a.w.stamp()
	d := a.interaction("shortcut", a.w.newTrigger(a.user, ""), obj{"callback_id": callbackID, "action_ts": ts})
	a.w.mu.Unlock()
	_, err := a.w.deliverForPerson(d, "the shortcut")
	return err
}

// declares reports whether the app has a shortcut. Without a list it has all.
func (w *Workspace) declares(typ, callbackID string) bool {
	return w.cfg.Shortcuts == nil || slices.ContainsFunc(w.cfg.Shortcuts, func(s Shortcut) bool { return s.Type == typ && s.CallbackID == callbackID })
}

// MessageShortcut runs a shortcut on a message.
func (a Actor) MessageShortcut(callbackID, channelID, ts string) error {
	ch, err := a.lockChannel(channelID)
	if err != nil {
		return err
	}
	w := a.w
	m := w.visibleMessage(ch, a.user, ts)
	switch {
	case m == nil:
		err = fmt.Errorf("message %s in %s is not visible to %s", ts, channelID, a.user)
	case m.ephemeral || isSystem(m.subtype):
		err = fmt.Errorf("message %s has no shortcuts, because only one person sees it or Slack posted it", ts)
	case !w.declares(ShortcutMessage, callbackID):
		err = fmt.Errorf("the app has no message shortcut %q", callbackID)
	}
	if err != nil {
		w.mu.Unlock()
		return err
	}
	actionTS, _ := w.stamp()
	d := a.interaction("message_action", w.newTrigger(a.user, ""), obj{"callback_id": callbackID, "channel": obj{"id": ch.id, "name": channelLabel(ch)},
		"message": m.wire(w, false), "message_ts": ts, "action_ts": actionTS, "response_url": w.newResponseURL(ch, a.user, m)})
	w.mu.Unlock()
	_, err = w.deliverForPerson(d, "the shortcut")
	return err
}
