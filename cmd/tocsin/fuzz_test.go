package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/config"
	"tocsin/bot/control"
)

// FuzzRecording reads arbitrary files as `tocsin replay` does. Every delivery must
// have a source and a body with the recorded hash, and reading a file twice must
// return the same deliveries.
func FuzzRecording(f *testing.F) {
	line := func(body string) string {
		sum := sha256.Sum256([]byte(body))
		b, err := json.Marshal(control.Recorded{Source: "sentry", ID: "d", Body: []byte(body), SHA256: hex.EncodeToString(sum[:])})
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
		read := func() (out []control.Recorded, message string) {
			err := readRecording(file, source, config.Sources{}, func(d control.Recorded) error {
				d.Received = d.Received.UTC()
				out = append(out, d)
				return nil
			})
			if err != nil {
				message = err.Error()
			}
			return out, message
		}
		first, firstErr := read()
		second, secondErr := read()
		if firstErr != secondErr || len(first) != len(second) {
			t.Fatalf("got %d deliveries (%s) and then %d (%s)", len(first), firstErr, len(second), secondErr)
		}
		for n, d := range first {
			if d.Source == "" || d.Check() != nil || source != "" && d.Source != source || !cmp.Equal(d.Body, second[n].Body) || d.ID != second[n].ID {
				t.Fatalf("delivery %d: %+v", n, d)
			}
		}
	})
}
