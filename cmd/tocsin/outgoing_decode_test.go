//go:build !race

package main_test

import (
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"tocsin/bot/sandbox/mailbox"
)

var (
	markupTag      = regexp.MustCompile(`</?[A-Za-z!][^<>]*>`)
	markdownEscape = regexp.MustCompile(`\\([!-/:-@\[-` + "`" + `{-~])`)
	calendarEscape = strings.NewReplacer("\r\n ", "", "\r\n\t", "", `\n`, "\n", `\N`, "\n", `\,`, ",", `\;`, ";", `\\`, `\`)
)

// decodings returns a text as its readers see it: with the escapes of HTML, Markdown,
// JSON, URLs and iCalendar removed, in every order that occurs.
func decodings(text string) []string {
	seen := map[string]bool{}
	var out []string
	add := func(s string) {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	add(text)
	for n := 0; n < len(out) && n < 40; n++ {
		s := out[n]
		add(html.UnescapeString(s))
		add(markupTag.ReplaceAllString(s, ""))
		add(markdownEscape.ReplaceAllString(s, "$1"))
		add(calendarEscape.Replace(s))
		if u, err := url.QueryUnescape(s); err == nil {
			add(u)
		}
		if u, err := url.PathUnescape(s); err == nil {
			add(u)
		}
	}
	return out
}

// stringsIn returns every string and key of a JSON value, and those of JSON inside of
// its strings.
func stringsIn(v any) []string {
	var out []string
	switch v := v.(type) {
	case string:
		out = append(out, v)
		var inner any
		if len(v) > 1 && (v[0] == '{' || v[0] == '[') && json.Unmarshal([]byte(v), &inner) == nil {
			out = append(out, stringsIn(inner)...)
		}
	case []any:
		for _, e := range v {
			out = append(out, stringsIn(e)...)
		}
	case []string:
		out = append(out, v...)
	case map[string]any:
		for k, e := range v {
			out = append(append(out, k), stringsIn(e)...)
		}
	}
	return out
}

// mailTexts returns every text of a mail, with its transfer encodings removed.
func mailTexts(m mailbox.Message) []string {
	out := []string{string(m.Raw), m.Subject, m.From, m.Text, m.HTML, strings.Join(m.To, "\n")}
	for name, values := range m.Header {
		for _, v := range values {
			out = append(out, name+": "+mailbox.Parse([]byte("Subject: "+v+"\r\n\r\n")).Subject)
		}
	}
	for _, a := range m.Attachments {
		out = append(out, a.Name, string(a.Content))
	}
	return out
}

func TestDecodings_FindEscapedTexts(t *testing.T) {
	const secret = `a<b&c_d@corp.example`
	for name, in := range map[string]string{
		"Markdown":          `a\<b\&c\_d\@corp.example`,
		"HTML":              `a&lt;b&amp;c_d@corp.example`,
		"HTML with tags":    `a&lt;b&amp;<em>c</em>_d@corp.example`,
		"mrkdwn":            `a&lt;b&amp;c_d@corp.example`,
		"URL":               `a%3Cb%26c_d%40corp.example`,
		"iCalendar, folded": "a<b&c_d@co\r\n rp.example",
	} {
		found := false
		for _, s := range decodings(in) {
			found = found || strings.Contains(s, secret)
		}
		if !found {
			t.Errorf("%s: %q: the text was not found", name, in)
		}
	}
	texts := stringsIn(map[string]any{"blocks": `[{"text":{"text":"a\u003cb&c_d@corp.example"}}]`})
	if !strings.Contains(strings.Join(texts, "\n"), secret) {
		t.Errorf("got strings %q of JSON in JSON", texts)
	}
	m := mailbox.Parse([]byte("Subject: =?utf-8?q?a=3Cb&c=5Fd=40corp.example?=\r\nContent-Transfer-Encoding: base64\r\n\r\nYTxiJmNfZEBjb3JwLmV4YW1wbGU=\r\n"))
	if m.Subject != secret || m.Text != secret {
		t.Errorf("got subject %q and text %q of a mail", m.Subject, m.Text)
	}
}
