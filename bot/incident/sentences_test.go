package incident

import (
	"go/ast"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestEventSentence_EveryKind(t *testing.T) {
	for kind, spec := range eventSpecs {
		s := spec.sentence(Event{Kind: kind})
		// Slack sends formats without escaping them.
		if strings.ContainsAny(s.Format, "<>&`*_~") || strings.HasSuffix(s.Format, ".") {
			t.Errorf("%s: format %q has markup or a full stop", kind, s.Format)
		}
		if got := s.String(); strings.Contains(got, "%!") {
			t.Errorf("%s: format and arguments differ: %s", kind, got)
		}
	}
}

// Every format is checked, also in branches that a bare event does not reach.
func TestEventSentence_FormatsHaveNoMarkup(t *testing.T) {
	formats := 0
	inspectEvents(t, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if name, ok := call.Fun.(*ast.Ident); !ok || name.Name != "Say" && name.Name != "say" {
			return true
		}
		for _, arg := range call.Args {
			lit, ok := arg.(*ast.BasicLit)
			if !ok {
				continue
			}
			format, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			formats++
			if strings.ContainsAny(format, "<>&`*_~") || strings.HasSuffix(format, ".") {
				t.Errorf("format %q has markup or a full stop", format)
			}
		}
		return true
	})
	if formats < 80 {
		t.Errorf("got %d formats, want at least 80", formats)
	}
}

func TestSentenceShow_KeepsNumbers(t *testing.T) {
	s := Say("%s waited %d min, %s", PersonID("ada"), 5, time.Time{}).Show(func(any) string { return "x" })
	if got, want := s.String(), "x waited 5 min, x"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
