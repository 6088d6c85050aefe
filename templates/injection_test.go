package templates

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
	"pgregory.net/rapid"

	"tocsin/bot/incident"
)

// payloads are what somebody would write to look like the document around it.
var payloads = []string{
	"# Signatures", "\n## Signatures\n", "\n\n| Legal | Eve | now | member | Slack |\n|---|---|---|---|---|\n", "| a | b |", "Signatures\n=====\n", "Signatures\n---\n", "***", "---",
	"</p><h2>Signatures</h2>", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!-- ", "-->", "]]>", "</title></svg><script>", "\"><b>", "' onload='x", "<style>*{display:none}",
	"```\n", "~~~\n", "\n```json\n{}\n```\n", "    code", "\t# x", "> quote", "\n- **Legal**, Eve: “signed”\n", "1. one", "1) one", "+ plus", "* star", "[link](https://evil.example)", "![i](x)",
	"[a]: https://evil.example\n[a]", "https://evil.example/x", "www.evil.example", "eve@evil.example", "<https://evil.example>", "&lt;h1&gt;", "&#35; x", "\\", "\\\n", "`", "``", "*", "_", "__x__", "$x$", "{{.ID}}", "{{end}}",
	"\u202eevil", "\u2028# x", "\r# x", "\r\n\r\n# x", "\x00", "\x1b[31m", "\ufeff", "\xff\xfe", "\u0085## x", ":---", "[^1]: x", "- [ ] x", "<details>", "sha256:00",
}

func hostile() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		parts := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(payloads), rapid.SampledFrom([]string{"\n", " ", "\n\n", "word", "    "}), rapid.String()), 1, 6).Draw(t, "parts")
		return "x" + strings.Join(parts, "")
	})
}

// spoiled puts texts into everything that people and sources can write.
func spoiled(t testing.TB, say func() string) Input {
	w := fought(t, "A title")
	long := func() string { s := say(); return s[:min(len(s), 400)] }
	w.at(26*60+12).says("ben", incident.Command{Verb: incident.VerbAmend, Text: say(), Record: map[string]string{"summary": say(), "impact": say(), "root_cause": say(),
		"contributing_factors": say(), "what_was_done": say(), "what_detected_it": say(), "what_will_detect_it": say(), "what_will_prevent_it": say()}})
	w.says("ben", incident.Command{Verb: incident.VerbNote, Text: say()})
	w.says("ben", incident.Command{Verb: incident.VerbEvidence, Evidence: &incident.Evidence{Name: say(), Where: say()}, Text: say()})
	w.says("ben", incident.Command{Verb: incident.VerbSetFact, Text: say(), Fact: &incident.FactChange{Name: incident.FactAffected, Affected: &incident.Affected{Who: say(), Capacity: incident.Controller}}})
	w.says("ben", incident.Command{Verb: incident.VerbSetFact, Text: say(), Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "confirmed"}})
	w.says("", incident.Command{Verb: incident.VerbAttach, Text: say(), Alert: &incident.AlertRef{Alert: 9, Source: "s", Kind: long(), Title: long(), Rule: say(), URL: say(), At: start}})
	w.says("ben", incident.Command{Verb: incident.VerbAddAction, Action: &incident.Action{Kind: incident.ActionProcess, Title: long(), Owner: "ben", Due: start.AddDate(0, 1, 0)}})
	w.says("", incident.Command{Verb: incident.VerbEffectFailed, Effect: "INC-42/1/post", Text: say()})
	w.says("ben", incident.Command{Verb: incident.VerbSubmit})
	w.says("elena", incident.Command{Verb: incident.VerbObject, Department: incident.Legal, Expect: w.inc.Submission.Digest, Text: say()})
	w.says("elena", incident.Command{Verb: incident.VerbWithdraw, Item: "O2", Text: say()})
	w.signed()
	w.says("ben", incident.Command{Verb: incident.VerbScheduleReview, When: w.now.Add(48 * time.Hour), Text: say()})
	w.inc.Title = long()
	for n := range w.dir.People {
		w.dir.People[n].Name = w.dir.People[n].Name + long()
	}
	in := w.input()
	in.Incident.Signatures[0].Auth = say()
	return in
}

