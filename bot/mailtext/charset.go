// Package mailtext reads the text of mails, including mails that break the rules. Its
// functions return the words that a person wrote, and sentences about the parts that they
// could not read:
//
//	r := mailtext.Decode(body, "base64", "iso-8859-1", 64<<10)
//	fmt.Println(r.Text, r.Problems)
//
// Every function reads each byte a constant number of times, holds no state and never
// panics. The result may contain control characters.
package mailtext

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// charsetAliases maps names that mail programs use to registered names. An empty name
// means that the mail does not declare a charset.
var charsetAliases = map[string]string{
	"ascii": "", "us-ascii": "", "ansi-x3.4-1968": "", "default": "", "default-charset": "", "unknown": "", "unknown-8bit": "", "x-unknown": "", "8bit": "", "binary": "", "none": "",
	"utf8": "utf-8", "utf-8": "utf-8", "utf8mb4": "utf-8", "unicode": "utf-16", "x-utf-8j": "utf-8", "unicode-1-1-utf-8": "utf-8", "cesu-8": "utf-8",
	"unicode-1-1-utf-7": "utf-7", "x-unicode-2-0-utf-7": "utf-7", "csutf7": "utf-7", "utf7": "utf-7", "utf-7-imap": "utf-7",
	"utf16": "utf-16", "utf16le": "utf-16le", "utf16be": "utf-16be", "ucs-2": "utf-16", "iso-10646-ucs-2": "utf-16", "utf32": "utf-32", "ucs-4": "utf-32",
	"latin-1": "latin1", "ansi": "windows-1252", "cp-1252": "windows-1252", "win-1252": "windows-1252", "win1252": "windows-1252", "ansi-x3.110-1983": "windows-1252",
	"win-1251": "windows-1251", "win1251": "windows-1251", "win-1250": "windows-1250", "win1250": "windows-1250",
	"cp932": "shift_jis", "ms932": "shift_jis", "windows-932": "shift_jis", "shift-jis": "shift_jis", "x-ms-cp932": "shift_jis",
	"cp936": "gb18030", "ms936": "gb18030", "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "gb-2312": "gb18030", "windows-936": "gb18030", "euc-cn": "gb18030",
	"cp949": "euc-kr", "ms949": "euc-kr", "ks-c-5601-1987": "euc-kr", "ksc5601": "euc-kr", "uhc": "euc-kr", "cp950": "big5", "ms950": "big5",
	"cp50220": "iso-2022-jp", "cp50221": "iso-2022-jp", "iso-2022-jp-ms": "iso-2022-jp", "koi8": "koi8-r", "koi8r": "koi8-r",
}

// maxCharsetName is the maximum length of the name of a charset.
const maxCharsetName = 64

// canonicalCharset returns the name of a charset in one spelling.
func canonicalCharset(name string) string {
	name = strings.ToLower(strings.Trim(name, " \t\"'`;,.<>()"))
	if n := strings.IndexAny(name, " \t;,\""); n >= 0 {
		name = name[:n]
	}
	if known, ok := charsetAliases[strings.ReplaceAll(name, "_", "-")]; ok {
		return known
	}
	return name
}

// encodingOf returns the encoding of a canonical name, or nil if it is unknown. Encodings
// in which equal bytes may hide markup are unknown too.
func encodingOf(name string) encoding.Encoding {
	switch name {
	case "hz-gb-2312":
		return simplifiedchinese.HZGB2312
	case "iso-2022-kr", "iso-2022-cn", "iso-2022-cn-ext", "replacement", "x-user-defined":
		return nil
	}
	if len(name) > maxCharsetName {
		return nil
	}
	for _, spelling := range []string{name, strings.ReplaceAll(name, "_", "-")} {
		if e, err := htmlindex.Get(spelling); err == nil {
			return e
		}
		if e, err := ianaindex.MIME.Encoding(spelling); err == nil && e != nil {
			return e
		}
		if e, err := ianaindex.IANA.Encoding(spelling); err == nil && e != nil {
			return e
		}
	}
	return nil
}

