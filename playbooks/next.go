package playbooks

import (
	"slices"
	"sync"
	"time"

	"tocsin/bot/incident"
)

// Due is a step that must be started or that is late.
type Due struct {
	Run, Step string
	Bot       bool // the step is an action of the bot
	Late      bool // the step was started and its deadline has passed
}

// Next returns the steps that are due at time now. These are steps to start and
// started steps that became late.
//
// A step must be started if it was not started, the incident has reached its
// phase, its condition is true and it does not wait for another step. A step
// waits for the steps listed in After until they are done or skipped. A listed
// step that was not started and whose condition is false counts as done when it
// does not wait for another step. If the incident's status does not allow steps to
// start, Next returns nil.
func Next(inc incident.Incident, now time.Time) []Due {
	if !stepsMayStart(inc.Status) {
		return nil
	}
	var out []Due
	env := newStepEnv(inc)
	for n := range inc.Runs {
		p := runState{run: &inc.Runs[n], status: inc.Status, env: env, met: map[string]bool{}}
		for k := range p.run.Plan {
			s := &p.run.Plan[k]
			due := Due{Run: p.run.Playbook, Step: s.ID, Bot: s.Action != ""}
			switch {
			case s.Finished():
			case !s.Started.IsZero():
				due.Late = true
				if s.Status == incident.StepOpen && s.Deadline > 0 && !now.Before(s.Started.Add(s.Deadline)) {
					out = append(out, due)
				}
			case p.isDue(s):
				out = append(out, due)
			}
		}
	}
	return out
}

// stepsMayStart reports whether steps can be started in status s.
func stepsMayStart(s incident.Status) bool {
	return slices.ContainsFunc(incident.Transitions, func(t incident.Transition) bool {
		return t.Verb == incident.VerbStartStep && slices.Contains(t.From, s)
	})
}

// runState is one run during a call of Next.
type runState struct {
	run    *incident.Run
	status incident.Status
	env    stepEnv
	met    map[string]bool // by step ID, which also ends the recursion if a plan has a cycle
}

func (p *runState) isDue(s *incident.Step) bool {
	return phaseReached(p.status, s.Phase) && p.conditionHolds(s) && p.dependenciesMet(s)
}

// dependenciesMet reports whether every step that s waits for is met.
func (p *runState) dependenciesMet(s *incident.Step) bool {
	for _, id := range s.After {
		n := slices.IndexFunc(p.run.Plan, func(o incident.Step) bool { return o.ID == id })
		if n >= 0 && !p.dependencyMet(&p.run.Plan[n]) {
			return false
		}
	}
	return true
}

func (p *runState) dependencyMet(s *incident.Step) bool {
	if met, known := p.met[s.ID]; known {
		return met
	}
	p.met[s.ID] = false
	p.met[s.ID] = s.Finished() || s.Started.IsZero() && !p.conditionHolds(s) && p.dependenciesMet(s)
	return p.met[s.ID]
}

// conditionHolds reports whether the step's condition is true. It returns true
// if the condition cannot be evaluated, because a person can skip an extra step
// but would miss a hidden one.
func (p *runState) conditionHolds(s *incident.Step) bool {
	if s.When == "" {
		return true
	}
	c := compiledCondition(s.When)
	if c == nil {
		return true
	}
	value, err := evaluate(c, p.env)
	return err != nil || value
}

// phaseReached reports whether status is phase or a later one.
func phaseReached(status, phase incident.Status) bool {
	order := incident.Statuses()
	return phase == "" || slices.Index(order, status) >= slices.Index(order, phase)
}

// conditionCache maps the text of a condition to its compiled form. It grows to
// the number of conditions in all pinned plans.
var conditionCache sync.Map

func compiledCondition(when string) condition {
	if c, ok := conditionCache.Load(when); ok {
		return c.(condition)
	}
	c, _ := compile(when, stepEnv{}) // valid when it was pinned, but nil if a later version removed a name
	conditionCache.Store(when, c)
	return c
}
