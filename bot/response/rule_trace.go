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

// trace evaluates the rules for an alert, up to and including the first that
// matches.
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
	return append(out, incident.RuleTrace{When: "no rule matches", Action: defaultRule.describe(), Matched: true})
}

// evaluateClauses evaluates each clause of a condition. why lists the clauses
// that are not true, with the values that they compare.
func evaluateClauses(when string, env alertEnv) (matches bool, why []string) {
	tree, err := parser.Parse(when)
	if err != nil {
		return false, []string{"the condition does not parse: " + err.Error()}
	}
	for _, clause := range conjuncts(tree.Node) {
		text := clause.String()
		value, err := evaluate(text, env)
		switch {
		case err != nil:
			why = append(why, fmt.Sprintf("%s failed: %v", text, err))
		case !value:
			why = append(why, text+" is false"+comparedValues(clause, env))
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

// conjuncts returns the clauses of "a and b and c".
func conjuncts(n ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "&&" || b.Operator == "and") {
		return append(conjuncts(b.Left), conjuncts(b.Right)...)
	}
	return []ast.Node{n}
}

// comparedValues returns the values of the alert that a clause uses, as ": a = 1,
// b = 2".
func comparedValues(n ast.Node, env alertEnv) string {
	values := &valueCollector{env: env}
	ast.Walk(&n, values)
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
