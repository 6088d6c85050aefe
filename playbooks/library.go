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

// Library is a set of playbooks by name.
type Library struct{ byName map[string]*Playbook }

// Load reads the built-in playbooks and then every *.yaml and *.yml of the
// directories. A playbook replaces one of the same name that was read before
// it. All faults of all files come in one *Error.
func Load(dirs ...string) (*Library, error) {
	l := &Library{byName: map[string]*Playbook{}}
	var all ParseErrors
	if err := l.read(builtin, "", &all); err != nil {
		return nil, fmt.Errorf("read built-in playbooks: %w", err)
	}
	for _, dir := range dirs {
		if err := l.read(os.DirFS(dir), dir, &all); err != nil {
			return nil, fmt.Errorf("read playbooks of %s: %w", dir, err)
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
	here := map[string]string{}
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
		case here[p.Name] != "":
			all.Errors = append(all.Errors, ParseError{File: file, Line: 1, Column: 1, Message: fmt.Sprintf("%s is defined in %s already", p.Name, here[p.Name])})
		default:
			l.byName[p.Name], here[p.Name] = p, file
		}
	}
	return nil
}

// Names lists the playbooks in order.
func (l *Library) Names() []string { return slices.Sorted(maps.Keys(l.byName)) }

// Get returns a playbook by name.
func (l *Library) Get(name string) (*Playbook, bool) {
	p, ok := l.byName[name]
	return p, ok
}

// Pin returns a playbook as it is pinned when it starts.
func (l *Library) Pin(name string) (incident.Run, bool) {
	p, ok := l.byName[name]
	if !ok {
		return incident.Run{}, false
	}
	return p.Pin(), true
}

// Match returns, pinned and in order of their names, the playbooks that fit an
// incident which alert opens or joins (nil: a person opens it). A condition
// that fails on this occasion does not fit.
func (l *Library) Match(inc incident.Incident, alert *incident.Alert) []incident.Run {
	var out []incident.Run
	env := newMatchEnv(inc, alert)
	for _, name := range l.Names() {
		p := l.byName[name]
		if p.match == nil {
			continue
		}
		if fits, err := holds(p.match, env); err == nil && fits {
			out = append(out, p.Pin())
		}
	}
	return out
}
