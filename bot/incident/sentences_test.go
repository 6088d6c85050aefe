package incident

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"
)

// eventKinds returns every kind of event that timeline.go declares.
func eventKinds(t *testing.T) []EventKind {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "timeline.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []EventKind
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "EventKind" {
			for _, v := range spec.Values {
				kind, err := strconv.Unquote(v.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, EventKind(kind))
			}
		}
		return true
	})
	if len(out) < 50 {
		t.Fatalf("got %d kinds of events, want at least 50", len(out))
	}
	return out
}

func TestEventSentence_EveryKind(t *testing.T) {
	kinds := eventKinds(t)
	if len(eventSentences) != len(kinds) {
		t.Errorf("got %d sentences, want %d", len(eventSentences), len(kinds))
	}
	for _, kind := range kinds {
		f, ok := eventSentences[kind]
		if !ok {
			t.Errorf("%s has no sentence", kind)
			continue
		}
		s, _ := f(Event{Kind: kind})
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
	file, err := parser.ParseFile(token.NewFileSet(), "sentences.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	formats := 0
	ast.Inspect(file, func(n ast.Node) bool {
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
