package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot"
)

// FuzzRecording: whatever file `tocsin replay` is given, what it hands on has a
// source and a body with the hash that was recorded; the same file gives the same
// deliveries; and a body alone is handed on as it is.
func FuzzRecording(f *testing.F) {
	line := func(body string) string {
		sum := sha256.Sum256([]byte(body))
		b, err := json.Marshal(bot.Recorded{Source: "sentry", ID: "d", Body: []byte(body), SHA256: hex.EncodeToString(sum[:])})
		if err != nil {
			f.Fatal(err)
		}
		return string(b) + "\n"
	}
	f.Add([]byte(line(`{"a":1}`)+line("\x00\xff")), "")
	f.Add([]byte(line("x")+`{"source":"sentry","body":"AA==","sha256":"00"}`), "sentry")
	f.Add([]byte(`{"action":"created","data":{"issue":{"id":"1"}}}`), "sentry")
	f.Add([]byte("From: a@b\r\n\r\nSQL injection"), "report")
	file := filepath.Join(f.TempDir(), "recording")
	f.Fuzz(func(t *testing.T, data []byte, source string) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		read := func() (out []bot.Recorded, said string) {
			err := readRecording(file, source, func(d bot.Recorded) error {
				d.Received = d.Received.UTC()
				out = append(out, d)
				return nil
			})
			if err != nil {
				said = err.Error()
			}
			return out, said
		}
		one, said := read()
		two, again := read()
		if said != again || len(one) != len(two) {
			t.Fatalf("%d deliveries (%s) and then %d (%s)", len(one), said, len(two), again)
		}
		for n, d := range one {
			if d.Source == "" || d.Check() != nil || source != "" && d.Source != source || !cmp.Equal(d.Body, two[n].Body) || d.ID != two[n].ID {
				t.Fatalf("delivery %d: %+v", n, d)
			}
		}
	})
}
