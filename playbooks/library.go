package playbooks

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"tocsin/bot/incident"
)

//go:embed *.yaml
var builtin embed.FS

// Library is a set of playbooks with unique names. It is read-only and safe for
// concurrent use.
type Library struct{ byName map[string]*Playbook }

// Load reads the built-in playbooks, then every *.yaml and *.yml file in dirs.
// A later playbook replaces an earlier one with that name, but one folder must
// not define a name twice. Invalid files are reported together in a
// [*ParseErrors].
func Load(dirs ...string) (*Library, error) {
	l := &Library{byName: map[string]*Playbook{}}
	var all ParseErrors
	if err := l.read(builtin, "", &all); err != nil {
		return nil, fmt.Errorf("read built-in playbooks: %w", err)
	}
	for _, dir := range dirs {
		err := l.read(os.DirFS(dir), dir, &all)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the folder %s does not exist. Run `mkdir -p %s`, or remove it from the list", dir, dir)
		}
		if err != nil {
			return nil, fmt.Errorf("read playbooks in %s: %w", dir, err)
		}
	}
	if len(all.Errors) > 0 {
		return nil, &all
	}
	return l, nil
}

func (l *Library) read(from fs.FS, dir string, all *ParseErrors) error {
	entries, err := fs.ReadDir(from, ".")
	if err != nil {
		return err
	}
	files := map[string]string{}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); e.IsDir() || ext != ".yaml" && ext != ".yml" {
			continue
		}
		src, err := fs.ReadFile(from, e.Name())
		if err != nil {
			return err
		}
		file := filepath.Join(dir, e.Name())
		p, err := Parse(file, src)
		var bad *ParseErrors
		switch {
		case errors.As(err, &bad):
			all.Errors = append(all.Errors, bad.Errors...)
		case files[p.Name] != "":
			all.Errors = append(all.Errors, ParseError{File: file, Line: 1, Column: 1, Message: fmt.Sprintf("playbook %s is already defined in %s, rename one of them", p.Name, files[p.Name])})
		default:
			l.byName[p.Name], files[p.Name] = p, file
		}
	}
	return nil
}

// Names returns the sorted names of all playbooks.
func (l *Library) Names() []string { return slices.Sorted(maps.Keys(l.byName)) }

// Digests returns the digests of all playbooks by name.
func (l *Library) Digests() map[string]string {
	out := make(map[string]string, len(l.byName))
	for name, p := range l.byName {
		out[name] = p.Digest
	}
	return out
}

// Get returns the playbook with the given name and whether it exists.
func (l *Library) Get(name string) (*Playbook, bool) {
	p, ok := l.byName[name]
	return p, ok
}

// Pin returns the plan of the named playbook, for storage in an incident, and
// whether the playbook exists.
func (l *Library) Pin(name string) (incident.Run, bool) {
	p, ok := l.byName[name]
	if !ok {
		return incident.Run{}, false
	}
	return p.Pin(), true
}

// List returns the name and title of every playbook, sorted by name.
func (l *Library) List() []incident.PlaybookInfo {
	out := make([]incident.PlaybookInfo, 0, len(l.byName))
	for _, name := range l.Names() {
		out = append(out, incident.PlaybookInfo{Name: name, Title: l.byName[name].Title})
	}
	return out
}

// Match returns the plans of all playbooks whose match condition is true,
// sorted by name. The alert is nil if a person opens the incident. failed lists the
// playbooks whose condition cannot be evaluated, with the reason. They are not
// among the plans.
func (l *Library) Match(inc incident.Incident, alert *incident.Alert) (out []incident.Run, failed map[string]error) {
	env := newMatchEnv(inc, alert)
	for _, name := range l.Names() {
		p := l.byName[name]
		if p.match == nil {
			continue
		}
		fits, err := evaluate(p.match, env)
		switch {
		case err != nil && failed == nil:
			failed = map[string]error{name: err}
		case err != nil:
			failed[name] = err
		case fits:
			out = append(out, p.Pin())
		}
	}
	return out, failed
}
