package response

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"tocsin/bot/expression"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// trace evaluates the rules for an alert, up to and including the first that
// matches.
func (r *Routing) trace(a incident.Alert) []incident.RuleTrace {
	var out []incident.RuleTrace
	if r != nil {
		env, decided := newAlertEnv(a), r.route(a)
		for n, rule := range r.rules {
			t := incident.RuleTrace{Index: n + 1, When: rule.When, Action: rule.describe()}
			matches, err := r.matches(n, env)
			switch {
			case err != nil:
				t.Failed, t.Applied = err.Error(), decided.position == n+1
			case matches:
				t.Matched = true
			}
			if !matches {
				t.Why = evaluateClauses(rule.When, env)
			}
			if out = append(out, t); matches {
				return out
			}
		}
	}
	return append(out, incident.RuleTrace{When: "no rule matches", Action: defaultRule.describe(), Matched: true})
}

// evaluateClauses evaluates each clause of a condition. It returns the clauses that
// are not true, with the values that they compare.
func evaluateClauses(when string, env alertEnv) (why []string) {
	clauses, err := expression.Clauses(when, env)
	if err != nil {
		return nil
	}
	for _, clause := range clauses {
		holds, err := false, clause.Err
		if err == nil {
			holds, err = clause.Program.Matches(env)
		}
		switch {
		case err != nil:
			why = append(why, fmt.Sprintf("%s failed: %v", clause.Text, err))
		case !holds:
			why = append(why, clause.Text+" is false"+comparedValues(clause.Reads, env))
		}
	}
	return why
}

// comparedValues returns the values of the alert that a clause uses, as ": a = 1,
// b = 2".
func comparedValues(reads []expression.Reference, env alertEnv) string {
	var values valueCollector
	for _, read := range reads {
		switch {
		case read.Keyed && read.Name == "tags":
			values.note(read.String(), env.Tags[read.Key])
		case read.Name != "tags":
			if v, ok := alertField(env, read.Name); ok {
				values.note(read.Name, v)
			}
		}
	}
	out := ""
	for k, value := range values.found {
		sep := ", "
		if k == 0 {
			sep = ": "
		}
		out += sep + value
	}
	return out
}

// valueCollector collects the values of an alert that a condition names.
type valueCollector struct{ found []string }

func (r *valueCollector) note(name string, value any) {
	shown := fmt.Sprintf("%s = %v", name, value)
	if s, ok := value.(string); ok {
		shown = name + " = " + strconv.Quote(text.Truncate(s, 200))
	}
	if !slices.Contains(r.found, shown) {
		r.found = append(r.found, shown)
	}
}

// alertField returns a field of the alert by its name in conditions, and whether
// it exists.
func alertField(env alertEnv, name string) (any, bool) {
	v := reflect.ValueOf(env)
	for n := range v.NumField() {
		if v.Type().Field(n).Tag.Get("expr") == name {
			return v.Field(n).Interface(), true
		}
	}
	return nil, false
}
