// Package secret holds strings that must not be printed, such as tokens,
// signing secrets and passwords in a configuration.
//
// A [String] prints as "[secret]" whenever it is formatted, logged or
// marshalled. Only [String.Reveal] returns the value. A search for Reveal
// therefore finds every use of a secret value.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// mask is printed instead of a secret that is set. An empty secret prints as an
// empty string, which makes a missing setting visible.
const mask = "[secret]"

// ErrMasked is returned when the mask itself is decoded, for example if a
// printed configuration was copied into a file.
var ErrMasked = errors.New(`"[secret]" is only the mask of a secret: enter its value`)

// String is a string that cannot be printed. The zero value is the empty
// secret.
//
// The value is in a closure, not in a field. Package fmt formats unexported
// fields by reflection without calling their methods. A func then prints as an
// address, but a string or a pointer could print as the value. The closure also
// makes == on Strings and Strings as map keys compile errors. Use
// [String.Equal] to compare.
type String struct {
	reveal func() string
}

// New returns a String with the value s. For the empty string it returns the
// zero String.
func New(s string) String {
	if s == "" {
		return String{}
	}
	return String{reveal: func() string { return s }}
}

// Reveal returns the value. Call it only at the point of use and do not store
// the result.
func (s String) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether the secret is empty.
func (s String) IsZero() bool { return s.reveal == nil }

// Equal reports whether candidate equals the secret. The time depends only on
// the lengths of the two strings. An empty secret equals nothing, not even the
// empty string, because a missing setting must not grant access.
func (s String) Equal(candidate string) bool {
	want, got := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(candidate))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && !s.IsZero()
}

// String returns the mask, or "" if the secret is empty.
func (s String) String() string {
	if s.IsZero() {
		return ""
	}
	return mask
}

// GoString returns the mask, or "" if the secret is empty.
func (s String) GoString() string { return s.String() }

// Format writes the mask for every verb and flag, because %x or %q would print
// the secret in another form.
func (s String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue returns the mask.
func (s String) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns the mask.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON returns the mask as a JSON string.
func (s String) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalYAML returns the mask as a YAML string.
func (s String) MarshalYAML() (any, error) { return s.String(), nil }

// UnmarshalText sets the value, for decoders of JSON and YAML. It
// returns [ErrMasked] if text is the mask.
func (s *String) UnmarshalText(text []byte) error {
	if string(text) == mask {
		return ErrMasked
	}
	*s = New(string(text))
	return nil
}
