package mailtext

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// metaCharset matches the charset that an HTML document declares about itself.
var metaCharset = regexp.MustCompile(`(?i)<meta[^>]{0,200}?charset\s{0,5}=\s{0,5}["']?([\w.:-]{1,40})`)

// HTMLCharset returns the charset that an HTML document declares, or "".
func HTMLCharset(document []byte) string {
	if m := metaCharset.FindSubmatch(document[:min(len(document), 4096)]); m != nil {
		return string(m[1])
	}
	return ""
}

// hiddenStyle matches the styles that hide text from a reader.
var hiddenStyle = regexp.MustCompile(`(?i)display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all|font-size\s*:\s*0+(?:\.0+)?(?:px|pt|em|rem|%)?\s*(?:;|!|$)|opacity\s*:\s*0(?:\.0+)?\s*(?:;|!|$)|max-height\s*:\s*0(?:px)?\s*(?:;|!|$)`)

// HTML returns the text of an HTML document. Links keep their target, table rows are
// lines, and list items have a dash. Scripts and styles are left out. So is text that the
// document hides from a reader, and hidden reports it.
func HTML(document string) (text string, hidden bool) {
	r := htmlReader{tokens: html.NewTokenizer(strings.NewReader(document)), lineStart: true}
	for r.next() {
	}
	return strings.TrimSpace(r.out.String()), r.hidText
}

type htmlReader struct {
	tokens    *html.Tokenizer
	out       strings.Builder
	lineStart bool // no text in the present line
	blank     int  // empty lines before the present line, at most 1
	space     bool // white space before the next text
	pre       int  // open pre elements
	quote     int  // open blockquote elements

	skip    atom.Atom // the element whose content is left out, or 0
	skipTag string    // its name
	depth   int       // open elements with the name of skip
	hides   bool      // the element is hidden, and not a script or style
	hidText bool      // hidden text was left out

	link     string // target of the open link
	linkText int    // length of the output at its beginning
}

func (r *htmlReader) next() bool {
	switch r.tokens.Next() {
	case html.ErrorToken:
		r.endLink()
		return false
	case html.TextToken:
		r.text(r.tokens.Text())
	case html.StartTagToken, html.SelfClosingTagToken:
		r.start()
	case html.EndTagToken:
		name, _ := r.tokens.TagName()
		r.end(atom.Lookup(name), string(name))
	}
	return true
}

// void lists elements without an end.
var void = map[atom.Atom]bool{atom.Br: true, atom.Img: true, atom.Hr: true, atom.Input: true, atom.Meta: true, atom.Link: true, atom.Area: true, atom.Base: true, atom.Col: true, atom.Embed: true, atom.Source: true, atom.Wbr: true}

// block lists elements that begin and end a line.
var block = map[atom.Atom]bool{atom.P: true, atom.Div: true, atom.Tr: true, atom.Table: true, atom.Ul: true, atom.Ol: true, atom.Li: true, atom.Dl: true, atom.Dt: true, atom.Dd: true,
	atom.H1: true, atom.H2: true, atom.H3: true, atom.H4: true, atom.H5: true, atom.H6: true, atom.Pre: true, atom.Blockquote: true, atom.Section: true, atom.Article: true,
	atom.Header: true, atom.Footer: true, atom.Form: true, atom.Fieldset: true, atom.Caption: true, atom.Body: true, atom.Hr: true, atom.Center: true, atom.Address: true, atom.Textarea: true}

// paragraph lists elements with an empty line around them.
var paragraph = map[atom.Atom]bool{atom.P: true, atom.Blockquote: true, atom.Pre: true, atom.H1: true, atom.H2: true, atom.H3: true, atom.Table: true, atom.Ul: true, atom.Ol: true}

func (r *htmlReader) start() {
	name, more := r.tokens.TagName()
	tag, tagName := atom.Lookup(name), string(name)
	attrs := map[string]string{}
	for n := 0; more && n < 50; n++ {
		var k, v []byte
		k, v, more = r.tokens.TagAttr()
		if _, known := attrs[string(k)]; !known {
			attrs[string(k)] = string(v)
		}
	}
	if r.depth > 0 {
		if tagName == r.skipTag {
			if tag == atom.P || tag == atom.Td || tag == atom.Li || tag == atom.Tr { // begins after the hidden one
				r.depth = 0
			} else {
				r.depth++
			}
		} else if r.skip == atom.P && block[tag] {
			r.depth = 0
		}
		if r.depth > 0 {
			return
		}
	}
	_, hiddenAttr := attrs["hidden"]
	hides := hiddenAttr || hiddenStyle.MatchString(attrs["style"])
	switch tag {
	case atom.Script, atom.Style, atom.Template, atom.Title:
		r.skip, r.skipTag, r.depth, r.hides = tag, tagName, 1, false
		return
	}
	if hides && !void[tag] && tag != atom.Body && tag != atom.Html {
		r.skip, r.skipTag, r.depth, r.hides = tag, tagName, 1, true
		return
	}
	r.open(tag, attrs)
}

