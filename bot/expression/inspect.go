package expression

import (
	"slices"
	"strconv"

	"github.com/expr-lang/expr/ast"
)

// Clause is one part of "a and b and c". It is safe for concurrent use.
type Clause struct {
	Text    string
	Program *Program // nil if Err is set
	Err     error
	Reads   []Reference // values that the clause reads, without repeats
}

// Reference is a name in an expression, or an element of it with a constant key.
type Reference struct {
	Name, Key string
	Keyed     bool
}

// String returns the reference as written in an expression.
func (r Reference) String() string {
	if r.Keyed {
		return r.Name + "[" + strconv.Quote(r.Key) + "]"
	}
	return r.Name
}

// Clauses compiles each clause of a condition that [Compile] accepts. The error is
// an [*Error].
func Clauses(source string, env any) ([]Clause, error) {
	program, err := Compile(source, env, Condition)
	if err != nil {
		return nil, err
	}
	var out []Clause
	for _, node := range conjuncts(program.node) {
		c := Clause{Text: node.String(), Reads: reads(node)}
		c.Program, c.Err = compile(c.Text, env, Condition)
		out = append(out, c)
	}
	return out, nil
}

// conjuncts returns the clauses of "a and b and c".
func conjuncts(n ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "&&" || b.Operator == "and") {
		return append(conjuncts(b.Left), conjuncts(b.Right)...)
	}
	return []ast.Node{n}
}

// Reads returns the names that an expression reads, in the order of the source.
func (p *Program) Reads() []Reference { return reads(p.node) }

func reads(n ast.Node) []Reference {
	var out []Reference
	add := func(r Reference) {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	var walk func(ast.Node)
	walk = func(n ast.Node) {
		if member, ok := n.(*ast.MemberNode); ok {
			of, named := member.Node.(*ast.IdentifierNode)
			key, constant := member.Property.(*ast.StringNode)
			if named && constant {
				add(Reference{of.Value, key.Value, true})
				return
			}
		}
		if name, ok := n.(*ast.IdentifierNode); ok {
			add(Reference{Name: name.Value})
		}
		for _, child := range children(n) {
			walk(child)
		}
	}
	walk(n)
	return out
}

// Comparison is a comparison of a name with a constant text. Line and Column are
// the position of the text, counted from 1.
type Comparison struct {
	Name, Operator, Text string
	Line, Column         int
}

// Comparisons returns the comparisons of a name with a constant text by ==, !=, <,
// <=, >, >= and in. It returns nil for an expression that does not parse or is too
// large.
func Comparisons(source string) []Comparison {
	if len(source) > MaxSource {
		return nil
	}
	tree, err := parse(source, options)
	if err != nil {
		return nil
	}
	c := comparisons{source: source}
	c.walk(tree)
	return c.found
}

type comparisons struct {
	source string
	found  []Comparison
}

func (c *comparisons) walk(n ast.Node) {
	for _, child := range children(n) {
		c.walk(child)
	}
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return
	}
	switch b.Operator {
	case "==", "!=", "<", "<=", ">", ">=":
		c.add(b.Left, b.Operator, b.Right)
		c.add(b.Right, b.Operator, b.Left)
	case "in":
		if list, ok := b.Right.(*ast.ArrayNode); ok {
			for _, item := range list.Nodes {
				c.add(b.Left, b.Operator, item)
			}
		}
	}
}

func (c *comparisons) add(left ast.Node, operator string, right ast.Node) {
	name, named := left.(*ast.IdentifierNode)
	text, constant := right.(*ast.StringNode)
	if !named || !constant {
		return
	}
	found := Comparison{Name: name.Value, Operator: operator, Text: text.Value}
	found.Line, found.Column = position(c.source, right)
	if !slices.Contains(c.found, found) {
		c.found = append(c.found, found)
	}
}
