package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"tocsin/bot/text"
)

// The bounds of a file. The time of the parser grows with the square of the keys of
// one map, and its stack with the nesting. maxValues bounds the aliases.
const (
	maxFile    = 512 << 10 // bytes
	maxColons  = 20_000    // each key has one
	maxNesting = 50
	maxValues  = 100_000
)

// node is a value of a configuration file. Nodes are not changed after parsing,
// because aliases share them.
type node struct {
	kind  kind
	text  string // of a scalar, as written
	at    place
	keys  []entry // of a map, in the order of the file
	items []*node // of a list
	// repeated are the keys that a map has twice.
	repeated []repetition
}

// entry is a key of a map with its value.
type entry struct {
	name  string
	at    place
	value *node
}

// repetition is a key that a map has already.
type repetition struct {
	name      string
	at, first place
}

// kind is the form of a value in the file. The decoder does not depend on the kind
// of a scalar, because variables are always text.
type kind string

const (
	isNull   kind = "nothing"
	isText   kind = "text"
	isNumber kind = "a number"
	isBool   kind = "true or false"
	isList   kind = "a list"
	isMap    kind = "a map"
)

// place is where a value is written: in the file, or in an environment variable.
type place struct {
	line, column int
	variable     string
}

// syntaxError is an error that prevents reading the file.
type syntaxError struct {
	at   place
	text string
}

func (e *syntaxError) Error() string { return e.text }

func syntaxErrorf(at place, format string, args ...any) error {
	return &syntaxError{at, fmt.Sprintf(format, args...)}
}

// start is the place of an error about the whole file.
var start = place{line: 1, column: 1}

// parseTree parses a file, whose document must be a map. An empty file is an empty
// map. The parser of the library gives the lines and columns. Its own decoder is not
// used, because it stops at the first error and quotes the file, which can contain
// secrets.
func parseTree(src []byte) (*node, error) {
	src = text.UTF8(src)
	if err := checkBounds(src); err != nil {
		return nil, err
	}
	if line := text.EmptyDocument(src); line > 0 {
		return nil, syntaxErrorf(place{line: line, column: 1}, "an empty document hides the rest of the file. Remove the line ---")
	}
	file, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			return nil, syntaxErrorf(placeOf(at.GetToken()), "invalid YAML: %s", describeSyntax(at.GetMessage()))
		}
		return nil, syntaxErrorf(start, "invalid YAML. Compare it with `tocsin config example`")
	}
	b := &treeBuilder{anchors: map[string]*node{}, left: maxValues}
	var root *node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if root != nil {
			return nil, syntaxErrorf(placeOf(doc.Body.GetToken()), "the file has a second document. Remove it, with the line --- before it")
		}
		if root, err = b.build(doc.Body, 0); err != nil {
			return nil, err
		}
	}
	switch {
	case root == nil || root.kind == isNull:
		return &node{kind: isMap, at: start}, nil
	case root.kind != isMap:
		return nil, syntaxErrorf(root.at, "the file contains %s. Write keys and values, as in `tocsin config example`", root.kind)
	}
	return root, nil
}

// quotedText is text of the file in a message of the library.
var quotedText = regexp.MustCompile(`:? "(?:[^"\\]|\\.)*"`)

// describeSyntax returns a message of the library without text of the file, which can
// be a secret, and the fix.
func describeSyntax(message string) string {
	message, _, _ = strings.Cut(quotedText.ReplaceAllString(message, ""), ". ")
	fix := "Correct the line"
	switch {
	case strings.Contains(message, "'\t'"):
		message, fix = "a tab is not allowed here", "Indent with spaces"
	case strings.Contains(message, "not allowed in this context"):
		fix = "Check the indentation and the quotes up to this line"
	case strings.Contains(message, "reserved character"), strings.Contains(message, "header option"):
		fix = "Write the value in quotes"
	}
	return message + ". " + fix
}

// checkBounds returns an error for a file that the parser must not read.
func checkBounds(src []byte) error {
	if len(src) > maxFile {
		return syntaxErrorf(start, "the file has more than %d bytes. Check that it is the configuration, and shorten it", maxFile)
	}
	if !utf8.Valid(src) {
		return syntaxErrorf(start, "the file is not UTF-8. Save it as UTF-8")
	}
	if bytes.Count(src, []byte(":")) > maxColons {
		return syntaxErrorf(start, "the file has more than %d colons. Check that it is the configuration, and shorten it", maxColons)
	}
	open, dashes := 0, 0
	for n, c := range src { // without regard to quotes
		switch c {
		case '[', '{':
			open++
		case ']', '}':
			open = max(open-1, 0)
		case '-', '?':
			dashes++
		case ' ':
		default:
			dashes = 0
		}
		if open > maxNesting || dashes > 4*maxNesting {
			return syntaxErrorf(place{line: 1 + bytes.Count(src[:n], []byte("\n")), column: 1}, "values are nested in more than %d others. Write fewer brackets and dashes", maxNesting)
		}
	}
	return nil
}

func placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return start
	}
	return place{line: max(t.Position.Line, 1), column: max(t.Position.Column, 1)}
}

// treeBuilder converts the tree of the library.
type treeBuilder struct {
	anchors map[string]*node // nil while the value of the anchor is built
	left    int              // values and merged keys that the file may still have
}

func (b *treeBuilder) build(n ast.Node, depth int) (*node, error) {
	out := &node{at: placeOf(n.GetToken())}
	if b.left--; b.left < 0 {
		return nil, syntaxErrorf(out.at, "the file has more than %d values. Use fewer aliases", maxValues)
	}
	if depth > maxNesting {
		return nil, syntaxErrorf(out.at, "the value is nested in more than %d others. Write fewer levels", maxNesting)
	}
	switch n := n.(type) {
	case *ast.AnchorNode:
		name := n.Name.GetToken().Value
		b.anchors[name] = nil
		value, err := b.build(n.Value, depth+1)
		b.anchors[name] = value
		return value, err
	case *ast.AliasNode:
		return b.alias(n.Value.GetToken().Value, out.at)
	case *ast.TagNode:
		return b.build(n.Value, depth+1)
	case *ast.SequenceNode:
		out.kind = isList
		for _, e := range n.Values {
			item, err := b.build(e, depth+1)
			if err != nil {
				return nil, err
			}
			out.items = append(out.items, item)
		}
	case *ast.MappingNode:
		out.kind = isMap
		if !n.IsFlowStyle && len(n.Values) > 0 { // the token is the first colon
			out.at = placeOf(n.Values[0].Key.GetToken())
		}
		return out, b.addEntries(out, n.Values, depth)
	case *ast.MappingValueNode:
		out.kind, out.at = isMap, placeOf(n.Key.GetToken())
		return out, b.addEntries(out, []*ast.MappingValueNode{n}, depth)
	default:
		return out, out.setScalar(n)
	}
	return out, nil
}

// alias returns the value of an anchor, at the place of the alias. An error does not
// contain the name, because a password can begin with an asterisk.
func (b *treeBuilder) alias(name string, at place) (*node, error) {
	value, known := b.anchors[name]
	switch {
	case !known:
		return nil, syntaxErrorf(at, "the alias has no anchor before it. Write the value in quotes, or add the anchor to an earlier value")
	case value == nil:
		return nil, syntaxErrorf(at, "the alias is part of its own value. Write the value")
	}
	out := *value
	out.at = at
	return &out, nil
}

// addEntries adds the keys of a map. Keys of a merged map (<<) come last, and only
// if the map does not have them.
func (b *treeBuilder) addEntries(to *node, entries []*ast.MappingValueNode, depth int) error {
	first := map[string]place{}
	var merged []*node
	for _, e := range entries {
		at := placeOf(e.Key.GetToken())
		value, err := b.build(e.Value, depth+1)
		if err != nil {
			return err
		}
		if e.Key.IsMergeKey() {
			if merged, err = appendMerged(merged, value, at); err != nil {
				return err
			}
			continue
		}
		if _, complex := e.Key.(*ast.MappingKeyNode); complex {
			return syntaxErrorf(at, "a key is not plain text. Write one word, then a colon")
		}
		name := e.Key.GetToken().Value
		if before, twice := first[name]; twice {
			to.repeated = append(to.repeated, repetition{name, at, before})
			continue
		}
		first[name] = at
		to.keys = append(to.keys, entry{name, at, value})
	}
	for _, m := range merged {
		for _, e := range m.keys {
			if b.left--; b.left < 0 {
				return syntaxErrorf(to.at, "the file has more than %d values. Use fewer aliases", maxValues)
			}
			if _, known := first[e.name]; !known {
				first[e.name] = e.at
				to.keys = append(to.keys, e)
			}
		}
	}
	return nil
}

// appendMerged adds the maps that a merge key names.
func appendMerged(merged []*node, value *node, at place) ([]*node, error) {
	maps := []*node{value}
	if value.kind == isList {
		maps = value.items
	}
	for _, m := range maps {
		if m.kind != isMap {
			return nil, syntaxErrorf(at, "the key << merges maps, not %s. Write the alias of a map", m.kind)
		}
	}
	return append(merged, maps...), nil
}

// setScalar sets the kind and the text of a scalar.
func (n *node) setScalar(from ast.Node) error {
	n.kind, n.text = isText, from.GetToken().Value
	switch from := from.(type) {
	case *ast.NullNode:
		n.kind = isNull
	case *ast.StringNode:
		n.text = from.Value
	case *ast.LiteralNode:
		n.text = from.Value.Value
	case *ast.BoolNode:
		n.kind = isBool
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		n.kind = isNumber
	default:
		return syntaxErrorf(n.at, "%s is not supported. Write text, a list or a map", strings.ToLower(strings.TrimSuffix(from.Type().String(), "Type")))
	}
	return nil
}
