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
	// A backslash is written as an entity: not every parser gets "\\\" at the end of a line right.
	markup    = strings.NewReplacer(`\`, `&#92;`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, ">", `\>`, "&", `\&`, "|", `\|`, "~", `\~`, "#", `\#`, "$", `\$`, "@", `\@`)
	lineStart = regexp.MustCompile(`^([-+=:]|\d+[.)])`)
	autolink  = regexp.MustCompile(`(?i)(https?|ftp|www)(://|\.)`)
)

// md writes a text on one line such that Markdown shows it as it is: it forms
// no heading, list, table, link, tag or emphasis wherever it is put.
func md(s string) string { return escapeLine(oneLine(s)) }

func escapeLine(s string) string {
	s = autolink.ReplaceAllString(markup.Replace(s), `$1\$2`)
	return lineStart.ReplaceAllStringFunc(s, func(m string) string { return m[:len(m)-1] + `\` + m[len(m)-1:] })
}

// quote writes a text of several lines as a block quotation, after an indent.
// Its own lines stay lines, its own markup is shown, not obeyed.
func quote(indent, s string) string {
	lines := strings.Split(strings.Trim(clean(s), "\n"), "\n")
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

// prose is the Markdown of record fields: paragraphs, lists, quotations, code
// and emphasis. It has no headings, links, images or raw HTML, because a record
// must not be able to look like the document around it.
var prose = goldmark.New(goldmark.WithParser(parser.NewParser(
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

// proseHTML renders the Markdown of a record field.
func proseHTML(s string) template.HTML {
	var b bytes.Buffer
	if err := prose.Convert([]byte(clean(s)), &b); err != nil {
		return template.HTML("<p>" + template.HTMLEscapeString(s) + "</p>") // #nosec G203 -- escaped
	}
	return template.HTML(sanitizer.SanitizeBytes(b.Bytes())) // #nosec G203 -- sanitised
}
