package playbooks

import (
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"tocsin/bot/incident"
)

// phases lists the statuses a step may wait for.
func phases() []string {
	return words([]incident.Status{incident.Active, incident.Contained, incident.Resolved})
}

// reference is a step's id named in another step's `after`.
type reference struct {
	id string
	at *token.Position
}

// draft is a step as it is read, with the places that later checks point at.
type draft struct {
	incident.Step
	at    *token.Position
	after []reference
}

func (r *reader) steps(e entry, roles map[incident.Role]string) []incident.Step {
	var drafts []draft
	items := r.list(e)
	if seq, ok := e.value.(*ast.SequenceNode); ok && len(items) == 0 {
		r.errorAt(place(seq), "a playbook needs at least one step")
	}
	if len(items) > MaxSteps {
		r.errorAt(e.at, "a playbook has at most %d steps, this one has %d", MaxSteps, len(items))
	}
	for _, n := range items {
		drafts = append(drafts, r.step(n, roles))
	}
	r.references(drafts)
	out := make([]incident.Step, 0, len(drafts))
	for _, d := range drafts {
		out = append(out, d.Step)
	}
	return out
}

func (r *reader) step(n ast.Node, roles map[incident.Role]string) draft {
	d := draft{Step: incident.Step{Status: incident.StepOpen}, at: place(n)}
	has := map[string]entry{}
	for _, e := range r.mapping(n, "a step", "id", "title", "detail", "role", "action", "deadline", "after", "phase", "when") {
		has[e.key] = e
		switch e.key {
		case "id":
			d.ID, d.at = r.line(e.value, "id", 64), place(e.value)
			if d.ID != "" && !slug.MatchString(d.ID) {
				r.errorAt(d.at, "%q is no id; use a-z, 0-9 and single dashes, as in disable-key", d.ID)
			}
		case "title":
			d.Title = r.line(e.value, "title", MaxTitle)
		case "detail":
			d.Detail = r.text(e.value, "detail", MaxDetail)
		case "role":
			d.Role = r.role(e.value, roles)
		case "action":
			d.Action = r.action(e.value)
		case "deadline":
			d.Deadline = r.duration(e.value)
		case "after":
			for _, item := range r.list(e) {
				if id := r.line(item, "after", 64); id != "" {
					d.after, d.After = append(d.after, reference{id, place(item)}), append(d.After, id)
				}
			}
		case "phase":
			d.Phase = incident.Status(r.line(e.value, "phase", 32))
			if d.Phase != "" && !slices.Contains(phases(), string(d.Phase)) {
				r.errorAt(place(e.value), "%q is no phase%s", d.Phase, suggest(string(d.Phase), phases()))
			}
		case "when":
			d.When, _ = r.condition(e.value, "when", stepEnv{})
		}
	}
	for _, must := range []string{"id", "title"} {
		if _, ok := has[must]; !ok {
			r.errorAt(place(n), "a step needs %s", must)
		}
	}
	_, byRole := has["role"]
	_, byBot := has["action"]
	if byRole == byBot {
		r.errorAt(place(n), "a step has either a role that does it, or an action of the bot")
	}
	return d
}

func (r *reader) role(n ast.Node, roles map[incident.Role]string) incident.Role {
	role := incident.Role(r.line(n, "role", 32))
	if _, declared := roles[role]; role != "" && !declared {
		known := words(slices.Sorted(maps.Keys(roles)))
		if len(known) == 0 {
			r.errorAt(place(n), "the role %q is not declared under roles", role)
		} else {
			r.errorAt(place(n), "the role %q is not declared under roles%s", role, suggest(string(role), known))
		}
	}
	return role
}

// action reads {involve: legal}, {consult: payments, blocking: true}, {post: text}, ...
func (r *reader) action(n ast.Node) string {
	var a Action
	var blocking *token.Position
	kinds := 0
	for _, e := range r.mapping(n, "an action", append(Actions(), "blocking")...) {
		if e.key == "blocking" {
			a.Blocking, blocking = r.boolean(e.value, "blocking"), e.at
			continue
		}
		if kinds++; kinds > 1 {
			r.errorAt(e.at, "an action does one thing; %s is the second", e.key)
			continue
		}
		switch a.Kind = ActionKind(e.key); a.Kind {
		case ActionInvolve, ActionConsult:
			a.Team = r.team(e.value, e.key)
		default:
			a.Text = r.text(e.value, e.key, MaxDetail)
		}
	}
	if kinds == 0 {
		r.errorAt(place(n), "an action is one of %s", strings.Join(Actions(), ", "))
	}
	if blocking != nil && a.Kind != ActionConsult {
		r.errorAt(blocking, "only a consultation can be blocking")
	}
	return a.String()
}

// references checks ids and the order of steps.
func (r *reader) references(steps []draft) {
	var ids []string
	for _, s := range steps {
		if s.ID != "" && slices.Contains(ids, s.ID) {
			r.errorAt(s.at, "there are two steps with the id %q", s.ID)
		}
		if s.ID != "" {
			ids = append(ids, s.ID)
		}
	}
	for _, s := range steps {
		for n, ref := range s.after {
			switch {
			case ref.id == s.ID:
				r.errorAt(ref.at, "%q cannot come after itself", s.ID)
			case !slices.Contains(ids, ref.id):
				r.errorAt(ref.at, "there is no step %q%s", ref.id, suggest(ref.id, ids))
			case slices.Contains(s.After[:n], ref.id):
				r.errorAt(ref.at, "%q is named twice", ref.id)
			}
		}
	}
	r.cycles(steps)
}

// cycles names each circle of steps that wait for each other once, at its first step.
func (r *reader) cycles(steps []draft) {
	byID := map[string]draft{}
	for _, s := range steps {
		byID[s.ID] = s
	}
	const walking, walked = 1, 2
	state := map[string]int{}
	var way []string
	var walk func(s draft)
	walk = func(s draft) {
		state[s.ID] = walking
		way = append(way, s.ID)
		for _, ref := range s.after {
			next, ok := byID[ref.id]
			switch {
			case !ok || ref.id == s.ID || state[ref.id] == walked:
			case state[ref.id] == walking:
				circle := append(slices.Clone(way[slices.Index(way, ref.id):]), ref.id)
				r.errorAt(ref.at, "these steps wait for each other: %s", strings.Join(circle, " after "))
			default:
				walk(next)
			}
		}
		way = way[:len(way)-1]
		state[s.ID] = walked
	}
	for _, s := range steps {
		if state[s.ID] == 0 {
			walk(s)
		}
	}
}
