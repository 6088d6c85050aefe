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

// payloads are texts that try to imitate or break the document around them.
var payloads = []string{
	"# Signatures", "\n## Signatures\n", "\n\n| Legal | Eve | now | member | Slack |\n|---|---|---|---|---|\n", "| a | b |", "Signatures\n=====\n", "Signatures\n---\n", "***", "---",
	"</p><h2>Signatures</h2>", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!-- ", "-->", "]]>", "</title></svg><script>", "\"><b>", "' onload='x", "<style>*{display:none}",
	"```\n", "~~~\n", "\n```json\n{}\n```\n", "    code", "\t# x", "> quote", "\n- **Legal**, Eve: “signed”\n", "1. one", "1) one", "+ plus", "* star", "[link](https://evil.example)", "![i](x)",
	"[a]: https://evil.example\n[a]", "https://evil.example/x", "www.evil.example", "eve@evil.example", "<https://evil.example>", "&lt;h1&gt;", "&#35; x", "\\", "\\\n", "`", "``", "*", "_", "__x__", "$x$", "{{.ID}}", "{{end}}",
	"\u202eevil", "\u2028# x", "\r# x", "\r\n\r\n# x", "\x00", "\x1b[31m", "\ufeff", "\xff\xfe", "\u0085## x", ":---", "[^1]: x", "- [ ] x", "<details>", "sha256:00",
}

func hostileText() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		parts := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(payloads), rapid.SampledFrom([]string{"\n", " ", "\n\n", "word", "    "}), rapid.String()), 1, 6).Draw(t, "parts")
		return "x" + strings.Join(parts, "")
	})
}

// hostileInput returns an input with a text of newText in every field that people
// and sources can write.
func hostileInput(t testing.TB, newText func() string) Input {
	w := submittedIncident(t, "A title")
	long := func() string { s := newText(); return s[:min(len(s), 400)] }
	w.at(26*60+12).do("ben", incident.Command{Verb: incident.VerbAmend, Text: newText(), Record: map[string]string{"summary": newText(), "impact": newText(), "root_cause": newText(),
		"contributing_factors": newText(), "what_was_done": newText(), "what_detected_it": newText(), "what_will_detect_it": newText(), "what_will_prevent_it": newText()}})
	w.do("ben", incident.Command{Verb: incident.VerbNote, Text: newText()})
	w.do("ben", incident.Command{Verb: incident.VerbEvidence, Evidence: &incident.Evidence{Name: newText(), Where: newText()}, Text: newText()})
	w.do("ben", incident.Command{Verb: incident.VerbSetFact, Text: newText(), Fact: &incident.FactChange{Name: incident.FactAffected, Affected: &incident.Affected{Who: newText(), Capacity: incident.Controller}}})
	w.do("ben", incident.Command{Verb: incident.VerbSetFact, Text: newText(), Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "confirmed"}})
	w.do("", incident.Command{Verb: incident.VerbAttach, Text: newText(), Alert: &incident.AlertRef{Alert: 9, Source: "s", Kind: long(), Title: long(), Rule: newText(), URL: newText(), At: startTime}})
	w.do("ben", incident.Command{Verb: incident.VerbAddAction, Action: &incident.Action{Kind: incident.ActionProcess, Title: long(), Owner: "ben", Due: startTime.AddDate(0, 1, 0)}})
	w.do("", incident.Command{Verb: incident.VerbEffectFailed, Effect: "INC-42/1/post", Text: newText()})
	w.dir.Audiences = []incident.UpdateAudience{{Name: "customers", Channel: "C1", Restricted: true}}
	w.do("ben", incident.Command{Verb: incident.VerbUpdate, Text: newText(), Audiences: []string{"customers"}})
	w.do("elena", incident.Command{Verb: incident.VerbApproveUpdate, Item: "U2"})
	w.do("", incident.Command{Verb: incident.VerbUpdateSent, Item: "U2", Text: "customers", Channel: incident.SystemSlack})
	w.do("ben", incident.Command{Verb: incident.VerbSubmit})
	w.do("elena", incident.Command{Verb: incident.VerbObject, Department: incident.Legal, Expect: w.inc.Submission.Digest, Text: newText()})
	w.do("elena", incident.Command{Verb: incident.VerbWithdraw, Item: "O2", Text: newText()})
	w.sign()
	w.do("ben", incident.Command{Verb: incident.VerbScheduleReview, When: w.now.Add(48 * time.Hour), Text: newText()})
	w.inc.Title = long()
	for n := range w.dir.People {
		w.dir.People[n].Name = w.dir.People[n].Name + long()
	}
	in := w.input()
	in.Incident.Signatures[0].Auth = newText()
	return in
}