// Charset returns b as UTF-8. A declared charset that contradicts the bytes is corrected:
// UTF-8 with another name is UTF-8, and bytes that are not UTF-8 are Windows-1252. problem
// is a sentence about an unreadable charset, or "".
func Charset(b []byte, declared string) (text, problem string) {
	if s, ok := byMark(b); ok {
		return s, ""
	}
	name := canonicalCharset(declared)
	switch name {
	case "", "utf-8":
		return guess(b), ""
	case "utf-7":
		return guess(b), "A text is in UTF-7, which Tocsin does not decode. It is shown as received."
	case "utf-16", "utf-16le", "utf-16be":
		return decodeUTF16(b, name), ""
	case "utf-32", "utf-32le", "utf-32be":
		order := utf32.BigEndian
		if name == "utf-32le" || len(b) > 3 && b[0] != 0 {
			order = utf32.LittleEndian
		}
		return decodeWith(utf32.UTF32(order, utf32.IgnoreBOM), b), ""
	}
	e := encodingOf(name)
	if e != nil && multiByte[e] {
		if s := decodeWith(e, b); !isUTF8(b) || !strings.ContainsRune(s, utf8.RuneError) {
			return s, ""
		}
	}
	if isUTF8(b) {
		return string(b), ""
	}
	if e == nil {
		return guess(b), fmt.Sprintf("The charset %.40q is unknown. Its text is shown as UTF-8 or Windows-1252.", declared)
	}
	return decodeWith(e, b), ""
}

// multiByte has the encodings in which a short text can be valid UTF-8 by accident.
var multiByte = map[encoding.Encoding]bool{simplifiedchinese.GB18030: true, simplifiedchinese.GBK: true, simplifiedchinese.HZGB2312: true, traditionalchinese.Big5: true,
	korean.EUCKR: true, japanese.EUCJP: true, japanese.ShiftJIS: true, japanese.ISO2022JP: true}

func decodeWith(e encoding.Encoding, b []byte) string {
	out, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return lenientUTF8(b)
	}
	return string(out)
}

// isUTF8 reports whether b is UTF-8 with characters beyond ASCII. Text in another charset
// is so only by a rare accident.
func isUTF8(b []byte) bool {
	return utf8.Valid(b) && bytes.ContainsFunc(b, func(r rune) bool { return r >= utf8.RuneSelf })
}

// byMark decodes a text that begins with a byte order mark.
func byMark(b []byte) (string, bool) {
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		return lenientUTF8(b[3:]), true
	case bytes.HasPrefix(b, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(b, []byte("\x00\x00\xfe\xff")):
		return decodeWith(utf32.UTF32(utf32.BigEndian, utf32.UseBOM), b), true
	case bytes.HasPrefix(b, []byte("\xff\xfe")), bytes.HasPrefix(b, []byte("\xfe\xff")):
		return decodeWith(unicode.UTF16(unicode.BigEndian, unicode.UseBOM), b), true
	}
	return "", false
}

// guess decodes a text without a reliable charset.
func guess(b []byte) string {
	if order := utf16Order(b); order != "" {
		return decodeUTF16(b, order)
	}
	if isISO2022JP(b) {
		return decodeWith(japanese.ISO2022JP, b)
	}
	return lenientUTF8(b)
}

// isISO2022JP reports whether b has the escape sequences of Japanese mails and only 7-bit
// bytes.
func isISO2022JP(b []byte) bool {
	if !bytes.Contains(b, []byte("\x1b$B")) && !bytes.Contains(b, []byte("\x1b$@")) {
		return false
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// utf16Order returns the name of UTF-16 with its byte order if about every second byte of
// b is 0, and "" otherwise.
func utf16Order(b []byte) string {
	sample := b[:min(len(b), 512)]
	var zeros [2]int
	for n, c := range sample {
		if c == 0 {
			zeros[n%2]++
		}
	}
	enough := len(sample) * 3 / 8
	switch {
	case len(sample) < 4:
		return ""
	case zeros[1] >= enough && zeros[0] <= len(sample)/16:
		return "utf-16le"
	case zeros[0] >= enough && zeros[1] <= len(sample)/16:
		return "utf-16be"
	}
	return ""
}

// decodeUTF16 decodes UTF-16 without a byte order mark. Text that is not UTF-16 at all,
// because the mail was converted on its way, is guessed.
func decodeUTF16(b []byte, name string) string {
	found := utf16Order(b)
	if found == "" && utf8.Valid(b) && !bytes.ContainsRune(b, 0) {
		return string(b)
	}
	if found != "" {
		name = found
	}
	order := unicode.BigEndian
	if name == "utf-16le" {
		order = unicode.LittleEndian
	}
	return decodeWith(unicode.UTF16(order, unicode.IgnoreBOM), b)
}

// lenientUTF8 decodes UTF-8. Each byte that is not UTF-8 is a character of Windows-1252.
func lenientUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	out.Grow(len(b) + len(b)/8)
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			r = charmap.Windows1252.DecodeByte(b[0])
		}
		out.WriteRune(r)
		b = b[size:]
	}
	return out.String()
}