func (r *htmlReader) open(tag atom.Atom, attrs map[string]string) {
	if block[tag] {
		r.newLine(paragraph[tag])
	}
	switch tag {
	case atom.Br:
		r.breakLine()
	case atom.Li:
		r.write("- ")
	case atom.Td, atom.Th:
		if !r.lineStart {
			r.write(" | ")
		}
		r.space = false
	case atom.Pre, atom.Textarea:
		r.pre++
	case atom.Blockquote:
		r.quote = min(r.quote+1, 10)
	case atom.A:
		r.endLink()
		r.link, r.linkText = attrs["href"], r.out.Len()
	case atom.Img:
		if alt := strings.TrimSpace(attrs["alt"]); alt != "" {
			r.text([]byte("[" + alt + "]"))
		}
	}
}

func (r *htmlReader) end(tag atom.Atom, name string) {
	if r.depth > 0 {
		if name == r.skipTag {
			r.depth--
		}
		return
	}
	switch tag {
	case atom.A:
		r.endLink()
	case atom.Pre, atom.Textarea:
		r.pre = max(r.pre-1, 0)
	case atom.Blockquote:
		r.newLine(true)
		r.quote = max(r.quote-1, 0)
	}
	if block[tag] {
		r.newLine(paragraph[tag])
	}
}

// endLink writes the target of a link, unless its text is the target.
func (r *htmlReader) endLink() {
	target := strings.TrimSpace(r.link)
	r.link = ""
	if target == "" || strings.HasPrefix(target, "#") {
		return
	}
	text := strings.TrimSpace(r.out.String()[r.linkText:])
	bare := strings.TrimSuffix(strings.TrimPrefix(target, "mailto:"), "/")
	if strings.TrimSuffix(text, "/") == bare || text == "" && strings.HasPrefix(target, "data:") {
		return
	}
	if runes := []rune(target); len(runes) > 500 {
		target = string(runes[:500]) + "…"
	}
	if text != "" {
		r.space = true
	}
	r.text([]byte(fmt.Sprintf("(%s)", target)))
}

// text writes text. Outside of pre, each run of white space is one space.
func (r *htmlReader) text(b []byte) {
	if r.depth > 0 {
		if r.hides && len(bytes.TrimSpace(b)) > 0 {
			r.hidText = true
		}
		return
	}
	if r.pre > 0 {
		for n, line := range strings.Split(strings.ReplaceAll(string(b), "\r", ""), "\n") {
			if n > 0 {
				r.breakLine()
			}
			if line != "" {
				r.write(line)
			}
		}
		return
	}
	s := string(b)
	if s == "" {
		return
	}
	if unicode.IsSpace(rune(s[0])) {
		r.space = true
	}
	for word := range strings.FieldsSeq(s) {
		if r.space && !r.lineStart {
			r.out.WriteByte(' ')
		}
		r.space = false
		r.write(word)
		r.space = true
	}
	if last := rune(s[len(s)-1]); !unicode.IsSpace(last) && last != '\u00a0' {
		r.space = false
	}
}

// write writes text of one line, after the quotation marks of a new line.
func (r *htmlReader) write(s string) {
	if r.lineStart {
		r.out.WriteString(strings.Repeat("> ", r.quote))
	}
	r.lineStart, r.blank = false, 0
	r.out.WriteString(s)
}

// newLine ends the present line if it has text. With empty, an empty line follows.
func (r *htmlReader) newLine(empty bool) {
	r.space = false
	if !r.lineStart {
		r.out.WriteByte('\n')
		r.lineStart = true
	}
	if empty && r.blank == 0 && r.out.Len() > 0 {
		r.out.WriteByte('\n')
		r.blank = 1
	}
}

func (r *htmlReader) breakLine() {
	r.space = false
	r.out.WriteByte('\n')
	r.lineStart = true
}
