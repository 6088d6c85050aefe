package templates

import (
	"bytes"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
)

var tags = regexp.MustCompile(`<[^>]*>`)

// rendered returns the text that a reader of the rendered Markdown sees.
func rendered(t testing.TB, md string) string {
	t.Helper()
	var b bytes.Buffer
	if err := goldmark.New(goldmark.WithExtensions(extension.GFM)).Convert([]byte(md), &b); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(html.UnescapeString(tags.ReplaceAllString(b.String(), "")))
}

// Readers copy identifiers from the source and from the rendered document. Both show
// them unchanged.
func TestEscapeMarkdown_KeepsIdentifiers(t *testing.T) {
	for _, id := range []string{
		"ada.b_c@corp.example", "ghp_0123456789abcdefghijABCDEFGHIJ012345", "leaked_aws_key", "aws_iam_user.ci_deploy[0]", "AKIA_TEST__KEY", "@ada", "https://git.example/a_b/c?x=1&y=2#L3",
		`CORP\ada_b`, `C:\Windows\Temp\x_y.exe`, "s3://bucket/some_key", "i-0abc_1", "R&D", "->", "$5", "~/x_y", "10.0.0.1:8080", "C#", "a=b", "user+tag@mail.corp.example", "arn:aws:iam::123:user/ci_bot",
	} {
		for _, text := range []string{id, "the key of " + id + " leaked", "(" + id + ")", "seen: " + id + ", then more", "x " + id} {
			md := escapeMarkdown(text)
			if !strings.Contains(md, id) && !strings.ContainsAny(id, "[") {
				t.Errorf("%q: got the source %q, want %q in it", text, md, id)
			}
			if got := rendered(t, md); got != text {
				t.Errorf("%q: got %q rendered as %q", text, md, got)
			}
			if _, count := markdownShape("x " + md); count["links"]+count["emphasis"]+count["tags"] != 0 {
				t.Errorf("%q: got the elements %v in %q", text, count, md)
			}
		}
	}
}

// FuzzEscapeMarkdown checks that a rendered line is the text and has no element but code.
func FuzzEscapeMarkdown(f *testing.F) {
	for _, payload := range payloads {
		f.Add(payload)
	}
	for _, text := range []string{"a@b.co`", "`a@b.co", "!@evil.example", "a@b.co/https://x.y/", `\a@b.co`, `C:\a\`, "x@y.zz@q.rr", "__a__b__", "~a~", "&amp;", "é@evil.example", "a:\\b`c", "x onload='xeve@evil.example", "_a@b.co_", `~00\0~ `, `$C:\a$`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := oneLine(s)
		md := escapeMarkdown(s)
		_, count := markdownShape("x " + md)
		for _, element := range []string{"links", "tags", "emphasis", "tables", "rules", "items", "spans"} {
			if count[element] != 0 {
				t.Fatalf("%q: got %d %s in %q", s, count[element], element, md)
			}
		}
		if headings, count := markdownShape(md + "\n\nx"); len(headings) != 0 || count["code"]+count["items"]+count["rules"]+count["links"] != 0 {
			t.Fatalf("%q: got the headings %q and elements %v in %q", s, headings, count, md)
		}
		if got := rendered(t, "x "+md); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields("x "+text), " ") && !strings.ContainsAny(text, "\x00\u00a0") {
			t.Fatalf("%q: got %q, rendered as %q", s, md, got)
		}
	})
}
