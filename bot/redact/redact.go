// Package redact removes personal data and secrets from texts before they leave
// Tocsin for Slack, a pager or a mail server.
//
// A [Redactor] replaces each match with a marker that names its kind: [email],
// [phone], [iban], [card], [national-id], [secret] or [redacted]. It preserves
// data that responders need, such as access key IDs, ARNs, account numbers,
// request IDs, UUIDs, hashes, times, IP addresses, Slack IDs and incident IDs.
// If a text could be either, it is redacted, because the full text remains in
// the store.
//
// All rules read a normalised view of the text (see fold.go). Percent encoding,
// JSON and HTML escapes, zero-width characters, unusual spaces and full-width
// digits therefore do not hide a match. The rules are scanners with bounded
// work per byte and use no regular expressions. The running time is linear in
// the length of the text for every input.
package redact

import (
	"cmp"
	"slices"
	"strings"
)

// Options adjusts the built-in rules. With the zero value every address is
// redacted and there are no literals.
type Options struct {
	// KeepEmails lists addresses ("status@example.com") and domains
	// ("example.com", without its subdomains) that are not redacted.
	KeepEmails []string `yaml:"keep_emails"`
	// Literals are always redacted, for example the names of victims. They
	// match whole words and ignore case, accents and spacing. Literals of fewer
	// than two characters are ignored.
	Literals []string `yaml:"literals"`
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

// kind is the kind of a match. If matches overlap, the lowest kind names the
// merged match.
type kind int

const (
	kindSecret kind = iota
	kindCard
	kindIBAN
	kindNationalID
	kindEmail
	kindPhone
	kindLiteral
)

var markers = [...]string{
	kindSecret: "[secret]", kindCard: "[card]", kindIBAN: "[iban]", kindNationalID: "[national-id]",
	kindLiteral: "[redacted]", kindEmail: "[email]", kindPhone: "[phone]",
}

// span is a match. Its offsets are into the view while the rules run and into
// the original text afterwards.
type span struct {
	start, end int
	kind       kind
}

// maxPasses limits the passes of Text. A replacement can uncover a match next
// to it, for example if a name is attached to a number. Usual texts need one
// pass, and the second finds nothing.
const maxPasses = 8

// Text returns text with all matches replaced by markers. All other bytes are
// unchanged. Redacting a redacted text changes nothing.
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

// find runs every rule. It returns the matches as offsets into text, sorted and
// disjoint.
func (r *Redactor) find(text string) []span {
	v := fold(text)
	f := &finder{text: v.text}
	f.privateKeys()
	f.userinfo()
	f.webhookURLs()
	f.keyedValues()
	f.wordRules()
	f.awsSecretKeys()
	f.numbers()
	f.emails(r.keep)
	spans := v.toOriginal(f.spans)
	if len(r.literals) > 0 {
		loose := foldForLiterals(v)
		g := &finder{text: loose.text}
		g.literals(r.literals)
		spans = append(spans, loose.toOriginal(g.spans)...)
	}
	return merge(spans)
}

// merge sorts spans and merges overlapping ones.
func merge(spans []span) []span {
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

// finder collects the matches of the rules in one folded text.
type finder struct {
	text  string
	spans []span
	// userAts are the ascending positions of each @ that ends a URL's userinfo.
	// The text after it is a host, which is preserved, and not a mail domain.
	userAts []int

	// Ends of the latest runs, which let the rules scan each byte once.
	segmentEnd   int // of a token segment (wordRules)
	bareValueEnd int // of a value without quotes (keyedValues)
}

// add records a match unless it consists only of markers and punctuation.
func (f *finder) add(start, end int, k kind) {
	if strings.Trim(f.text[start:end], "\x00.,;:!?") != "" { // barrier is \x00
		f.spans = append(f.spans, span{start, end, k})
	}
}

// byteAt returns the byte at i, or a line feed if i is outside the text.
func (f *finder) byteAt(i int) byte {
	if i < 0 || i >= len(f.text) {
		return '\n'
	}
	return f.text[i]
}

// run returns the end of the run of bytes in set that starts at i.
func (f *finder) run(i int, set *bytes256) int {
	for i < len(f.text) && set[f.text[i]] {
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
	digits   = setOf("0123456789")
	letters  = setOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	alnum    = setOf("", letters, digits)
	nonASCII = func() *bytes256 {
		var s bytes256
		for i := 0x80; i < 0x100; i++ {
			s[i] = true
		}
		return &s
	}()
	wordChars  = setOf("", alnum, nonASCII) // letters and digits of any script
	blank      = setOf(" \t\r\n")
	base64s    = setOf("+/", alnum)
	urlsafe    = setOf("-_", alnum)
	urlsafeDot = setOf(".", urlsafe)
	tokenChars = setOf("-_.~+/=%", alnum)
)

// lower converts an ASCII letter to lower case.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
