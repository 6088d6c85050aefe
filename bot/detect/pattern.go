package detect

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// pattern is a Sigma value as runes and wildcards.
type pattern []rune

const (
	anyRunes rune = -1 // *, any number of characters including newlines
	oneRune  rune = -2 // ?, exactly one character
)

// parsePattern parses a value with the escapes of Sigma. \* and \? are literal
// characters, \\ is one backslash, and other backslashes are literal.
func parsePattern(s string) pattern {
	rs := []rune(s)
	p := make(pattern, 0, len(rs))
	for i := 0; i < len(rs); i++ {
		switch r := rs[i]; {
		case r == '*':
			p = append(p, anyRunes)
		case r == '?':
			p = append(p, oneRune)
		case r == '\\' && i+1 < len(rs) && (rs[i+1] == '*' || rs[i+1] == '?' || rs[i+1] == '\\'):
			i++
			p = append(p, rs[i])
		default:
			p = append(p, r)
		}
	}
	return p
}

func (p pattern) hasWildcard() bool {
	for _, r := range p {
		if r < 0 {
			return true
		}
	}
	return false
}

// segment is a part of a pattern without *. Each rune, ? included, matches one
// character.
type segment struct {
	runes      pattern // folded unless cased
	ascii      bool    // no rune beyond ASCII
	firstBytes [2]byte // first byte in lower and upper case, or zero for ? and non-ASCII
}

// glob is a compiled pattern.
type glob struct {
	segments  []segment
	openStart bool // begins with *
	closedEnd bool // does not end with *
	cased     bool
}

// compileGlob compiles a pattern. Adjacent * count as one.
func compileGlob(p pattern, cased bool) *glob {
	g := &glob{cased: cased, closedEnd: true}
	var run pattern
	flush := func() {
		if len(run) > 0 {
			g.segments = append(g.segments, newSegment(run, cased))
			run = nil
		}
	}
	for i, r := range p {
		if r == anyRunes {
			g.openStart = g.openStart || i == 0
			g.closedEnd = i < len(p)-1
			flush()
			continue
		}
		if !cased && r >= 0 {
			r = fold(r)
		}
		run = append(run, r)
	}
	flush()
	return g
}

func newSegment(run pattern, cased bool) segment {
	s := segment{runes: run, ascii: true}
	for _, r := range run {
		s.ascii = s.ascii && r < utf8.RuneSelf
	}
	if r := run[0]; r >= 0 && r < utf8.RuneSelf {
		s.firstBytes = [2]byte{byte(r), byte(r)}
		if !cased && 'a' <= r && r <= 'z' {
			s.firstBytes[1] = byte(r) - 'a' + 'A'
		}
	}
	return s
}

// contains reports whether the pattern begins and ends with *.
func (g *glob) contains() bool { return g.openStart && !g.closedEnd }

// match reports whether the pattern matches the whole text.
func (g *glob) match(text []byte) bool {
	segments := g.segments
	if len(segments) == 0 {
		return g.openStart || len(text) == 0
	}
	if !g.openStart {
		n, ok := g.prefix(segments[0], text)
		if !ok {
			return false
		}
		text, segments = text[n:], segments[1:]
		if len(segments) == 0 {
			return !g.closedEnd || len(text) == 0
		}
	}
	if g.closedEnd {
		last := segments[len(segments)-1]
		rest, ok := g.suffix(last, text)
		if !ok {
			return false
		}
		text, segments = rest, segments[:len(segments)-1]
	}
	for _, s := range segments {
		end, ok := g.find(s, text)
		if !ok {
			return false
		}
		text = text[end:]
	}
	return true
}

// prefix returns how many bytes at the beginning of the text the segment matches.
func (g *glob) prefix(s segment, text []byte) (int, bool) {
	i := 0
	for _, want := range s.runes {
		if i >= len(text) {
			return 0, false
		}
		b := text[i]
		if b < utf8.RuneSelf {
			i++
			if want != oneRune && want != rune(b) && (g.cased || want != rune(lowerASCII[b])) {
				return 0, false
			}
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		i += size
		if want != oneRune && want != r && (g.cased || want != fold(r)) {
			return 0, false
		}
	}
	return i, true
}

// suffix returns the text before the segment if the text ends with the segment.
func (g *glob) suffix(s segment, text []byte) ([]byte, bool) {
	start := len(text)
	for range s.runes {
		if start == 0 {
			return nil, false
		}
		_, size := utf8.DecodeLastRune(text[:start])
		start -= size
	}
	_, ok := g.prefix(s, text[start:])
	return text[:start], ok
}

// find returns the end of the first occurrence of a segment.
func (g *glob) find(s segment, text []byte) (int, bool) {
	if s.firstBytes[0] != 0 && (g.cased || s.firstBytes[0] != 'k' && s.firstBytes[0] != 's' || isASCII(text)) {
		return g.findFirstByte(s, text)
	}
	for i := 0; i < len(text); {
		if n, ok := g.prefix(s, text[i:]); ok {
			return i + n, true
		}
		_, size := utf8.DecodeRune(text[i:])
		i += size
	}
	return 0, false
}

// findFirstByte is a faster find for a segment that can begin only with one of its
// firstBytes. Of the ASCII letters, only k and s fold with non-ASCII characters.
func (g *glob) findFirstByte(s segment, text []byte) (int, bool) {
	small, capital := nextByte(text, 0, s.firstBytes[0]), nextByte(text, 0, s.firstBytes[1])
	for {
		i := min(small, capital)
		if i == len(text) || s.ascii && len(text)-i < len(s.runes) {
			return 0, false
		}
		if n, ok := g.prefix(s, text[i:]); ok {
			return i + n, true
		}
		if small == i {
			small = nextByte(text, i+1, s.firstBytes[0])
		}
		if capital == i {
			capital = nextByte(text, i+1, s.firstBytes[1])
		}
	}
}

// nextByte returns the offset of the next b at or after from, or len(text).
func nextByte(text []byte, from int, b byte) int {
	if i := bytes.IndexByte(text[from:], b); i >= 0 {
		return from + i
	}
	return len(text)
}

func isASCII(text []byte) bool {
	var all byte
	for _, b := range text {
		all |= b
	}
	return all < utf8.RuneSelf
}

// lowerASCII maps ASCII capitals to lower case and other bytes to themselves.
var lowerASCII = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			t[i] += 'a' - 'A'
		}
	}
	return t
}()

// fold maps all runes that differ only in case to one rune. This is the lower-case
// ASCII rune if there is one, otherwise the smallest rune.
func fold(r rune) rune {
	if r < utf8.RuneSelf {
		return rune(lowerASCII[byte(r)])
	}
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if least < utf8.RuneSelf {
		return rune(lowerASCII[byte(least)])
	}
	return least
}

// appendFolded appends the case-folded text to dst. Texts that differ only in case
// have equal folded forms.
func appendFolded(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		if b := text[i]; b < utf8.RuneSelf {
			dst = append(dst, lowerASCII[b])
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		dst = utf8.AppendRune(dst, fold(r))
		i += size
	}
	return dst
}
