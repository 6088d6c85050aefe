package expression

import (
	"reflect"
	"strings"
	"sync"

	"github.com/expr-lang/expr/ast"
)

// Costs in steps. BenchmarkWorst measures that each is at least the time in
// nanoseconds on a slow machine.
const (
	runSteps     = 500 // starting a program
	nodeSteps    = 60  // one node
	memberSteps  = 150 // reading a field of a map
	stateSteps   = 5   // one instruction of a pattern on one character
	caseSteps    = 16  // changing the case of one byte
	elementSteps = 60  // one element of a list
	deepSteps    = 25  // comparing or printing one unit of [value].total
	compareBytes = 4   // bytes of two texts compared in one step
	pieceSteps   = 20  // one piece of a text that split or replace makes
	minSteps     = runSteps + nodeSteps
	maxSize      = 1 << 40 // of every size, so that products do not overflow
)

// Sizes that the check at compile time assumes.
const (
	assumedText = 200  // characters of a text
	assumedLong = 1000 // characters of a text in a field with the tag size:"long"
	assumedList = 32   // elements of each list and map
)

// estimator computes the cost of an expression without evaluating it. It visits
// each node as often as the evaluation does.
type estimator struct {
	env      reflect.Value
	fields   map[string]int // of env, by name
	assumed  bool           // only the types of env are known
	patterns map[string]int
	steps    int
	work     int // steps of the computation itself
	limit    int
	element  value // of the list of the predicate
	vars     []variable
}

type variable struct {
	name  string
	value value
}

var fieldIndex sync.Map // by type

// fieldsOf returns the indices of the fields of a struct by their names in
// expressions.
func fieldsOf(t reflect.Type) map[string]int {
	if cached, ok := fieldIndex.Load(t); ok {
		return cached.(map[string]int)
	}
	out := map[string]int{}
	for n := range t.NumField() {
		if name := t.Field(n).Tag.Get("expr"); name != "" {
			out[name] = n
		}
	}
	fieldIndex.Store(t, out)
	return out
}

func (p *Program) estimator(env any, limit int) *estimator {
	v := reflect.ValueOf(env)
	return &estimator{env: v, fields: fieldsOf(v.Type()), patterns: p.patterns, limit: limit}
}

// assumedCost returns the cost on values of the assumed sizes. It stops above the
// limit.
func (p *Program) assumedCost(env any, limit int) int {
	e := p.estimator(env, limit)
	e.assumed = true
	e.charge(runSteps)
	e.visit(p.node)
	return e.steps
}

func (e *estimator) exceeded() bool { return e.steps > e.limit }

func (e *estimator) charge(steps int) { e.steps = min(e.steps+max(steps, 0), maxSize) }

// product multiplies two sizes without an overflow.
func product(a, b int) int {
	if a != 0 && b > maxSize/a {
		return maxSize
	}
	return min(a*b, maxSize)
}

func (e *estimator) visit(n ast.Node) value {
	e.work += nodeSteps
	e.charge(nodeSteps)
	if e.exceeded() {
		return value{}
	}
	switch n := n.(type) {
	case *ast.StringNode:
		return known(n.Value)
	case *ast.IntegerNode:
		return known(n.Value)
	case *ast.NilNode:
		return known(nil)
	case *ast.IdentifierNode:
		return e.identifier(n.Value)
	case *ast.PointerNode:
		if n.Name != "" {
			return number
		}
		return e.element
	case *ast.PredicateNode:
		return e.visit(n.Node)
	case *ast.ChainNode:
		return e.visit(n.Node)
	case *ast.UnaryNode:
		e.visit(n.Node)
		return number
	case *ast.BinaryNode:
		return e.binary(n)
	case *ast.MemberNode:
		return e.member(n)
	case *ast.SliceNode:
		return e.slice(n)
	case *ast.ConditionalNode:
		e.visit(n.Cond)
		return join(e.bound(e.visit(n.Exp1)), e.bound(e.visit(n.Exp2)))
	case *ast.VariableDeclaratorNode:
		e.vars = append(e.vars, variable{n.Name, e.visit(n.Value)})
		out := e.visit(n.Expr)
		e.vars = e.vars[:len(e.vars)-1]
		return out
	case *ast.ArrayNode:
		return e.literal(n.Nodes)
	case *ast.MapNode:
		return e.literal(n.Pairs)
	case *ast.PairNode:
		key, item := e.bound(e.visit(n.Key)), e.bound(e.visit(n.Value))
		e.charge(memberSteps + key.text)
		return value{text: max(key.text, item.text), total: key.total + item.total, list: item.list}
	case *ast.BuiltinNode:
		return e.function(n)
	}
	return number
}

