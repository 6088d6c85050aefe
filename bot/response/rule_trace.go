package response

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"tocsin/bot/incident"
)

// trace holds the rules against an alert, up to the one that decides.
func (r *Routing) trace(a incident.Alert) []incident.RuleTrace {
	var out []incident.RuleTrace
	if r != nil {
		env := newAlertEnv(a)
		for n, rule := range r.rules {
			t := incident.RuleTrace{Index: n + 1, When: rule.When, Action: rule.describe()}
			t.Matched, t.Why = evaluateClauses(rule.When, env)
			out = append(out, t)
			if t.Matched {
				return out
			}
		}
	}
	return append(out, incident.RuleTrace{When: "no rule fits", Action: defaultRule.describe(), Matched: true})
}

// evaluateClauses evaluates a condition. Where it is not true, why names each of its
// parts that is not, with the values that the part compared.
func evaluateClauses(when string, env alertEnv) (fits bool, why []string) {
	tree, err := parser.Parse(when)
	if err != nil {
		return false, []string{"it cannot be read any more: " + err.Error()}
	}
	for _, part := range conjuncts(tree.Node) {
		text := part.String()
		value, err := evaluate(text, env)
		switch {
		case err != nil:
			why = append(why, fmt.Sprintf("%s cannot be computed: %v", text, err))
		case !value:
			why = append(why, text+" is false"+comparedValues(part, env))
		}
	}
	return len(why) == 0, why
}

func evaluate(text string, env alertEnv) (bool, error) {
	program, err := compileCondition(text)
	if err != nil {
		return false, err
	}
	value, err := expr.Run(program, env)
	return value == true, err
}

// conjuncts takes "a and b and c" apart.
func conjuncts(n ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "&&" || b.Operator == "and") {
		return append(conjuncts(b.Left), conjuncts(b.Right)...)
	}
	return []ast.Node{n}
}

// comparedValues lists what a part of a condition reads of the alert.
func comparedValues(n ast.Node, env alertEnv) string {
	seen := &valueCollector{env: env}
	ast.Walk(&n, seen)
	out := ""
	for k, read := range seen.found {
		sep := ", "
		if k == 0 {
			sep = ": "
		}
		out += sep + read
	}
	return out
}

// valueCollector collects the values of an alert that a condition names.
type valueCollector struct {
	env   alertEnv
	found []string
}

// Visit implements ast.Visitor.
func (r *valueCollector) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.MemberNode:
		of, ok := n.Node.(*ast.IdentifierNode)
		key, literal := n.Property.(*ast.StringNode)
		if ok && of.Value == "tags" && literal {
			r.note("tags["+strconv.Quote(key.Value)+"]", r.env.Tags[key.Value])
		}
	case *ast.IdentifierNode:
		if n.Value != "tags" {
			if v, ok := alertField(r.env, n.Value); ok {
				r.note(n.Value, v)
			}
		}
	}
}

func (r *valueCollector) note(name string, value any) {
	text := fmt.Sprintf("%s = %v", name, value)
	if s, ok := value.(string); ok {
		text = name + " = " + strconv.Quote(truncateTo(s, 200))
	}
	if !slices.Contains(r.found, text) {
		r.found = append(r.found, text)
	}
}

// alertField reads a field of the alert by the name it has in conditions.
func alertField(env alertEnv, name string) (any, bool) {
	v := reflect.ValueOf(env)
	for n := range v.NumField() {
		if v.Type().Field(n).Tag.Get("expr") == name {
			return v.Field(n).Interface(), true
		}
	}
	return nil, false
}
