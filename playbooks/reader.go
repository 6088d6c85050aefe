package playbooks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// reader reads the YAML tree of one file. It continues after an error to report
// all errors at once.
type reader struct {
	file   string
	lines  []string
	errors []ParseError
}

func (r *reader) errorAt(p *token.Position, format string, args ...any) {
	r.errorAtLine(p.Line, p.Column, format, args...)
}

func (r *reader) errorAtLine(line, column int, format string, args ...any) {
	r.errors = append(r.errors, ParseError{File: r.file, Line: max(line, 1), Column: max(column, 1), Message: fmt.Sprintf(format, args...)})
}

// startOf returns the position at which a node starts in the file.
func startOf(n ast.Node) *token.Position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return startOf(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return startOf(n.Key)
	}
	if n == nil || n.GetToken() == nil {
		return &token.Position{Line: 1, Column: 1}
	}
	return n.GetToken().Position
}

// entry is a key and its value in a mapping.
type entry struct {
	key   string
	at    *token.Position // position of the key
	value ast.Node
}

// mapping returns the entries of a mapping. If known keys are given, all other
// keys are errors.
func (r *reader) mapping(n ast.Node, owner string, known ...string) []entry {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		if n != nil {
			r.errorAt(startOf(n), "%s must be a mapping, written as key: value", owner)
		}
		return nil
	}
	var out []entry
	for _, p := range pairs {
		key, ok := p.Key.(*ast.StringNode)
		switch {
		case !ok:
			r.errorAt(startOf(p.Key), "keys of %s must be plain words", owner)
		case slices.ContainsFunc(out, func(e entry) bool { return e.key == key.Value }):
			r.errorAt(startOf(key), "duplicate key %q in %s, remove one", key.Value, owner)
		case len(known) > 0 && !slices.Contains(known, key.Value):
			r.errorAt(startOf(key), "unknown key %q in %s%s", key.Value, owner, suggestion(key.Value, known))
		default:
			out = append(out, entry{key: key.Value, at: startOf(key), value: p.Value})
		}
	}
	return out
}

// list returns the items of a sequence.
func (r *reader) list(e entry) []ast.Node {
	seq, ok := e.value.(*ast.SequenceNode)
	if !ok {
		r.errorAt(e.at, "%s must be a list, as in [a, b]", e.key)
		return nil
	}
	return seq.Values
}

// text returns a trimmed text. It reports an error if the text is empty, has more
// than limit characters or contains control characters.
func (r *reader) text(n ast.Node, field string, limit int) string {
	var s string
	switch n := n.(type) {
	case *ast.StringNode:
		s = n.Value
	case *ast.LiteralNode:
		s = n.Value.Value
	case nil, *ast.NullNode:
		r.errorAt(startOf(n), "%s is empty, enter a text", field)
		return ""
	default:
		r.errorAt(startOf(n), "%s must be text, put it in quotes", field)
		return ""
	}
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		r.errorAt(startOf(n), "%s is empty, enter a text", field)
	case len([]rune(s)) > limit:
		r.errorAt(startOf(n), "%s has %d characters, shorten it to %d", field, len([]rune(s)), limit)
	case strings.ContainsFunc(s, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' || c == 0x7f }):
		r.errorAt(startOf(n), "%s contains control characters, remove them", field)
	}
	return s
}

// line returns a text of one line.
func (r *reader) line(n ast.Node, field string, limit int) string {
	s := r.text(n, field, limit)
	if strings.ContainsAny(s, "\n\r") {
		r.errorAt(startOf(n), "%s has several lines, use one", field)
	}
	return s
}

func (r *reader) boolean(n ast.Node, field string) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.errorAt(startOf(n), "%s must be true or false", field)
		return false
	}
	return b.Value
}

// position converts a line and column inside a text node, counted from 0, to a
// position in the file.
func (r *reader) position(n ast.Node, line, column int) (int, int) {
	at := startOf(n)
	switch n := n.(type) {
	case *ast.LiteralNode:
		if !strings.HasPrefix(n.Start.Value, "|") {
			return at.Line, at.Column // lines of a folded text are not lines of the file
		}
		in := at.Line + 1 + line // the text starts in the line after the |
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
