package notary

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

func testKey(t testing.TB, seed byte) Key {
	t.Helper()
	k, err := NewKey("tocsin/0123456789abcdef", bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var example = Checkpoint{Size: 7, Root: tlog.Hash{1, 2, 3}, At: time.Date(2026, 11, 30, 3, 4, 5, 6, time.UTC), LastIncident: 42,
	Erasures: []Erasure{{Incident: 7, Event: 21, Refs: []string{"17/text", "18/title"}}}}

func TestCheckpoint_RoundTrip(t *testing.T) {
	key := testKey(t, 1)
	signed, err := key.Sign(example)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"the note":           signed.Note,
		"inside a message":   "Checkpoint of 03:04\n```\n" + signed.Note + "```\nmore",
		"with Windows lines": strings.ReplaceAll(signed.Note, "\n", "\r\n"),
	} {
		got, err := key.Verifier().Open(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(got, signed) {
			t.Errorf("%s: got %+v, want %+v", name, got, signed)
		}
	}
}

// TestOpen_RefusesChanges changes every byte of a note: none of them may be accepted with other content.
func TestOpen_RefusesChanges(t *testing.T) {
	key := testKey(t, 1)
	signed, err := key.Sign(example)
	if err != nil {
		t.Fatal(err)
	}
	for n := range signed.Note {
		changed := []byte(signed.Note)
		changed[n] ^= 1
		if got, err := key.Verifier().Open(string(changed)); err == nil && (got.Size != signed.Size || got.Root != signed.Root || !reflect.DeepEqual(got.Erasures, signed.Erasures) || got.LastIncident != signed.LastIncident || !got.At.Equal(signed.At)) {
			t.Errorf("accepted byte %d changed: %q", n, changed)
		}
	}
	for name, text := range map[string]string{"empty": "", "another key": mustSign(t, testKey(t, 2)), "no signature": strings.Split(signed.Note, "\n\n")[0] + "\n\n"} {
		if _, err := key.Verifier().Open(text); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: got error %v, want ErrForeign", name, err)
		}
	}
}

func mustSign(t *testing.T, k Key) string {
	t.Helper()
	signed, err := k.Sign(example)
	if err != nil {
		t.Fatal(err)
	}
	return signed.Note
}

func FuzzOpen(f *testing.F) {
	key := testKey(f, 1)
	signed, err := key.Sign(example)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed.Note)
	f.Add("tocsin/0123456789abcdef\n\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := key.Verifier().Open(text); err == nil && c.text() != example.withOrigin(key).text() {
			t.Errorf("opened another checkpoint: %+v", c)
		}
	})
}

func (c Checkpoint) withOrigin(k Key) Checkpoint {
	c.Origin = k.origin
	return c
}
