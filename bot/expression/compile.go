package expression

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// Limits of the text of an expression.
const (
	MaxSource  = 4096 // bytes of an expression
	maxNodes   = 500  // syntax nodes, each counted as often as it is evaluated
	maxDepth   = 250  // nesting of syntax nodes
	maxLiteral = 1024 // bytes of a text in quotes
	maxPattern = 256  // bytes of a pattern
	maxStates  = 300  // instructions of a compiled pattern
	maxList    = 200  // elements of a list or map in the expression
)

// maxMemory is the maximum number of list elements that an expression creates.
const maxMemory = 100_000

// Result is the type of the value of an expression.
type Result int

// The types of values.
const (
	Condition Result = iota // true or false
	List                    // a list
	Text                    // a text, a number or a boolean
)

// Error is an error in an expression. Line and Column are its position, counted
// from 1, or 0 if the error concerns the whole expression. Message has two
// sentences if this package refuses the expression: the problem and the fix.
type Error struct {
	Line, Column int
	Message      string
	syntax       bool
}

// Error implements error.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("%s (line %d, column %d)", e.Message, e.Line, e.Column)
}

// Syntax reports whether expr-lang found the error: the expression does not parse
// or compares values of different types.
func (e *Error) Syntax() bool { return e.syntax }

// Program is a compiled expression. It is safe for concurrent use.
type Program struct {
	source   string
	node     ast.Node // as parsed, before optimisation
	compiled *vm.Program
	patterns map[string]int // instructions of each pattern
}

// Compile compiles an expression over the fields of the struct env, named by their
// tag "expr". The error is an [*Error].
func Compile(source string, env any, result Result) (*Program, error) {
	if len(source) > MaxSource {
		return nil, &Error{Message: fmt.Sprintf("the expression has %d bytes. Use at most %d", len(source), MaxSource)}
	}
	return compile(source, env, result)
}

// compile compiles an expression of bounded length.
func compile(source string, env any, result Result) (*Program, error) {
	all := append(slices.Clone(options), expr.Env(env), result.option())
	node, err := parse(source, all)
	if err != nil {
		return nil, err
	}
	p := &Program{source: source, node: node}
	c := checker{source: source, patterns: map[string]int{}}
	if err := c.check(node); err != nil {
		return nil, err
	}
	p.patterns = c.patterns
	if p.compiled, err = expr.Compile(source, all...); err != nil {
		return nil, syntaxError(err)
	}
	if err := result.check(p.compiled.Node().Type()); err != nil {
		return nil, err
	}
	limit := ConditionSteps
	if result != Condition {
		limit = MappingSteps
	}
	if steps := p.assumedCost(env, limit); steps > limit {
		return nil, &Error{Message: fmt.Sprintf("the expression is too expensive: it needs more than %d steps on texts of %d characters. Use fewer or shorter patterns, or contains in place of matches", limit, assumedText)}
	}
	return p, nil
}

// options are the options of every compilation.
var options = []expr.Option{expr.MaxNodes(maxNodes)}

func (r Result) option() expr.Option {
	switch r {
	case Condition:
		return expr.AsBool()
	case List:
		return expr.AsKind(reflect.Slice)
	}
	return expr.AsAny()
}

// check returns an error if a static type cannot become the result. A value of
// unknown type is checked when the program runs.
func (r Result) check(t reflect.Type) error {
	if r != Text || t == nil {
		return nil
	}
	switch t.Kind() {
	case reflect.Map, reflect.Slice, reflect.Array, reflect.Struct, reflect.Func:
		return &Error{Message: fmt.Sprintf("returns a %s, want a string, a number or a boolean", t.Kind())}
	}
	return nil
}

// parse parses an expression with the options of its compilation. Nodes of the tree can have several
// parents: "a ?: b" evaluates a twice. parse refuses a tree that is larger than
// [maxNodes] if each node counts as often as it has a parent, because the compiler
// and the walks of this package visit it that often.
func parse(source string, options []expr.Option) (ast.Node, error) {
	if strings.ContainsRune(source, 0) {
		return nil, &Error{Message: "the expression contains a NUL character. Remove it"}
	}
	config := conf.CreateNew()
	for _, option := range options {
		option(config)
	}
	tree, err := parser.ParseWithConfig(source, config)
	if err != nil {
		return nil, syntaxError(err)
	}
	visits := 0
	if !countVisits(tree.Node, 0, &visits) {
		return nil, &Error{Message: fmt.Sprintf("the expression is larger than %d nodes or %d levels. Split it, and use fewer ?: operators and chained comparisons", maxNodes, maxDepth)}
	}
	return tree.Node, nil
}

// countVisits reports whether a tree is within the limits for nodes and depth.
func countVisits(n ast.Node, depth int, visits *int) bool {
	if *visits++; *visits > maxNodes || depth > maxDepth {
		return false
	}
	for _, child := range children(n) {
		if !countVisits(child, depth+1, visits) {
			return false
		}
	}
	return true
}

// syntaxError converts an error of expr-lang.
func syntaxError(err error) error {
	var located *file.Error
	if !errors.As(err, &located) {
		return &Error{Message: firstLine(err), syntax: true}
	}
	return &Error{Line: max(located.Line, 1), Column: located.Column + 1, Message: firstLine(errors.New(located.Message)), syntax: true}
}

// firstLine returns the first line of an expr error. The other lines draw the
// position within the expression.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.ReplaceAll(line, "<nil>", "nothing")
}

// position returns the line and the column of a node, counted from 1.
func position(source string, n ast.Node) (line, column int) {
	line, column = 1, 1
	for k, r := range []rune(source) {
		if k == n.Location().From {
			break
		}
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}
