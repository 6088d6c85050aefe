package command

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// scanner splits a text into words. A quoted phrase is one word, also in typographic
// quotes, and so is a reference that Slack wraps in angle brackets.
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

// argParser parses the arguments of one verb.
type argParser struct {
	scanner
	Context
	verb Spec
}

// missing returns the error for a missing argument. format takes the verb and its
// usage.
func (p *argParser) missing(field, format string) *incident.Error {
	return incident.Invalid(field, format, p.verb.Name, strings.TrimSpace(p.verb.Name+" "+p.verb.Usage))
}

// freeText consumes the remaining text as prose. It removes one pair of quotes
// around the whole text and makes Slack's references readable.
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

// reason consumes the remaining text as a reason, without an introducing "because".
func (p *argParser) reason() string {
	p.take("because", "-", "–", "—", ":")
	return p.freeText()
}

// Readable replaces the references that Slack wraps in angle brackets by readable
// names and URLs.
func Readable(text string, d incident.Directory) string {
	return (&argParser{Context: Context{Directory: d}}).readable(text)
}

var wrapped = regexp.MustCompile(`<([@#!]?)([^<>|\n]+)(?:\|([^<>\n]*))?>`)

// readable implements [Readable].
func (p *argParser) readable(text string) string {
	return wrapped.ReplaceAllStringFunc(text, func(m string) string {
		part := wrapped.FindStringSubmatch(m)
		kind, ref, label := part[1], part[2], part[3]
		switch {
		case kind == "@":
			if person, ok := p.Directory.Resolve(incident.Identity{Provider: incident.ProviderSlack, ID: ref}); ok {
				return "@" + person.Name
			}
			return "@" + cmp.Or(strings.TrimPrefix(label, "@"), ref)
		case kind == "#":
			return "#" + cmp.Or(strings.TrimPrefix(label, "#"), ref)
		case kind == "!":
			return "@" + cmp.Or(strings.TrimPrefix(label, "@"), strings.TrimPrefix(ref, "subteam^"))
		case strings.Contains(ref, "://"):
			return ref
		case strings.HasPrefix(ref, "mailto:"):
			return strings.TrimPrefix(ref, "mailto:")
		}
		return m // not a reference
	})
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

// truncate shortens a quotation for an error message.
func truncate(s string) string { return text.Truncate(s, 60) }