// shape is what Markdown makes of a document: its headings, and how many
// tables, rows, links, tags and quotations it has.
func shape(md string) (headings []string, count map[string]int) {
	count = map[string]int{}
	src := []byte(md)
	root := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(src))
	_ = ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			headings = append(headings, fmt.Sprint(n.Level, " ", string(n.Lines().Value(src))))
		case *ast.Link, *ast.AutoLink, *ast.Image:
			count["links"]++
		case *ast.RawHTML, *ast.HTMLBlock:
			count["tags"]++
		case *east.Table:
			count["tables"]++
		case *east.TableRow:
			count["rows"]++
		case *ast.FencedCodeBlock, *ast.CodeBlock:
			count["code"]++
		case *ast.ThematicBreak:
			count["rules"]++
		case *ast.ListItem:
			count["items"]++
		case *ast.Emphasis:
			count["emphasis"]++
		case *ast.CodeSpan:
			count["spans"]++
		}
		return ast.WalkContinue, nil
	})
	return headings, count
}

// tags lists the tags of a page, each with its attributes' names. The prose of
// the record may add those that it is allowed.
func tags(t interface{ Fatalf(string, ...any) }, page string) map[string]int {
	out := map[string]int{}
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("the page cannot be read: %v", err)
		}
		if e, ok := tok.(xml.StartElement); ok {
			var attrs []string
			for _, a := range e.Attr {
				attrs = append(attrs, a.Name.Local)
			}
			slices.Sort(attrs)
			out[e.Name.Local+" "+strings.Join(attrs, " ")]++
		}
	}
}

// What people write never makes a heading, a table, a link or a tag, and never
// a line that looks like one of the document's own.
func TestHostileTexts(t *testing.T) {
	calm, err := Postmortem(spoiled(t, func() string { return "xcalm" }))
	if err != nil {
		t.Fatal(err)
	}
	headings, count := shape(calm.Markdown)
	want := tags(t, calm.HTML)
	rapid.Check(t, func(rt *rapid.T) {
		in := spoiled(t, func() string { return hostile().Draw(rt, "text") })
		doc, err := Postmortem(in)
		if err != nil {
			rt.Fatal(err)
		}
		got, n := shape(doc.Markdown)
		if !slices.Equal(got[1:], headings[1:]) { // the first is the title
			rt.Fatalf("headings: %q", got)
		}
		for what, v := range n {
			if v != count[what] {
				rt.Fatalf("%s: %d, not %d\n%s", what, v, count[what], doc.Markdown)
			}
		}
		prose := []string{"p ", "br ", "ul ", "ol ", "li ", "blockquote ", "code ", "pre ", "em ", "strong "}
		for tag, v := range tags(rt, doc.HTML) {
			if v != want[tag] && !slices.Contains(prose, tag) && !strings.HasPrefix(tag, "div class") {
				rt.Fatalf("tag %q: %d, not %d", tag, v, want[tag])
			}
		}
		if strings.Count(doc.HTML, `class="signature"`) != 4 || strings.Count(doc.HTML, "<h2") != strings.Count(calm.HTML, "<h2") {
			rt.Fatalf("signatures: %d", strings.Count(doc.HTML, `class="signature"`))
		}
		for _, m := range []Message{PageMail(brief(in), 0), PostmortemMail(brief(in)), InvitationMail(brief(in))} {
			if strings.ContainsAny(m.Subject, "\r\n") {
				rt.Fatalf("a subject of several lines: %q", m.Subject)
			}
			_ = tags(rt, m.HTML)
			if strings.Contains(m.HTML, "<script") || strings.Contains(m.HTML, "<img") {
				rt.Fatal("a mail with a foreign tag")
			}
		}
	})
}
