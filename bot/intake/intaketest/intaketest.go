// Package intaketest contains test helpers for implementations of
// [intake.Source]. [Decode] checks properties that hold for every body, and fuzz
// targets call it. [Hostile] posts malformed bodies to a source. [Fixtures] and
// [Corpus] load fixtures and recorded payloads.
package intaketest

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
)

// Decoder is the part of [intake.Source] that reads bodies.
type Decoder interface {
	Decode(header http.Header, body []byte) ([]incident.Signal, error)
}

// Bounds of signals, encoded as JSON. One signal has at most maxSignalBytes plus
// maxGrowth times the size of the body. All signals of a body together have
// maxSignalBytes for each of them and one more, plus maxGrowth times the body.
const (
	maxSignalBytes = 64 << 10
	maxGrowth      = 8
)

// Decode calls d.Decode twice and returns the first result. It fails the test
// unless all of these hold:
//
//   - Both calls return equal signals and errors.
//   - The body and the headers are unchanged.
//   - An error has a message in valid UTF-8, and no signals accompany it unless it is
//     an [*intake.Unread].
//   - Each signal is complete, is valid UTF-8, and is an alert or a command.
//   - The size of the signals is in proportion to the body.
func Decode(t testing.TB, d Decoder, header http.Header, body []byte) ([]incident.Signal, error) {
	t.Helper()
	originalBody, originalHeader := bytes.Clone(body), header.Clone()
	first, err := d.Decode(header, body)
	second, err2 := d.Decode(header, bytes.Clone(originalBody))
	switch {
	case !bytes.Equal(originalBody, body):
		t.Fatalf("Decode changed the body %q to %q", originalBody, body)
	case !cmp.Equal(originalHeader, header):
		t.Fatalf("Decode changed the headers: %s", cmp.Diff(originalHeader, header))
	case (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error():
		t.Fatalf("got error %v in the first call and %v in the second", err, err2)
	case !cmp.Equal(first, second):
		t.Fatalf("signals differ between two calls: %s", cmp.Diff(first, second))
	case err != nil && (len(first) > 0 && !errors.As(err, new(*intake.Unread)) || err.Error() == "" || !utf8.ValidString(err.Error())):
		t.Fatalf("got %d signals with the error %q, want none and a message in valid UTF-8", len(first), err)
	}
	total := 0
	for _, s := range first {
		total += checkSignal(t, s, len(body))
	}
	if limit := maxGrowth*len(body) + maxSignalBytes*(len(first)+1); total > limit {
		t.Fatalf("got %d signals of %d bytes from a body of %d bytes, want at most %d bytes", len(first), total, len(body), limit)
	}
	return first, err
}

// checkSignal fails the test if s is incomplete or too large for a body of bodySize
// bytes. It returns the size of s in bytes.
func checkSignal(t testing.TB, s incident.Signal, bodySize int) int {
	t.Helper()
	if field := findInvalidText(reflect.ValueOf(s), "signal"); field != "" {
		t.Fatalf("%s is not valid UTF-8", field)
	}
	switch a := s.Alert; {
	case a != nil && s.Command != nil, a == nil && s.Command == nil && len(s.Observations) == 0:
		t.Fatalf("got %+v, want either an alert or a command", s)
	case a == nil:
	case a.Title == "" || a.Kind == "" || a.Fingerprint == "" || a.Level == "":
		t.Fatalf("got %+v, want an alert with title, kind, fingerprint and level", a)
	case !a.At.IsZero() && (a.At.UTC().Year() < 0 || a.At.UTC().Year() > 9999):
		t.Fatalf("got the year %d, want one from 0 to 9999", a.At.UTC().Year())
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatalf("encode signal: %v", err)
	}
	if limit := maxGrowth*bodySize + maxSignalBytes; len(b) > limit {
		t.Fatalf("got a signal of %d bytes from a body of %d bytes, want at most %d bytes", len(b), bodySize, limit)
	}
	return len(b)
}

// findInvalidText returns the path of the first string in v that is not valid
// UTF-8, or "".
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

// ItemByItem checks that one item of a delivery does not change what the other items
// become. It removes each item, and puts other in its place: the alerts of the remaining
// items must stay equal. wrap returns the delivery with the items.
func ItemByItem(t testing.TB, d Decoder, header http.Header, wrap func(items []string) []byte, items []string, other string) {
	t.Helper()
	alerts := func(items []string) (out []incident.Alert) {
		signals, err := Decode(t, d, header, wrap(items))
		if err != nil && !errors.As(err, new(*intake.Unread)) {
			t.Fatalf("got error %v for the items %q, want at most unread items", err, items)
		}
		for _, s := range signals {
			if s.Alert != nil {
				out = append(out, *s.Alert)
			}
		}
		return out
	}
	all := alerts(items)
	for n := range items {
		rest := alerts(slices.Delete(slices.Clone(items), n, n+1))
		damaged := slices.Clone(items)
		damaged[n] = other
		for name, got := range map[string][]incident.Alert{"all items": all, "a damaged item": alerts(damaged)} {
			for _, want := range rest {
				if !slices.ContainsFunc(got, func(a incident.Alert) bool { return cmp.Equal(a, want) }) {
					t.Fatalf("with %s (item %d, %q): got alerts %+v, want %+v among them", name, n, other, got, want)
				}
			}
		}
	}
}
