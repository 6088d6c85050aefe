package chat

import (
	"encoding/json"
	"regexp"
	"time"
)

// view is a person's open modal or App Home.
type view struct {
	id, kind, user, externalID, hash string
	root, previous                   string
	raw                              obj // view from the app, with missing ids added
	blocks                           []any
	values                           map[string]map[string]obj // state of changed elements, by block id and action id
}

type trigger struct {
	user, viewID string
	created      time.Time
	used         bool
}

// Limits of views and triggers.
const (
	triggerTTL    = 3 * time.Second
	maxViewSize   = 250 << 10
	maxStackDepth = 3
)

// newTrigger creates a trigger_id for an interaction of user. view is the id of the view in which it happened, or "". The
// caller holds mu.
func (w *Workspace) newTrigger(user, view string) string {
	now := w.clock()
	if len(w.triggers) > 1000 {
		for id, t := range w.triggers {
			if now.Sub(t.created) > time.Minute {
				delete(w.triggers, id)
			}
		}
	}
	w.lastSerial["trigger"]++
	id := itoa(1_000_000+w.lastSerial["trigger"]) + "." + itoa(int(now.Unix()%10_000_000_000)) + "." + ticket()
	w.triggers[id] = &trigger{user: user, viewID: view, created: now}
	return id
}

var triggerForm = regexp.MustCompile(`^\d+\.\d+\.[0-9a-z]+$`)

// validTrigger returns the trigger for the trigger_id of the call. It returns an error if the trigger is unknown, used or
// expired. It does not mark the trigger as used.
func (c *call) validTrigger() (*trigger, error) {
	id := c.str("trigger_id")
	if !triggerForm.MatchString(id) {
		return nil, invalidArguments("invalid `trigger_id`")
	}
	t := c.w.triggers[id]
	switch {
	case t == nil:
		return nil, apiError("invalid_trigger_id")
	case t.used:
		return nil, apiError("exchanged_trigger_id")
	case c.now.Sub(t.created) > triggerTTL:
		c.w.expiredTriggers++
		if s := c.w.cfg.ExpiredTrigger; s == ExpiredCode || s == ExpiredAlternating && c.w.expiredTriggers%2 == 1 {
			return nil, apiError("expired_trigger_id")
		}
		return nil, invalidArguments("[ERROR] `trigger_id` expired [json-pointer:/trigger_id]")
	}
	return t, nil
}

// viewArg reads and validates the argument view for a surface.
func (c *call) viewArg(on surface) (obj, []any, error) {
	v, err := c.value("view")
	if err != nil {
		return nil, nil, invalidArguments("[ERROR] must be valid JSON [json-pointer:/view]")
	}
	o, ok := v.(obj)
	if !ok {
		return nil, nil, missingArgument("view")
	}
	blocks, err := c.w.checkView(o, on)
	return o, blocks, err
}

// checkView validates a view, adds missing ids and returns its blocks. The caller holds mu.
func (w *Workspace) checkView(o obj, on surface) ([]any, error) {
	if raw, err := json.Marshal(o); err != nil || len(raw) > maxViewSize {
		return nil, apiError("view_too_large")
	}
	k := &blockCheck{on: on}
	if want := map[surface]string{onModal: "modal", onHome: "home"}[on]; o["type"] != want {
		k.fail("/view/type", "must be one of: %s", want)
	}
	if on == onModal {
		k.textField("/view", o, "title", true, true, 24)
		k.textField("/view", o, "submit", false, true, 24)
		k.textField("/view", o, "close", false, true, 24)
	} else {
		for _, field := range []string{"title", "submit", "close"} {
			if o[field] != nil {
				k.fail("/view/"+field, "is not allowed in a home view")
			}
		}
	}
	k.optional("/view", o, "private_metadata", 3000)
	k.optional("/view", o, "callback_id", 255)
	k.optional("/view", o, "external_id", 255)
	list, ok := o["blocks"].([]any)
	switch {
	case !ok:
		k.missing("/view", "blocks")
	case len(list) == 0 && on == onModal:
		k.fail("/view/blocks", "no less than 1 items allowed")
	default:
		k.blocks("/view/blocks", list, 100)
	}
	if on == onModal && o["submit"] == nil && len(k.inputs) > 0 {
		k.fail(k.inputs[0]+"/input", "must define `submit` to use an `input` block")
	}
	if len(k.problems) > 0 {
		return nil, invalidArguments(k.problems...)
	}
	w.fillIDs(list)
	return list, nil
}

// setExternalID sets the external id of v from the view o. It returns an error if another view has this id.
func (w *Workspace) setExternalID(v *view, o obj) error {
	id, _ := o["external_id"].(string)
	if other := w.viewsByExternalID[id]; id != "" && other != nil && other != v {
		return apiError("duplicate_external_id")
	}
	if v.externalID != id {
		delete(w.viewsByExternalID, v.externalID)
	}
	if v.externalID = id; id != "" {
		w.viewsByExternalID[id] = v
	}
	return nil
}

// newView creates a view for a user from a validated view of the app.
func (w *Workspace) newView(user string, o obj, blocks []any) (*view, error) {
	v := &view{kind: o["type"].(string), user: user, values: map[string]map[string]obj{}}
	if err := w.setExternalID(v, o); err != nil {
		return nil, err
	}
	v.id = w.newID("V")
	v.root = v.id
	w.views[v.id] = v
	w.setContent(v, o, blocks)
	return v, nil
}

