package expression

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// Truth is the value of a condition of which only some parts are known.
type Truth int

// The values of a condition.
const (
	Unknown Truth = iota
	False
	True
)

func truthOf(b bool) Truth {
	if b {
		return True
	}
	return False
}

func (t Truth) not() Truth {
	switch t {
	case True:
		return False
	case False:
		return True
	}
	return Unknown
}

// Variable is a part of a condition that is compared with constant texts, or that is
// true or false. It stands for itself: equal parts are one variable.
type Variable struct {
	Name  string   // as written in an expression
	Texts []string // compared texts, nil if the variable is true or false
}

// Logic is a condition as a combination of variables. It finds conditions that can
// never be true. It is safe for concurrent use.
type Logic struct {
	node      ast.Node
	Variables []Variable // in the order of the source
}

// NewLogic returns the logic of a condition, or nil for one that does not parse or is too
// large.
func NewLogic(source string) *Logic {
	if len(source) > MaxSource {
		return nil
	}
	node, err := parse(source, options)
	if err != nil {
		return nil
	}
	l := &Logic{node: node}
	l.collect(node)
	return l
}

// collect adds the variables of a node.
func (l *Logic) collect(n ast.Node) {
	if left, right, _, ok := connective(n); ok {
		l.collect(left)
		l.collect(right)
		return
	}
	if inner, ok := negated(n); ok {
		l.collect(inner)
		return
	}
	if _, ok := n.(*ast.BoolNode); ok {
		return
	}
	name, texts := comparison(n)
	at := slices.IndexFunc(l.Variables, func(v Variable) bool { return v.Name == name })
	if at < 0 {
		at = len(l.Variables)
		l.Variables = append(l.Variables, Variable{Name: name})
	}
	for _, text := range texts {
		if !slices.Contains(l.Variables[at].Texts, text) {
			l.Variables[at].Texts = append(l.Variables[at].Texts, text)
		}
	}
}

// Evaluate returns the value of the condition. value returns the value of a variable by
// its name: a text, or "true" or "false". It reports false if the value is not known.
func (l *Logic) Evaluate(value func(name string) (string, bool)) Truth {
	return evaluate(l.node, value)
}

func evaluate(n ast.Node, value func(string) (string, bool)) Truth {
	if left, right, and, ok := connective(n); ok {
		a, b := evaluate(left, value), evaluate(right, value)
		decides := truthOf(!and) // one operand with this value decides
		switch {
		case a == decides || b == decides:
			return decides
		case a == Unknown || b == Unknown:
			return Unknown
		}
		return decides.not()
	}
	if inner, ok := negated(n); ok {
		return evaluate(inner, value).not()
	}
	if b, ok := n.(*ast.BoolNode); ok {
		return truthOf(b.Value)
	}
	name, texts := comparison(n)
	actual, known := value(name)
	switch {
	case !known:
		return Unknown
	case texts == nil:
		return truthOf(actual == "true")
	}
	found := slices.Contains(texts, actual)
	if b := n.(*ast.BinaryNode); b.Operator == "!=" {
		found = !found
	}
	return truthOf(found)
}

// connective returns the operands of "and" and "or".
func connective(n ast.Node) (left, right ast.Node, and, ok bool) {
	b, isBinary := n.(*ast.BinaryNode)
	if !isBinary {
		return nil, nil, false, false
	}
	switch b.Operator {
	case "&&", "and":
		return b.Left, b.Right, true, true
	case "||", "or":
		return b.Left, b.Right, false, true
	}
	return nil, nil, false, false
}

func negated(n ast.Node) (inner ast.Node, ok bool) {
	u, ok := n.(*ast.UnaryNode)
	if !ok || u.Operator != "!" && u.Operator != "not" {
		return nil, false
	}
	return u.Node, true
}

// comparison returns the variable of a node, and the texts with which it is compared. For
// any other node the variable is its source.
func comparison(n ast.Node) (name string, texts []string) {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return n.String(), nil
	}
	switch b.Operator {
	case "==", "!=":
		left, right := b.Left, b.Right
		if _, first := left.(*ast.StringNode); first {
			left, right = right, left
		}
		if text, constant := right.(*ast.StringNode); constant && isReference(left) {
			return left.String(), []string{text.Value}
		}
	case "in":
		list, ok := b.Right.(*ast.ArrayNode)
		if !ok || !isReference(b.Left) {
			break
		}
		texts = []string{} // an empty list contains nothing
		for _, item := range list.Nodes {
			text, constant := item.(*ast.StringNode)
			if !constant {
				return n.String(), nil
			}
			texts = append(texts, text.Value)
		}
		return b.Left.String(), texts
	}
	return n.String(), nil
}

// isReference reports whether a node is a name, or an element of it with a constant key.
func isReference(n ast.Node) bool {
	if member, ok := n.(*ast.MemberNode); ok {
		_, named := member.Node.(*ast.IdentifierNode)
		_, constant := member.Property.(*ast.StringNode)
		return named && constant
	}
	_, named := n.(*ast.IdentifierNode)
	return named
}
