package bounds_test

import (
	"strings"
	"testing"

	"tocsin/bot/bounds"
)

func TestTooManyTokens(t *testing.T) {
	list := func(n int, item string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
	}
	for _, tt := range []struct {
		name, document string
		want           bool
	}{
		{"empty", "", false},
		{"at the limit", list(bounds.MaxJSONTokens-1, "0"), false},
		{"above the limit", list(bounds.MaxJSONTokens+1, "0"), true},
		{"empty objects", list(bounds.MaxJSONTokens/2+1, "{}"), true},
		{"names", list(bounds.MaxJSONTokens/3+1, `{"":0}`), true},
		{"punctuation in a text", `{"a":"` + strings.Repeat(`,:[{\"\\`, bounds.MaxJSONTokens) + `"}`, false},
		{"a mail", "From: " + strings.Repeat("a,", bounds.MaxJSONTokens+1), false},
		{"not JSON", strings.Repeat("[", bounds.MaxJSONTokens+1), true},
	} {
		if got := bounds.TooManyTokens([]byte(tt.document)); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}
