package bot_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arrows says, literally, which of our packages each package may import. A
// trailing "..." stands for a folder and everything in it.
var arrows = map[string][]string{
	"bot/incident": {}, "bot/secret": {}, "bot/redact": {},

	"playbooks":  {"bot/incident"},
	"templates":  {"bot/incident"},
	"bot/detect": {"bot/incident"},

	"bot/intake":            {"bot/incident"},
	"bot/intake/intaketest": {"bot/incident", "bot/intake"},
	"bot/response":          {"bot/incident", "playbooks", "templates", "bot/detect", "bot/redact"},

	"store":            {"bot/incident", "bot/response", "bot/intake", "bot/secret"},
	"bot/sentry":       {"bot/incident", "bot/secret"},
	"bot/pagerduty":    {"bot/incident", "bot/secret"},
	"bot/alertmanager": {"bot/incident", "bot/secret"},
	"bot/generic":      {"bot/incident", "bot/secret"},
	"bot/hackerone":    {"bot/incident", "bot/secret"},
	"bot/vulnreport":   {"bot/incident", "bot/secret"},
	"bot/cloudtrail":   {"bot/incident", "bot/detect", "bot/secret"},
	"bot/sns":          {"bot/incident", "bot/secret"},
	"bot/trail":        {"bot/incident", "bot/secret"},
	"bot/mail":         {"bot/incident", "templates", "bot/secret"},
	"bot/slack":        {"bot/incident", "playbooks", "templates", "bot/secret"},
	"bot/web":          {"bot/incident", "playbooks", "templates", "bot/secret"},

	"bot/sandbox/...": {"bot/sandbox/..."},

	"bot": {"bot/incident", "bot/secret", "bot/redact", "playbooks", "templates", "bot/detect", "bot/intake", "bot/response", "store",
		"bot/sentry", "bot/pagerduty", "bot/cloudtrail", "bot/mail", "bot/slack", "bot/web", "bot/sns", "bot/trail", "bot/alertmanager", "bot/generic", "bot/hackerone", "bot/vulnreport"},
	"cmd/tocsin": {"bot", "bot/sandbox/...", "store", "playbooks", "templates", "bot/detect", "bot/incident", "bot/secret"},
}

// owners are the libraries that one package alone may import.
var owners = map[string][]string{
	"gorm.io/":                         {"store"},
	"github.com/riverqueue/":           {"store"},
	"github.com/slack-go/":             {"bot/slack"},
	"github.com/PagerDuty/":            {"bot/pagerduty"},
	"github.com/tink-crypto/":          {"store"},
	"github.com/wneessen/go-mail":      {"bot/mail"},
	"github.com/getsentry/sentry-go":   {"bot"},
	"github.com/prometheus/":           {"bot"},
	"github.com/spf13/cobra":           {"cmd/tocsin"},
	"github.com/bradleyjkemp/sigma-go": {"bot/detect"},
}

// standardOnly import nothing but the standard library.
var standardOnly = []string{"bot/incident", "bot/secret", "bot/redact"}

// TestArrows holds who may import whom against every file that is not a test.
func TestArrows(t *testing.T) {
	seen := 0
	root := ".."
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
			if entry != nil && entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." {
				return fs.SkipDir
			}
			return err
		}
		if strings.HasSuffix(path, "_test.go") || strings.Contains(path, "storetest") || strings.Contains(path, "testdata") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		seen++
		for _, spec := range file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			check(t, filepath.ToSlash(rel), path, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 100 {
		t.Fatalf("only %d files were looked at", seen)
	}
}

func check(t *testing.T, from, file, imported string) {
	if ours, ok := strings.CutPrefix(imported, "tocsin/"); ok {
		allowed, known := lookup(from)
		if !known {
			t.Errorf("%s: the package %s has no line in the arrows", file, from)
		} else if !slices.ContainsFunc(allowed, func(a string) bool { return covers(a, ours) }) {
			t.Errorf("%s: %s may not import %s", file, from, ours)
		}
		return
	}
	for library, who := range owners {
		if strings.HasPrefix(imported, library) && !slices.Contains(who, from) {
			t.Errorf("%s: only %v may import %s", file, who, imported)
		}
	}
	if slices.Contains(standardOnly, from) && strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") {
		t.Errorf("%s: %s imports the standard library only, not %s", file, from, imported)
	}
}

func lookup(from string) ([]string, bool) {
	if allowed, ok := arrows[from]; ok {
		return allowed, true
	}
	for name, allowed := range arrows {
		if strings.HasSuffix(name, "...") && covers(name, from) {
			return allowed, true
		}
	}
	return nil, false
}

func covers(pattern, name string) bool {
	if folder, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == folder || strings.HasPrefix(name, folder+"/")
	}
	return pattern == name
}

// TestTopLevel keeps the house at its five folders.
func TestTopLevel(t *testing.T) {
	folders := []string{"bot", "cmd", "playbooks", "store", "templates"}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		ignored := e.Name() == "screenshots" || e.Name() == "out" || strings.HasPrefix(e.Name(), ".")
		if e.IsDir() && !ignored && !slices.Contains(folders, e.Name()) {
			t.Errorf("%s is no folder of this house", e.Name())
		}
	}
}
