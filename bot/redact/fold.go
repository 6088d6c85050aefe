package redact

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// view is a text normalised for the rules. Escapes are resolved, invisible
// characters are removed and look-alikes are replaced by ASCII characters. Each
// marker of an earlier pass is one barrier byte. Bytes from 0x80 on belong to
// letters or digits of other scripts. All other punctuation and symbols are one
// neutral byte each.
type view struct {
	text string
	// origin[i] is the offset of byte i in the original. The last entry is the
	// length of the original. A nil origin means that the text is unchanged.
	origin []int
}

const (
	barrier = 0x00 // replaces a marker
	neutral = 0x1f // replaces a symbol that no rule uses
)

// toOriginal converts spans of the view into spans of the original, in place.
func (v view) toOriginal(spans []span) []span {
	if v.origin != nil {
		for i, s := range spans {
			spans[i].start, spans[i].end = v.origin[s.start], v.origin[s.end]
		}
	}
	return spans
}

// foldTriggers are the bytes that fold may rewrite.
var foldTriggers = setOf("%\\&[(\x00", nonASCII)

// fold returns the view of a text.
func fold(s string) view {
	i := 0
	for i < len(s) && !foldTriggers[s[i]] {
		i++
	}
	if i == len(s) {
		return view{text: s}
	}
	out, origin := make([]byte, 0, len(s)), make([]int, 0, len(s)+1)
	emit := func(at int, b ...byte) {
		for range b {
			origin = append(origin, at)
		}
		out = append(out, b...)
	}
	for j := range i {
		emit(j, s[j])
	}
	for i < len(s) {
		switch c := s[i]; {
		case !foldTriggers[c]:
			emit(i, c)
			i++
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(s[i:])
			if b := foldRune(r, s[i:i+n]); b != "" {
				emit(i, []byte(b)...)
			}
			i += n
		default:
			b, n := unescape(s[i:])
			emit(i, b)
			i += n
		}
	}
	return view{text: string(out), origin: append(origin, len(s))}
}

// foldRune returns the replacement of a rune outside ASCII, encoded as raw.
func foldRune(r rune, raw string) string {
	switch {
	case r == utf8.RuneError, unicode.Is(unicode.Mn, r) && !unicode.Is(unicode.Variation_Selector, r):
		return raw // invalid bytes and accents count as letters
	case r == 0xad, unicode.Is(unicode.Cf, r), unicode.Is(unicode.Variation_Selector, r), r == 0x115f, r == 0x1160, r == 0x3164:
		return "" // zero-width, directional and filler characters
	case unicode.Is(unicode.Zs, r), r == 0x2800:
		return " "
	case r == 0x2028, r == 0x2029, r == 0x85:
		return "\n"
	case unicode.Is(unicode.Pd, r), r == 0x2212, r == 0x2043:
		return "-"
	case 0xff01 <= r && r <= 0xff5e:
		return string(r - 0xff01 + '!')
	case unicode.IsDigit(r):
		return string('0' + digitValue(r))
	case unicode.IsLetter(r), unicode.IsNumber(r), unicode.Is(unicode.M, r):
		return raw
	}
	switch r {
	case '﹫':
		return "@"
	case '․', '。', '｡', '﹒':
		return "."
	case '“', '”', '„', '«', '»':
		return `"`
	case '‘', '’', '‚':
		return "'"
	case '∶', 'ː', '﹕':
		return ":"
	}
	return string(rune(neutral))
}

// digitValue returns the value of a decimal digit of any script. Unicode
// assigns consecutive code points to the ten digits of a script, in order from
// zero.
func digitValue(r rune) rune {
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10
		}
	}
	return 0
}

// escapes are sequences that represent one byte, such as defanged addresses and
// HTML entities.
var escapes = []struct {
	text string
	b    byte
}{
	{"[.]", '.'}, {"(.)", '.'}, {"[dot]", '.'}, {"(dot)", '.'},
	{"[@]", '@'}, {"(@)", '@'}, {"[at]", '@'}, {"(at)", '@'}, {"[:]", ':'},
	{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''},
	{"&nbsp;", ' '}, {"&commat;", '@'}, {"&period;", '.'},
}

