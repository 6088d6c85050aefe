package bot_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowedImports lists the packages of this module that each package imports, the lowest
// layer first. It is exact: TestImportRules fails on a missing and on an unused arrow.
// A trailing "..." matches a folder and everything below it.
var allowedImports = map[string][]string{
	"bot/incident": {}, "bot/secret": {}, "bot/redact": {}, "bot/expression": {}, "bot/outbound": {}, "bot/terminal": {}, "bot/bounds": {}, "bot/text": {}, "bot/mailtext": {}, "bot/notary": {}, "bot/syslog": {},

	"bot/setting": {"bot/incident", "bot/secret"},
	"bot/health":  {"bot/incident"},
	"bot/trust":   {"bot/incident"},
	"bot/pack":    {"bot/incident", "bot/notary", "bot/trust"},

	"playbooks":   {"bot/expression", "bot/incident", "bot/text"},
	"templates":   {"bot/incident", "bot/text"},
	"bot/detect":  {"bot/setting", "bot/text"},
	"bot/command": {"bot/incident", "bot/text"},
	"bot/chat":    {"bot/incident", "bot/command", "templates", "bot/text"},

	"bot/intake":            {"bot/incident", "bot/bounds", "bot/setting", "bot/text"},
	"bot/intake/intaketest": {"bot/incident", "bot/intake"},
	"bot/response":          {"bot/expression", "bot/incident", "bot/pack", "playbooks", "bot/setting", "bot/text", "bot/trust"},

	"store/stream":     {},
	"store":            {"bot/incident", "bot/notary", "bot/pack", "bot/response", "bot/intake", "bot/setting", "bot/text", "bot/trust", "bot/web/session", "store/stream"},
	"bot/sentry":       {"bot/incident", "bot/secret", "bot/intake", "bot/setting", "bot/text"},
	"bot/pagerduty":    {"bot/incident", "bot/health", "bot/secret", "bot/outbound", "bot/intake", "bot/setting", "bot/text"},
	"bot/alertmanager": {"bot/incident", "bot/secret", "bot/intake", "bot/setting", "bot/text"},
	"bot/generic":      {"bot/expression", "bot/incident", "bot/secret", "bot/intake", "bot/setting", "bot/text"},
	"bot/hackerone":    {"bot/incident", "bot/secret", "bot/intake", "bot/setting", "bot/text"},
	"bot/vulnreport":   {"bot/incident", "bot/health", "bot/secret", "bot/bounds", "bot/intake", "bot/mailtext", "bot/setting", "bot/text"},
	"bot/cloudtrail":   {"bot/incident", "bot/detect", "bot/secret", "bot/intake", "bot/setting", "bot/text"},
	"bot/sns":          {"bot/incident", "bot/bounds", "bot/outbound", "bot/intake", "bot/setting", "bot/detect", "bot/text"},
	"bot/awsclient":    {"bot/health", "bot/outbound"},
	"bot/trail":        {"bot/incident", "bot/awsclient", "bot/health", "bot/intake", "bot/setting", "bot/detect", "bot/text"},
	"bot/publication":  {"bot/health", "bot/notary", "bot/setting", "bot/syslog"},
	"bot/backup":       {"bot/incident", "bot/awsclient", "bot/health", "bot/notary", "bot/setting"},
	"bot/mail":         {"bot/incident", "bot/health", "templates", "bot/secret", "bot/setting", "bot/text"},
	"bot/slack":        {"bot/incident", "bot/health", "bot/chat", "bot/command", "bot/secret", "bot/outbound", "bot/setting", "bot/text"},

	"bot/web/session": {"bot/incident"},
	"bot/web":         {"bot/incident", "bot/health", "bot/chat", "bot/command", "bot/outbound", "bot/secret", "bot/setting", "templates", "bot/text", "bot/trust", "bot/web/session"},

	"bot/sandbox/...": {"bot/sandbox/..."},

	"bot/control":   {"bot/incident", "bot/backup", "bot/command", "bot/intake", "bot/response", "store", "bot/setting", "bot/text", "bot/trust"},
	"bot/telemetry": {"bot/incident", "bot/health", "bot/intake", "bot/response", "bot/trail", "bot/outbound", "bot/secret", "bot/terminal", "bot/setting"},

	"bot/config": {"bot/alertmanager", "bot/backup", "bot/cloudtrail", "bot/control", "bot/detect", "bot/generic", "bot/hackerone", "bot/incident", "bot/intake", "bot/mail", "bot/pagerduty", "bot/publication", "bot/redact", "bot/response", "bot/secret", "bot/sentry", "bot/setting", "bot/slack", "bot/sns", "bot/telemetry", "bot/text", "bot/trail", "bot/vulnreport", "bot/web", "playbooks", "store"},

	"bot/doctor": {"bot/backup", "bot/cloudtrail", "bot/config", "bot/control", "bot/health", "bot/incident", "bot/intake", "bot/mail", "bot/outbound", "bot/pagerduty", "bot/setting", "bot/slack", "bot/telemetry", "bot/trust", "bot/vulnreport", "store"},

	"bot":        {"bot/incident", "bot/backup", "bot/notary", "bot/publication", "bot/syslog", "bot/doctor", "bot/health", "bot/outbound", "bot/redact", "playbooks", "templates", "bot/detect", "bot/intake", "bot/response", "store", "bot/pagerduty", "bot/cloudtrail", "bot/mail", "bot/chat", "bot/slack", "bot/vulnreport", "bot/control", "bot/telemetry", "bot/config", "bot/text", "bot/web", "bot/web/session"},
	"cmd/tocsin": {"bot", "bot/web", "bot/backup", "bot/notary", "bot/doctor", "bot/control", "bot/sandbox/...", "store", "templates", "bot/detect", "bot/incident", "bot/response", "bot/command", "bot/secret", "bot/outbound", "bot/terminal", "bot/config", "bot/intake", "bot/mail", "bot/pagerduty", "bot/setting", "bot/slack", "bot/syslog", "bot/text", "bot/trust", "bot/pack"},
}

