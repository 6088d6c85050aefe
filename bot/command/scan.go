package command

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// scanner splits a text into words. A quoted phrase is one word, also in typographic
// quotes, and so is a mention.
type scanner struct {
	text  string
	pos   int
	whole bool // the whole text is one word
}

// word is a word of the text. text is folded: see [fold]. raw is the word as typed.
type word struct {
	text, raw string
	quoted    bool
}

const quotes = "\"“”„‟«»"

func isQuote(r rune) bool { return strings.ContainsRune(quotes, r) }

// closers are the quotes that close an opening one, the usual one first.
var closers = map[rune]string{'"': "\"", '“': "”“\"", '”': "”\"", '„': "“”\"", '‟': "”\"", '«': "»", '»': "«"}

// isSpace reports whether r is a space, including the invisible characters that
// editors and phones insert around words.
func isSpace(r rune) bool { return unicode.IsSpace(r) || isInvisible(r) }

// isInvisible reports whether r has no width, such as a zero-width space or the mark
// of a text direction.
func isInvisible(r rune) bool { return unicode.Is(unicode.Cf, r) }

// fold returns a word with the characters that mean the same in the grammar: full-width
// characters become ASCII, the dashes of editors become hyphens, and invisible
// characters are removed.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '！' && r <= '～':
			return r - '！' + '!'
		case strings.ContainsRune("‐‑‒–−﹣", r):
			return '-'
		case r == '’':
			return '\''
		case isInvisible(r):
			return -1
		}
		return r
	}, s)
}

// next consumes one word.
func (s *scanner) next() (word, bool) {
	s.skip()
	if s.pos >= len(s.text) {
		return word{}, false
	}
	rest := s.text[s.pos:]
	if s.whole {
		all := s.rest()
		return word{text: fold(all), raw: all}, true
	}
	if inside, size, ok := quotation(rest); ok {
		s.pos += size
		return word{text: inside, raw: inside, quoted: true}, true
	}
	end := wordEnd(rest)
	s.pos += end
	return word{text: fold(rest[:end]), raw: rest[:end]}, true
}

// quotation returns the content and the size of the quoted phrase at the beginning of
// a text. Two straight quotes inside straight quotes are one quote of the content.
func quotation(text string) (inside string, size int, ok bool) {
	opening, at := utf8.DecodeRuneInString(text)
	if !isQuote(opening) {
		return "", 0, false
	}
	for _, closing := range append([]rune(closers[opening]), []rune(quotes)...) {
		var b strings.Builder
		for rest := text[at:]; ; {
			end := strings.IndexRune(rest, closing)
			if end < 0 {
				break
			}
			b.WriteString(rest[:end])
			rest = rest[end+utf8.RuneLen(closing):]
			if opening == '"' && closing == '"' && strings.HasPrefix(rest, `"`) && (b.Len() > 0 || strings.Contains(rest[1:], `"`)) {
				b.WriteByte('"')
				rest = rest[1:]
				continue
			}
			return strings.TrimFunc(b.String(), isSpace), len(text) - len(rest), true
		}
	}
	return "", 0, false
}

// joinWords joins words that were read one by one into a phrase.
func joinWords(words []string) string {
	return strings.TrimFunc(strings.Join(words, " "), isSpace)
}

// unclosed reports whether a word begins with a quote that is not closed.
func unclosed(w word) bool {
	first, _ := utf8.DecodeRuneInString(w.raw)
	return !w.quoted && isQuote(first)
}

