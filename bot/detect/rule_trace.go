package detect

import (
	"slices"
	"strconv"
	"strings"
)

// RuleTrace is a rule held against a record.
type RuleTrace struct {
	Rule     *Rule
	Hit      bool
	Compared []Comparison // for which it matches, or does not
	Counts   []*Rule      // the correlations that count its hits
}

// Comparison is one line of a rule, and what the record has there.
type Comparison struct {
	Field    string // with its modifiers, as the rule writes it; "" for keywords
	Line     int    // of the rule's file
	Expected string // what the rule compares with
	Actual   string // what the record has
	Negated  bool   // it stands under a not: the record must not have it
}

// Trace holds against a record every rule that asks for an event of its kind, and
// says of each why it matches or does not. others counts the rest: rules that ask
// for other events. It is made for people; Match is what is fast.
func (rs *Ruleset) Trace(r *Record) (tried []RuleTrace, others int) {
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
		tried = append(tried, t)
	}
	return tried, others
}

// canMatch reports whether the index leads from the record to the rule.
func (r *Rule) canMatch(rec *Record) bool {
	path := "eventName"
	texts, ok := needs(r.expr, path)
	if !ok {
		if path, texts = otherFieldNeeds(r.expr); path == "" {
			return true
		}
	}
	text, plain := rec.foldedField(path)
	return !plain || slices.ContainsFunc(texts, func(n need) bool {
		return string(text) == n.text || n.prefix && strings.HasPrefix(string(text), n.text)
	})
}

// decidingComparisons are the comparisons that give an expression its value.
func decidingComparisons(e expr, value, negated bool, r *Record) (out []Comparison) {
	// Of several, one that has the value decides is enough. Of what makes it false
	// all are told, of what makes it true the first.
	several := func(es []expr, decides bool) {
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
		several(e, false)
	case orExpr:
		several(e, true)
	case notExpr:
		return decidingComparisons(e.x, !value, !negated, r)
	case *item:
		return []Comparison{{Field: e.label, Line: e.line, Expected: e.expected(), Actual: r.actual(e.path), Negated: negated}}
	}
	return out
}

// expected says what a line of a rule compares with.
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
	for n, text := range it.source {
		if n == maxExpected {
			quoted = append(quoted, strconv.Itoa(len(it.source)-n)+" more")
			break
		}
		quoted = append(quoted, strconv.Quote(truncate(text)))
	}
	join := " or "
	if it.all {
		join = " and "
	}
	return strings.Join(quoted, join)
}

const (
	maxExpected  = 8   // values that are named
	maxActual    = 4   // values of a record that are named
	maxValueText = 200 // bytes of one
)

func truncate(s string) string {
	if len(s) <= maxValueText {
		return s
	}
	return strings.ToValidUTF8(s[:maxValueText], "") + "…"
}

// actual names the values at a path.
func (r *Record) actual(path string) string {
	if path == "" {
		return "the whole record"
	}
	var found []string
	r = r.recordFor(path)
	r.eachText(r.root, path, func(text []byte) bool {
		found = append(found, strconv.Quote(truncate(string(text))))
		return len(found) == maxActual
	})
	switch _, there := r.firstNode(r.root, path); {
	case len(found) > 0:
		return strings.Join(found, ", ")
	case there:
		return "null"
	}
	return "nothing"
}
