// Package text has the small functions that several adapters need to show, shorten and
// join text from outside:
//
//	title := text.Truncate(text.Line(subject), 120)
//	detail := text.Lines(text.Field("Reporter", from), text.Field("Size", size), body)
//
// It imports only the standard library, and every package except bot/incident may import
// it.
package text

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean returns s as valid UTF-8 without control characters and changes of the writing
// direction, which could deceive a reader. It writes line breaks as \n and tabs as
// spaces.
func Clean(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\r', r == '\u2028', r == '\u2029', r == '\u0085', r == '\v', r == '\f':
			return '\n'
		case r == '\t':
			return ' '
		case unicode.In(r, unicode.Cc, unicode.Bidi_Control), r == '\ufeff':
			return -1
		}
		return r
	}, s)
}

// Line returns s as [Clean] does, on one line. It replaces each run of white space with
// one space.
func Line(s string) string { return strings.Join(strings.Fields(Clean(s)), " ") }

// Truncate returns s with at most limit runes. A shortened text ends with an ellipsis.
// If it can, Truncate cuts between characters, not between a letter and its accents or
// within a joined emoji. limit must be at least 1.
func Truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	cut, count := 0, 0
	for n := range s {
		if count == limit-1 {
			cut = n
		}
		if count++; count > limit {
			return strings.TrimRightFunc(s[:border(s, cut)], unicode.IsSpace) + "…"
		}
	}
	return s
}

// border returns the last place up to cut that is between two characters. If the first
// character ends after cut, border returns cut.
func border(s string, cut int) int {
	for at := cut; at > 0; {
		next, _ := utf8.DecodeRuneInString(s[at:])
		before, size := utf8.DecodeLastRuneInString(s[:at])
		if !extends(next) && before != zeroWidthJoiner {
			return at
		}
		at -= size
	}
	return cut
}

const zeroWidthJoiner = '\u200d'

// extends reports whether r belongs to the character before it: an accent, a variation
// selector, the joiner of an emoji or the colour of its skin.
func extends(r rune) bool {
	return unicode.In(r, unicode.M) || r == zeroWidthJoiner || r >= 0x1f3fb && r <= 0x1f3ff
}

// Capital returns s with a capital first letter.
func Capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if first == utf8.RuneError {
		return s
	}
	return string(unicode.ToUpper(first)) + s[size:]
}

// Lines joins the parts that are not empty, one on each line.
func Lines[S ~string](parts ...S) string { return Join("\n", parts...) }

// Join joins the parts that are not empty with a separator.
func Join[S ~string](sep string, parts ...S) string {
	var b strings.Builder
	for _, p := range parts {
		if p == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(sep)
		}
		b.WriteString(string(p))
	}
	return b.String()
}

// Field returns "label: value", or "" if value is empty.
func Field[S ~string](label string, value S) S {
	if value == "" {
		return ""
	}
	return S(label) + ": " + value
}
