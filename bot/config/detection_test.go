package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDecode_ReportsBrokenDetectionRules(t *testing.T) {
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
	raw := exampleTree(t)
	raw["detection"] = map[string]any{"rules": []any{dir}}
	_, err := decode(raw, exampleEnv)
	var problems Errors
	if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Key != "detection.rules" {
		t.Fatalf("got %v, want one error for detection.rules", err)
	}
	for _, want := range []string{filepath.Join(dir, "broken.yml") + ":4: ", "nearly", filepath.Join(dir, "open.yml") + ":5: "} {
		if !strings.Contains(problems[0].Fix, want) {
			t.Errorf("got no %s in\n%s", want, problems[0].Fix)
		}
	}
	if strings.Contains(problems[0].Fix, "other.yml") || strings.Contains(problems[0].Fix, "good.yml") {
		t.Errorf("got errors for valid or skipped rules:\n%s", problems[0].Fix)
	}
}

func TestDecode_RuleNeedsPlaceholderValue(t *testing.T) {
	dir := t.TempDir()
	rule := "title: own\nlogsource: {product: aws, service: cloudtrail}\ndetection:\n  s: {userIdentity.userName|expand: '%admins%'}\n  condition: s\n"
	if err := os.WriteFile(filepath.Join(dir, "own.yml"), []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	raw := exampleTree(t)
	raw["detection"] = map[string]any{"rules": []any{dir}}
	if _, err := decode(raw, exampleEnv); err == nil || !strings.Contains(err.Error(), "detection.placeholders") {
		t.Errorf("without a value: got %v, want an error about detection.placeholders", err)
	}
	raw["detection"] = map[string]any{"rules": []any{dir}, "placeholders": map[string]any{"admins": []any{"ada", "bruno"}}}
	if _, err := decode(raw, exampleEnv); err != nil {
		t.Errorf("with a value: got %v, want nil", err)
	}
}
