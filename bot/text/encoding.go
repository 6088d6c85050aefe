package text

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"unicode/utf16"
)

// UTF8 returns a document as UTF-8 without a byte order mark. It recognises UTF-16 by its
// mark, or by the zero byte next to the first character. It returns every other document
// unchanged.
func UTF8(document []byte) []byte {
	if without, marked := bytes.CutPrefix(document, []byte("\xef\xbb\xbf")); marked {
		return without
	}
	if len(document) < 2 || len(document)%2 != 0 {
		return document
	}
	var order binary.ByteOrder
	switch first, second := document[0], document[1]; {
	case first == 0xff && second == 0xfe, first != 0 && first < 0x80 && second == 0:
		order = binary.LittleEndian
	case first == 0xfe && second == 0xff, first == 0 && second != 0 && second < 0x80:
		order = binary.BigEndian
	default:
		return document
	}
	units := make([]uint16, 0, len(document)/2)
	for at := 0; at < len(document); at += 2 {
		units = append(units, order.Uint16(document[at:]))
	}
	if units[0] == 0xfeff {
		units = units[1:]
	}
	return []byte(string(utf16.Decode(units)))
}

var (
	emptyDocument = regexp.MustCompile(`(?m)^---[ \t]*(#.*)?\r?\n([ \t]*(#.*)?\r?\n)*---([ \t\r]|$)`)
	yamlContent   = regexp.MustCompile(`(?m)^[ \t]*([^ \t\r\n#-]|-[^-\r\n])|^--- +[^ #\r\n]`)
)

// EmptyDocument returns the line of the first empty document between two lines --- of a
// YAML file, or 0. The YAML library drops the documents after it.
func EmptyDocument(src []byte) (line int) {
	at := emptyDocument.FindIndex(src)
	if at == nil || !yamlContent.Match(src[at[1]-len("---")-1:]) {
		return 0
	}
	return bytes.Count(src[:at[0]], []byte("\n")) + 1
}
