package command

import (
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

type word struct {
	text   string
	quoted bool
}

const quotes = "\"“”„‟«»"

func isQuote(r rune) bool { return strings.ContainsRune(quotes, r) }

// isSpace reports whether r is a space, including the invisible ones that editors
// and phones insert.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || r == '\u200b' || r == '\ufeff' || r == '\u2060'
}

// next consumes one word.
func (s *scanner) next() (word, bool) {
	s.skip()
	if s.pos >= len(s.text) {
		return word{}, false
	}
	rest := s.text[s.pos:]
	if s.whole {
		return word{text: s.rest()}, true
	}
	first, size := utf8.DecodeRuneInString(rest)
	if isQuote(first) {
		if end := strings.IndexFunc(rest[size:], isQuote); end >= 0 {
			_, closing := utf8.DecodeRuneInString(rest[size+end:])
			s.pos += size + end + closing
			return word{text: strings.TrimFunc(rest[size:size+end], isSpace), quoted: true}, true
		}
	}
	end := wordEnd(rest)
	s.pos += end
	return word{text: rest[:end]}, true
}

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
		if isSpace(r) {
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

// parser parses the arguments of one command, or one field of a form.
type parser struct {
	scanner
	Context
	spec *Spec
	// field is set for a field of a form: the whole text is its value, and prose is
	// taken literally.
	field bool
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
		p.take("because", "-", "–", "—", ":")
	}
	return p.freeText()
}

// takeFlag consumes "--name", also with the dashes that editors insert.
func (p *parser) takeFlag(name string) bool {
	return p.take("--"+name, "-"+name, "—"+name, "–"+name)
}

// noFlag returns an error if the next word is a misspelt flag. Parsed as text, it
// would silently publish or restrict the wrong way.
func (p *parser) noFlag(name string) error {
	if word, _ := p.peek(); !word.quoted && strings.HasPrefix(word.text, "--") && incident.Nearest(word.text, []string{"--" + name}) != "" {
		return incident.Invalid("flag", "unknown flag %q. Did you mean %q?", truncate(word.text), "--"+name)
	}
	return nil
}

// unknownWord returns the error for a word that is not in known. The format nearest
// takes the word and the most similar known one, the format list the word and all
// known ones. newError is [Invalid] or [Unknown].
func unknownWord(newError func(field, format string, args ...any) *incident.Error, field, got string, known []string, nearest, list string) *incident.Error {
	if best := incident.Nearest(got, known); best != "" {
		return newError(field, nearest, truncate(got), best)
	}
	return newError(field, list, truncate(got), strings.Join(known, ", "))
}

// truncate makes a quotation for an error message readable and shortens it.
func truncate(s string) string { return text.Truncate(Readable(s), 60) }