// unescape returns the byte at the start of s, with any escape resolved, and
// the number of bytes it takes in s.
func unescape(s string) (byte, int) {
	switch s[0] {
	case 0:
		return neutral, 1
	case '%':
		return unescapePercent(s)
	case '\\':
		return unescapeBackslash(s)
	case '[':
		for _, m := range markers {
			if strings.HasPrefix(s, m) {
				return barrier, len(m)
			}
		}
	case '&':
		if strings.HasPrefix(s, "&#") {
			return unescapeNumeric(s)
		}
	}
	for _, e := range escapes {
		if s[0] == e.text[0] && len(s) >= len(e.text) && strings.EqualFold(s[:len(e.text)], e.text) {
			return e.b, len(e.text)
		}
	}
	return s[0], 1
}

// unescapePercent resolves percent encoding that was applied any number of
// times (%40, %2540, %252540).
func unescapePercent(s string) (byte, int) {
	i := 1
	for strings.HasPrefix(s[i:], "25") {
		i += 2
	}
	if len(s) >= i+2 {
		if b := hexValue(s[i])<<4 | hexValue(s[i+1]); isPrintableASCII(b) {
			return byte(b), i + 2
		}
	}
	return '%', i
}

// unescapeBackslash resolves JSON escapes except escaped quotes, which mark
// the end of a string inside a string.
func unescapeBackslash(s string) (byte, int) {
	if len(s) < 2 {
		return '\\', 1
	}
	switch s[1] {
	case 'n', 'r':
		return '\n', 2
	case 't':
		return '\t', 2
	case '/':
		return '/', 2
	case 'u':
		if len(s) >= 6 && s[2] == '0' && s[3] == '0' {
			if b := hexValue(s[4])<<4 | hexValue(s[5]); isPrintableASCII(b) {
				return byte(b), 6
			}
		}
	}
	return '\\', 1
}

// unescapeNumeric resolves &#64; and &#x40;.
func unescapeNumeric(s string) (byte, int) {
	i, base := 2, 10
	if len(s) > 2 && lower(s[2]) == 'x' {
		i, base = 3, 16
	}
	n, from := 0, i
	for ; i < len(s) && i < from+7; i++ {
		d := hexValue(s[i])
		if d < 0 || d >= base {
			break
		}
		n = n*base + d
	}
	if i < len(s) && i > from && s[i] == ';' && isPrintableASCII(n) {
		return byte(n), i + 1
	}
	return '&', 1
}

// hexValue returns the value of a hexadecimal digit. For other bytes it returns
// a number so low that any sum with it is negative.
func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= lower(c) && lower(c) <= 'f':
		return int(lower(c)-'a') + 10
	}
	return -1 << 20
}

// isPrintableASCII reports whether b is a printable ASCII character, a space, a
// tab or a line break.
func isPrintableASCII(b int) bool {
	return ' ' <= b && b <= '~' || b == '\n' || b == '\r' || b == '\t'
}

// accents maps accented letters to the plain letters that people type instead.
var accents = func() map[rune]rune {
	m := map[rune]rune{}
	for plain, all := range map[rune]string{
		'a': "àáâãäåāăąǎ", 'c': "çćĉċč", 'd': "ďđ", 'e': "èéêëēĕėęě", 'g': "ĝğġģ", 'h': "ĥħ", 'i': "ìíîïĩīĭįı",
		'j': "ĵ", 'k': "ķ", 'l': "ĺļľŀł", 'n': "ñńņňŋ", 'o': "òóôõöøōŏőǒ", 'r': "ŕŗř", 's': "śŝşšș",
		't': "ţťŧț", 'u': "ùúûüũūŭůűųǔ", 'w': "ŵ", 'y': "ýÿŷ", 'z': "źżž",
	} {
		for _, r := range all {
			m[r] = plain
		}
	}
	return m
}()

// foldForLiterals returns the view for the comparison with literals. It is in
// lower case, without accents, and has one space for every run of white space.
func foldForLiterals(v view) view {
	out, origin := make([]byte, 0, len(v.text)), make([]int, 0, len(v.text)+1)
	where := func(i int) int {
		if v.origin == nil {
			return i
		}
		return v.origin[i]
	}
	for i, r := range v.text {
		b := ""
		switch {
		case r < utf8.RuneSelf && blank[byte(r)]:
			if n := len(out); n == 0 || out[n-1] != ' ' {
				b = " "
			}
		case r == utf8.RuneError:
			b = string(rune(neutral))
		case unicode.Is(unicode.Mn, r):
		default:
			r = unicode.ToLower(r)
			if plain, ok := accents[r]; ok {
				r = plain
			}
			b = string(r)
		}
		for range len(b) {
			origin = append(origin, where(i))
		}
		out = append(out, b...)
	}
	return view{text: string(out), origin: append(origin, where(len(v.text)))}
}
