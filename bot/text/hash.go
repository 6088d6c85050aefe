package text

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SHA256 returns the SHA-256 of s in hexadecimal.
func SHA256[S ~string | ~[]byte](s S) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Digest returns the SHA-256 of s in hexadecimal, after "sha256:".
func Digest[S ~string | ~[]byte](s S) string { return "sha256:" + SHA256(s) }

// MaxID is the maximum length of the result of [ID], in bytes.
const MaxID = 200

// ID returns an ID that every database can store and every log can show: id, or its
// [Digest] if id is long or unprintable. IDs that differ stay different.
func ID(id string) string {
	unprintable := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	if len(id) > MaxID || strings.ContainsFunc(id, unprintable) {
		return Digest(id)
	}
	return id
}
