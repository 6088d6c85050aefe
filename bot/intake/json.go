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

	"tocsin/bot/text"
)

// Bounds of a JSON document. The documents of all known senders stay far below.
const (
	maxDepth  = 200 // nested objects and arrays
	maxNumber = 40  // length of a number that needs no range check, without an exponent
)

// jsonText returns a body as UTF-8 without a byte order mark, if it is a JSON document in
// another encoding. Senders on Windows add a mark or write UTF-16. The inbox stores the
// body as it was received.
func jsonText(body []byte) []byte {
	document := text.UTF8(body)
	if start := bytes.TrimLeft(document, " \t\r\n"); len(start) > 0 && (start[0] == '{' || start[0] == '[') {
		return document
	}
	return body
}

// CheckJSON returns why a body is not one JSON document that every parser reads identically,
// or nil. A source calls it in Verify if its signature does not cover the whole body.
func CheckJSON(body []byte) error { return validateJSON(jsonText(body)) }

// validateJSON checks that body is one JSON document that every parser reads
// identically. It must be valid UTF-8, without repeated keys and without numbers
// that overflow a float64. The error is a message to the sender, with the
// position and the fix.
func validateJSON(body []byte) error {
	if !utf8.Valid(body) {
		return fmt.Errorf("the body is not valid UTF-8 (byte %d). Encode it as UTF-8", firstInvalidByte(body))
	}
	// An escaped lone surrogate is valid JSON, and JavaScript produces it.
	d := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowInvalidUTF8(true))
	for documents := 0; ; {
		token, err := d.ReadToken()
		switch {
		case errors.Is(err, io.EOF) && documents == 1:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("the body is empty. Send one JSON document")
		case err != nil:
			return describeSyntaxError(err)
		case d.StackDepth() > maxDepth:
			return fmt.Errorf("the body is nested deeper than %d levels%s. Send a flatter document", maxDepth, position(d.StackPointer(), d.InputOffset()))
		}
		if token.Kind() == '0' {
			if number := token.String(); (len(number) > maxNumber || strings.ContainsAny(number, "eE")) && overflows(number) {
				return fmt.Errorf("a number is too large%s. The maximum is 1e308", position(d.StackPointer(), d.InputOffset()))
			}
		}
		if d.StackDepth() == 0 {
			if documents++; documents > 1 {
				return fmt.Errorf("the body contains more than one JSON document (byte %d). Send one for each request", d.InputOffset())
			}
		}
	}
}

// firstInvalidByte returns the offset of the first byte that is not valid UTF-8.
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

// describeSyntaxError turns a syntax error into a message to the sender, without
// the text of the JSON library.
func describeSyntaxError(err error) error {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return errors.New("the body is not JSON. Send one JSON document")
	}
	where := position(syntax.JSONPointer, syntax.ByteOffset)
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Errorf("a key is repeated%s. Use each key once in an object", where)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the JSON ends early%s. Send the whole document", where)
	}
	return fmt.Errorf("the body is not JSON%s. Send one JSON document", where)
}

// maxPositionText is the maximum length of a JSON pointer in a message, in runes.
const maxPositionText = 201

// position describes a place in a body, with a leading space.
func position(pointer jsontext.Pointer, offset int64) string {
	if pointer == "" {
		return fmt.Sprintf(" (byte %d)", offset)
	}
	return fmt.Sprintf(" at %s (byte %d)", cleanText(string(pointer), maxPositionText), offset)
}
