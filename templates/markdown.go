package templates

import (
	"bytes"
	"html/template"
	"regexp"
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/util"
)

var (
	// A backslash becomes an entity, because some parsers misread "\\\" at the end of a line.
	markdownEscaper = strings.NewReplacer(`\`, `&#92;`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, ">", `\>`, "&", `\&`, "|", `\|`, "~", `\~`, "#", `\#`, "$", `\$`, "@", `\@`)
	lineStartMarker = regexp.MustCompile(`^([-+=:]|\d+[.)])`)
	autolink        = regexp.MustCompile(`(?i)(https?|ftp|www)(://|\.)`)
)

// escapeMarkdown returns s on one line, escaped for Markdown. The result cannot
// form a heading, list, table, link, tag or emphasis in any position.
func escapeMarkdown(s string) string { return escapeLine(oneLine(s)) }

func escapeLine(s string) string {
	s = autolink.ReplaceAllString(markdownEscaper.Replace(s), `$1\$2`)
	return lineStartMarker.ReplaceAllStringFunc(s, func(m string) string { return m[:len(m)-1] + `\` + m[len(m)-1:] })
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