// markdownShape returns the headings of a Markdown document and the number of its
// tables, rows, links, tags and other elements.
func markdownShape(md string) (headings []string, count map[string]int) {
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
			// An address, a URL or a path of a text is code, too. It has no space and no
			// character of another element.
			span := ""
			for c := n.FirstChild(); c != nil; c = c.NextSibling() {
				if part, ok := c.(*ast.Text); ok {
					span += string(part.Segment.Value(src))
				}
			}
			if strings.HasPrefix(span, "sha256:") || strings.ContainsAny(span, " `|<>*[]\n") || !strings.ContainsAny(span, `@:\`) {
				count["spans"]++
			}
		}
		return ast.WalkContinue, nil
	})
	return headings, count
}

// failer ends a test or one check of a property.
type failer interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// htmlTags counts the tags of a page by name and attribute names.
func htmlTags(t failer, page string) map[string]int {
	out := map[string]int{}
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("parse page: %v", err)
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

// hostileExamples are texts that changed the structure of a document before.
var hostileExamples = []string{"x| a | b |[link](https://evil.example)***1. one", "x## Signatures\n https://evil.example/x*A"}

// Hostile texts in every field do not change the structure of the documents.
func TestPostmortem_HostileTextChangesNoStructure(t *testing.T) {
	plain, err := Postmortem(hostileInput(t, func() string { return "xplain" }))
	if err != nil {
		t.Fatal(err)
	}
	headings, count := markdownShape(contentOf(plain, "text/markdown"))
	want := htmlTags(t, contentOf(plain, "text/html"))
	check := func(rt failer, newText func() string) {
		in := hostileInput(t, newText)
		doc, err := Postmortem(in)
		if err != nil {
			rt.Fatal(err)
		}
		got, n := markdownShape(contentOf(doc, "text/markdown"))
		if !slices.Equal(got[1:], headings[1:]) { // the first is the title
			rt.Fatalf("got headings %q, want %q", got, headings)
		}
		for element, v := range n {
			if v != count[element] {
				rt.Fatalf("got %d %s, want %d\n%s", v, element, count[element], contentOf(doc, "text/markdown"))
			}
		}
		prose := []string{"p ", "br ", "ul ", "ol ", "li ", "blockquote ", "code ", "pre ", "em ", "strong "}
		for tag, v := range htmlTags(rt, contentOf(doc, "text/html")) {
			if v != want[tag] && !slices.Contains(prose, tag) && !strings.HasPrefix(tag, "div class") {
				rt.Fatalf("got %d tags %q, want %d", v, tag, want[tag])
			}
		}
		if strings.Count(contentOf(doc, "text/html"), `class="signature"`) != 4 || strings.Count(contentOf(doc, "text/html"), "<h2") != strings.Count(contentOf(plain, "text/html"), "<h2") {
			rt.Fatalf("got %d signatures, want 4, or another number of headings", strings.Count(contentOf(doc, "text/html"), `class="signature"`))
		}
		for _, m := range []Message{PageMail(mailBrief(in), 0), PostmortemMail(mailBrief(in)), InvitationMail(mailBrief(in))} {
			if strings.ContainsAny(m.Subject, "\r\n") {
				rt.Fatalf("got subject %q, want one line", m.Subject)
			}
			_ = htmlTags(rt, m.HTML)
			if strings.Contains(m.HTML, "<script") || strings.Contains(m.HTML, "<img") {
				rt.Fatal("the mail contains a tag of the hostile text")
			}
		}
	}
	for _, s := range hostileExamples {
		t.Run(s, func(t *testing.T) { check(t, func() string { return s }) })
	}
	rapid.Check(t, func(rt *rapid.T) {
		check(rt, func() string { return hostileText().Draw(rt, "text") })
	})
}
