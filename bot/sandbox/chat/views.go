package chat

import (
	"encoding/json"
	"regexp"
	"time"
)

// view is a modal that somebody has open, or somebody's App Home.
type view struct {
	id, kind, user, externalID, hash string
	root, previous                   string
	raw                              obj // what the app sent, with ids filled in
	blocks                           []any
	values                           map[string]map[string]obj // what the person has typed: block, action, state
}

type trigger struct {
	user, view string
	born       time.Time
	used       bool
}

// Limits of views and triggers.
const (
	triggerLife   = 3 * time.Second
	viewSizeLimit = 250 << 10
	stackDepth    = 3
)

// newTrigger makes the trigger_id of an interaction of user, in view if it happened there. The caller holds mu.
func (w *Workspace) newTrigger(user, view string) string {
	now := w.clock()
	if len(w.triggers) > 1000 {
		for id, t := range w.triggers {
			if now.Sub(t.born) > time.Minute {
				delete(w.triggers, id)
			}
		}
	}
	w.serial["trigger"]++
	id := itoa(1_000_000+w.serial["trigger"]) + "." + itoa(int(now.Unix()%10_000_000_000)) + "." + ticket()
	w.triggers[id] = &trigger{user: user, view: view, born: now}
	return id
}

var triggerForm = regexp.MustCompile(`^\d+\.\d+\.[0-9a-z]+$`)

// exchange uses up the call's trigger_id.
func (c *call) exchange() (*trigger, error) {
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
	case c.now.Sub(t.born) > triggerLife:
		c.w.expiries++
		if s := c.w.cfg.ExpiredTrigger; s == ExpiredCode || s == ExpiredAlternating && c.w.expiries%2 == 1 {
			return nil, apiError("expired_trigger_id")
		}
		return nil, invalidArguments("[ERROR] `trigger_id` expired [json-pointer:/trigger_id]")
	}
	return t, nil
}

// viewArg reads and checks the view argument for a surface.
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

// checkView says whether Slack would take a view, and fills in the ids that are missing.
func (w *Workspace) checkView(o obj, on surface) ([]any, error) {
	if raw, err := json.Marshal(o); err != nil || len(raw) > viewSizeLimit {
		return nil, apiError("view_too_large")
	}
	k := &blockCheck{on: on}
	if want := map[surface]string{onModal: "modal", onHome: "home"}[on]; o["type"] != want {
		k.fail("/view/type", "must be one of: %s", want)
	}
	if on == onModal {
		k.wordsIn("/view", o, "title", true, true, 24)
		k.wordsIn("/view", o, "submit", false, true, 24)
		k.wordsIn("/view", o, "close", false, true, 24)
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

// takeExternal takes an external id for a view; it must be free.
func (w *Workspace) takeExternal(v *view, o obj) error {
	id, _ := o["external_id"].(string)
	if other := w.external[id]; id != "" && other != nil && other != v {
		return apiError("duplicate_external_id")
	}
	if v.externalID != id {
		delete(w.external, v.externalID)
	}
	if v.externalID = id; id != "" {
		w.external[id] = v
	}
	return nil
}

// newView files a checked view for a user.
func (w *Workspace) newView(user string, o obj, blocks []any) (*view, error) {
	v := &view{kind: o["type"].(string), user: user, values: map[string]map[string]obj{}}
	if err := w.takeExternal(v, o); err != nil {
		return nil, err
	}
	v.id = w.newID("V")
	v.root = v.id
	w.views[v.id] = v
	w.fill(v, o, blocks)
	return v, nil
}

// fill sets the content of a view, with a new hash. What was typed survives where block_id and action_id stay.
func (w *Workspace) fill(v *view, o obj, blocks []any) {
	v.raw, v.blocks = o, blocks
	kept := map[string]map[string]obj{}
	for id, actions := range v.values {
		for action, state := range actions {
			if _, e := (Action{ID: action, Block: id}).find(blocks); e != nil {
				remember(kept, id, action, state)
			}
		}
	}
	v.values = kept
	v.hash = itoa(int(w.clock().Unix())) + "." + w.shortID()
	w.touch()
}

func (w *Workspace) dropView(v *view) {
	delete(w.views, v.id)
	delete(w.external, v.externalID)
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
	t, err := c.exchange()
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
	t, err := c.exchange()
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

// push puts a checked view on top of a person's stack.
func (w *Workspace) push(user string, o obj, blocks []any) (*view, error) {
	stack := w.stacks[user]
	switch {
	case len(stack) == 0:
		return nil, apiError("not_found")
	case len(stack) >= stackDepth:
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
		v = c.w.external[c.str("external_id")]
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
	if err := c.w.takeExternal(v, o); err != nil {
		return nil, err
	}
	c.w.fill(v, o, blocks)
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
		if err := c.w.takeExternal(v, o); err != nil {
			return nil, err
		}
		c.w.fill(v, o, blocks)
	}
	c.applied = true
	return obj{"view": c.w.viewWire(v)}, nil
}

// topOf returns a person's view by id: the top modal of the stack, or the App Home.
func (w *Workspace) topOf(user, id string) *view {
	if v := w.homes[user]; v != nil && v.id == id {
		return v
	}
	if s := w.stacks[user]; len(s) > 0 && s[len(s)-1].id == id {
		return s[len(s)-1]
	}
	return nil
}
