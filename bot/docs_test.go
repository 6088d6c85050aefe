package bot

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tocsin/bot/config"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/slack"
)

// update is the flag that rewrites the generated parts of the pages.
var update = flag.Bool("update", false, "rewrite the generated parts of README.md and docs")

// regenerate is the command that repairs a generated part.
const regenerate = "go test ./bot -run TestDocs -update"

// page is one Markdown file. Its path is relative to the root of the repository.
type page struct {
	testing.TB
	path string
	text string
}

// openPage reads a page.
func openPage(t testing.TB, path string) *page {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return &page{t, path, string(raw)}
}

// allPages reads README.md and every page in docs.
func allPages(t testing.TB) []*page {
	t.Helper()
	names, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages := []*page{openPage(t, "README.md")}
	for _, name := range names {
		pages = append(pages, openPage(t, "docs/"+filepath.Base(name)))
	}
	return pages
}

// block returns the text between the markers of a generated block.
func (p *page) block(name string) string {
	p.Helper()
	_, rest, ok := strings.Cut(p.text, "<!-- "+name+":begin -->\n")
	inside, _, ok2 := strings.Cut(rest, "<!-- "+name+":end -->\n")
	if !ok || !ok2 {
		p.Fatalf("%s: the markers <!-- %s:begin --> and <!-- %[2]s:end --> are missing; add them around the block", p.path, name)
	}
	return inside
}

// generated compares a block with want. With -update it writes want into the page.
func (p *page) generated(name, want string) {
	p.Helper()
	got := p.block(name)
	if got == want {
		return
	}
	if !*update {
		p.Errorf("%s: the block %s is out of date; run: %s\ngot:\n%s\nwant:\n%s", p.path, name, regenerate, got, want)
		return
	}
	begin := "<!-- " + name + ":begin -->\n"
	p.write(strings.Replace(p.text, begin+got, begin+want, 1))
}

func (p *page) write(text string) {
	p.Helper()
	p.text = text
	if err := os.WriteFile(filepath.Join("..", p.path), []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
}

// line returns the line number of an offset.
func (p *page) line(offset int) int { return 1 + strings.Count(p.text[:offset], "\n") }

// fence is one fenced code block.
type fence struct {
	info string // after the backticks, such as "yaml"
	text string
	line int
}

var fencePattern = regexp.MustCompile("(?ms)^```([^\n`]+)\n(.*?)^```$")

// fences returns the code blocks whose info string is info.
func (p *page) fences(info string) []fence {
	var out []fence
	for _, m := range fencePattern.FindAllStringSubmatchIndex(p.text, -1) {
		f := fence{p.text[m[2]:m[3]], p.text[m[4]:m[5]], p.line(m[4])}
		if f.info == info {
			out = append(out, f)
		}
	}
	return out
}

// cell escapes a text for a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}

// TestDocs_Manifest compares the manifest with the one that `tocsin init` writes, and
// its events and shortcuts with those of the sandbox. Slack cuts the names of shortcuts
// at 24 characters.
func TestDocs_Manifest(t *testing.T) {
	p := openPage(t, "docs/slack.md")
	p.generated("manifest", "```yaml manifest\n"+slack.Manifest("", "")+"```\n")
	if !slices.Equal(company.Events(), slack.Events()) {
		t.Errorf("got events %v from the sandbox, want %v", company.Events(), slack.Events())
	}
	var declared []slack.Shortcut
	for _, s := range company.Shortcuts() {
		declared = append(declared, slack.Shortcut{Type: s.Type, CallbackID: s.CallbackID, Name: s.Name, Description: s.Description})
		if len(s.Name) > 24 {
			t.Errorf("got shortcut name %q, want at most 24 characters", s.Name)
		}
	}
	if !slices.Equal(declared, slack.Shortcuts()) {
		t.Errorf("got shortcuts %v from the sandbox, want %v", declared, slack.Shortcuts())
	}
}

// TestDocs_Scopes holds the table of scopes and events to those of the manifest.
func TestDocs_Scopes(t *testing.T) {
	_, table, _ := strings.Cut(openPage(t, "docs/slack.md").text, "| Scopes and events | For |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var got []string
	for row := range strings.Lines(table) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), "|")
		for name := range strings.SplitSeq(cell, ",") {
			got = append(got, strings.Trim(name, " `"))
		}
	}
	want := append(slack.Scopes(), slack.Events()...)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("docs/slack.md: got the scopes and events %q, want %q", got, want)
	}
}

// TestDocs_ReadmeLength holds README.md to one screen of facts.
func TestDocs_ReadmeLength(t *testing.T) {
	if got := strings.Count(openPage(t, "README.md").text, "\n"); got > 120 {
		t.Errorf("README.md: got %d lines, want at most 120; move details to docs", got)
	}
}

var (
	linkPattern = regexp.MustCompile(`\[([^\]\n]*)\]\(([^)\s]+)\)`)
	codePattern = regexp.MustCompile("^`([A-Za-z_][A-Za-z0-9_]*(?:\\.[A-Za-z_][A-Za-z0-9_]*)?)`$")
	barePattern = regexp.MustCompile("`(bot|cmd|store|playbooks|templates|docs)/[A-Za-z0-9_./-]+`")
)

