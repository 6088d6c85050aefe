package playbooks

import (
	"slices"
	"sync"
	"time"

	"tocsin/bot/incident"
)

// Due is a step whose time has come.
type Due struct {
	Run, Step string
	Bot       bool // the bot does it itself
	Late      bool // it was started and its deadline passed; else it is to be started
}

// Next says what is due now in the plans that were pinned: steps to start, and
// steps that were started and are late. A step is due when it was not started,
// the incident has reached its phase, its condition holds, and nothing it comes
// after is still to be done. A step whose condition does not hold is in nobody's
// way: what comes after it waits only for what comes before it.
func Next(inc incident.Incident, now time.Time) []Due {
	if !stepsRun(inc.Status) {
		return nil
	}
	var out []Due
	env := newStepEnv(inc)
	for n := range inc.Runs {
		p := plan{run: &inc.Runs[n], status: inc.Status, env: env, clear: map[string]bool{}}
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
			case p.due(s):
				out = append(out, due)
			}
		}
	}
	return out
}

// stepsRun reports whether the lifecycle lets steps start in a status.
func stepsRun(s incident.Status) bool {
	return slices.ContainsFunc(incident.Transitions, func(t incident.Transition) bool {
		return t.Verb == incident.VerbStartStep && slices.Contains(t.From, s)
	})
}

// plan is one run being looked at.
type plan struct {
	run    *incident.Run
	status incident.Status
	env    stepEnv
	clear  map[string]bool // by step; also keeps a broken plan from going round in circles
}

func (p *plan) due(s *incident.Step) bool {
	return reached(p.status, s.Phase) && p.conditionHolds(s) && p.dependenciesMet(s)
}

// dependenciesMet reports whether everything that s comes after is out of the way.
func (p *plan) dependenciesMet(s *incident.Step) bool {
	for _, id := range s.After {
		n := slices.IndexFunc(p.run.Plan, func(o incident.Step) bool { return o.ID == id })
		if n >= 0 && !p.dependencyMet(&p.run.Plan[n]) {
			return false
		}
	}
	return true
}

func (p *plan) dependencyMet(s *incident.Step) bool {
	if clear, known := p.clear[s.ID]; known {
		return clear
	}
	p.clear[s.ID] = false
	p.clear[s.ID] = s.Finished() || s.Started.IsZero() && !p.conditionHolds(s) && p.dependenciesMet(s)
	return p.clear[s.ID]
}

// conditionHolds evaluates the step's condition. One that cannot be evaluated counts as
// true: a step too many is looked at and skipped, a missing one is not missed.
func (p *plan) conditionHolds(s *incident.Step) bool {
	if s.When == "" {
		return true
	}
	c := compiledCondition(s.When)
	if c == nil {
		return true
	}
	yes, err := holds(c, p.env)
	return err != nil || yes
}

// reached reports whether the life has come as far as the phase.
func reached(status, phase incident.Status) bool {
	order := incident.Statuses()
	return phase == "" || slices.Index(order, status) >= slices.Index(order, phase)
}

// compiled keeps the conditions of pinned plans by their text. There are as
// many as playbooks ever had.
var compiled sync.Map

func compiledCondition(when string) condition {
	if c, ok := compiled.Load(when); ok {
		return c.(condition)
	}
	c, _ := compile(when, stepEnv{}) // checked when it was pinned; nil if a later version of the format dropped a name
	compiled.Store(when, c)
	return c
}
