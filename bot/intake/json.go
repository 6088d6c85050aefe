package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// What a JSON document may be like. No sender that is known comes near.
const (
	maxDepth  = 200 // objects and lists within each other
	maxNumber = 40  // characters of a number that is taken without a closer look
)

// validateJSON checks that a body is one JSON document that means the same to
// everybody who reads it: valid UTF-8, no key twice in one object, no number that
// is too large for any of them. The error tells its sender what and where.
func validateJSON(body []byte) error {
	if !utf8.Valid(body) {
		return fmt.Errorf("the text is not valid UTF-8 (byte %d)", firstInvalidByte(body))
	}
	// Half of a surrogate pair, escaped, is valid JSON, and JavaScript writes such.
	d := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowInvalidUTF8(true))
	for documents := 0; ; {
		token, err := d.ReadToken()
		switch {
		case errors.Is(err, io.EOF) && documents == 1:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("the body is empty; one JSON document is expected")
		case err != nil:
			return describeSyntaxError(err)
		case d.StackDepth() > maxDepth:
			return fmt.Errorf("the body is nested deeper than %d levels%s", maxDepth, position(d.StackPointer(), d.InputOffset()))
		}
		if token.Kind() == '0' {
			if number := token.String(); (len(number) > maxNumber || strings.ContainsAny(number, "eE")) && overflows(number) {
				return fmt.Errorf("a number is too large%s; none may go beyond 1e308", position(d.StackPointer(), d.InputOffset()))
			}
		}
		if d.StackDepth() == 0 {
			if documents++; documents > 1 {
				return fmt.Errorf("the body holds more than one JSON document; the second ends at byte %d", d.InputOffset())
			}
		}
	}
}

// firstInvalidByte is where the first byte stands that is not UTF-8.
func firstInvalidByte(body []byte) (at int) {
	for at < len(body) {
		r, size := utf8.DecodeRune(body[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

func overflows(number string) bool {
	_, err := strconv.ParseFloat(number, 64)
	return err != nil
}

// describeSyntaxError says in words of our own what is wrong with the syntax, and where.
func describeSyntaxError(err error) error {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return errors.New("the body is not JSON")
	}
	where := position(syntax.JSONPointer, syntax.ByteOffset)
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Errorf("a key is repeated%s; every key may stand once in its object", where)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the JSON ends early%s", where)
	}
	return fmt.Errorf("the body is not JSON%s", where)
}

// maxPositionText bounds how much of a place in a body is said.
const maxPositionText = 200

// position names a place in a body.
func position(place jsontext.Pointer, offset int64) string {
	if place == "" {
		return fmt.Sprintf(" (byte %d)", offset)
	}
	return fmt.Sprintf(" at %s (byte %d)", cleanText(string(place), maxPositionText), offset)
}
