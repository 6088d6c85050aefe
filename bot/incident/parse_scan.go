package incident

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// scanner walks over words. What was quoted, with any quotes a phone may make of
// them, is one word; what Slack wraps in angle brackets is one word, too.
type scanner struct {
	text string
	pos  int
}

type word struct {
	text   string
	quoted bool
}

const quotes = "\"“”„‟«»"

func isQuote(r rune) bool { return strings.ContainsRune(quotes, r) }

// isSpace counts the spaces that editors and phones smuggle in.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || r == '\u200b' || r == '\ufeff' || r == '\u2060'
}

// next takes one word.
func (s *scanner) next() (word, bool) {
	s.skip()
	if s.pos >= len(s.text) {
		return word{}, false
	}
	rest := s.text[s.pos:]
	first, size := utf8.DecodeRuneInString(rest)
	if isQuote(first) {
		if end := strings.IndexFunc(rest[size:], isQuote); end >= 0 {
			_, closing := utf8.DecodeRuneInString(rest[size+end:])
			s.pos += size + end + closing
			return word{text: strings.TrimFunc(rest[size:size+end], isSpace), quoted: true}, true
		}
	}
	end := strings.IndexFunc(rest, isSpace)
	if first == '<' {
		if bracket := strings.IndexByte(rest, '>'); bracket >= 0 {
			end = bracket + 1
		}
	}
	if end < 0 {
		end = len(rest)
	}
	s.pos += end
	return word{text: rest[:end]}, true
}

// peek looks at the next word without taking it.
func (s *scanner) peek() (word, bool) {
	at := s.pos
	w, ok := s.next()
	s.pos = at
	return w, ok
}

// take takes the next word if it is one of those, without regard to case.
func (s *scanner) take(any ...string) bool {
	w, ok := s.peek()
	if !ok || w.quoted || !slices.Contains(any, strings.ToLower(strings.TrimSuffix(w.text, ":"))) {
		return false
	}
	s.next()
	return true
}

func (s *scanner) skip() {
	s.pos += len(s.text[s.pos:]) - len(strings.TrimLeftFunc(s.text[s.pos:], isSpace))
}

// rest takes everything that is left, as it was written.
func (s *scanner) rest() string {
	s.skip()
	text := strings.TrimFunc(s.text[s.pos:], isSpace)
	s.pos = len(s.text)
	return text
}

// cut splits what is left at the last unquoted keyword and takes the part
// before it; the part after it stays. False, and nothing taken, where there is none.
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

// argParser is a scan with what its words are read in, and the verb they follow.
type argParser struct {
	scanner
	ParseContext
	verb VerbSpec
}

// missing says what the verb wants.
func (p *argParser) missing(field string) *Error {
	return Invalid(field, "%s is missing %s: write %s", p.verb.Name, article(field), strings.TrimSpace(p.verb.Name+" "+p.verb.Usage))
}

func article(noun string) string {
	switch noun {
	case "text":
		return "its text"
	case "when", "until", "due":
		return "a date or time"
	}
	if strings.ContainsRune("aeio", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

// freeText takes the rest as text a person wrote: one pair of quotes around all
// of it falls, and Slack's mentions become what people read.
func (p *argParser) freeText() string {
	at := p.pos
	if w, ok := p.next(); ok && w.quoted {
		p.skip()
		if p.pos == len(p.text) {
			return p.readable(w.text)
		}
	}
	p.pos = at
	return p.readable(p.rest())
}

// reason takes the rest as a reason, without the "because" that leads to it.
func (p *argParser) reason() string {
	p.take("because", "-", "–", "—", ":")
	return p.freeText()
}

// Readable turns what Slack wraps in angle brackets into what people read.
func Readable(text string, d Directory) string {
	return (&argParser{ParseContext: ParseContext{Directory: d}}).readable(text)
}

var wrapped = regexp.MustCompile(`<([@#!]?)([^<>|\n]+)(?:\|([^<>\n]*))?>`)

// readable turns what Slack wraps in angle brackets into what it stands for.
func (p *argParser) readable(text string) string {
	return wrapped.ReplaceAllStringFunc(text, func(m string) string {
		part := wrapped.FindStringSubmatch(m)
		kind, ref, label := part[1], part[2], part[3]
		switch {
		case kind == "@":
			if person, ok := p.Directory.Resolve(Identity{ProviderSlack, ref}); ok {
				return "@" + person.Name
			}
			return "@" + firstOf(strings.TrimPrefix(label, "@"), ref)
		case kind == "#":
			return "#" + firstOf(strings.TrimPrefix(label, "#"), ref)
		case kind == "!":
			return "@" + firstOf(strings.TrimPrefix(label, "@"), strings.TrimPrefix(ref, "subteam^"))
		case strings.Contains(ref, "://"):
			return ref
		case strings.HasPrefix(ref, "mailto:"):
			return strings.TrimPrefix(ref, "mailto:")
		}
		return m // no mention; somebody wrote it
	})
}

// unknownWord says that a word is not known, and the nearest that is.
func unknownWord(what, got string, known []string, hint string) string {
	if best := Nearest(got, known); best != "" {
		return fmt.Sprintf("%q is not %s; did you mean %q?", truncate(got), what, best)
	}
	if hint == "" {
		hint = "use " + strings.Join(known, ", ")
	}
	return fmt.Sprintf("%q is not %s; %s", truncate(got), what, hint)
}

// truncate keeps what is quoted back short.
func truncate(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
