package page

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

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
	// refused form does not count. Neither does a button or command that only opens a
	// form.
	verbs []string
}

// tasks is the checklist, in order. The first two entries also count what happens in
// the other systems.
var tasks = []task{
	{ID: "alert", Title: "Send an alert", Text: "The bot opens an incident, pages the responders and creates a private channel.", Open: "alerts", Need: 1},
	{ID: "acknowledge", Title: "Acknowledge the page", Text: "The bot pages until a responder acknowledges in the pager, or with the button on the card of the incident.", Open: "pager", Need: 1, verbs: []string{"ack"}},
	{ID: "roles", Title: "Give out a role", Text: "Type /incident role, then choose the role and the person.", Need: 1, verbs: []string{"role", "assign_role", "command", "take_command", "handover"}},
	{ID: "step", Title: "Do a step of the playbook", Text: "Open the checklist in the channel, press Done and write the result.", Need: 1, verbs: []string{"step_done", "step", "step_start", "step_skip"}},
	{ID: "fact", Title: "Record a fact", Text: "Set whether personal data is concerned. Legal deadlines start from facts.", Need: 1, verbs: []string{"fact", "set_fact"}},
	{ID: "contain", Title: "Contain the incident", Text: "Write how the damage was stopped.", Need: 1, verbs: []string{"contain"}},
	{ID: "resolve", Title: "Resolve the incident", Text: "The closing record opens with a draft.", Need: 1, verbs: []string{"resolve"}},
	{ID: "record", Title: "Submit the closing record", Text: "Complete the record and submit it for four signatures.", Need: 1, verbs: []string{"submit"}},
	{ID: "sign", Title: "Sign as four departments", Text: "Switch to one person of engineering, security, legal and communications each. No person can sign twice.", Need: 4, verbs: []string{"sign"}},
	{ID: "review", Title: "Hold the review", Text: "Schedule the meeting and conclude it. Then the incident is closed.", Open: "mail", Need: 1, verbs: []string{"conclude_review", "review_conclude", "conclude"}},
}

// deeds records who used which verb of the bot, in the workspace.
type deeds struct {
	mu      sync.Mutex
	by      map[string][]string // people by verb
	pressed map[string]press    // buttons and commands that may still open a form, by trigger
	opened  map[string]bool     // triggers that opened a form
}

// press is a button that a person pressed, or a command that a person typed.
type press struct {
	user string
	verb string
	at   time.Time
}

// formDelay is how long the bot may take to open a form. After that, the button or
// command counts as the deed itself.
const formDelay = time.Second

// maxPressed is the number of triggers that deeds remembers.
const maxPressed = 1000

func newDeeds() *deeds {
	return &deeds{by: map[string][]string{}, pressed: map[string]press{}, opened: map[string]bool{}}
}

// note records what the workspace delivered to the bot, and the forms that the bot
// opened.
func (d *deeds) note(e chat.Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case e.Call != nil && e.Call.OK && (e.Call.Method == "views.open" || e.Call.Method == "views.push"):
		trigger, _ := e.Call.Args["trigger_id"].(string)
		delete(d.pressed, trigger)
		if len(d.opened) > maxPressed {
			clear(d.opened)
		}
		d.opened[trigger] = true
	case e.Delivery != nil && e.Delivery.OK && e.Delivery.Kind != "event":
		d.deliver(*e.Delivery)
	}
}

// deliver records the verb of a command, a button or an accepted form. The caller holds
// mu.
func (d *deeds) deliver(one chat.Delivery) {
	var in struct {
		Text    string `json:"text"`
		Actions []struct {
			ActionID string `json:"action_id"`
		} `json:"actions"`
		View struct {
			CallbackID string `json:"callback_id"`
		} `json:"view"`
	}
	if json.Unmarshal(one.Payload, &in) != nil {
		return
	}
	words, verb := strings.Fields(in.Text), ""
	switch {
	case one.Kind == "command" && len(words) > 0:
		verb = words[0]
	case one.Type == "block_actions" && len(in.Actions) > 0:
		verb = in.Actions[0].ActionID
	case one.Type == "view_submission" && !strings.Contains(one.Answer, `"errors"`):
		d.did(in.View.CallbackID, one.User)
	}
	if verb != "" && !d.opened[one.ID] && len(d.pressed) < maxPressed {
		d.pressed[one.ID] = press{one.User, verb, one.Time}
	}
}

func (d *deeds) did(verb, user string) {
	if !slices.Contains(d.by[verb], user) {
		d.by[verb] = append(d.by[verb], user)
	}
}

// people returns the number of people who used one of the verbs.
func (d *deeds) people(now time.Time, verbs []string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	for trigger, p := range d.pressed {
		if now.Sub(p.at) >= formDelay {
			d.did(p.verb, p.user)
			delete(d.pressed, trigger)
		}
	}
	var out []string
	for _, verb := range verbs {
		out = append(out, d.by[verb]...)
	}
	slices.Sort(out)
	return len(slices.Compact(out))
}

// checklist returns the tasks with the number of people who did each.
func (p *Page) checklist() []task {
	out := slices.Clone(tasks)
	for i := range out {
		out[i].Done = min(out[i].Need, p.deeds.people(p.cfg.Now(), out[i].verbs))
	}
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
