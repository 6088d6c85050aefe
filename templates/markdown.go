package templates

import (
	"bytes"
	"html/template"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/util"
)

var (
	// markdownIdentifier matches mail addresses, URLs and Windows paths. Its characters
	// have no meaning inside code. A URL ends at an asterisk, because not all parsers
	// read code before emphasis.
	markdownIdentifier = regexp.MustCompile(`(?i)\b(?:(?:https?|ftp)://[a-z0-9._~:/?#@!$&()+,;=%-]*[a-z0-9/]|[a-z0-9][a-z0-9._%+-]*@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}|(?:[a-z]:|[a-z0-9][a-z0-9._-]*)(?:\\[a-z0-9._$-]*[a-z0-9])+)\b/?`)
	lineStartMarker    = regexp.MustCompile(`^(?:([-+=:>]|#{1,6}|~{3})|(\d+[.)])(?:\s|$))`)
	entity             = regexp.MustCompile(`^&(#\w+|\w+);`)
)

// escapeMarkdown returns s on one line, escaped for Markdown. The result cannot
// form a heading, list, table, link, tag or emphasis in any position.
func escapeMarkdown(s string) string { return escapeLine(oneLine(s)) }

// escapeLine escapes the characters that Markdown would read, and no others, because
// people also read and copy the source. An address, a URL and a path become code, which
// shows them unchanged and without a link.
func escapeLine(s string) string {
	var b strings.Builder
	at := 0
	pairs := "" // characters that have a meaning in pairs, also around code
	for _, c := range []string{"$", "~"} {
		if strings.Count(s, c) > 1 {
			pairs += c
		}
	}
	for _, m := range markdownIdentifier.FindAllStringIndex(s, -1) {
		beside := s[max(0, m[0]-1):m[0]] + s[m[1]:min(len(s), m[1]+1)]
		if at > 0 && m[0] == at || strings.ContainsAny(beside, "`\\") {
			continue // other code, a backquote or a backslash beside code could move its end
		}
		if strings.Contains(s[m[0]:m[1]], "@") && strings.ContainsAny(s[max(0, m[0]-1):m[0]], ".!#$%&'*+/=?^{|}~-") {
			continue // some parsers read a backquote as a part of the address
		}
		escapeProse(&b, s[at:m[0]], at == 0, pairs)
		b.WriteString("`" + s[m[0]:m[1]] + "`")
		at = m[1]
	}
	escapeProse(&b, s[at:], at == 0, pairs)
	return b.String()
}

// escapeProse writes a part of a line without identifiers. start is set at the
// beginning of the line. Each of the characters pairs is escaped.
func escapeProse(b *strings.Builder, s string, start bool, pairs string) {
	marker := -1
	if m := lineStartMarker.FindStringSubmatchIndex(s); start && m != nil {
		marker = max(m[3], m[5]) - 1
	}
	underscores, inWord := 0, false // the end of a run of underscores, and whether it is inside a word
	for n, r := range s {
		_, size := utf8.DecodeRuneInString(s[n:])
		before, after := s[:n], s[n+size:]
		if r == '_' && n >= underscores {
			rest := strings.TrimLeft(after, "_")
			underscores, inWord = len(s)-len(rest), endsWord(before) && startsWord(rest)
		}
		switch {
		case r == '\\':
			b.WriteString("&#92;") // some parsers misread backslashes at the end of a line
			continue
		case n == marker, strings.ContainsRune("`*[]<|", r), r == '_' && !inWord, r == '&' && entity.MatchString(s[n:]), r == '#' && !startsWord(after) && !endsWord(before),
			strings.ContainsRune(pairs, r), r == '@' && before != "" && !strings.HasSuffix(before, " ") && startsWord(after),
			(r == ':' || r == '.') && startsLink(before):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
}

// startsLink reports whether a text ends with the beginning of a URL, which some
// parsers turn into a link.
func startsLink(before string) bool {
	last := strings.ToLower(before[max(0, len(before)-5):])
	return slices.ContainsFunc([]string{"http", "https", "ftp", "www"}, func(scheme string) bool { return strings.HasSuffix(last, scheme) })
}

func endsWord(s string) bool {
	last, _ := utf8.DecodeLastRuneInString(s)
	return isWordRune(last)
}

func startsWord(s string) bool {
	first, _ := utf8.DecodeRuneInString(s)
	return isWordRune(first)
}

func isWordRune(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

// blockQuote returns s as a Markdown block quotation. It preserves line breaks,
// escapes markup and prefixes all lines but the first with indent.
func blockQuote(indent, s string) string {
	lines := strings.Split(strings.Trim(cleanText(s), "\n"), "\n")
	var b strings.Builder
	for n, line := range lines {
		text := strings.TrimLeft(strings.TrimRight(line, " "), " ")
		if n > 0 {
			b.WriteString("\n" + indent)
		}
		b.WriteString(">")
		if text == "" {
			continue
		}
		lead := min(len(line)-len(strings.TrimLeft(line, " ")), 12)
		b.WriteString(" " + strings.Repeat("\u00a0", lead) + escapeLine(text))
		if n+1 < len(lines) && strings.TrimSpace(lines[n+1]) != "" {
			b.WriteString(`\`) // a hard line break
		}
	}
	return b.String()
}

// recordMarkdown parses the Markdown of record fields: paragraphs, lists,
// quotations, code and emphasis. It does not support headings, links, images and
// raw HTML, because a record must not imitate the document around it.
var recordMarkdown = goldmark.New(goldmark.WithParser(parser.NewParser(
	parser.WithBlockParsers(
		util.Prioritized(parser.NewListParser(), 300),
		util.Prioritized(parser.NewListItemParser(), 400),
		util.Prioritized(parser.NewFencedCodeBlockParser(), 700),
		util.Prioritized(parser.NewBlockquoteParser(), 800),
		util.Prioritized(parser.NewParagraphParser(), 1000),
	),
	parser.WithInlineParsers(
		util.Prioritized(parser.NewCodeSpanParser(), 100),
		util.Prioritized(parser.NewEmphasisParser(), 500),
	),
)))

var sanitizer = func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "br", "ul", "ol", "li", "blockquote", "code", "pre", "em", "strong")
	return p
}()

// proseHTML renders the Markdown of a record field as sanitised HTML.
func proseHTML(s string) template.HTML {
	var b bytes.Buffer
	if err := recordMarkdown.Convert([]byte(cleanText(s)), &b); err != nil {
		return template.HTML("<p>" + template.HTMLEscapeString(s) + "</p>") // #nosec G203 -- escaped
	}
	return template.HTML(sanitizer.SanitizeBytes(b.Bytes())) // #nosec G203 -- sanitised
}
