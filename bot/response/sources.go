package response

import (
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// UnknownSources returns the names that a condition compares with the source of
// an alert and that are not in sources. Such a comparison is always a mistake.
// For a condition that does not parse it returns nil.
func UnknownSources(when string, sources []string) []string {
	tree, err := parser.Parse(when)
	if err != nil {
		return nil
	}
	var seen sourceCollector
	ast.Walk(&tree.Node, &seen)
	return slices.DeleteFunc(seen.names, func(name string) bool { return slices.Contains(sources, name) })
}

// sourceCollector collects the strings that a condition compares with source.
type sourceCollector struct{ names []string }

// Visit implements ast.Visitor.
func (c *sourceCollector) Visit(node *ast.Node) {
	n, ok := (*node).(*ast.BinaryNode)
	if !ok || n.Operator != "==" && n.Operator != "!=" && n.Operator != "in" {
		return
	}
	left, right := n.Left, n.Right
	if isSource(right) && n.Operator != "in" {
		left, right = right, left
	}
	if !isSource(left) {
		return
	}
	texts := []ast.Node{right}
	if list, ok := right.(*ast.ArrayNode); ok {
		texts = list.Nodes
	}
	for _, text := range texts {
		if s, ok := text.(*ast.StringNode); ok && !slices.Contains(c.names, s.Value) {
			c.names = append(c.names, s.Value)
		}
	}
}

func isSource(n ast.Node) bool {
	id, ok := n.(*ast.IdentifierNode)
	return ok && id.Value == "source"
}
