package redact

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// view is a text rewritten for the rules. In it escapes are resolved, invisible
// characters are gone, look-alikes are their ASCII selves, and each marker of
// an earlier pass is one barrier byte. Bytes from 0x80 on are letters or digits
// of other scripts; other punctuation and symbols are one neutral byte.
type view struct {
	text string
	// origin[i] is where byte i of text came from; one more entry holds the
	// length of the original. nil means that nothing was rewritten.
	origin []int
}

const (
	barrier = 0x00 // stands for a marker
	neutral = 0x1f // stands for a symbol that no rule knows
)

// original translates spans of the view into spans of the original.
func (v view) original(spans []span) []span {
	if v.origin != nil {
		for i, s := range spans {
			spans[i].start, spans[i].end = v.origin[s.start], v.origin[s.end]
		}
	}
	return spans
}

// folded are the bytes at which fold has to look twice.
var folded = setOf("%\\&[(\x00", beyond)

// fold builds the view of a text.
func fold(s string) view {
	i := 0
	for i < len(s) && !folded[s[i]] {
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
		case !folded[c]:
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

// foldRune gives what stands for a rune outside ASCII; raw are its bytes.
func foldRune(r rune, raw string) string {
	switch {
	case r == utf8.RuneError, unicode.Is(unicode.Mn, r) && !unicode.Is(unicode.Variation_Selector, r):
		return raw // a broken byte or an accent counts as a letter
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
		return string('0' + decimal(r))
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

// decimal gives the value of a decimal digit of any script. Unicode keeps the
// ten digits of a script together, in order, from a zero on.
func decimal(r rune) rune {
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

// escapes are sequences that stand for one byte: markers, the ways in which
// people defang addresses, HTML's names.
var escapes = []struct {
	text string
	b    byte
}{
	{"[.]", '.'}, {"(.)", '.'}, {"[dot]", '.'}, {"(dot)", '.'},
	{"[@]", '@'}, {"(@)", '@'}, {"[at]", '@'}, {"(at)", '@'}, {"[:]", ':'},
	{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''},
	{"&nbsp;", ' '}, {"&commat;", '@'}, {"&period;", '.'},
}

// unescape gives the byte that s starts with, escaped in whatever way, and how
// many bytes of s it takes.
func unescape(s string) (byte, int) {
	switch s[0] {
	case 0:
		return neutral, 1
	case '%':
		return percent(s)
	case '\\':
		return backslash(s)
	case '[':
		for _, m := range markers {
			if strings.HasPrefix(s, m) {
				return barrier, len(m)
			}
		}
	case '&':
		if strings.HasPrefix(s, "&#") {
			return numeric(s)
		}
	}
	for _, e := range escapes {
		if s[0] == e.text[0] && len(s) >= len(e.text) && strings.EqualFold(s[:len(e.text)], e.text) {
			return e.b, len(e.text)
		}
	}
	return s[0], 1
}

// percent resolves %40, and %2540, and %252540.
func percent(s string) (byte, int) {
	i := 1
	for strings.HasPrefix(s[i:], "25") {
		i += 2
	}
	if len(s) >= i+2 {
		if b := unhex(s[i])<<4 | unhex(s[i+1]); isPrintableASCII(b) {
			return byte(b), i + 2
		}
	}
	return '%', i
}

// backslash resolves the escapes of JSON, except those of quotes: they say
// where a string inside a string ends.
func backslash(s string) (byte, int) {
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
			if b := unhex(s[4])<<4 | unhex(s[5]); isPrintableASCII(b) {
				return byte(b), 6
			}
		}
	}
	return '\\', 1
}

// numeric resolves &#64; and &#x40;.
func numeric(s string) (byte, int) {
	i, base := 2, 10
	if len(s) > 2 && lower(s[2]) == 'x' {
		i, base = 3, 16
	}
	n, from := 0, i
	for ; i < len(s) && i < from+7; i++ {
		d := unhex(s[i])
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

// unhex returns the value of a hexadecimal digit; anything else is so negative
// that it stays negative in a sum.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= lower(c) && lower(c) <= 'f':
		return int(lower(c)-'a') + 10
	}
	return -1 << 20
}

// isPrintableASCII says whether b is an ASCII character that stands in texts.
func isPrintableASCII(b int) bool {
	return ' ' <= b && b <= '~' || b == '\n' || b == '\r' || b == '\t'
}

// accents pairs letters with the plain ones that people type for them.
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

// foldForLiterals makes the view in which literals are compared: lower case, without
// accents, every run of blanks one space.
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
		case r < utf8.RuneSelf && blanks[byte(r)]:
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
