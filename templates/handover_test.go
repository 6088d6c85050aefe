package templates

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

func TestHandoverText_OneLineForEachIncident(t *testing.T) {
	dir := incident.Directory{Former: []incident.FormerPerson{{ID: "p1", Name: "Ada Okafor"}}}
	heading, lines := HandoverText(map[string]string{"person": "p1", "more": "3", "held": "INC-4 role commander; INC-4 step leaked-aws-credentials/rotate-key; INC-7 action A2; INC-8 unknown x"}, dir)
	if !strings.HasPrefix(heading, "Ada Okafor left the configuration") {
		t.Errorf("got heading %q", heading)
	}
	want := []string{"INC-4: the role commander, the open step leaked-aws-credentials/rotate-key", "INC-7: the action item A2, which has a new owner", "and 3 more"}
	if !slices.Equal(lines, want) {
		t.Errorf("got lines %q, want %q", lines, want)
	}
}

// TestHandoverText_KnowsEveryKind reads the kinds from the source of the domain.
func TestHandoverText_KnowsEveryKind(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../bot/incident/decide_departure.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	kinds := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Held") {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
			kind, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			kinds++
			if heldTexts[kind] == "" {
				t.Errorf("%s: no text", kind)
			}
		}
		return true
	})
	if kinds != len(heldTexts) {
		t.Errorf("got %d kinds, want %d", kinds, len(heldTexts))
	}
}
