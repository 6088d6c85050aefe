package incident

import (
	"cmp"
	"maps"
	"slices"
)

// Mark is a word under which lists find an incident. The store adds marks and removes none.
type Mark struct{ Kind, Value string }

// The kinds of marks.
const (
	MarkPerson     = "person"     // had a part: opened or acknowledged the incident, or had a role or an action item in it
	MarkReader     = "reader"     // got access
	MarkDepartment = "department" // may read the incident
	MarkSource     = "source"     // of an alert
	MarkPlaybook   = "playbook"   // that started
)

// Marks returns the marks of the incident, sorted and without duplicates. The readers are
// never fewer than the people without responders who may read the incident.
func (i Incident) Marks() []Mark {
	set := map[Mark]bool{}
	add := func(kind, value string) { set[Mark{kind, value}] = value != "" }
	for _, p := range append(slices.Collect(maps.Values(i.Roles)), i.OpenedBy, i.Paging.AcknowledgedBy) {
		add(MarkPerson, string(p))
	}
	for _, a := range i.Actions {
		add(MarkPerson, string(a.Owner))
	}
	for _, p := range i.Access {
		add(MarkReader, string(p))
	}
	for _, b := range i.BreakGlass {
		add(MarkReader, string(b.By))
	}
	for _, g := range i.Delegations {
		add(MarkReader, string(g.To))
	}
	for _, d := range i.departmentsWithAccess() {
		add(MarkDepartment, string(d))
	}
	for _, a := range i.Alerts {
		add(MarkSource, a.Source)
	}
	for _, r := range i.Runs {
		add(MarkPlaybook, r.Playbook)
	}
	maps.DeleteFunc(set, func(_ Mark, used bool) bool { return !used })
	return slices.SortedFunc(maps.Keys(set), func(a, b Mark) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value)) })
}
