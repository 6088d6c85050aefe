package expression

import (
	"strings"
	"testing"

	"github.com/expr-lang/expr/ast"
)

// laterNode is a kind of node that a later version of expr-lang adds.
type laterNode struct{ *ast.NilNode }

// TestCheckNode_RefusesUnknownForms checks forms that the parser does not return
// today. A later version of expr-lang may add them.
func TestCheckNode_RefusesUnknownForms(t *testing.T) {
	nothing := &ast.NilNode{}
	for want, n := range map[string]ast.Node{
		"this kind of expression is not allowed":      laterNode{nothing},
		"the operator ~ is not allowed. Use one of: ": &ast.UnaryNode{Operator: "~", Node: nothing},
		"the operator <=> is not allowed":             &ast.BinaryNode{Operator: "<=>", Left: nothing, Right: nothing},
		"the function later is not allowed. Use":      &ast.BuiltinNode{Name: "later"},
		"the function bitand is not allowed. Use":     &ast.BuiltinNode{Name: "bitand"},
		"a list has 201 elements. Use at most 200":    &ast.MapNode{Pairs: make([]ast.Node, maxList+1)},
	} {
		c := &checker{patterns: map[string]int{}}
		if err := c.checkNode(n); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
