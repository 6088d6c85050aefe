// Package intaketest holds what every source of alerts keeps, whatever is sent
// to it, for the fuzz targets of the sources, and the recorded payloads that
// they begin with.
package intaketest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
)

// Decoder is the half of an intake.Source that reads what strangers wrote.
type Decoder interface {
	Decode(header http.Header, body []byte) ([]incident.Signal, error)
}

// What one signal may weigh as JSON besides the body it was read from, and how
// many times the body all of them may weigh: every element of a list says at
// most what the list says, and what it is.
const (
	maxSignalBytes = 64 << 10
	maxGrowth      = 8
)

// Decode decodes and fails the test unless: the same body means the same again,
// in the same order; the body and the headers are as they were; an error comes
// alone and says something; each signal is one thing, complete, valid UTF-8 and
// not out of proportion to the body.
func Decode(t testing.TB, d Decoder, header http.Header, body []byte) ([]incident.Signal, error) {
	t.Helper()
	kept, sent := bytes.Clone(body), header.Clone()
	first, err := d.Decode(header, body)
	second, again := d.Decode(header, bytes.Clone(kept))
	switch {
	case !bytes.Equal(kept, body):
		t.Fatalf("decoding changed the body %q to %q", kept, body)
	case !cmp.Equal(sent, header):
		t.Fatalf("decoding changed the headers: %s", cmp.Diff(sent, header))
	case (err == nil) != (again == nil) || err != nil && err.Error() != again.Error():
		t.Fatalf("the same body gives the errors %v and %v", err, again)
	case !cmp.Equal(first, second):
		t.Fatalf("the same body means two things: %s", cmp.Diff(first, second))
	case err != nil && (len(first) > 0 || err.Error() == "" || !utf8.ValidString(err.Error())):
		t.Fatalf("%d signals with the error %q", len(first), err)
	}
	whole := 0
	for _, s := range first {
		whole += checkSignal(t, s, len(body))
	}
	if most := maxGrowth*len(body) + maxSignalBytes*(len(first)+1); whole > most {
		t.Fatalf("%d bytes are read as %d signals of %d bytes", len(body), len(first), whole)
	}
	return first, err
}

func checkSignal(t testing.TB, s incident.Signal, body int) int {
	t.Helper()
	if bad := findInvalidText(reflect.ValueOf(s), "signal"); bad != "" {
		t.Fatalf("%s is not valid UTF-8", bad)
	}
	switch a := s.Alert; {
	case a != nil && s.Command != nil, a == nil && s.Command == nil && len(s.Observations) == 0:
		t.Fatalf("a signal is an alert or a command: %+v", s)
	case a == nil:
	case a.Title == "" || a.Kind == "" || a.Fingerprint == "" || a.Level == "":
		t.Fatalf("an alert has a title, a kind, a fingerprint and a level: %+v", a)
	case !a.At.IsZero() && (a.At.UTC().Year() < 0 || a.At.UTC().Year() > 9999):
		t.Fatalf("the year %d cannot be stored", a.At.UTC().Year())
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatalf("a signal cannot be encoded: %v", err)
	}
	if len(b) > maxGrowth*body+maxSignalBytes {
		t.Fatalf("%d bytes are read as a signal of %d bytes", body, len(b))
	}
	return len(b)
}

// findInvalidText names the first text that is not valid UTF-8.
func findInvalidText(v reflect.Value, path string) string {
	switch v.Kind() {
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			return path
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return findInvalidText(v.Elem(), path)
		}
	case reflect.Struct:
		for n := range v.NumField() {
			if f := v.Type().Field(n); f.IsExported() {
				if bad := findInvalidText(v.Field(n), path+"."+f.Name); bad != "" {
					return bad
				}
			}
		}
	case reflect.Slice, reflect.Array:
		for n := range v.Len() {
			if bad := findInvalidText(v.Index(n), path+"[]"); bad != "" {
				return bad
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if bad := findInvalidText(key, path+" key") + findInvalidText(v.MapIndex(key), path+"[]"); bad != "" {
				return bad
			}
		}
	}
	return ""
}

// Payload is a recorded body.
type Payload struct {
	Name string // of its file
	Body []byte
}

// longest is the largest payload that a fuzz target begins with.
const longest = 32 << 10

// Recorded returns the payloads that lie in ../shared/data beside the
// repository: test data that is not ours to pass on. Where there are none it
// says so, and the target begins with its own fixtures alone.
func Recorded(t testing.TB, patterns ...string) []Payload {
	t.Helper()
	root, err := filepath.Abs(".")
	for err == nil && root != filepath.Dir(root) {
		if _, found := os.Stat(filepath.Join(root, "go.mod")); found == nil {
			break
		}
		root = filepath.Dir(root)
	}
	var out []Payload
	for _, pattern := range patterns {
		files, _ := filepath.Glob(filepath.Join(root, "..", "shared", "data", filepath.FromSlash(pattern)))
		for _, file := range files {
			if b, err := os.ReadFile(file); err == nil && len(b) <= longest {
				out = append(out, Payload{filepath.Base(file), b})
			}
		}
	}
	if len(out) == 0 {
		t.Logf("no recorded payloads at ../shared/data/%v: the corpus is our own fixtures", patterns)
	}
	return out
}
