package outbound_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unboundedClients are the names of package net/http that make requests without the
// bounds of this package.
var unboundedClients = []string{"Client", "DefaultClient", "Get", "Head", "Post", "PostForm", "Transport", "DefaultTransport"}

// allowedClients lists the files that may use them, with the reason.
var allowedClients = map[string]string{
	"bot/outbound/outbound.go":   "adds the bounds",
	"bot/sns/certificate.go":     "passes a transport without connection reuse to this package",
	"bot/control/client.go":      "connects the command line to the bot on this machine",
	"bot/slack/config.go":        "type of an option",
	"bot/pagerduty/config.go":    "type of an option",
	"bot/pagerduty/outbound.go":  "type of a field",
	"bot/pagerduty/rest.go":      "type of a field",
	"bot/trail/config.go":        "type of an option for tests, bounded by package awsclient",
	"bot/awsclient/client.go":    "type of an option for tests, which it bounds",
	"bot/backup/destination.go":  "type of an option for tests, bounded by package awsclient",
	"bot/sns/config.go":          "type of an option",
	"bot/web/oidc.go":            "type of a field",
	"cmd/tocsin/replay_to.go":    "type of a field",
	"bot/telemetry/heartbeat.go": "type of a field",
}

// TestEveryClientIsBounded requires that requests to outside systems use this
// package. The sandbox is exempt, because it is not part of the running bot.
func TestEveryClientIsBounded(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		rel := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		switch {
		case err != nil:
			return err
		case e.IsDir() && (strings.HasPrefix(e.Name(), ".") && path != root || rel == "bot/sandbox" || rel == "bot/intake/intaketest" || rel == "store/storetest"):
			return fs.SkipDir
		case e.IsDir(), !strings.HasSuffix(path, ".go"), strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := selector.X.(*ast.Ident); ok && pkg.Name == "http" && slices.Contains(unboundedClients, selector.Sel.Name) {
				seen[rel] = true
				if allowedClients[rel] == "" {
					t.Errorf("%s: got http.%s, want a client of bot/outbound", rel, selector.Sel.Name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range allowedClients {
		if !seen[name] {
			t.Errorf("%s: got no use of net/http clients, want the exception removed", name)
		}
	}
}
