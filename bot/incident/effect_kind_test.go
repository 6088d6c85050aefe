package incident

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"
)

// TestEffectKinds_EachIsDescribed reads the constants from the source, because a kind
// without traits would be neither skipped without a channel nor kept from the company.
func TestEffectKinds_EachIsDescribed(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "effect_kind.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[EffectKind]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "EffectKind" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			declared[EffectKind(value)] = true
			if traits, ok := effectKinds[EffectKind(value)]; !ok || traits.task == "" {
				t.Errorf("%s is not described", spec.Names[0].Name)
			}
		}
		return true
	})
	if len(declared) != len(effectKinds) || len(declared) < 25 {
		t.Errorf("got %d declared and %d described kinds, want equal numbers", len(declared), len(effectKinds))
	}
}
