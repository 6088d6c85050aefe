// Package secret holds strings that must never be shown: tokens, signing
// secrets, passwords in a configuration.
//
// A [String] prints as "[secret]" whichever way it is formatted, logged or
// marshalled. Only [String.Reveal] gives the value, so that a search for that
// word finds every place where a secret leaves its wrapping.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// mask is what is seen in place of a secret that is set. An empty secret shows
// as an empty string: that a setting is missing is worth seeing.
const mask = "[secret]"

// ErrMasked is returned when text is decoded that is the mask itself: somebody
// copied a printed configuration back into a file.
var ErrMasked = errors.New(`"[secret]" is how a secret is printed, not its value`)

// String is a text that cannot be printed. Its zero value is the empty secret.
//
// The value is kept in a closure rather than in a field. Package fmt formats
// unexported fields by reflection, without asking for their methods, and there
// a func shows as an address while a string or a pointer that some printer
// follows would show itself. The closure also makes == on Strings, and Strings
// as map keys, a compile error; compare with [String.Equal].
type String struct {
	reveal func() string
}

// New wraps s. The empty string gives the zero String.
func New(s string) String {
	if s == "" {
		return String{}
	}
	return String{reveal: func() string { return s }}
}

// Reveal returns the value. Call it where the secret is used, as late as
// possible, and do not keep the result.
func (s String) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether no secret is set.
func (s String) IsZero() bool { return s.reveal == nil }

// Equal reports whether candidate is the secret, in a time that depends on
// neither of them beyond the candidate's length. A secret that is not set
// equals nothing, not even the empty string, so that a forgotten setting lets
// nobody in.
func (s String) Equal(candidate string) bool {
	want, got := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(candidate))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && !s.IsZero()
}

// String returns the mask, or nothing when no secret is set.
func (s String) String() string {
	if s.IsZero() {
		return ""
	}
	return mask
}

// GoString returns what [String.String] returns.
func (s String) GoString() string { return s.String() }

// Format writes the mask for every verb and flag: %x or %q of a secret would be
// the secret in other letters.
func (s String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue shows the mask to slog.
func (s String) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText gives the mask, for every encoder that asks for text.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON gives the mask as a JSON string.
func (s String) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalYAML gives the mask as a YAML string.
func (s String) MarshalYAML() (any, error) { return s.String(), nil }

// UnmarshalText sets the secret, so that JSON, YAML and koanf decode a plain
// string into it. It refuses the mask with [ErrMasked].
func (s *String) UnmarshalText(text []byte) error {
	if string(text) == mask {
		return ErrMasked
	}
	*s = New(string(text))
	return nil
}
