package expression

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
)

// generator builds an expression from bytes.
type generator struct {
	data  []byte
	depth int
	inner bool // in a predicate
}

func (g *generator) pick(n int) int {
	if len(g.data) == 0 {
		return 0
	}
	b := int(g.data[0])
	g.data = g.data[1:]
	return b % n
}

func (g *generator) deeper() bool { g.depth++; return g.depth < 12 && len(g.data) > 0 }

func (g *generator) text() string {
	defer func() { g.depth-- }()
	if !g.deeper() {
		return "title"
	}
	if g.inner && g.pick(3) == 0 {
		return "#"
	}
	switch g.pick(16) {
	case 0:
		return "detail"
	case 1:
		return fmt.Sprintf("%q", strings.Repeat("aЖ"[:1+g.pick(2)*2], g.pick(60)))
	case 2:
		return `tags["1"]`
	case 3:
		return "lower(" + g.text() + ")"
	case 4:
		return "upper(" + g.text() + ")"
	case 5:
		return "trim(" + g.text() + ")"
	case 6:
		return "(" + g.text() + " + " + g.text() + ")"
	case 7:
		return "replace(" + g.text() + ", " + g.text() + ", " + g.text() + ")"
	case 8:
		return "join(" + g.list() + ", " + g.text() + ")"
	case 9:
		return "string(" + g.text() + ")"
	case 10:
		return "toJSON(" + g.list() + ")"
	case 11:
		return "(" + g.condition() + " ? " + g.text() + " : " + g.text() + ")"
	case 12:
		return "toBase64(" + g.text() + ")"
	case 13:
		return "(" + g.list() + "[" + fmt.Sprint(g.pick(3)) + "] ?? " + g.text() + ")"
	case 14:
		return g.text() + "[1:]"
	}
	return "title"
}

func (g *generator) list() string {
	defer func() { g.depth-- }()
	if !g.deeper() {
		return "kinds"
	}
	switch g.pick(8) {
	case 0:
		return "[" + g.text() + ", " + g.text() + "]"
	case 1:
		return "split(" + g.text() + ", " + g.text() + ")"
	case 2:
		return "values(tags)"
	case 3:
		return "filter(" + g.list() + ", " + g.predicate() + ")"
	case 4:
		was := g.inner
		g.inner = true
		body := g.text()
		g.inner = was
		return "map(" + g.list() + ", " + body + ")"
	case 5:
		return "take(" + g.list() + ", 2)"
	case 6:
		return "[" + g.list() + ", " + g.text() + "]"
	}
	return "kinds"
}

func (g *generator) predicate() string {
	was := g.inner
	g.inner = true
	defer func() { g.inner = was }()
	return g.condition()
}

func (g *generator) condition() string {
	defer func() { g.depth-- }()
	if !g.deeper() {
		return "sample"
	}
	switch g.pick(12) {
	case 0:
		return g.text() + " == " + g.text()
	case 1:
		return g.text() + " contains " + g.text()
	case 2:
		return g.text() + ` matches "` + []string{"a+b", "(?i)x.{0,9}y", "(a?){9}b", `[\\p{L}]+z`}[g.pick(4)] + `"`
	case 3:
		return g.text() + " in " + g.list()
	case 4:
		return "(" + g.condition() + " or " + g.condition() + ")"
	case 5:
		return "not (" + g.condition() + ")"
	case 6:
		return "any(" + g.list() + ", " + g.predicate() + ")"
	case 7:
		return "len(" + g.text() + ") > 3"
	case 8:
		return g.list() + " == " + g.list()
	case 9:
		return "(" + g.condition() + " ?: " + g.condition() + ")"
	case 10:
		if g.inner {
			return "sample"
		}
		name := fmt.Sprintf("v%d", g.depth)
		return "(let " + name + " = " + g.text() + "; " + name + " + " + name + " == " + g.text() + ")"
	}
	return "indexOf(" + g.text() + ", " + g.text() + ") > 0"
}

// closed reports whether a node can be evaluated on its own.
func closed(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.PointerNode, *ast.PredicateNode, *ast.PairNode, *ast.ConditionalNode:
		return false
	case *ast.IdentifierNode:
		_, ok := fieldsOf(typeOfAlert)[n.Value]
		return ok
	case *ast.VariableDeclaratorNode:
		return false
	}
	for _, child := range children(n) {
		if !closed(child) {
			if b, ok := n.(*ast.BuiltinNode); ok && child == b.Arguments[len(b.Arguments)-1] {
				continue
			}
			return false
		}
	}
	return true
}

var typeOfAlert = (&Program{}).estimator(testAlert{}, 0).env.Type()

// checkBounds compares the sizes of every part of an expression with the bounds of
// the estimator.
func checkBounds(t *testing.T, p *Program, a testAlert) {
	t.Helper()
	var walk func(ast.Node)
	walk = func(n ast.Node) {
		for _, child := range children(n) {
			walk(child)
		}
		if !closed(n) {
			return
		}
		source := n.String()
		program, err := expr.Compile(source, expr.Env(testAlert{}))
		if err != nil {
			return // a name of a predicate
		}
		value, err := expr.Run(program, a)
		if err != nil {
			return
		}
		e := p.estimator(a, maxSize)
		bound := e.bound(e.visit(n))
		actual := e.bound(known(value))
		if actual.text > bound.text && !isNumber(value) || actual.list > bound.list || actual.total > bound.total && !isNumber(value) {
			t.Fatalf("%s: got a value of text %d, list %d, total %d; bounds %d, %d, %d", source, actual.text, actual.list, actual.total, bound.text, bound.list, bound.total)
		}
	}
	walk(p.node)
}

func isNumber(v any) bool {
	switch v.(type) {
	case int, float64, bool, nil:
		return true
	}
	return false
}

// FuzzCost checks that an accepted expression stays within its budget. The bounds of
// the estimator hold for the value of every part, and the bytes that a run allocates
// are bounded by its steps. Both are counted, not timed.
func FuzzCost(f *testing.F) {
	for _, c := range worst() {
		f.Add(c.source, []byte(nil), uint16(300))
	}
	for n := range 60 {
		seed := make([]byte, 60)
		for k := range seed {
			seed[k] = byte(n*31 + k*k*7 + k*n)
		}
		f.Add("", seed, uint16(n*7))
	}
	f.Fuzz(func(t *testing.T, source string, data []byte, size uint16) {
		if source == "" {
			source = (&generator{data: data}).condition()
		}
		program, err := Compile(source, testAlert{}, Condition)
		if err != nil {
			var refused *Error
			if !errors.As(err, &refused) || refused.Message == "" {
				t.Fatalf("%s: got error %v, want an *Error with a message", source, err)
			}
			return
		}
		a := alertOf("aЖ"[:1+int(size)%2*2], int(size)%3000+1)
		b := NewBudget(ConditionSteps)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = program.Run(a, b)
		runtime.ReadMemStats(&after)
		if allocated := int(after.TotalAlloc - before.TotalAlloc); allocated > 1<<20+16*ConditionSteps {
			t.Fatalf("%s: got %d bytes allocated for %d steps", source, allocated, b.Used())
		}
		var cost *CostError
		if errors.As(err, &cost) {
			return
		}
		if b.Used() > ConditionSteps || b.Used() < minSteps {
			t.Fatalf("%s: got %d steps used", source, b.Used())
		}
		checkBounds(t, program, a)
	})
}
