package bot

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestFixes_NameHowTheyTakeEffect requires each instruction to change the configuration of
// the running bot to end with a reload or a restart. A person who corrects a password would
// wait in vain otherwise.
func TestFixes_NameHowTheyTakeEffect(t *testing.T) {
	instruction := regexp.MustCompile(`^(Add|Copy|Correct|Create|Let|Raise|Remove|Renew|Set|Upgrade)\b.*(\b(escalation|mail|pagerduty|slack|sources|telemetry)\.[a-z_]+|%s\.|below mail|in the configuration|under (people|escalation))`)
	found := 0
	for _, pattern := range []string{"*.go", "backup/*.go", "chat/*.go", "health/*.go", "intake/*.go", "mail/*.go", "pagerduty/*.go", "publication/*.go", "slack/*.go", "syslog/*.go", "telemetry/*.go", "trail/*.go", "vulnreport/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") || filepath.Base(name) == "config.go" {
				continue
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				if text, err := strconv.Unquote(lit.Value); err == nil && instruction.MatchString(text) {
					found++
					if !strings.Contains(text, "reload Tocsin") && !strings.Contains(text, "restart Tocsin") {
						t.Errorf("%s: got %q, want it to name the reload or the restart", set.Position(lit.Pos()), text)
					}
				}
				return true
			})
		}
	}
	if found < 20 {
		t.Errorf("found %d instructions, want at least 20", found)
	}
}
