package response

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tocsin/bot/redact"
)

// TestMemo_SameResult redacts random texts, repeated, short and long.
func TestMemo_SameResult(t *testing.T) {
	r := redact.New(redact.Options{})
	remembered := newMemo(r)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"password=hunter2hunter2", "write to jane@example.com", "plain", strings.Repeat("token: ghp_abcdefghijklmnopqrstuvwxyz0123456789 ", 60)}).Draw(t, "seed") +
			rapid.String().Draw(t, "rest")
		want := r.Text(text)
		for range 2 {
			if got := remembered.Text(text); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}
