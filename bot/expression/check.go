package expression

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// functions are the functions of expr-lang that an expression may call. The
// estimator has a cost for each. Any other function is refused, also one that a
// later version of expr-lang adds.
var functions = map[string]bool{
	"all": true, "any": true, "none": true, "one": true, "count": true, "sum": true, "filter": true, "map": true,
	"find": true, "findIndex": true, "findLast": true, "findLastIndex": true,
	"len": true, "type": true, "abs": true, "ceil": true, "floor": true, "round": true, "int": true, "float": true, "string": true,
	"trim": true, "trimPrefix": true, "trimSuffix": true, "upper": true, "lower": true, "split": true, "replace": true, "join": true,
	"indexOf": true, "lastIndexOf": true, "hasPrefix": true, "hasSuffix": true, "max": true, "min": true,
	"first": true, "last": true, "get": true, "take": true, "keys": true, "values": true,
	"toJSON": true, "fromJSON": true, "toBase64": true, "fromBase64": true,
}

// refusals are the functions that are refused, with the reason.
var refusals = map[string]string{
	"reduce": "its result can grow with every element", "groupBy": "it copies the list", "sortBy": "it sorts the list",
	"sort": "it sorts the list", "uniq": "it compares each element with all others", "flatten": "it copies the list",
	"concat": "it copies the lists", "reverse": "it copies the list", "repeat": "its result can have any size",
	"splitAfter": "split is enough", "mean": "it reads nested lists", "median": "it sorts the list",
	"toPairs": "it copies the map", "fromPairs": "it copies the map", "now": "the result must depend on the values alone",
	"date": "the result must depend on the values alone", "duration": "times are not values of an expression",
	"timezone": "it reads files", "bitand": "", "bitor": "", "bitxor": "", "bitnand": "", "bitnot": "", "bitshl": "", "bitshr": "", "bitushr": "",
}

var operators = []string{"not", "!", "-", "+", "or", "||", "and", "&&", "==", "!=", "<", ">", ">=", "<=", "in", "matches",
	"contains", "startsWith", "endsWith", "*", "/", "%", "**", "^", "??"}

// checker refuses expressions whose cost has no bound.
type checker struct {
	source    string
	predicate bool           // the node is part of a predicate
	patterns  map[string]int // instructions of each accepted pattern
}

func (c *checker) refuse(n ast.Node, format string, args ...any) error {
	line, column := position(c.source, n)
	return &Error{Line: line, Column: column, Message: fmt.Sprintf(format, args...)}
}

// check checks a node after its children.
func (c *checker) check(n ast.Node) error {
	if _, ok := n.(*ast.PredicateNode); ok {
		if c.predicate {
			return c.refuse(n, "a predicate inside a predicate is not allowed. Use one any, all or filter at a time")
		}
		c.predicate = true
		defer func() { c.predicate = false }()
	}
	for _, child := range children(n) {
		if err := c.check(child); err != nil {
			return err
		}
	}
	return c.checkNode(n)
}

func (c *checker) checkNode(n ast.Node) error {
	switch n := n.(type) {
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.ChainNode, *ast.MemberNode, *ast.SliceNode,
		*ast.VariableDeclaratorNode, *ast.ConditionalNode, *ast.PairNode, *ast.PointerNode, *ast.PredicateNode:
	case *ast.IdentifierNode:
		if strings.HasPrefix(n.Value, "$") {
			return c.refuse(n, "%s is not allowed. Name the value itself", n.Value)
		}
	case *ast.StringNode:
		if len(n.Value) > maxLiteral {
			return c.refuse(n, "a text has %d bytes. Use at most %d", len(n.Value), maxLiteral)
		}
	case *ast.ArrayNode:
		return c.checkLength(n, len(n.Nodes))
	case *ast.MapNode:
		return c.checkLength(n, len(n.Pairs))
	case *ast.UnaryNode:
		return c.checkOperator(n, n.Operator)
	case *ast.BinaryNode:
		if n.Operator == ".." {
			return c.refuse(n, "the range operator .. is not allowed. Compare with >= and <=")
		}
		if n.Operator == "matches" {
			return c.checkPattern(n)
		}
		return c.checkOperator(n, n.Operator)
	case *ast.BuiltinNode:
		return c.checkFunction(n)
	case *ast.CallNode:
		return c.refuse(n, "the function %q is not allowed. Use one of: %s", calleeName(n), FunctionNames())
	case *ast.SequenceNode:
		return c.refuse(n, "several expressions with ; are not allowed. Write one expression")
	case *ast.BytesNode:
		return c.refuse(n, `bytes such as b"..." are not allowed. Write a text in quotes`)
	default:
		return c.refuse(n, "this kind of expression is not allowed. Use comparisons and functions")
	}
	return nil
}

