package bot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRulesThatCannotBeCompiledAreNamed: with file, line and reason, all at once.
func TestRulesThatCannotBeCompiledAreNamed(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"good.yml":   "title: good\nlogsource: {product: aws, service: cloudtrail}\ndetection: {s: {eventName: A}, condition: s}\n",
		"broken.yml": "title: broken\nlogsource: {product: aws, service: cloudtrail}\ndetection:\n  s: {eventName|nearly: A}\n  condition: s\n",
		"open.yml":   "title: open\nlogsource: {product: aws, service: cloudtrail}\ndetection:\n  s: {eventName: A}\n  condition: s and t\n",
		"other.yml":  "title: other\nlogsource: {product: windows}\ndetection: {s: {eventName|nearly: A}, condition: s}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	raw := tree(t)
	raw["detection"] = map[string]any{"rules": []any{dir}}
	_, err := decode(raw, exampleEnv)
	var faults ConfigErrors
	if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Key != "detection.rules" {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{filepath.Join(dir, "broken.yml") + ":4: ", "nearly", filepath.Join(dir, "open.yml") + ":5: "} {
		if !strings.Contains(faults[0].Fix, want) {
			t.Errorf("%s is not named in\n%s", want, faults[0].Fix)
		}
	}
	if strings.Contains(faults[0].Fix, "other.yml") || strings.Contains(faults[0].Fix, "good.yml") {
		t.Errorf("too much is named:\n%s", faults[0].Fix)
	}
}

// TestPlaceholders: a rule with %name% is refused until the configuration says
// what stands there.
func TestPlaceholders(t *testing.T) {
	dir := t.TempDir()
	rule := "title: own\nlogsource: {product: aws, service: cloudtrail}\ndetection:\n  s: {userIdentity.userName|expand: '%admins%'}\n  condition: s\n"
	if err := os.WriteFile(filepath.Join(dir, "own.yml"), []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	raw := tree(t)
	raw["detection"] = map[string]any{"rules": []any{dir}}
	if _, err := decode(raw, exampleEnv); err == nil || !strings.Contains(err.Error(), "detection.placeholders") {
		t.Errorf("without a value: %v", err)
	}
	raw["detection"] = map[string]any{"rules": []any{dir}, "placeholders": map[string]any{"admins": []any{"ada", "bruno"}}}
	if _, err := decode(raw, exampleEnv); err != nil {
		t.Errorf("with a value: %v", err)
	}
}
