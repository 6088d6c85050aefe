package detect

import (
	"fmt"
	"slices"
)

// mutant is the condition of a rule with one part removed.
type mutant struct {
	change string
	expr   expr
}

// mutants returns a mutant for each operand and each value of a list. With top, it
// also removes the whole condition.
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

// label describes an expression in messages.
func label(e expr) string {
	switch e := e.(type) {
	case *item:
		name := e.label
		if name == "" {
			name = "the keywords"
		}
		return fmt.Sprintf("%s (line %d)", name, e.line)
	case notExpr:
		return "not " + label(e.x)
	case andExpr:
		return label(e[0]) + " and the items joined to it by and"
	case orExpr:
		return label(e[0]) + " and the items joined to it by or"
	}
	return "the condition"
}

// correlationMutant is a correlation with a weaker condition.
type correlationMutant struct {
	change      string
	correlation *Correlation
}

func correlationMutants(c *Correlation) (out []correlationMutant) {
	add := func(change string, apply func(*Correlation)) {
		weaker := *c
		apply(&weaker)
		out = append(out, correlationMutant{change, &weaker})
	}
	for i, field := range c.GroupBy {
		add("without group-by "+field, func(c *Correlation) { c.GroupBy = slices.Delete(slices.Clone(c.GroupBy), i, i+1) })
	}
	if c.MinCount > 1 {
		add("with a lower bound reduced by one", func(c *Correlation) { c.MinCount-- })
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
