package playbooks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// reader walks the tree of one file and collects what is wrong with it. It
// goes on after each fault, so that one run shows them all.
type reader struct {
	file   string
	lines  []string
	faults []ParseError
}

func (r *reader) errorAt(p *token.Position, format string, args ...any) {
	r.faultAt(p.Line, p.Column, format, args...)
}

func (r *reader) faultAt(line, column int, format string, args ...any) {
	r.faults = append(r.faults, ParseError{File: r.file, Line: max(line, 1), Column: max(column, 1), Message: fmt.Sprintf(format, args...)})
}

// place is where a node begins for a person who looks at the file.
func place(n ast.Node) *token.Position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return place(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return place(n.Key)
	}
	if n == nil || n.GetToken() == nil {
		return &token.Position{Line: 1, Column: 1}
	}
	return n.GetToken().Position
}

// entry is one key of a mapping and its value.
type entry struct {
	key   string
	at    *token.Position // of the key
	value ast.Node
}

// mapping reads the keys of a mapping. Where known is given, other keys are faults.
func (r *reader) mapping(n ast.Node, what string, known ...string) []entry {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		if n != nil {
			r.errorAt(place(n), "%s has to be a mapping, key: value", what)
		}
		return nil
	}
	var out []entry
	for _, p := range pairs {
		key, ok := p.Key.(*ast.StringNode)
		switch {
		case !ok:
			r.errorAt(place(p.Key), "a key of %s has to be a plain word", what)
		case slices.ContainsFunc(out, func(e entry) bool { return e.key == key.Value }):
			r.errorAt(place(key), "%s has %q twice", what, key.Value)
		case len(known) > 0 && !slices.Contains(known, key.Value):
			r.errorAt(place(key), "%s has no %q%s", what, key.Value, suggest(key.Value, known))
		default:
			out = append(out, entry{key: key.Value, at: place(key), value: p.Value})
		}
	}
	return out
}

// list reads the items of a sequence.
func (r *reader) list(e entry) []ast.Node {
	seq, ok := e.value.(*ast.SequenceNode)
	if !ok {
		r.errorAt(e.at, "%s has to be a list", e.key)
		return nil
	}
	return seq.Values
}

// text reads a text of at most limit characters; "" after a fault.
func (r *reader) text(n ast.Node, what string, limit int) string {
	var s string
	switch n := n.(type) {
	case *ast.StringNode:
		s = n.Value
	case *ast.LiteralNode:
		s = n.Value.Value
	case nil, *ast.NullNode:
		r.errorAt(place(n), "%s is empty", what)
		return ""
	default:
		r.errorAt(place(n), "%s has to be text; put it between quotes", what)
		return ""
	}
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		r.errorAt(place(n), "%s is empty", what)
	case len([]rune(s)) > limit:
		r.errorAt(place(n), "%s has %d characters, at most %d fit", what, len([]rune(s)), limit)
	case strings.ContainsFunc(s, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' || c == 0x7f }):
		r.errorAt(place(n), "%s has control characters in it", what)
	}
	return s
}

// line reads a text of one line.
func (r *reader) line(n ast.Node, what string, limit int) string {
	s := r.text(n, what, limit)
	if strings.ContainsAny(s, "\n\r") {
		r.errorAt(place(n), "%s has to be one line", what)
	}
	return s
}

func (r *reader) boolean(n ast.Node, what string) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.errorAt(place(n), "%s is true or false", what)
		return false
	}
	return b.Value
}

// position turns a place inside a text into a place in the file.
func (r *reader) position(n ast.Node, line, column int) (int, int) {
	at := place(n)
	switch n := n.(type) {
	case *ast.LiteralNode:
		if !strings.HasPrefix(n.Start.Value, "|") {
			return at.Line, at.Column // folded: lines are not the file's
		}
		in := at.Line + 1 + line // the text begins in the line after the |
		if in > len(r.lines) {
			return at.Line, at.Column
		}
		first := r.lines[min(at.Line, len(r.lines)-1)]
		return in, len(first) - len(strings.TrimLeft(first, " ")) + column + 1
	case *ast.StringNode:
		if line > 0 {
			return at.Line, at.Column
		}
		if t := n.GetToken().Type; t == token.SingleQuoteType || t == token.DoubleQuoteType {
			column++
		}
		return at.Line, at.Column + column
	}
	return at.Line, at.Column
}