// literal returns the bound of a list or map in the expression.
func (e *estimator) literal(nodes []ast.Node) value {
	out := value{list: len(nodes), total: elementSize}
	for _, node := range nodes {
		item := e.bound(e.visit(node))
		e.charge(elementSteps)
		out.text, out.list = max(out.text, item.text), max(out.list, item.list)
		out.total = min(out.total+item.total+elementSize, maxSize)
	}
	return out
}

func (e *estimator) identifier(name string) value {
	for n := len(e.vars) - 1; n >= 0; n-- {
		if e.vars[n].name == name {
			return e.vars[n].value
		}
	}
	field, ok := e.fields[name]
	if !ok {
		return number
	}
	if e.assumed {
		return assumedValue(e.env.Type().Field(field))
	}
	return known(e.env.Field(field).Interface())
}

// assumedValue returns the bound that the check at compile time assumes.
func assumedValue(f reflect.StructField) value {
	switch f.Type.Kind() {
	case reflect.String:
		if f.Tag.Get("size") == "long" {
			return scalar(assumedLong)
		}
		return scalar(assumedText)
	case reflect.Bool, reflect.Int:
		return number
	}
	return value{text: assumedText, total: assumedList * (assumedText + elementSize), list: assumedList}
}

func (e *estimator) member(n *ast.MemberNode) value {
	from, key := e.visit(n.Node), e.visit(n.Property)
	e.charge(memberSteps + key.text)
	if from.known && key.known {
		if v, ok := fetch(from.v, key.v); ok {
			return known(v)
		}
	}
	return e.bound(from)
}

// fetch returns from[key], and whether the estimator can tell.
func fetch(from, key any) (any, bool) {
	name, isName := key.(string)
	index, isIndex := key.(int)
	at := func(length int) bool {
		if index < 0 {
			index += length
		}
		return isIndex && index >= 0 && index < length
	}
	switch v := from.(type) {
	case map[string]any:
		return v[name], isName
	case map[string]string:
		return v[name], isName
	case []any:
		if at(len(v)) {
			return v[index], true
		}
	case []string:
		if at(len(v)) {
			return v[index], true
		}
	}
	return nil, from == nil
}

func (e *estimator) slice(n *ast.SliceNode) value {
	out := e.visit(n.Node)
	for _, bound := range []ast.Node{n.From, n.To} {
		if bound != nil {
			e.visit(bound)
		}
	}
	e.charge(memberSteps)
	return e.bound(out)
}

func (e *estimator) binary(n *ast.BinaryNode) value {
	a, b := e.visit(n.Left), e.visit(n.Right)
	switch n.Operator {
	case "matches":
		if pattern, ok := n.Right.(*ast.StringNode); ok {
			e.charge(product(runesOf(a)+1, (e.patterns[pattern.Value]+4)*stateSteps))
		}
	case "contains":
		e.search(a, b)
	case "startsWith", "endsWith":
		e.charge(min(textOf(a), textOf(b)) / compareBytes)
	case "==", "!=":
		e.equal(a, b)
	case "<", "<=", ">", ">=":
		e.charge(min(textOf(a), textOf(b)) / compareBytes)
	case "in":
		e.in(a, b)
	case "+":
		out := scalar(min(textOf(a)+textOf(b), maxSize))
		e.charge(out.text + elementSteps)
		return out
	case "??":
		switch {
		case a.known && a.v != nil:
			return a
		case a.known:
			return b
		}
		return join(e.bound(a), e.bound(b))
	}
	return number
}

// search charges a search of b in a. A repetitive text makes a search for a long
// text slow.
func (e *estimator) search(a, b value) { e.charge(product(textOf(a), 2+textOf(b)/64)) }

// equal charges a comparison of two values.
func (e *estimator) equal(a, b value) {
	if a.scalar || b.scalar {
		e.charge(min(textOf(a), textOf(b)) / compareBytes)
		return
	}
	e.charge(product(min(e.bound(a).total, e.bound(b).total), deepSteps))
}

// in charges a search of an element in a list, or of a key in a map.
func (e *estimator) in(a, b value) {
	switch b.v.(type) {
	case map[string]any, map[string]string:
		e.charge(memberSteps + textOf(a))
		return
	}
	b = e.bound(b)
	each := a.text
	if !a.scalar {
		each = product(e.bound(a).total, deepSteps)
	}
	e.charge(product(b.list, elementSteps+min(each, b.text)/compareBytes))
	if !a.scalar {
		e.charge(product(b.total, deepSteps))
	}
}

// isFunction reports whether a name is one of a list of names.
func isFunction(name, list string) bool { return strings.Contains(" "+list+" ", " "+name+" ") }
