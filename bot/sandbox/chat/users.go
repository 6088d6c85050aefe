package chat

import (
	"encoding/base64"
	"sort"
	"strconv"
	"strings"
	"time"
)

// addPerson adds or replaces a person. The caller holds mu, or no other goroutine uses the workspace yet.
func (w *Workspace) addPerson(p Person) {
	p.RealName = cmpOr(p.RealName, p.Name)
	p.TZ = cmpOr(p.TZ, "UTC")
	if w.people[p.ID] == nil {
		w.peopleIDs = append(w.peopleIDs, p.ID)
	}
	w.people[p.ID] = &p
	if p.Email != "" {
		w.byEmail[strings.ToLower(p.Email)] = p.ID
	}
}

// AddPerson adds a person to the workspace and queues the event team_join.
func (w *Workspace) AddPerson(p Person) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addPerson(p)
	w.emit("team_join", "users:read", obj{"user": w.userWire(w.people[p.ID])})
	w.touch()
}

// SetDeactivated deactivates or reactivates a person and queues the event user_change. Unknown ids are ignored.
func (w *Workspace) SetDeactivated(user string, off bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.people[user]; p != nil {
		p.Deactivated = off
		w.emit("user_change", "users:read", obj{"user": w.userWire(p)})
		w.touch()
	}
}

// SetGroupMembers replaces the members of a user group and queues the event subteam_members_changed. Unknown ids are
// ignored.
func (w *Workspace) SetGroupMembers(group string, members []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.group(group)
	if g == nil {
		return
	}
	before := g.Members
	g.Members = append([]string(nil), members...)
	added, removed := without(members, before), without(before, members)
	w.emit("subteam_members_changed", "usergroups:read", obj{"subteam_id": g.ID, "team_id": w.cfg.Team.ID,
		"added_users": added, "added_users_count": len(added), "removed_users": removed, "removed_users_count": len(removed)})
	w.touch()
}

func without(list, minus []string) []string {
	gone := map[string]bool{}
	for _, s := range minus {
		gone[s] = true
	}
	out := []string{}
	for _, s := range list {
		if !gone[s] {
			out = append(out, s)
		}
	}
	return out
}

func (w *Workspace) group(id string) *Group {
	for _, g := range w.groups {
		if g.ID == id {
			return g
		}
	}
	return nil
}

func (w *Workspace) userWire(p *Person) obj {
	offset := 0
	if loc, err := time.LoadLocation(p.TZ); err == nil {
		_, offset = w.clock().In(loc).Zone()
	}
	profile := obj{"real_name": p.RealName, "display_name": p.Name, "title": p.Title, "team": w.cfg.Team.ID}
	if w.scopes["users:read.email"] && p.Email != "" {
		profile["email"] = p.Email
	}
	u := obj{"id": p.ID, "team_id": w.cfg.Team.ID, "name": p.Name, "deleted": p.Deactivated, "is_bot": false, "profile": profile}
	if !p.Deactivated {
		u["real_name"], u["tz"], u["tz_offset"] = p.RealName, p.TZ, offset
		u["is_restricted"] = p.Guest != ""
		u["is_ultra_restricted"] = p.Guest == GuestSingle
		u["is_admin"], u["is_owner"], u["is_app_user"] = false, false, false
	}
	return u
}

func (w *Workspace) botWire() obj {
	b := w.cfg.Bot
	return obj{"id": b.UserID, "team_id": w.cfg.Team.ID, "name": b.Name, "real_name": b.Name, "deleted": false, "is_bot": true, "tz": "UTC",
		"profile": obj{"real_name": b.Name, "display_name": b.Name, "bot_id": b.BotID, "api_app_id": b.AppID, "team": w.cfg.Team.ID}}
}

func authTest(c *call) (obj, error) {
	cfg := c.w.cfg
	return obj{"url": "https://" + cfg.Team.Domain + ".slack.com/", "team": cfg.Team.Name, "user": cfg.Bot.Name, "team_id": cfg.Team.ID,
		"user_id": cfg.Bot.UserID, "bot_id": cfg.Bot.BotID, "is_enterprise_install": false}, nil
}

func teamInfo(c *call) (obj, error) {
	t := c.w.cfg.Team
	return obj{"team": obj{"id": t.ID, "name": t.Name, "domain": t.Domain, "email_domain": "", "icon": obj{"image_default": true}}}, nil
}