// setContent replaces the content of a view and sets a new hash. Typed values are preserved if their block_id and
// action_id still exist.
func (w *Workspace) setContent(v *view, o obj, blocks []any) {
	v.raw, v.blocks = o, blocks
	values := map[string]map[string]obj{}
	for id, actions := range v.values {
		for action, state := range actions {
			if _, e := (Action{ID: action, Block: id}).findElement(blocks); e != nil {
				storeState(values, id, action, state)
			}
		}
	}
	v.values = values
	v.hash = itoa(int(w.clock().Unix())) + "." + w.shortID()
	w.touch()
}

func (w *Workspace) dropView(v *view) {
	delete(w.views, v.id)
	delete(w.viewsByExternalID, v.externalID)
}

func (w *Workspace) clearStack(user string) {
	for _, v := range w.stacks[user] {
		w.dropView(v)
	}
	delete(w.stacks, user)
}

func (w *Workspace) viewWire(v *view) obj {
	text := func(field string) any { return v.raw[field] }
	str := func(field string) string { s, _ := v.raw[field].(string); return s }
	o := obj{"id": v.id, "team_id": w.cfg.Team.ID, "app_id": w.cfg.Bot.AppID, "app_installed_team_id": w.cfg.Team.ID, "bot_id": w.cfg.Bot.BotID,
		"type": v.kind, "title": text("title"), "submit": text("submit"), "close": text("close"), "blocks": v.blocks,
		"private_metadata": str("private_metadata"), "callback_id": str("callback_id"), "external_id": v.externalID,
		"clear_on_close": v.raw["clear_on_close"] == true, "notify_on_close": v.raw["notify_on_close"] == true,
		"state": obj{"values": stateOf(v.blocks, v.values)}, "hash": v.hash, "root_view_id": v.root, "previous_view_id": nil}
	if v.previous != "" {
		o["previous_view_id"] = v.previous
	}
	return o
}

func viewsOpen(c *call) (obj, error) {
	o, blocks, err := c.viewArg(onModal)
	if err != nil {
		return nil, err
	}
	t, err := c.validTrigger()
	if err != nil {
		return nil, err
	}
	v, err := c.w.newView(t.user, o, blocks)
	if err != nil {
		return nil, err
	}
	t.used = true
	c.w.clearStack(t.user)
	c.w.stacks[t.user] = []*view{v}
	c.applied = true
	return obj{"view": c.w.viewWire(v)}, nil
}

func viewsPush(c *call) (obj, error) {
	o, blocks, err := c.viewArg(onModal)
	if err != nil {
		return nil, err
	}
	t, err := c.validTrigger()
	if err != nil {
		return nil, err
	}
	v, err := c.w.push(t.user, o, blocks)
	if err != nil {
		return nil, err
	}
	t.used = true
	c.applied = true
	return obj{"view": c.w.viewWire(v)}, nil
}

// push opens a validated view on top of a user's stack.
func (w *Workspace) push(user string, o obj, blocks []any) (*view, error) {
	stack := w.stacks[user]
	switch {
	case len(stack) == 0:
		return nil, apiError("not_found")
	case len(stack) >= maxStackDepth:
		return nil, apiError("push_limit_reached")
	}
	v, err := w.newView(user, o, blocks)
	if err != nil {
		return nil, err
	}
	v.root, v.previous = stack[0].id, stack[len(stack)-1].id
	w.stacks[user] = append(stack, v)
	return v, nil
}

func viewsUpdate(c *call) (obj, error) {
	v := c.w.views[c.str("view_id")]
	if c.str("view_id") == "" {
		v = c.w.viewsByExternalID[c.str("external_id")]
	}
	if v == nil {
		return nil, apiError("not_found")
	}
	on := onModal
	if v.kind == "home" {
		on = onHome
	}
	o, blocks, err := c.viewArg(on)
	if err != nil {
		return nil, err
	}
	if h := c.str("hash"); h != "" && h != v.hash {
		return nil, apiError("hash_conflict")
	}
	if err := c.w.setExternalID(v, o); err != nil {
		return nil, err
	}
	c.w.setContent(v, o, blocks)
	c.applied = true
	return obj{"view": c.w.viewWire(v)}, nil
}

func viewsPublish(c *call) (obj, error) {
	user := c.str("user_id")
	if p := c.w.people[user]; p == nil || p.Deactivated {
		return nil, invalidArguments("[ERROR] invalid user_id [json-pointer:/user_id]")
	}
	o, blocks, err := c.viewArg(onHome)
	if err != nil {
		return nil, err
	}
	v := c.w.homes[user]
	switch h := c.str("hash"); {
	case v == nil:
		if v, err = c.w.newView(user, o, blocks); err != nil {
			return nil, err
		}
		c.w.homes[user] = v
	case h != "" && h != v.hash:
		return nil, apiError("hash_conflict")
	default:
		if err := c.w.setExternalID(v, o); err != nil {
			return nil, err
		}
		c.w.setContent(v, o, blocks)
	}
	c.applied = true
	return obj{"view": c.w.viewWire(v)}, nil
}

// activeView returns the view with this id if it is the top modal or the App Home of user, or nil.
func (w *Workspace) activeView(user, id string) *view {
	if v := w.homes[user]; v != nil && v.id == id {
		return v
	}
	if s := w.stacks[user]; len(s) > 0 && s[len(s)-1].id == id {
		return s[len(s)-1]
	}
	return nil
}
