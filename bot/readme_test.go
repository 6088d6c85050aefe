package bot_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"tocsin/bot/slack"
	"tocsin/templates"
)

var update = flag.Bool("update", false, "update the generated parts of the README")

// TestReadme checks the generated parts of the README, which are between markers.
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
		t.Fatal("the manifest has no bot scopes")
	}
	text = compare(t, text, "manifest", before+line+after)
	if *update {
		if err := os.WriteFile("../README.md", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func markers(name string) (begin, end string) {
	return "<!-- " + name + ":begin -->\n", "<!-- " + name + ":end -->"
}

func between(t *testing.T, text, name string) string {
	t.Helper()
	begin, end := markers(name)
	_, rest, ok := strings.Cut(text, begin)
	inside, _, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("the README has no markers for %s", name)
	}
	return inside
}

func compare(t *testing.T, text, name, want string) string {
	t.Helper()
	got := between(t, text, name)
	if got != want && !*update {
		t.Errorf("the %s of the README is out of date; run go test ./bot -run TestReadme -update\ngot:\n%s\nwant:\n%s", name, got, want)
	}
	begin, end := markers(name)
	return strings.Replace(text, begin+got+end, begin+want+end, 1)
}