func (c *checker) checkLength(n ast.Node, elements int) error {
	if elements > maxList {
		return c.refuse(n, "a list has %d elements. Use at most %d", elements, maxList)
	}
	return nil
}

func (c *checker) checkOperator(n ast.Node, operator string) error {
	if !slices.Contains(operators, operator) {
		return c.refuse(n, "the operator %s is not allowed. Use one of: %s", operator, strings.Join(operators, " "))
	}
	return nil
}

func (c *checker) checkFunction(n *ast.BuiltinNode) error {
	if functions[n.Name] {
		return nil
	}
	if reason := refusals[n.Name]; reason != "" {
		return c.refuse(n, "the function %s is not allowed, because %s. Use one of: %s", n.Name, reason, FunctionNames())
	}
	return c.refuse(n, "the function %s is not allowed. Use one of: %s", n.Name, FunctionNames())
}

// checkPattern checks the pattern of "text matches pattern".
func (c *checker) checkPattern(n *ast.BinaryNode) error {
	pattern, ok := n.Right.(*ast.StringNode)
	switch {
	case !ok:
		return c.refuse(n.Right, "a pattern that is not constant is not allowed. Write the pattern in quotes after matches, or use contains")
	case len(pattern.Value) > maxPattern:
		return c.refuse(pattern, "a pattern has %d bytes. Use at most %d", len(pattern.Value), maxPattern)
	}
	states, err := patternStates(pattern.Value)
	switch {
	case err != nil:
		return c.refuse(pattern, "the pattern is not valid: %v. Write a regular expression of Go", err)
	case states > maxStates:
		return c.refuse(pattern, "the pattern has %d states. Use at most %d, with smaller repetitions and fewer alternatives", states, maxStates)
	}
	c.patterns[pattern.Value] = states
	return nil
}

// patternStates returns the number of instructions of a compiled pattern.
func patternStates(pattern string) (int, error) {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, err
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return 0, err
	}
	return len(program.Inst), nil
}

// FunctionNames returns the allowed functions as a list for people.
func FunctionNames() string {
	names := make([]string, 0, len(functions))
	for name := range functions {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func calleeName(n *ast.CallNode) string {
	switch callee := n.Callee.(type) {
	case *ast.IdentifierNode:
		return callee.Value
	case *ast.MemberNode:
		if name, ok := callee.Property.(*ast.StringNode); ok {
			return name.Value
		}
	}
	return "(expression)"
}

// children returns the nodes below a node.
func children(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return []ast.Node{n.Node}
	case *ast.BinaryNode:
		return []ast.Node{n.Left, n.Right}
	case *ast.ChainNode:
		return []ast.Node{n.Node}
	case *ast.MemberNode:
		return []ast.Node{n.Node, n.Property}
	case *ast.SliceNode:
		out := []ast.Node{n.Node}
		for _, bound := range []ast.Node{n.From, n.To} {
			if bound != nil {
				out = append(out, bound)
			}
		}
		return out
	case *ast.CallNode:
		return append([]ast.Node{n.Callee}, n.Arguments...)
	case *ast.BuiltinNode:
		return n.Arguments
	case *ast.PredicateNode:
		return []ast.Node{n.Node}
	case *ast.VariableDeclaratorNode:
		return []ast.Node{n.Value, n.Expr}
	case *ast.SequenceNode:
		return n.Nodes
	case *ast.ConditionalNode:
		return []ast.Node{n.Cond, n.Exp1, n.Exp2}
	case *ast.ArrayNode:
		return n.Nodes
	case *ast.MapNode:
		return n.Pairs
	case *ast.PairNode:
		return []ast.Node{n.Key, n.Value}
	}
	return nil
}
