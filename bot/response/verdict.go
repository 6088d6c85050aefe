package response

import (
	"fmt"
	"strings"

	"tocsin/bot/expression"
	"tocsin/bot/incident"
)

// verdict is the result of all conditions on one alert. It is decided before the
// transaction that ingests the alert, because conditions take time.
type verdict struct {
	position int  // of rule from 1, or 0 for the default rule
	rule     Rule // decides about the alert
	failed   []failedRule
	windows  map[int64]windowMatch // by id of the maintenance window
}

// failedRule is a rule whose condition failed on an alert.
type failedRule struct {
	position int
	err      error
}

// windowMatch is whether a maintenance window matches an alert. A window whose
// condition fails does not match.
type windowMatch struct {
	matches bool
	err     error
}

// route evaluates the rules for an alert, up to and including the first that
// matches. A condition fails, for example, if it reads a number from a tag without
// one. A failing rule may not hide an alert: it neither drops nor watches, and if
// its action does more than that of the rule that matches, it decides.
func (r *Routing) route(a incident.Alert) verdict {
	v := verdict{rule: defaultRule}
	if r == nil {
		return v
	}
	env := newAlertEnv(a)
	for n, rule := range r.rules {
		matches, err := r.matches(n, env)
		if err != nil {
			v.failed = append(v.failed, failedRule{n + 1, err})
			continue
		}
		if matches {
			v.position, v.rule = n+1, rule
			break
		}
	}
	for _, f := range v.failed {
		if rule := r.rules[f.position-1]; rule.rank() > v.rule.rank() {
			rule.RecurrenceWindow = 0 // a recurrence may be suppressed
			v.position, v.rule = f.position, rule
		}
	}
	return v
}

// matches evaluates the condition of a rule. The rules of a restored routing are
// compiled each time.
func (r *Routing) matches(n int, env alertEnv) (bool, error) {
	var program *expression.Program
	if n < len(r.programs) {
		program = r.programs[n]
	}
	if program == nil {
		var err error
		if program, err = compileCondition(r.rules[n].When); err != nil {
			return false, err
		}
	}
	return program.Matches(env)
}

// rank orders the actions of rules by how much they do.
func (r Rule) rank() int {
	switch {
	case r.Drop != "":
		return 0
	case r.Watch:
		return 1
	case r.Attach:
		return 2
	}
	for n, severity := range incident.Severities() {
		if severity == r.Open {
			return 10 - n
		}
	}
	return 3
}

// describe returns a line for each rule that failed, for the incident.
func (v verdict) describe() string {
	var lines []string
	for _, f := range v.failed {
		line := fmt.Sprintf("Routing rule %d failed on this alert: %s.", f.position, f.err)
		if f.position == v.position {
			line += fmt.Sprintf(" Its action applies, because a failing rule may not hide an alert: %s.", v.rule.describe())
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