func botsInfo(c *call) (obj, error) {
	b := c.w.cfg.Bot
	if id := c.str("bot"); id != "" && id != b.BotID {
		return nil, apiError("bot_not_found")
	}
	return obj{"bot": obj{"id": b.BotID, "deleted": false, "name": b.Name, "app_id": b.AppID, "user_id": b.UserID, "icons": obj{}}}, nil
}

func usersInfo(c *call) (obj, error) {
	id := c.str("user")
	if id == c.w.cfg.Bot.UserID {
		return obj{"user": c.w.botWire()}, nil
	}
	p := c.w.people[id]
	if p == nil {
		return nil, apiError("user_not_found")
	}
	return obj{"user": c.w.userWire(p)}, nil
}

// maxUnpagedUsers is the number of users above which users.list requires a limit.
const maxUnpagedUsers = 1000

func usersList(c *call) (obj, error) {
	if len(c.w.peopleIDs) > maxUnpagedUsers && c.str("limit") == "" {
		return nil, apiError("limit_required")
	}
	ids, next, err := paginate(c, append([]string{c.w.cfg.Bot.UserID}, c.w.peopleIDs...), 1000)
	if err != nil {
		return nil, err
	}
	members := []obj{}
	for _, id := range ids {
		if p := c.w.people[id]; p != nil {
			members = append(members, c.w.userWire(p))
		} else {
			members = append(members, c.w.botWire())
		}
	}
	return obj{"members": members, "cache_ts": c.now.Unix(), "response_metadata": obj{"next_cursor": next}}, nil
}

func usersLookupByEmail(c *call) (obj, error) {
	p := c.w.people[c.w.byEmail[strings.ToLower(strings.TrimSpace(c.str("email")))]]
	if p == nil || p.Deactivated {
		return nil, apiError("users_not_found")
	}
	return obj{"user": c.w.userWire(p)}, nil
}

func usergroupsList(c *call) (obj, error) {
	out := []obj{}
	for _, g := range c.w.groups {
		if g.Disabled && !c.flag("include_disabled") {
			continue
		}
		o := obj{"id": g.ID, "team_id": c.w.cfg.Team.ID, "is_usergroup": true, "name": cmpOr(g.Name, g.Handle), "handle": g.Handle, "description": "",
			"is_external": false, "date_create": 0, "date_update": 0, "date_delete": 0, "prefs": obj{"channels": []string{}, "groups": []string{}}}
		if g.Disabled {
			o["date_delete"] = 1
		}
		if c.flag("include_users") {
			o["users"] = append([]string{}, g.Members...)
		}
		if c.flag("include_count") {
			o["user_count"] = len(g.Members)
		}
		out = append(out, o)
	}
	return obj{"usergroups": out}, nil
}

func usergroupsUsersList(c *call) (obj, error) {
	g := c.w.group(c.str("usergroup"))
	if g == nil || g.Disabled && !c.flag("include_disabled") {
		return nil, apiError("no_such_subteam")
	}
	return obj{"users": append([]string{}, g.Members...)}, nil
}

// paginate returns the page of ids that the limit and cursor of the call select, and the next cursor. A cursor contains
// the last id of the previous page, so it stays valid when ids are added. maxLimit is the largest limit allowed.
func paginate(c *call, ids []string, maxLimit int) (part []string, next string, err error) {
	limit := 100
	if s := c.str("limit"); s != "" && s != "0" {
		limit, err = strconv.Atoi(s)
		if err != nil || limit < 0 || limit > maxLimit {
			return nil, "", apiError("invalid_limit")
		}
	}
	start := 0
	if s := c.str("cursor"); s != "" {
		raw, err := base64.StdEncoding.DecodeString(s)
		after, ok := strings.CutPrefix(string(raw), "next:")
		if err != nil || !ok {
			return nil, "", apiError("invalid_cursor")
		}
		for i, id := range ids {
			if id == after {
				start = i + 1
			}
		}
		if start == 0 {
			return nil, "", apiError("invalid_cursor")
		}
	}
	end := min(len(ids), start+limit)
	part = ids[start:end]
	if end < len(ids) && len(part) > 0 {
		next = base64.StdEncoding.EncodeToString([]byte("next:" + part[len(part)-1]))
	}
	return part, next, nil
}

// People returns all people in order of name.
func (w *Workspace) People() []Person {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Person, 0, len(w.people))
	for _, p := range w.people {
		out = append(out, *p)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Groups returns all user groups.
func (w *Workspace) Groups() []Group {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Group, 0, len(w.groups))
	for _, g := range w.groups {
		c := *g
		c.Members = append([]string(nil), g.Members...)
		out = append(out, c)
	}
	return out
}
