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

// allowedImports lists the packages of this module that each package may import.
// A trailing "..." matches a folder and everything below it.
var allowedImports = map[string][]string{
	"bot/incident": {}, "bot/secret": {}, "bot/redact": {}, "bot/expression": {}, "bot/outbound": {}, "bot/terminal": {}, "bot/bounds": {},

	"playbooks":   {"bot/expression", "bot/incident"},
	"templates":   {"bot/incident"},
	"bot/detect":  {"bot/incident"},
	"bot/command": {"bot/incident"},

	"bot/intake":            {"bot/incident", "bot/bounds"},
	"bot/intake/intaketest": {"bot/incident", "bot/intake"},
	"bot/response":          {"bot/expression", "bot/incident", "playbooks", "templates", "bot/detect", "bot/redact"},

	"store":            {"bot/incident", "bot/response", "bot/intake", "bot/secret"},
	"bot/sentry":       {"bot/incident", "bot/secret"},
	"bot/pagerduty":    {"bot/incident", "bot/secret", "bot/outbound"},
	"bot/alertmanager": {"bot/incident", "bot/secret"},
	"bot/generic":      {"bot/expression", "bot/incident", "bot/secret"},
	"bot/hackerone":    {"bot/incident", "bot/secret"},
	"bot/vulnreport":   {"bot/incident", "bot/secret", "bot/bounds"},
	"bot/cloudtrail":   {"bot/incident", "bot/detect", "bot/secret"},
	"bot/sns":          {"bot/incident", "bot/secret", "bot/bounds", "bot/outbound"},
	"bot/trail":        {"bot/incident", "bot/secret", "bot/outbound"},
	"bot/mail":         {"bot/incident", "templates", "bot/secret"},
	"bot/slack":        {"bot/incident", "bot/command", "playbooks", "templates", "bot/secret", "bot/outbound"},

	"bot/sandbox/...": {"bot/sandbox/..."},

	"bot/control":   {"bot/incident", "bot/command", "bot/intake", "store"},
	"bot/telemetry": {"bot/incident", "bot/intake", "bot/trail", "bot/outbound", "bot/secret", "bot/terminal"},

	"bot": {"bot/incident", "bot/secret", "bot/redact", "playbooks", "templates", "bot/detect", "bot/intake", "bot/response", "store",
		"bot/sentry", "bot/pagerduty", "bot/cloudtrail", "bot/mail", "bot/slack", "bot/sns", "bot/trail", "bot/alertmanager", "bot/generic", "bot/hackerone", "bot/vulnreport", "bot/control", "bot/telemetry"},
	"cmd/tocsin": {"bot", "bot/control", "bot/sandbox/...", "store", "playbooks", "templates", "bot/detect", "bot/incident", "bot/command", "bot/secret", "bot/outbound", "bot/terminal"},
}

// libraryOwners lists the only packages that may import a library.
var libraryOwners = map[string][]string{
	"gorm.io/":                         {"store"},
	"github.com/riverqueue/":           {"store"},
	"github.com/slack-go/":             {"bot/slack"},
	"github.com/expr-lang/":            {"bot/expression"},
	"github.com/PagerDuty/":            {"bot/pagerduty"},
	"github.com/tink-crypto/":          {"store"},
	"github.com/wneessen/go-mail":      {"bot/mail"},
	"github.com/getsentry/sentry-go":   {"bot/telemetry"},
	"github.com/prometheus/":           {"bot/telemetry"},
	"github.com/spf13/cobra":           {"cmd/tocsin"},
	"github.com/bradleyjkemp/sigma-go": {"bot/detect"},
}

// standardOnly lists the packages that may import only the standard library.
var standardOnly = []string{"bot/incident", "bot/secret", "bot/redact", "bot/outbound", "bot/terminal", "bot/bounds"}

// TestImportRules checks the imports of every file that is not a test.
func TestImportRules(t *testing.T) {
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
			checkImport(t, filepath.ToSlash(rel), path, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 100 {
		t.Fatalf("checked %d files, want at least 100", seen)
	}
}

func checkImport(t *testing.T, from, file, imported string) {
	if ours, ok := strings.CutPrefix(imported, "tocsin/"); ok {
		allowed, known := importsOf(from)
		if !known {
			t.Errorf("%s: package %s is missing in allowedImports", file, from)
		} else if !slices.ContainsFunc(allowed, func(a string) bool { return matchesPackage(a, ours) }) {
			t.Errorf("%s: %s must not import %s", file, from, ours)
		}
		return
	}
	for library, packages := range libraryOwners {
		if strings.HasPrefix(imported, library) && !slices.Contains(packages, from) {
			t.Errorf("%s: only %v may import %s", file, packages, imported)
		}
	}
	if slices.Contains(standardOnly, from) && strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") {
		t.Errorf("%s: %s may import only the standard library, not %s", file, from, imported)
	}
}

func importsOf(from string) ([]string, bool) {
	if allowed, ok := allowedImports[from]; ok {
		return allowed, true
	}
	for name, allowed := range allowedImports {
		if strings.HasSuffix(name, "...") && matchesPackage(name, from) {
			return allowed, true
		}
	}
	return nil, false
}

func matchesPackage(pattern, name string) bool {
	if folder, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == folder || strings.HasPrefix(name, folder+"/")
	}
	return pattern == name
}

func TestTopLevelFolders(t *testing.T) {
	folders := []string{"bot", "cmd", "docs", "playbooks", "store", "templates"}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		ignored := e.Name() == "screenshots" || e.Name() == "out" || strings.HasPrefix(e.Name(), ".")
		if e.IsDir() && !ignored && !slices.Contains(folders, e.Name()) {
			t.Errorf("unexpected folder %s at the top level", e.Name())
		}
	}
}