// quoteText returns the text as one quoted phrase that [quotation] reads.
func quoteText(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// wordEnd returns the length of the word at the beginning of a text. A space inside a
// mention does not end it.
func wordEnd(text string) int {
	for at := 0; at < len(text); {
		if strings.HasPrefix(text[at:], "@{") {
			if m := mentionPrefix.FindString(text[at:]); m != "" {
				at += len(m)
				continue
			}
		}
		r, size := utf8.DecodeRuneInString(text[at:])
		if unicode.IsSpace(r) {
			return at
		}
		at += size
	}
	return len(text)
}

// peek returns the next word without consuming it.
func (s *scanner) peek() (word, bool) {
	at := s.pos
	w, ok := s.next()
	s.pos = at
	return w, ok
}

// take consumes the next word if it is one of words, without regard to case. A
// colon after the word is ignored.
func (s *scanner) take(words ...string) bool {
	w, ok := s.peek()
	if !ok || w.quoted || !slices.Contains(words, strings.ToLower(strings.TrimSuffix(w.text, ":"))) {
		return false
	}
	s.next()
	return true
}

// atEnd reports whether no word is left.
func (s *scanner) atEnd() bool {
	s.skip()
	return s.pos == len(s.text)
}

func (s *scanner) skip() {
	s.pos += len(s.text[s.pos:]) - len(strings.TrimLeftFunc(s.text[s.pos:], isSpace))
}

// rest consumes and returns the remaining text.
func (s *scanner) rest() string {
	s.skip()
	text := strings.TrimFunc(s.text[s.pos:], isSpace)
	s.pos = len(s.text)
	return text
}

// cut splits the remaining text at the last unquoted keyword. It returns the part
// before the keyword and leaves the part after it. Without a keyword it returns
// false and consumes nothing.
func (s *scanner) cut(keywords ...string) (before string, ok bool) {
	at := s.pos
	from, to := -1, -1
	for {
		s.skip()
		start := s.pos
		w, more := s.next()
		if !more {
			break
		}
		if start > at && !w.quoted && slices.Contains(keywords, strings.ToLower(strings.TrimSuffix(w.text, ":"))) {
			from, to = start, s.pos
		}
	}
	if from < 0 {
		s.pos = at
		return "", false
	}
	s.pos = to
	return strings.TrimFunc(s.text[at:from], isSpace), true
}

// cutFirst returns the remaining text before the first unquoted keyword, or all of it.
func (s *scanner) cutFirst(keyword string) (before string, found bool) {
	at := s.pos
	for {
		s.skip()
		start := s.pos
		w, more := s.next()
		if !more {
			return strings.TrimFunc(s.text[at:], isSpace), false
		}
		if !w.quoted && strings.EqualFold(strings.TrimSuffix(w.text, ":"), keyword) {
			return strings.TrimFunc(s.text[at:start], isSpace), true
		}
	}
}

// parser parses the arguments of one command, or one field of a form.
type parser struct {
	scanner
	Context
	spec *Spec
	// field is set for a field of a form: the whole text is its value, and prose is
	// taken literally.
	field bool
	// prose is set while a text may follow a time without a word between them.
	prose bool
	// iso is set inside a time in ISO 8601, where a hyphen begins an offset.
	iso bool
	// typed is the zone that the person typed with a time, or nil.
	typed *time.Location
	// named is the incident that the person named, or 0.
	named incident.ID
}

func newParser(text string, c Context) *parser {
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	return &parser{scanner: scanner{text: text}, Context: c}
}

// inner returns a parser for a part of the text.
func (p *parser) inner(text string) *parser {
	return &parser{scanner: scanner{text: text}, Context: p.Context, spec: p.spec}
}

// missing returns the error for a missing argument. format takes the name and the
// usage of the command.
func (p *parser) missing(field, format string) *incident.Error {
	return incident.Invalid(field, format, p.spec.Name, strings.TrimSpace(p.spec.Name+" "+p.spec.Usage()))
}

// freeText consumes the remaining text as prose. In a typed command it removes one
// pair of quotes around the whole text and makes mentions readable.
func (p *parser) freeText() string {
	if p.field {
		return p.rest()
	}
	at := p.pos
	if w, ok := p.next(); ok && w.quoted && p.atEnd() {
		return Readable(w.text)
	}
	p.pos = at
	return Readable(p.rest())
}

// reason consumes the remaining text as a reason. In a typed command it removes an
// introducing "because".
func (p *parser) reason() string {
	if !p.field {
		p.take("because", "-", "—", ":")
	}
	return p.freeText()
}

// introduced reports whether the remaining text begins with "because" or follows a
// colon, or whether there is none.
func (p *parser) introduced() bool {
	if p.field || p.atEnd() {
		return true
	}
	at := p.pos
	found := p.take("because", "-", "—", ":")
	p.pos = at
	return found || lastOf(strings.TrimRightFunc(p.text[:at], isSpace)) == ":"
}

// lastOf returns the last byte of a text, or "".
func lastOf(s string) string { return s[max(0, len(s)-1):] }

// takeFlag consumes "--name", also with the dashes that editors insert.
func (p *parser) takeFlag(name string) bool {
	return p.take("--"+name, "-"+name, "—"+name)
}

// flagWord matches a word that is meant as a flag.
var flagWord = regexp.MustCompile(`^(?:--|—)[A-Za-z]`)

// noFlag returns an error if the next word is an unknown flag. Parsed as text, it
// would silently publish or restrict the wrong way.
func (p *parser) noFlag(name string) error {
	word, _ := p.peek()
	switch {
	case word.quoted || p.field || !flagWord.MatchString(word.text):
		return nil
	case incident.Nearest(word.text, []string{"--" + name}) != "":
		return incident.Invalid("flag", "unknown flag %q. Did you mean %q?", truncate(word.text), "--"+name)
	}
	return incident.Invalid("flag", "unknown flag %q. Type --%s, or put the text in quotes", truncate(word.text), name)
}

// unknownWord returns the error for a word that is not in known. The format nearest
// takes the word and the most similar known one, the format list the word and all
// known ones. newError is [Invalid] or [Unknown].
func unknownWord(newError func(field, format string, args ...any) *incident.Error, field, got string, known []string, nearest, list string) *incident.Error {
	if near := incident.NearestAll(got, known, maxSuggestions); len(near) > 0 {
		return newError(field, nearest, truncate(got), suggest(near))
	}
	return newError(field, list, truncate(got), strings.Join(known, ", "))
}

// truncate makes a quotation for an error message readable and shortens it.
func truncate(s string) string { return text.Truncate(Readable(s), 60) }
