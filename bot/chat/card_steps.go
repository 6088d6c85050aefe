package chat

import (
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// The lines of the card about steps.

// maxCardSteps is the number of steps that the line of the first steps names.
const maxCardSteps = 2

// firstStepsLine names the first steps and their times.
func (m *builder) firstStepsLine() Text {
	steps := m.currentSteps()
	if len(steps) == 0 {
		if m.inc.Paging.Acknowledged() {
			return textf("Now: no step is open")
		}
		return textf("Now: no step is open. Press %s", Strong{"Acknowledge"})
	}
	var items List
	for _, s := range steps[:min(len(steps), maxCardSteps)] {
		items = append(items, m.stepBy(s))
	}
	if more := len(steps) - len(items); more > 0 {
		items = append(items, textf("%d more", more))
	}
	return textf("Now: %s", items)
}

func (m *builder) stepBy(s incident.Step) Text {
	switch due := dueAt(s); {
	case due.IsZero():
		return textf("%s", stepName(s))
	case s.Status == incident.StepLate, m.brief.Now.After(due):
		return textf("%s LATE since %s", stepName(s), m.clock(due))
	default:
		return textf("%s by %s", stepName(s), m.clock(due))
	}
}

// stepName returns the short name of a step, which is its ID without dashes.
func stepName(s incident.Step) Plain { return Plain(strings.ReplaceAll(s.ID, "-", " ")) }

// dueAt returns when a started step is due, or the zero time.
func dueAt(s incident.Step) time.Time {
	if s.Started.IsZero() || s.Deadline <= 0 {
		return time.Time{}
	}
	return s.Started.Add(s.Deadline)
}

// currentSteps returns the started steps of people, sorted by their deadline. Steps without
// a deadline are last.
func (m *builder) currentSteps() []incident.Step {
	var out []incident.Step
	for _, r := range m.inc.Runs {
		for _, s := range r.Plan {
			if s.Action == "" && !s.Started.IsZero() && !s.Finished() {
				out = append(out, s)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b incident.Step) int {
		x, y := dueAt(a), dueAt(b)
		switch {
		case x.IsZero() != y.IsZero() && x.IsZero():
			return 1
		case x.IsZero() != y.IsZero():
			return -1
		}
		return x.Compare(y)
	})
	return out
}
