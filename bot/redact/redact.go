// Package redact takes personal data and secrets out of texts that leave the
// house: for Slack, for a pager, for a mailbox.
//
// It is the one redactor. It replaces what it finds by a marker that says what
// stood there ([email], [phone], [iban], [card], [national-id], [secret],
// [redacted]) and leaves what responders work with: access key ids, ARNs,
// account numbers, request ids, UUIDs, hashes, times, IP addresses, Slack and
// incident ids. Where the two wishes collide it prefers to redact: the full
// text stays in the store.
//
// The rules read a folded view of the text (see fold.go), so that percent
// encoding, JSON and HTML escapes, zero-width characters, look-alike spaces and
// full-width digits hide nothing from them. All of them are scanners whose work
// per byte is bounded; there is no regular expression and no input that makes
// the time grow faster than the text.
package redact

import (
	"cmp"
	"slices"
	"strings"
)

// Options says what to keep and what to redact beyond the built-in rules. The
// zero value keeps nothing and adds nothing.
type Options struct {
	// KeepEmails lists addresses ("status@example.com") and domains
	// ("example.com", subdomains not included) that stay readable.
	KeepEmails []string
	// Literals are always redacted where they stand as whole words, whatever
	// their case, accents and spacing: the names of victims, for example.
	// Those of fewer than two letters are ignored.
	Literals []string
}

// Redactor redacts texts. It is immutable and safe for concurrent use.
type Redactor struct {
	keep     map[string]bool
	literals []string
}

// New returns a Redactor with the built-in rules and the given options.
func New(o Options) *Redactor {
	r := &Redactor{keep: map[string]bool{}}
	for _, k := range o.KeepEmails {
		r.keep[strings.TrimPrefix(strings.ToLower(strings.TrimSpace(k)), "@")] = true
	}
	for _, l := range o.Literals {
		if l = strings.TrimSpace(foldForLiterals(fold(l)).text); len([]rune(l)) > 1 {
			r.literals = append(r.literals, l)
		}
	}
	return r
}

// kind says what was found. Where finds overlap, the lowest names the whole.
type kind int

const (
	aSecret kind = iota
	aCard
	anIBAN
	aNationalID
	anEmail
	aPhone
	aLiteral
)

var markers = [...]string{
	aSecret: "[secret]", aCard: "[card]", anIBAN: "[iban]", aNationalID: "[national-id]",
	aLiteral: "[redacted]", anEmail: "[email]", aPhone: "[phone]",
}

// span is a find, in bytes of the view while the rules run, of the text after.
type span struct {
	start, end int
	kind       kind
}

// maxPasses bounds the passes of Text. A replacement can uncover a neighbour
// ("a name glued to a number"); texts that people and programs write settle
// after one pass, and the second sees that nothing is left.
const maxPasses = 8

// Text returns text with everything redacted that the rules find. Redacting a
// redacted text changes nothing. What is not redacted is returned byte by byte
// as it was.
func (r *Redactor) Text(text string) string {
	for range maxPasses {
		spans := r.find(text)
		if len(spans) == 0 {
			break
		}
		text = replace(text, spans)
	}
	return text
}

// find runs every rule and returns its finds, sorted and disjoint, as offsets
// into text.
func (r *Redactor) find(text string) []span {
	v := fold(text)
	f := &finder{v: v.text}
	f.privateKeys()
	f.userinfo()
	f.hooks()
	f.keyed()
	f.words()
	f.awsSecretKeys()
	f.numbers()
	f.emails(r.keep)
	spans := v.original(f.spans)
	if len(r.literals) > 0 {
		loose := foldForLiterals(v)
		g := &finder{v: loose.text}
		g.literals(r.literals)
		spans = append(spans, loose.original(g.spans)...)
	}
	return union(spans)
}

// union sorts spans and joins those that overlap.
func union(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end))
	})
	joined := spans[:0]
	for _, s := range spans {
		if n := len(joined); n > 0 && s.start < joined[n-1].end {
			joined[n-1].end = max(joined[n-1].end, s.end)
			joined[n-1].kind = min(joined[n-1].kind, s.kind)
			continue
		}
		joined = append(joined, s)
	}
	return joined
}

func replace(text string, spans []span) string {
	var b strings.Builder
	b.Grow(len(text))
	from := 0
	for _, s := range spans {
		b.WriteString(text[from:s.start])
		b.WriteString(markers[s.kind])
		from = s.end
	}
	b.WriteString(text[from:])
	return b.String()
}

// finder collects what the rules find in one folded text.
type finder struct {
	v     string
	spans []span
	// userAts are the positions of the @ that end a URL's userinfo, in
	// ascending order: what follows them is a host to keep, not a mail domain.
	userAts []int

	// The ends of the latest runs, so that no byte is run over twice.
	segment int // of a token's segment (words)
	plain   int // of a value without quotes (keyed)
}

// add records a find unless nothing but markers stands there.
func (f *finder) add(start, end int, k kind) {
	if strings.Trim(f.v[start:end], string(rune(barrier))) != "" {
		f.spans = append(f.spans, span{start, end, k})
	}
}

// at returns the byte at i, or a line feed beyond either end of the text.
func (f *finder) at(i int) byte {
	if i < 0 || i >= len(f.v) {
		return '\n'
	}
	return f.v[i]
}

// run returns the end of the run of bytes in set that starts at i.
func (f *finder) run(i int, set *bytes256) int {
	for i < len(f.v) && set[f.v[i]] {
		i++
	}
	return i
}

// bytes256 is a set of bytes.
type bytes256 [256]bool

func setOf(chars string, sets ...*bytes256) *bytes256 {
	var s bytes256
	for i := range len(chars) {
		s[chars[i]] = true
	}
	for _, other := range sets {
		for i, in := range other {
			s[i] = s[i] || in
		}
	}
	return &s
}

var (
	digits  = setOf("0123456789")
	letters = setOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	alnum   = setOf("", letters, digits)
	beyond  = func() *bytes256 {
		var s bytes256
		for i := 0x80; i < 0x100; i++ {
			s[i] = true
		}
		return &s
	}()
	wordly   = setOf("", alnum, beyond) // a letter or digit of any script
	blanks   = setOf(" \t\r\n")
	base64s  = setOf("+/", alnum)
	urlsafe  = setOf("-_", alnum)
	dotted   = setOf(".", urlsafe)
	anyToken = setOf("-_.~+/=%", alnum)
)

// lower maps an ASCII letter to lower case.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
