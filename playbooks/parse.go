package playbooks

import (
	"errors"
	"fmt"
	"net/url"
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
	"tocsin/bot/text"
)

var slugPattern = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// Parse parses and validates one playbook. The name of the file must match the
// name in the playbook. The error is a [*ParseErrors] with all errors of the
// file.
func Parse(file string, src []byte) (*Playbook, error) {
	r := &reader{file: file, lines: strings.Split(string(src), "\n")}
	p := &Playbook{File: file, Source: slices.Clone(src), Digest: sourceDigest(src)}
	if body := r.parseTree(src); body != nil {
		r.playbook(p, body)
	}
	if len(r.errors) > 0 {
		slices.SortStableFunc(r.errors, func(a, b ParseError) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return nil, &ParseErrors{Errors: r.errors}
	}
	return p, nil
}

// parseTree parses one YAML document. The format has no anchors, aliases or
// tags.
func (r *reader) parseTree(src []byte) ast.Node {
	switch {
	case len(src) > MaxBytes:
		r.errorAtLine(1, 1, "the file has %d bytes, reduce it to at most %d", len(src), MaxBytes)
		return nil
	}
	switch src = text.UTF8(src); {
	case !utf8.Valid(src):
		r.errorAtLine(1, 1, "the file is not UTF-8, save it as UTF-8")
		return nil
	case nestingDepth(src) > 40:
		r.errorAtLine(1, 1, "the file is nested too deeply, use at most 40 levels")
		return nil
	}
	if line := text.EmptyDocument(src); line > 0 {
		r.errorAtLine(line, 1, "an empty document hides the rest of the file, remove the line ---")
		return nil
	}
	tree, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var bad *yaml.SyntaxError
		if errors.As(err, &bad) && bad.Token != nil {
			r.errorAt(bad.Token.Position, "invalid YAML: %s", bad.Message)
		} else {
			r.errorAtLine(1, 1, "invalid YAML: %v", err)
		}
		return nil
	}
	if len(tree.Docs) == 0 || tree.Docs[0].Body == nil {
		r.errorAtLine(1, 1, "the file is empty, add a playbook")
		return nil
	}
	for _, doc := range tree.Docs[1:] {
		if doc.Body != nil {
			r.errorAt(startOf(doc.Body), "the file has a second document, put each playbook in a separate file")
			break
		}
	}
	return tree.Docs[0].Body
}

// nestingDepth returns a rough estimate of the nesting, from brackets and
// dashes, without regard to quotes. The YAML parser uses one level of recursion
// per nesting level, and this check protects its stack.
func nestingDepth(src []byte) int {
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

// playbook reads the top-level mapping.
func (r *reader) playbook(p *Playbook, body ast.Node) {
	known := []string{"version", "name", "title", "description", "runbook", "match", "roles", "consult", "steps"}
	found := map[string]entry{}
	for _, e := range r.mapping(body, "a playbook", known...) {
		found[e.key] = e
	}
	for _, key := range []string{"version", "name", "title", "description", "roles", "steps"} {
		if _, ok := found[key]; !ok {
			r.errorAt(startOf(body), "missing key %q, add it to the playbook", key)
		}
	}
	if e, ok := found["version"]; ok {
		n, isInt := e.value.(*ast.IntegerNode)
		if !isInt || fmt.Sprint(n.Value) != fmt.Sprint(Version) {
			r.errorAt(startOf(e.value), "version must be %d", Version)
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
	if e, ok := found["runbook"]; ok {
		p.Runbook = r.runbook(e.value)
	}
	if e, ok := found["match"]; ok {
		p.Match, p.match = r.condition(e.value, "match", matchEnv{})
	}
	if e, ok := found["roles"]; ok {
		p.Roles = r.roles(e.value)
	}
	if e, ok := found["consult"]; ok {
		for _, item := range r.list(e) {
			p.Consult = append(p.Consult, r.consultRequest(item))
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
	case !slugPattern.MatchString(name):
		r.errorAt(startOf(n), "invalid name %q, use a-z, 0-9 and single dashes, as in leaked-aws-credentials", name)
	case name != file:
		r.errorAt(startOf(n), "name %q does not match the file name %q, change one of them", name, file)
	}
	return name
}

// runbook reads the URL of a runbook. A page contains it, so it must not run code.
func (r *reader) runbook(n ast.Node) string {
	s := r.line(n, "runbook", 500)
	if u, err := url.Parse(s); s != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
		r.errorAt(startOf(n), "runbook is not a URL, write one such as https://wiki.example.com/runbook")
	}
	return s
}

// condition reads an expression and compiles it over env.
func (r *reader) condition(n ast.Node, field string, env any) (string, condition) {
	src := r.text(n, field, 2000)
	if src == "" {
		return "", nil
	}
	program, bad := compile(src, env)
	for _, b := range bad {
		line, column := r.position(n, b.Line, b.Column)
		r.errorAtLine(line, column, "%s: %s", field, b.Message)
	}
	return src, program
}

func (r *reader) roles(n ast.Node) map[incident.Role]string {
	out := map[incident.Role]string{}
	for _, e := range r.mapping(n, "roles") {
		if !teamPattern.MatchString(e.key) {
			r.errorAt(e.at, "invalid role %q, use a-z, 0-9, - and _, starting with a letter", e.key)
		}
		out[incident.Role(e.key)] = r.line(e.value, "description of role "+e.key, MaxTitle)
	}
	return out
}

func (r *reader) team(n ast.Node, field string) incident.Department {
	s := r.line(n, field, 32)
	if s != "" && !teamPattern.MatchString(s) {
		r.errorAt(startOf(n), "invalid team %q, use a-z, 0-9, - and _, starting with a letter", s)
	}
	return incident.Department(s)
}

func (r *reader) consultRequest(n ast.Node) (a incident.ConsultRequest) {
	for _, e := range r.mapping(n, "a consultation", "team", "blocking") {
		if e.key == "team" {
			a.Team = r.team(e.value, "team")
			continue
		}
		a.Blocking = r.boolean(e.value, "blocking")
	}
	if a.Team == "" {
		r.errorAt(startOf(n), "missing key \"team\", add it to the consultation")
	}
	return a
}

// duration reads a deadline, for example 15m or 4h30m.
func (r *reader) duration(n ast.Node) time.Duration {
	s := r.line(n, "deadline", 32)
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		r.errorAt(startOf(n), "invalid deadline %q, write it as 15m, 4h or 1h30m", s)
	case d < time.Minute || d > MaxDue:
		r.errorAt(startOf(n), "deadline %s is out of range, use 1 minute to %d days", s, MaxDue/(24*time.Hour))
	}
	return d
}
