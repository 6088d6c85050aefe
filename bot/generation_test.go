package bot

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"testing"

	"tocsin/bot/intake"
)

// TestLiveSource_HidesNoInterface requires that a source of a generation implements
// every interface of a source that the intake uses.
func TestLiveSource_HidesNoInterface(t *testing.T) {
	implemented := map[string]bool{
		"Source":           reflect.TypeFor[liveSource]().Implements(reflect.TypeFor[intake.Source]()),
		"Dated":            reflect.TypeFor[liveSource]().Implements(reflect.TypeFor[intake.Dated]()),
		"HeaderVerifier":   reflect.TypeFor[liveSource]().Implements(reflect.TypeFor[intake.HeaderVerifier]()),
		"SenderVerifier":   reflect.TypeFor[liveSource]().Implements(reflect.TypeFor[intake.SenderVerifier]()),
		"EvaluatedDecoder": reflect.TypeFor[liveSource]().Implements(reflect.TypeFor[intake.EvaluatedDecoder]()),
	}
	file, err := parser.ParseFile(token.NewFileSet(), "intake/source.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok {
			if _, isInterface := spec.Type.(*ast.InterfaceType); isInterface && ast.IsExported(spec.Name.Name) && !implemented[spec.Name.Name] && spec.Name.Name != "Store" && spec.Name.Name != "Desk" {
				t.Errorf("liveSource does not implement intake.%s", spec.Name.Name)
			}
		}
		return true
	})
}