// libraryOwners lists the only packages that import a library, exactly.
var libraryOwners = map[string][]string{
	"gorm.io/":                       {"store"},
	"github.com/riverqueue/":         {"store"},
	"github.com/slack-go/":           {"bot/slack"},
	"github.com/expr-lang/":          {"bot/expression"},
	"github.com/PagerDuty/":          {"bot/pagerduty"},
	"github.com/tink-crypto/":        {"store"},
	"github.com/wneessen/go-mail":    {"bot/mail"},
	"github.com/getsentry/sentry-go": {"bot/telemetry"},
	"github.com/prometheus/":         {"bot/telemetry"},
	"github.com/spf13/cobra":         {"cmd/tocsin"},
	"golang.org/x/mod":               {"bot/notary"},
	"filippo.io/age":                 {"bot/backup"},
	"github.com/alexedwards/scs":     {"bot/web"},
	"github.com/coreos/go-oidc":      {"bot/web"},
	"golang.org/x/oauth2":            {"bot/web"},
	"github.com/zitadel/":            {"bot/sandbox/idp"},
	"github.com/go-jose/":            {"bot/sandbox/idp"},
}

// standardOnly lists the packages that may import only the standard library.
var standardOnly = []string{"bot/incident", "bot/secret", "bot/redact", "bot/outbound", "bot/terminal", "bot/bounds", "bot/text", "bot/chat", "bot/syslog"}

// importUse records which entries of the tables a file needed.
type importUse struct {
	arrows    map[string]map[string]bool // imports by package, as written in allowedImports
	libraries map[string]map[string]bool // packages by library, as written in libraryOwners
}

// TestImportRules checks the imports of every file that is not a test. An entry of the
// tables that no file needs fails too: the tables hold exactly the imports that exist.
func TestImportRules(t *testing.T) {
	seen := 0
	use := importUse{map[string]map[string]bool{}, map[string]map[string]bool{}}
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
		use.add(use.arrows, packageEntry(filepath.ToSlash(rel)), "")
		for _, spec := range file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			use.check(t, filepath.ToSlash(rel), path, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 100 {
		t.Fatalf("checked %d files, want at least 100", seen)
	}
	for _, problem := range use.unused(allowedImports, libraryOwners) {
		t.Error(problem)
	}
}

// check reports an import that the tables do not allow, and records the entries that
// allow it.
func (u importUse) check(t *testing.T, from, file, imported string) {
	if ours, ok := strings.CutPrefix(imported, "tocsin/"); ok {
		entry := packageEntry(from)
		allowed, known := allowedImports[entry]
		n := slices.IndexFunc(allowed, func(a string) bool { return matchesPackage(a, ours) })
		switch {
		case !known:
			t.Errorf("%s: package %s is missing in allowedImports", file, from)
		case n < 0:
			t.Errorf("%s: %s must not import %s", file, from, ours)
		default:
			u.add(u.arrows, entry, allowed[n])
		}
		return
	}
	for library, packages := range libraryOwners {
		if !strings.HasPrefix(imported, library) {
			continue
		}
		if !slices.Contains(packages, from) {
			t.Errorf("%s: only %v may import %s", file, packages, imported)
		}
		u.add(u.libraries, library, from)
	}
	if slices.Contains(standardOnly, from) && strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") {
		t.Errorf("%s: %s may import only the standard library, not %s", file, from, imported)
	}
}

func (u importUse) add(table map[string]map[string]bool, key, value string) {
	if table[key] == nil {
		table[key] = map[string]bool{}
	}
	table[key][value] = true
}

// unused returns an error for each entry of the tables that no file needs.
func (u importUse) unused(allowed, owners map[string][]string) []string {
	var out []string
	for _, from := range slices.Sorted(maps.Keys(allowed)) {
		if u.arrows[from] == nil {
			out = append(out, "allowedImports: there is no package "+from+". Remove the entry")
		}
		for _, to := range allowed[from] {
			if u.arrows[from] != nil && !u.arrows[from][to] {
				out = append(out, "allowedImports: no file of "+from+" imports "+to+". Remove the arrow")
			}
		}
	}
	for _, library := range slices.Sorted(maps.Keys(owners)) {
		for _, from := range owners[library] {
			if !u.libraries[library][from] {
				out = append(out, "libraryOwners: no file of "+from+" imports "+library+". Remove the entry")
			}
		}
	}
	return out
}

// TestImportRules_UnusedEntries gives tables with an arrow, a package and a library that
// no file uses.
func TestImportRules_UnusedEntries(t *testing.T) {
	u := importUse{map[string]map[string]bool{"a": {"": true, "b": true}}, map[string]map[string]bool{"lib": {"a": true}}}
	got := u.unused(map[string][]string{"a": {"b", "c"}, "gone": {"b"}}, map[string][]string{"lib": {"a", "b"}, "old": {"a"}})
	if len(got) != 4 || u.unused(map[string][]string{"a": {"b"}}, map[string][]string{"lib": {"a"}}) != nil {
		t.Errorf("got %q, want one error for the package, the arrow and each of the two libraries", got)
	}
}

// packageEntry returns the entry of a package in allowedImports: its own, or that of a
// folder above it.
func packageEntry(from string) string {
	if _, ok := allowedImports[from]; ok {
		return from
	}
	for name := range allowedImports {
		if strings.HasSuffix(name, "...") && matchesPackage(name, from) {
			return name
		}
	}
	return from
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
