package detect

import (
	"slices"
	"strconv"
	"strings"

	"tocsin/bot/text"
)

// RuleTrace explains how a rule evaluated to true or false for a record.
type RuleTrace struct {
	Rule     *Rule
	Hit      bool
	Compared []Comparison // the comparisons that decided the result
	Counts   []*Rule      // the correlations that count the hits of the rule
}

// Comparison is one line of a rule with the values of a record.
type Comparison struct {
	Field    string // field with modifiers as in the rule, or "" for keywords
	Line     int    // line in the rule's file
	Expected string // values of the rule
	Actual   string // values of the record
	Negated  bool   // the line is negated, so the record must not match it
}

// Trace evaluates the rules about single records that the index selects for r and
// explains each result. others is the number of rules for other events. Trace is
// much slower than [Ruleset.Match].
func (rs *Ruleset) Trace(r *Record) (traces []RuleTrace, others int) {
	for _, rule := range rs.rules {
		if !rule.canMatch(r) {
			others++
			continue
		}
		t := RuleTrace{Rule: rule, Hit: rule.expr.eval(r)}
		t.Compared = decidingComparisons(rule.expr, t.Hit, false, r)
		slices.SortStableFunc(t.Compared, func(a, b Comparison) int { return a.Line - b.Line })
		for _, f := range rule.feeds {
			t.Counts = append(t.Counts, f.to)
		}
		traces = append(traces, t)
	}
	return traces, others
}

// canMatch reports whether the index selects the rule for the record.
func (r *Rule) canMatch(rec *Record) bool {
	path := "eventName"
	texts, ok := needs(r.expr, path)
	if !ok {
		if path, texts = otherFieldNeeds(r.expr); path == "" {
			return true
		}
	}
	text, scalar := rec.foldedField(path)
	return !scalar || slices.ContainsFunc(texts, func(n need) bool {
		return string(text) == n.text || n.prefix && strings.HasPrefix(string(text), n.text)
	})
}

// decidingComparisons returns the comparisons that decide the value of e. value is
// that value, and negated is true if e is under an odd number of nots.
func decidingComparisons(e expr, value, negated bool, r *Record) (out []Comparison) {
	// An operand with the value decides settles the result. A false and lists all of
	// these operands, a true or only the first. Otherwise all operands are listed.
	operands := func(es []expr, decides bool) {
		for _, x := range es {
			if value == decides && x.eval(r) != decides {
				continue
			}
			out = append(out, decidingComparisons(x, value, negated, r)...)
			if value && decides {
				return
			}
		}
	}
	switch e := e.(type) {
	case andExpr:
		operands(e, false)
	case orExpr:
		operands(e, true)
	case notExpr:
		return decidingComparisons(e.x, !value, !negated, r)
	case *item:
		return []Comparison{{Field: e.label, Line: e.line, Expected: e.expected(), Actual: r.actual(e.path), Negated: negated}}
	}
	return out
}

// expected describes the values of an item.
func (it *item) expected() string {
	switch it.op {
	case opExists:
		return strconv.FormatBool(it.want)
	case opNull:
		return "null"
	case opFieldref:
		return "the field " + it.ref.path
	}
	quoted := make([]string, 0, maxExpected+1)
	for n, value := range it.source {
		if n == maxExpected {
			quoted = append(quoted, strconv.Itoa(len(it.source)-n)+" more")
			break
		}
		quoted = append(quoted, strconv.Quote(text.Truncate(value, maxValueText)))
	}
	join := " or "
	if it.all {
		join = " and "
	}
	return strings.Join(quoted, join)
}

const (
	maxExpected  = 8   // listed values of a rule
	maxActual    = 4   // listed values of a record
	maxValueText = 200 // characters of a listed value
)

// actual describes the values at a path.
func (r *Record) actual(path string) string {
	if path == "" {
		return "the whole record"
	}
	var found []string
	r = r.recordFor(path)
	r.eachText(r.root, path, func(value []byte) bool {
		found = append(found, strconv.Quote(text.Truncate(string(value), maxValueText)))
		return len(found) == maxActual
	})
	switch _, there := r.firstNode(r.root, path); {
	case len(found) > 0:
		return strings.Join(found, ", ")
	case there:
		return "null"
	}
	return "no value"
}