// TestDocs_Links checks that every linked file and heading exists. A link such
// as [`Edge.handle`](../bot/intake/edge.go) must name a function, method, type,
// variable or constant that the file declares.
func TestDocs_Links(t *testing.T) {
	declared := map[string][]string{}
	for _, p := range allPages(t) {
		for _, m := range linkPattern.FindAllStringSubmatchIndex(p.text, -1) {
			text, target := p.text[m[2]:m[3]], p.text[m[4]:m[5]]
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			at := fmt.Sprintf("%s:%d", p.path, p.line(m[0]))
			path, heading, _ := strings.Cut(target, "#")
			file := filepath.Join("..", filepath.Dir(p.path), path)
			if path == "" {
				file = filepath.Join("..", p.path)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: got a link to %s, want a file that exists", at, target)
				continue
			}
			if heading != "" && !slices.Contains(headings(t, file), heading) {
				t.Errorf("%s: got a link to %s, want one of the headings #%s", at, target, strings.Join(headings(t, file), ", #"))
			}
			code := codePattern.FindStringSubmatch(text)
			if code == nil || !strings.HasSuffix(file, ".go") {
				continue
			}
			if declared[file] == nil {
				declared[file] = declarations(t, file)
			}
			if !slices.Contains(declared[file], code[1]) {
				t.Errorf("%s: got %s, want a name that %s declares: %s", at, code[1], path, strings.Join(declared[file], ", "))
			}
		}
		for _, m := range barePattern.FindAllStringIndex(p.text, -1) {
			path := strings.Trim(p.text[m[0]:m[1]], "`")
			if _, err := os.Stat(filepath.Join("..", path)); err != nil {
				t.Errorf("%s:%d: got the path %s, want one that exists", p.path, p.line(m[0]), path)
			}
		}
	}
}

// declarations lists what a Go file declares: F, T, T.M, v, c.
func declarations(t testing.TB, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range parsed.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil && len(d.Recv.List) == 1 {
				receiver := d.Recv.List[0].Type
				if star, ok := receiver.(*ast.StarExpr); ok {
					receiver = star.X
				}
				if generic, ok := receiver.(*ast.IndexExpr); ok {
					receiver = generic.X
				}
				if ident, ok := receiver.(*ast.Ident); ok {
					name = ident.Name + "." + name
				}
			}
			out = append(out, name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					out = append(out, spec.Name.Name)
					if methods, ok := spec.Type.(*ast.InterfaceType); ok {
						for _, m := range methods.Methods.List {
							for _, name := range m.Names {
								out = append(out, spec.Name.Name+"."+name.Name)
							}
						}
					}
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						out = append(out, name.Name)
					}
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

var headingPattern = regexp.MustCompile(`(?m)^#+ (.+)$`)

// headings lists the anchors of a Markdown file as GitHub makes them.
func headings(t testing.TB, file string) []string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range headingPattern.FindAllStringSubmatch(fencePattern.ReplaceAllString(string(raw), ""), -1) {
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
				return r
			}
			return -1
		}, strings.ToLower(m[1]))
		out = append(out, anchor)
	}
	return out
}

// adapterPackages returns the packages that the picture shows as one box: every
// source, mail and chat.
func adapterPackages() []string {
	out := []string{"bot/mail", "bot/slack"}
	for t := range reflect.TypeFor[config.Sources]().Fields() {
		of := t.Type
		if of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if path, ours := strings.CutPrefix(of.PkgPath(), "tocsin/"); ours && !slices.Contains(out, path) {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

// TestDocs_Packages compares the picture of the packages with the imports in
// the code. It leaves out the packages that nearly all import.
func TestDocs_Packages(t *testing.T) {
	everywhere, adapters := []string{"bot/incident", "bot/secret", "bot/setting", "bot/text"}, adapterPackages()
	box := func(pkg string) string {
		switch {
		case slices.Contains(adapters, pkg):
			return "adapters"
		case strings.HasPrefix(pkg, "bot/sandbox"):
			return "bot/sandbox"
		}
		return pkg
	}
	edges := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		rel, err := filepath.Rel("..", filepath.Dir(path))
		if err != nil {
			return err
		}
		from := filepath.ToSlash(rel)
		if strings.HasSuffix(from, "test") { // helpers of tests
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			to, own := strings.CutPrefix(imported, "tocsin/")
			if own && box(from) != box(to) && !slices.Contains(everywhere, to) {
				edges[box(from)+" "+box(to)] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	openPage(t, "docs/architecture.md").generated("packages", packageDiagram(edges))
}

// packageDiagram draws one arrow from each importing box to the imported one.
func packageDiagram(edges map[string]bool) string {
	labels := map[string]string{}
	id := func(box string) string {
		name := strings.ReplaceAll(box, "/", "_")
		labels[name] = box
		if box == "adapters" {
			var names []string
			for _, a := range adapterPackages() {
				names = append(names, strings.TrimPrefix(a, "bot/"))
			}
			labels[name] = "bot/…<br/>" + strings.Join(names[:4], " ") + "<br/>" + strings.Join(names[4:8], " ") + "<br/>" + strings.Join(names[8:], " ")
		}
		return name
	}
	var arrows []string
	for edge := range edges {
		from, to, _ := strings.Cut(edge, " ")
		arrows = append(arrows, "    "+id(from)+" --> "+id(to))
	}
	slices.Sort(arrows)
	var names []string
	for name, label := range labels {
		names = append(names, fmt.Sprintf("    %s[\"%s\"]", name, label))
	}
	slices.Sort(names)
	return "```mermaid\nflowchart TD\n" + strings.Join(names, "\n") + "\n" + strings.Join(arrows, "\n") + "\n```\n"
}
