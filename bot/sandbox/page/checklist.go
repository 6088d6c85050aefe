package page

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/pager"
)

// task is an entry of the checklist for a first visit.
type task struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Text  string `json:"text"`
	Open  string `json:"open,omitempty"` // tool that the entry opens, or "" for the chat
	Need  int    `json:"need"`           // number of people who must do it
	Done  int    `json:"done"`

	// verbs are the action and callback ids and the words of commands that count. A
	// refused form does not count.
	verbs []string
}

// tasks is the checklist, in order. The first two entries also count what happens in
// the other systems.
var tasks = []task{
	{ID: "alert", Title: "Send an alert", Text: "The bot opens an incident, pages the responders and creates a private channel.", Open: "alerts", Need: 1},
	{ID: "acknowledge", Title: "Acknowledge the page", Text: "The bot pages until somebody acknowledges: in the pager, or with the button on the incident's card.", Open: "pager", Need: 1, verbs: []string{"ack"}},
	{ID: "roles", Title: "Give out a role", Text: "Take command or name a scribe: the card's menu, or type /incident role.", Need: 1, verbs: []string{"role", "assign_role", "command", "take_command", "handover"}},
	{ID: "step", Title: "Do a step of the playbook", Text: "The steps stand in a thread of the channel. Press Done and say what you found.", Need: 1, verbs: []string{"step_done", "step", "step_start", "step_skip"}},
	{ID: "fact", Title: "Record a fact", Text: "Such as: is personal data concerned? Legal deadlines start from facts.", Need: 1, verbs: []string{"fact", "set_fact"}},
	{ID: "contain", Title: "Contain the incident", Text: "Say how the damage was stopped.", Need: 1, verbs: []string{"contain"}},
	{ID: "resolve", Title: "Resolve the incident", Text: "The closing record opens with a draft.", Need: 1, verbs: []string{"resolve"}},
	{ID: "record", Title: "Submit the closing record", Text: "Complete the record and submit it for four signatures.", Need: 1, verbs: []string{"submit"}},
	{ID: "sign", Title: "Sign as four departments", Text: "Switch to one person of engineering, security, legal and communications each. No person can sign twice.", Need: 4, verbs: []string{"sign"}},
	{ID: "review", Title: "Hold the review", Text: "Schedule the meeting and conclude it. Then the incident is closed.", Open: "mail", Need: 1, verbs: []string{"conclude_review", "review_conclude", "conclude"}},
}

// deeds records who used which verb of the bot, in the workspace.
type deeds struct {
	mu sync.Mutex
	by map[string][]string // people by verb
}

// note records a delivery of the workspace that the bot accepted.
func (d *deeds) note(e chat.Entry) {
	if e.Delivery == nil || !e.Delivery.OK || e.Delivery.Kind == "event" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, verb := range verbsOf(*e.Delivery) {
		if !slices.Contains(d.by[verb], e.Delivery.User) {
			d.by[verb] = append(d.by[verb], e.Delivery.User)
		}
	}
}

// verbsOf returns the verbs of a command, a button or an accepted form.
func verbsOf(d chat.Delivery) []string {
	var in struct {
		Text    string `json:"text"`
		Actions []struct {
			ActionID string `json:"action_id"`
		} `json:"actions"`
		View struct {
			CallbackID string `json:"callback_id"`
		} `json:"view"`
	}
	if json.Unmarshal(d.Payload, &in) != nil {
		return nil
	}
	switch {
	case d.Kind == "command":
		words := strings.Fields(in.Text)
		return words[:min(1, len(words))]
	case d.Type == "block_actions":
		var out []string
		for _, a := range in.Actions {
			out = append(out, a.ActionID)
		}
		return out
	case d.Type == "view_submission" && !strings.Contains(d.Answer, `"errors"`):
		return []string{in.View.CallbackID}
	}
	return nil
}

// checklist returns the tasks with the number of people who did each.
func (p *Page) checklist() []task {
	out := slices.Clone(tasks)
	p.deeds.mu.Lock()
	for i := range out {
		var people []string
		for _, verb := range out[i].verbs {
			people = append(people, p.deeds.by[verb]...)
		}
		slices.Sort(people)
		out[i].Done = min(out[i].Need, len(slices.Compact(people)))
	}
	p.deeds.mu.Unlock()
	p.mu.Lock()
	sent := slices.ContainsFunc(p.sendLogs, func(s sendLog) bool { return s.Answers["202"] > 0 })
	p.mu.Unlock()
	incidents := p.cfg.Pager.Snapshot().Incidents
	acknowledged := slices.ContainsFunc(incidents, func(in pager.Incident) bool { return in.Status != pager.Triggered })
	for i := range out {
		if out[i].ID == "alert" && (sent || len(incidents) > 0) || out[i].ID == "acknowledge" && acknowledged {
			out[i].Done = out[i].Need
		}
	}
	return out
}
