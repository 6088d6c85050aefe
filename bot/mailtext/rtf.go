package mailtext

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
)

// rtfHidden lists RTF groups that contain no text of the document.
var rtfHidden = map[string]bool{"fonttbl": true, "colortbl": true, "stylesheet": true, "info": true, "pict": true, "object": true, "themedata": true, "generator": true,
	"listtable": true, "listoverridetable": true, "datastore": true, "xmlnstbl": true, "rsidtbl": true, "latentstyles": true, "header": true, "footer": true, "filetbl": true}

// rtfText maps control words to the text that they stand for.
var rtfText = map[string]string{"par": "\n", "line": "\n", "row": "\n", "sect": "\n", "page": "\n", "cell": " | ", "tab": "\t", "emdash": "—", "endash": "–", "bullet": "•",
	"lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”"}

// maxRTFGroups is the maximum nesting of RTF groups that are tracked.
const maxRTFGroups = 1000

type rtfGroup struct {
	hidden bool
	skip   int // bytes that follow a Unicode character in the old charset
}

// rtfReader holds the state of [RTF].
type rtfReader struct {
	b       []byte
	out     strings.Builder
	raw     []byte // bytes in the charset of the document
	units   []uint16
	group   rtfGroup
	stack   []rtfGroup
	deep    int // open groups beyond maxRTFGroups
	charset string
	pending int // characters to skip after a Unicode character
}

// RTF returns the text of an RTF document, at most about limit bytes of it.
func RTF(document []byte, limit int) string {
	r := rtfReader{b: document, group: rtfGroup{skip: 1}, charset: "windows-1252"}
	for n := 0; n < len(r.b) && r.out.Len()+len(r.raw) < limit; {
		n = r.step(n)
	}
	r.flush()
	return strings.TrimSpace(r.out.String())
}

// step reads one element at n and returns the place after it.
func (r *rtfReader) step(n int) int {
	switch c := r.b[n]; c {
	case '{':
		if len(r.stack) < maxRTFGroups {
			r.stack = append(r.stack, r.group)
		} else {
			r.deep++
		}
		r.pending = 0
	case '}':
		if r.deep > 0 {
			r.deep--
		} else if len(r.stack) > 0 {
			r.group, r.stack = r.stack[len(r.stack)-1], r.stack[:len(r.stack)-1]
		}
		r.pending = 0
	case '\\':
		return r.control(n + 1)
	case '\r', '\n':
	default:
		r.char(c)
	}
	return n + 1
}

func (r *rtfReader) control(n int) int {
	if n >= len(r.b) {
		return n
	}
	start := n
	for n < len(r.b) && n-start < 32 && (r.b[n]|0x20) >= 'a' && (r.b[n]|0x20) <= 'z' {
		n++
	}
	if n == start {
		return r.symbol(n)
	}
	word, digits := string(r.b[start:n]), n
	for n < len(r.b) && n-digits < 10 && (r.b[n] >= '0' && r.b[n] <= '9' || n == digits && r.b[n] == '-') {
		n++
	}
	number, err := strconv.Atoi(string(r.b[digits:n]))
	if n < len(r.b) && r.b[n] == ' ' {
		n++
	}
	if word == "bin" && number > 0 {
		return min(len(r.b), n+number)
	}
	r.word(word, number, err == nil)
	return n
}

func (r *rtfReader) word(word string, number int, hasNumber bool) {
	switch {
	case rtfHidden[word]:
		r.group.hidden = true
	case word == "ansicpg" && hasNumber:
		r.flush()
		r.charset = codePage(int64(number))
	case word == "uc" && hasNumber:
		r.group.skip = min(max(number, 0), 4)
	case word == "u" && hasNumber:
		if !r.group.hidden {
			r.flushBytes()
			r.units = append(r.units, uint16(number)) // numbers above 32767 are written as negative ones
		}
		r.pending = r.group.skip
	case !r.group.hidden && rtfText[word] != "":
		r.flush()
		r.out.WriteString(rtfText[word])
	}
}

// symbol reads a control symbol such as \'e9.
func (r *rtfReader) symbol(n int) int {
	switch r.b[n] {
	case '\'':
		if n+2 < len(r.b) {
			if high, low := hexValue(r.b[n+1]), hexValue(r.b[n+2]); high >= 0 && low >= 0 {
				r.char(byte(high<<4 | low))
				return n + 3
			}
		}
	case '*':
		if string(r.b[n+1:min(len(r.b), n+9)]) != `\fldinst` {
			r.group.hidden = true
		}
	case '~':
		r.char(' ')
	case '_':
		r.char('-')
	case '\\', '{', '}':
		r.char(r.b[n])
	case '\r', '\n':
		r.word("par", 0, false)
	}
	return n + 1
}

func (r *rtfReader) char(c byte) {
	switch {
	case r.pending > 0:
		r.pending--
	case !r.group.hidden:
		if len(r.units) > 0 {
			r.flush()
		}
		r.raw = append(r.raw, c)
	}
}

func (r *rtfReader) flushBytes() {
	text := ""
	if len(r.raw) > 0 {
		text = string(r.raw)
		if e := encodingOf(canonicalCharset(r.charset)); e != nil {
			text = decodeWith(e, r.raw)
		}
	}
	r.out.WriteString(text)
	r.raw = r.raw[:0]
}

func (r *rtfReader) flush() {
	r.out.WriteString(string(utf16.Decode(r.units)))
	r.units = r.units[:0]
	r.flushBytes()
}

// rtfDictionary is the text that compressed RTF may refer to before its beginning.
const rtfDictionary = "{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"

var errRTF = errors.New("the compressed RTF text is damaged")

// decompressRTF returns at most limit bytes of a compressed RTF document.
func decompressRTF(b []byte, limit int) ([]byte, error) {
	if len(b) < 16 {
		return nil, errRTF
	}
	size, magic := int64(binary.LittleEndian.Uint32(b[4:])), binary.LittleEndian.Uint32(b[8:])
	b = b[16:]
	limit = int(min(int64(limit), size))
	switch magic {
	case 0x414c454d: // not compressed
		return b[:min(len(b), limit)], nil
	case 0x75465a4c:
	default:
		return nil, errRTF
	}
	var window [4096]byte
	at := copy(window[:], rtfDictionary)
	out := make([]byte, 0, min(limit, 4*len(b)))
	put := func(c byte) {
		out = append(out, c)
		window[at] = c
		at = (at + 1) % len(window)
	}
	for n := 0; n < len(b) && len(out) < limit; {
		flags := b[n]
		n++
		for bit := 0; bit < 8 && n < len(b) && len(out) < limit; bit++ {
			if flags>>bit&1 == 0 {
				put(b[n])
				n++
				continue
			}
			if n+1 >= len(b) {
				return out, errRTF
			}
			from, length := int(b[n])<<4|int(b[n+1])>>4, int(b[n+1]&15)+2
			n += 2
			if from == at {
				return out, nil // the end
			}
			for k := range length {
				put(window[(from+k)%len(window)])
			}
		}
	}
	return out, nil
}
