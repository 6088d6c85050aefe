package bot_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"tocsin/bot/slack"
	"tocsin/templates"
)

var update = flag.Bool("update", false, "write what is generated into the README")

// TestReadme compares what stands between two markers with what it is made of.
func TestReadme(t *testing.T) {
	raw, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	text = compare(t, text, "lifecycle", "```mermaid\n"+strings.TrimSpace(templates.Diagram())+"\n```\n")
	manifest := between(t, text, "manifest")
	line := "    bot: [" + strings.Join(slack.Scopes(), ", ") + "]\n"
	before, rest, ok := strings.Cut(manifest, "    bot: [")
	_, after, ok2 := strings.Cut(rest, "]\n")
	if !ok || !ok2 {
		t.Fatal("the manifest names no bot scopes")
	}
	text = compare(t, text, "manifest", before+line+after)
	if *update {
		if err := os.WriteFile("../README.md", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func marks(name string) (begin, end string) {
	return "<!-- " + name + ":begin -->\n", "<!-- " + name + ":end -->"
}

func between(t *testing.T, text, name string) string {
	t.Helper()
	begin, end := marks(name)
	_, rest, ok := strings.Cut(text, begin)
	inside, _, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("the README has no %s between markers", name)
	}
	return inside
}

func compare(t *testing.T, text, name, want string) string {
	t.Helper()
	have := between(t, text, name)
	if have != want && !*update {
		t.Errorf("the README's %s is out of date; go test ./bot -run TestReadme -update\nhave:\n%s\nwant:\n%s", name, have, want)
	}
	begin, end := marks(name)
	return strings.Replace(text, begin+have+end, begin+want+end, 1)
}
