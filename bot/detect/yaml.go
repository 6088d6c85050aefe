package detect

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"tocsin/bot/text"
)

// value is a YAML value with its line.
type value struct {
	kind  valueKind
	line  int
	text  string   // of a scalar, in the form that records compare as
	items []*value // of a list, or of a map in the order of keys
	keys  []string
}

type valueKind uint8

const (
	isNull valueKind = iota
	isBool
	isNumber
	isText
	isList
	isMap
)

func (k valueKind) String() string {
	return [...]string{"null", "a boolean", "a number", "a text", "a list", "a map"}[k]
}

// parseError is an error in a document with its line, or 0 if that is unknown.
type parseError struct {
	line   int
	reason string
}

func (f *parseError) Error() string { return f.reason }

func parseErrorf(line int, format string, args ...any) error {
	return &parseError{line, fmt.Sprintf(format, args...)}
}

// get returns the value of a key of a map, or nil.
func (v *value) get(key string) *value {
	if v == nil || v.kind != isMap {
		return nil
	}
	for i, k := range v.keys {
		if k == key {
			return v.items[i]
		}
	}
	return nil
}

// str returns the text of a scalar under a key, or "".
func (v *value) str(key string) string {
	if f := v.get(key); f != nil && f.kind != isList && f.kind != isMap {
		return f.text
	}
	return ""
}

// strs returns the texts of a scalar or of a list of scalars under a key. It
// leaves out empty elements of a list.
func (v *value) strs(key string) []string {
	f := v.get(key)
	switch {
	case f == nil || f.kind == isNull || f.kind == isMap:
		return nil
	case f.kind != isList:
		return []string{f.text}
	}
	var out []string
	for _, e := range f.items {
		if e.kind != isList && e.kind != isMap && e.text != "" {
			out = append(out, e.text)
		}
	}
	return out
}

// jsonValue converts the value to the types of encoding/json, except that whole
// numbers become int64.
func (v *value) jsonValue() any {
	switch v.kind {
	case isNull:
		return nil
	case isBool:
		return v.text == "true"
	case isNumber:
		f, _ := strconv.ParseFloat(v.text, 64)
		if i, err := strconv.ParseInt(v.text, 10, 64); err == nil {
			return i
		}
		return f
	case isText:
		return v.text
	case isList:
		out := make([]any, len(v.items))
		for i, e := range v.items {
			out[i] = e.jsonValue()
		}
		return out
	}
	out := make(map[string]any, len(v.items))
	for i, e := range v.items {
		out[v.keys[i]] = e.jsonValue()
	}
	return out
}

// maxRuleNesting limits the recursion that a hostile file can cause.
const maxRuleNesting = 50

// parseYAML returns the documents of a file except empty ones.
func parseYAML(src []byte) ([]*value, error) {
	if src = text.UTF8(src); !utf8.Valid(src) {
		return nil, parseErrorf(1, "the file is not UTF-8. Save it as UTF-8")
	}
	if err := checkBrackets(src); err != nil {
		return nil, err
	}
	if line := text.EmptyDocument(src); line > 0 {
		return nil, parseErrorf(line, "an empty document hides the documents after it. Remove one of the lines ---")
	}
	file, err := parser.ParseBytes(src, 0)
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			return nil, parseErrorf(at.GetToken().Position.Line, "YAML: %s", at.GetMessage())
		}
		return nil, parseErrorf(0, "YAML: %s", err)
	}
	var out []*value
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		v, err := fromAST(doc.Body, 0)
		if err != nil {
			return nil, err
		}
		if v.kind != isNull {
			out = append(out, v)
		}
	}
	return out, nil
}

// checkBrackets rejects text with more than 1,000 opening brackets in a line. The
// YAML parser recurses on them.
func checkBrackets(src []byte) error {
	depth, line := 0, 1
	for _, c := range src {
		switch c {
		case '\n':
			line++
			depth = 0
		case '[', '{':
			if depth++; depth > 1000 {
				return parseErrorf(line, "YAML: brackets nest too deeply")
			}
		}
	}
	return nil
}

func fromAST(n ast.Node, depth int) (*value, error) {
	v := &value{}
	if t := n.GetToken(); t != nil && t.Position != nil {
		v.line = t.Position.Line
	}
	if depth > maxRuleNesting {
		return nil, parseErrorf(v.line, "nested deeper than %d", maxRuleNesting)
	}
	switch n := n.(type) {
	case *ast.NullNode:
		v.kind = isNull
	case *ast.StringNode:
		v.kind, v.text = isText, n.Value
	case *ast.LiteralNode:
		v.kind, v.text = isText, n.Value.Value
	case *ast.BoolNode:
		v.kind, v.text = isBool, strconv.FormatBool(n.Value)
	case *ast.IntegerNode:
		v.kind, v.text = isNumber, fmt.Sprint(n.Value)
		if t := n.GetToken().Value; len(t) > 1 && t[0] == '0' && strings.Trim(t, "0123456789") == "" {
			v.kind, v.text = isText, t // an account ID, not an octal number
		}
	case *ast.FloatNode:
		v.kind, v.text = isNumber, strconv.FormatFloat(n.Value, 'f', -1, 64)
	case *ast.SequenceNode:
		v.kind = isList
		for _, e := range n.Values {
			child, err := fromAST(e, depth+1)
			if err != nil {
				return nil, err
			}
			v.items = append(v.items, child)
		}
	case *ast.MappingNode:
		v.kind = isMap
		for _, e := range n.Values {
			if err := v.addMember(e, depth); err != nil {
				return nil, err
			}
		}
		if len(n.Values) > 0 {
			v.line = n.Values[0].Key.GetToken().Position.Line
		}
	case *ast.MappingValueNode:
		v.kind = isMap
		if err := v.addMember(n, depth); err != nil {
			return nil, err
		}
		v.line = n.Key.GetToken().Position.Line
	default:
		return nil, parseErrorf(v.line, "%s is not supported in rules", strings.ToLower(strings.TrimSuffix(n.Type().String(), "Type")))
	}
	return v, nil
}

func (v *value) addMember(e *ast.MappingValueNode, depth int) error {
	token := e.Key.GetToken()
	if _, complex := e.Key.(*ast.MappingKeyNode); complex || e.Key.IsMergeKey() {
		return parseErrorf(token.Position.Line, "merge keys and keys that are not plain text are not supported in rules")
	}
	key := token.Value
	for _, k := range v.keys {
		if k == key {
			return parseErrorf(token.Position.Line, "the key %q is repeated", key)
		}
	}
	child, err := fromAST(e.Value, depth+1)
	if err != nil {
		return err
	}
	v.keys, v.items = append(v.keys, key), append(v.items, child)
	return nil
}
