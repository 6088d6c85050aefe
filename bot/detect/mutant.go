package detect

import (
	"fmt"
	"slices"
)

// mutant is a rule with one thing dropped.
type mutant struct {
	change string
	expr   expr
}

// mutants drops each operand and each value of a list in turn. At the top, the
// whole condition may go too.
func mutants(e expr, top bool) (out []mutant) {
	if _, isAll := e.(andExpr); top && !isAll {
		out = append(out, mutant{"without " + label(e), constExpr(true)})
	}
	switch e := e.(type) {
	case andExpr:
		out = append(out, operandMutants(e, func(es []expr) expr { return andExpr(es) })...)
	case orExpr:
		out = append(out, operandMutants(e, func(es []expr) expr { return orExpr(es) })...)
	case notExpr:
		for _, m := range mutants(e.x, false) {
			out = append(out, mutant{m.change, notExpr{m.expr}})
		}
	case *item:
		for i := range e.tests {
			if len(e.tests) == 1 {
				break
			}
			less := *e
			less.tests = slices.Delete(slices.Clone(e.tests), i, i+1)
			out = append(out, mutant{fmt.Sprintf("without value %d of %s", i+1, label(e)), &less})
		}
	}
	return out
}

func operandMutants(es []expr, join func([]expr) expr) (out []mutant) {
	for i, x := range es {
		out = append(out, mutant{"without " + label(x), join(slices.Delete(slices.Clone(es), i, i+1))})
		for _, m := range mutants(x, false) {
			other := slices.Clone(es)
			other[i] = m.expr
			out = append(out, mutant{m.change, join(other)})
		}
	}
	return out
}

// label names an expression for people.
func label(e expr) string {
	switch e := e.(type) {
	case *item:
		name := e.label
		if name == "" {
			name = "its keywords"
		}
		return fmt.Sprintf("%s (line %d)", name, e.line)
	case notExpr:
		return "not " + label(e.x)
	case andExpr:
		return label(e[0]) + " and what goes with it"
	case orExpr:
		return label(e[0]) + " and what stands beside it"
	}
	return "its condition"
}

// correlationMutant is a correlation that asks for less.
type correlationMutant struct {
	change      string
	correlation *Correlation
}

func correlationMutants(c *Correlation) (out []correlationMutant) {
	add := func(what string, change func(*Correlation)) {
		less := *c
		change(&less)
		out = append(out, correlationMutant{what, &less})
	}
	for i, field := range c.GroupBy {
		add("without group-by "+field, func(c *Correlation) { c.GroupBy = slices.Delete(slices.Clone(c.GroupBy), i, i+1) })
	}
	if c.MinCount > 1 {
		add("with a bound that is lower by one", func(c *Correlation) { c.MinCount-- })
	}
	add("with twice the timespan", func(c *Correlation) { c.Timespan *= 2 })
	if c.Type == "value_count" {
		add("without its field", func(c *Correlation) { c.Type, c.Values = "event_count", nil })
	}
	for i := range c.Rules {
		if len(c.Rules) > 1 && !c.temporal() {
			add("without the rule "+c.Rules[i].ID, func(c *Correlation) { c.Rules = slices.Delete(slices.Clone(c.Rules), i, i+1) })
		}
	}
	return out
}
