package playbooks

import (
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"tocsin/bot/incident"
)

// phases returns the statuses that a step can wait for.
func phases() []string {
	return toStrings([]incident.Status{incident.Active, incident.Contained, incident.Resolved})
}

// reference is the ID of a step in the after list of another step.
type reference struct {
	id string
	at *token.Position
}

// stepDraft is a step and the positions that later checks report.
type stepDraft struct {
	incident.Step
	at    *token.Position
	after []reference
}

func (r *reader) steps(e entry, roles map[incident.Role]string) []incident.Step {
	var drafts []stepDraft
	items := r.list(e)
	if seq, ok := e.value.(*ast.SequenceNode); ok && len(items) == 0 {
		r.errorAt(startOf(seq), "steps is empty, add at least one step")
	}
	if len(items) > MaxSteps {
		r.errorAt(e.at, "the playbook has %d steps, reduce them to at most %d", len(items), MaxSteps)
	}
	for _, n := range items {
		drafts = append(drafts, r.step(n, roles))
	}
	r.checkReferences(drafts)
	out := make([]incident.Step, 0, len(drafts))
	for _, d := range drafts {
		out = append(out, d.Step)
	}
	return out
}

func (r *reader) step(n ast.Node, roles map[incident.Role]string) stepDraft {
	d := stepDraft{Step: incident.Step{Status: incident.StepOpen}, at: startOf(n)}
	has := map[string]entry{}
	for _, e := range r.mapping(n, "a step", "id", "title", "detail", "role", "action", "deadline", "after", "phase", "when") {
		has[e.key] = e
		switch e.key {
		case "id":
			d.ID, d.at = r.line(e.value, "id", 64), startOf(e.value)
			if d.ID != "" && !slugPattern.MatchString(d.ID) {
				r.errorAt(d.at, "invalid id %q, use a-z, 0-9 and single dashes, as in disable-key", d.ID)
			}
		case "title":
			d.Title = r.line(e.value, "title", MaxTitle)
		case "detail":
			d.Detail = r.text(e.value, "detail", MaxDetail)
			r.checkPlaceholders(e.value, d.Detail)
		case "role":
			d.Role = r.role(e.value, roles)
		case "action":
			d.Action = r.action(e.value)
		case "deadline":
			d.Deadline = r.duration(e.value)
		case "after":
			for _, item := range r.list(e) {
				if id := r.line(item, "after", 64); id != "" {
					d.after, d.After = append(d.after, reference{id, startOf(item)}), append(d.After, id)
				}
			}
		case "phase":
			d.Phase = incident.Status(r.line(e.value, "phase", 32))
			if d.Phase != "" && !slices.Contains(phases(), string(d.Phase)) {
				r.errorAt(startOf(e.value), "invalid phase %q%s", d.Phase, suggestion(string(d.Phase), phases()))
			}
		case "when":
			d.When, _ = r.condition(e.value, "when", stepEnv{})
		}
	}
	for _, key := range []string{"id", "title"} {
		if _, ok := has[key]; !ok {
			r.errorAt(startOf(n), "missing key %q, add it to the step", key)
		}
	}
	_, hasRole := has["role"]
	_, hasAction := has["action"]
	if hasRole == hasAction {
		r.errorAt(startOf(n), "a step must have either a role or an action, add or remove one")
	}
	return d
}

func (r *reader) role(n ast.Node, roles map[incident.Role]string) incident.Role {
	role := incident.Role(r.line(n, "role", 32))
	if _, declared := roles[role]; role != "" && !declared {
		known := toStrings(slices.Sorted(maps.Keys(roles)))
		if len(known) == 0 {
			r.errorAt(startOf(n), "role %q is not declared, add it under roles", role)
		} else {
			r.errorAt(startOf(n), "role %q is not declared under roles%s", role, suggestion(string(role), known))
		}
	}
	return role
}

// action reads {involve: legal}, {consult: payments, blocking: true}, {post: text}
// and similar. It returns the string form of the action.
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
			r.errorAt(e.at, "an action can do only one thing, move %s to another step", e.key)
			continue
		}
		switch a.Kind = ActionKind(e.key); a.Kind {
		case ActionInvolve, ActionConsult:
			a.Team = r.team(e.value, e.key)
		default:
			a.Text = r.text(e.value, e.key, MaxDetail)
			r.checkPlaceholders(e.value, a.Text)
		}
	}
	if kinds == 0 {
		r.errorAt(startOf(n), "the action is missing, use one of %s", strings.Join(Actions(), ", "))
	}
	if blocking != nil && a.Kind != ActionConsult {
		r.errorAt(blocking, "only consult can be blocking, remove blocking")
	}
	return a.String()
}

// checkReferences checks that step IDs are unique and that all after lists are
// valid.
func (r *reader) checkReferences(steps []stepDraft) {
	var ids []string
	for _, s := range steps {
		if s.ID != "" && slices.Contains(ids, s.ID) {
			r.errorAt(s.at, "duplicate step id %q, rename one of the steps", s.ID)
		}
		if s.ID != "" {
			ids = append(ids, s.ID)
		}
	}
	for _, s := range steps {
		for n, ref := range s.after {
			switch {
			case ref.id == s.ID:
				r.errorAt(ref.at, "step %q cannot wait for itself, remove it from after", s.ID)
			case !slices.Contains(ids, ref.id):
				r.errorAt(ref.at, "unknown step %q in after%s", ref.id, suggestion(ref.id, ids))
			case slices.Contains(s.After[:n], ref.id):
				r.errorAt(ref.at, "step %q is listed twice in after, remove one", ref.id)
			}
		}
	}
	r.checkCycles(steps)
}

// checkCycles reports each cycle of steps that wait for each other once, at the
// reference that closes it.
func (r *reader) checkCycles(steps []stepDraft) {
	byID := map[string]stepDraft{}
	for _, s := range steps {
		byID[s.ID] = s
	}
	const active, finished = 1, 2
	state := map[string]int{}
	var path []string
	var visit func(s stepDraft)
	visit = func(s stepDraft) {
		state[s.ID] = active
		path = append(path, s.ID)
		for _, ref := range s.after {
			next, ok := byID[ref.id]
			switch {
			case !ok || ref.id == s.ID || state[ref.id] == finished:
			case state[ref.id] == active:
				cycle := append(slices.Clone(path[slices.Index(path, ref.id):]), ref.id)
				r.errorAt(ref.at, "steps wait for each other (%s), remove one of these entries from after", strings.Join(cycle, " after "))
			default:
				visit(next)
			}
		}
		path = path[:len(path)-1]
		state[s.ID] = finished
	}
	for _, s := range steps {
		if state[s.ID] == 0 {
			visit(s)
		}
	}
}
