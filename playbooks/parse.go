package playbooks

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"tocsin/bot/incident"
)

var slug = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// Parse reads one playbook. Its error is an *Error that lists every fault.
func Parse(file string, src []byte) (*Playbook, error) {
	r := &reader{file: file, lines: strings.Split(string(src), "\n")}
	p := &Playbook{File: file, Source: slices.Clone(src), Digest: digest(src)}
	if body := r.tree(src); body != nil {
		r.playbook(p, body)
	}
	if len(r.faults) > 0 {
		slices.SortStableFunc(r.faults, func(a, b ParseError) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return nil, &ParseErrors{Errors: r.faults}
	}
	return p, nil
}

// tree parses the YAML of one document without anchors, aliases and tags:
// what stands in the file is what is meant.
func (r *reader) tree(src []byte) ast.Node {
	switch {
	case len(src) > MaxBytes:
		r.faultAt(1, 1, "the file has %d bytes, at most %d are read", len(src), MaxBytes)
		return nil
	case !utf8.Valid(src):
		r.faultAt(1, 1, "the file is not UTF-8")
		return nil
	case depth(src) > 40:
		r.faultAt(1, 1, "the file is nested too deeply")
		return nil
	}
	tree, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var bad *yaml.SyntaxError
		if errors.As(err, &bad) && bad.Token != nil {
			r.errorAt(bad.Token.Position, "this is no YAML: %s", bad.Message)
		} else {
			r.faultAt(1, 1, "this is no YAML: %v", err)
		}
		return nil
	}
	if len(tree.Docs) == 0 || tree.Docs[0].Body == nil {
		r.faultAt(1, 1, "the file is empty")
		return nil
	}
	if len(tree.Docs) > 1 && tree.Docs[1].Body != nil {
		r.errorAt(place(tree.Docs[1].Body), "a file holds one playbook")
	}
	return tree.Docs[0].Body
}

// depth is the deepest nesting of flow brackets and of indentation, counted
// roughly and without regard to quotes; the YAML parser recurses by it.
func depth(src []byte) int {
	deepest, open, dashes := 0, 0, 0
	for _, c := range src {
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
		deepest = max(deepest, open, dashes/4)
	}
	return deepest
}

// playbook reads the top of the file.
func (r *reader) playbook(p *Playbook, body ast.Node) {
	known := []string{"version", "name", "title", "description", "match", "roles", "consult", "steps"}
	found := map[string]entry{}
	for _, e := range r.mapping(body, "a playbook", known...) {
		found[e.key] = e
	}
	for _, must := range []string{"version", "name", "title", "description", "roles", "steps"} {
		if _, ok := found[must]; !ok {
			r.errorAt(place(body), "a playbook needs %s", must)
		}
	}
	if e, ok := found["version"]; ok {
		n, isInt := e.value.(*ast.IntegerNode)
		if !isInt || fmt.Sprint(n.Value) != fmt.Sprint(Version) {
			r.errorAt(place(e.value), "version has to be %d, the only one there is", Version)
		}
	}
	if e, ok := found["name"]; ok {
		p.Name = r.name(e.value)
	}
	if e, ok := found["title"]; ok {
		p.Title = r.line(e.value, "title", MaxTitle)
	}
	if e, ok := found["description"]; ok {
		p.Description = r.text(e.value, "description", MaxDetail)
	}
	if e, ok := found["match"]; ok {
		p.Match, p.match = r.condition(e.value, "match", matchEnv{})
	}
	if e, ok := found["roles"]; ok {
		p.Roles = r.roles(e.value)
	}
	if e, ok := found["consult"]; ok {
		for _, item := range r.list(e) {
			p.Consult = append(p.Consult, r.ask(item))
		}
	}
	if e, ok := found["steps"]; ok {
		p.Steps = r.steps(e, p.Roles)
	}
}

func (r *reader) name(n ast.Node) string {
	name := r.line(n, "name", 64)
	file := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(r.file), ".yaml"), ".yml")
	switch {
	case name == "":
	case !slug.MatchString(name):
		r.errorAt(place(n), "%q is no name; use a-z, 0-9 and single dashes, as in leaked-aws-credentials", name)
	case name != file:
		r.errorAt(place(n), "the name is %q, but the file is called %q", name, file)
	}
	return name
}

// condition reads and checks an expression over env.
func (r *reader) condition(n ast.Node, what string, env any) (string, condition) {
	src := r.text(n, what, 2000)
	if src == "" {
		return "", nil
	}
	program, bad := compile(src, env)
	for _, b := range bad {
		line, column := r.position(n, b.Line, b.Column)
		r.faultAt(line, column, "%s: %s", what, b.Message)
	}
	return src, program
}

func (r *reader) roles(n ast.Node) map[incident.Role]string {
	out := map[incident.Role]string{}
	for _, e := range r.mapping(n, "roles") {
		if !teamName.MatchString(e.key) {
			r.errorAt(e.at, "%q is no role; use a-z, 0-9, - and _", e.key)
		}
		out[incident.Role(e.key)] = r.line(e.value, "what "+e.key+" does", MaxTitle)
	}
	return out
}

func (r *reader) team(n ast.Node, what string) incident.Department {
	s := r.line(n, what, 32)
	if s != "" && !teamName.MatchString(s) {
		r.errorAt(place(n), "%q is no team; use a-z, 0-9, - and _", s)
	}
	return incident.Department(s)
}

func (r *reader) ask(n ast.Node) (a incident.ConsultRequest) {
	for _, e := range r.mapping(n, "a consultation", "team", "blocking") {
		if e.key == "team" {
			a.Team = r.team(e.value, "team")
			continue
		}
		a.Blocking = r.boolean(e.value, "blocking")
	}
	if a.Team == "" {
		r.errorAt(place(n), "a consultation needs team")
	}
	return a
}

// duration reads a positive duration such as 15m or 4h30m.
func (r *reader) duration(n ast.Node) time.Duration {
	s := r.line(n, "deadline", 32)
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		r.errorAt(place(n), "%q is no duration; write it as 15m, 4h or 1h30m", s)
	case d < time.Minute || d > MaxDue:
		r.errorAt(place(n), "a deadline lies between one minute and %d days, not %s", MaxDue/(24*time.Hour), s)
	}
	return d
}
