package incident

import (
	"cmp"
	"slices"
	"time"
)

// ActionItem is an action item in a list over several incidents.
type ActionItem struct {
	Incident ID `json:"incident"`
	Action
	MayFinish bool `json:"may_finish,omitempty"` // the reader may complete it now
}

// The scopes of [Overview.ListActions].
const (
	ActionsMy      = "my"      // the open action items of the person
	ActionsOverdue = "overdue" // the open ones whose due day has passed
	ActionsAll     = "all"
)

// ActionScopes returns all scopes.
func ActionScopes() []string { return []string{ActionsMy, ActionsOverdue, ActionsAll} }

// ActionItems returns the action items of the incident for a list that the actor of env
// reads.
func (i Incident) ActionItems(env Env) []ActionItem {
	var out []ActionItem
	for _, a := range i.Actions {
		_, err := Decide(Command{For: i.ID, Verb: VerbFinishAction, Item: a.ID}, i, env)
		out = append(out, ActionItem{Incident: i.ID, Action: a, MayFinish: !a.IsDone() && err == nil})
	}
	return out
}

// SortActions sorts action items: the open ones by due date, then those that were done,
// the last one first.
func SortActions(items []ActionItem) {
	slices.SortStableFunc(items, func(a, b ActionItem) int {
		switch {
		case a.IsDone() != b.IsDone():
			if a.IsDone() {
				return 1
			}
			return -1
		case a.IsDone():
			return cmp.Or(b.Done.Compare(a.Done), cmp.Compare(a.Incident, b.Incident))
		}
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Incident, b.Incident))
	})
}

// ListActions returns the action items of a scope or, if the scope is empty, those of one
// incident.
func (v Overview) ListActions(scope string, id ID, now time.Time) []ActionItem {
	return slices.DeleteFunc(slices.Clone(v.Actions), func(a ActionItem) bool {
		switch scope {
		case ActionsMy:
			return a.IsDone() || a.Owner != v.Person
		case ActionsOverdue:
			return a.IsDone() || a.DaysLeft(now) >= 0
		case ActionsAll:
			return false
		}
		return a.Incident != id
	})
}
