package mailtext_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf8"

	"tocsin/bot/mailtext"
)

func TestHTML(t *testing.T) {
	for document, want := range map[string]string{
		"<p>one<p>two":                                                   "one\n\ntwo",
		"one<br>two":                                                     "one\ntwo",
		"<b>o</b>ne &amp; &lt;two&gt;":                                   "one & <two>",
		"<pre>a\n  b</pre>c":                                             "a\n  b\n\nc",
		"<ul><li>one</li><li>two</ul>":                                   "- one\n- two",
		"<table><tr><th>a<th>b<tr><td>1":                                 "a | b\n1",
		`<a href="https://x.example">x</a> y`:                            "x (https://x.example) y",
		`<a href="https://x.example/">https://x.example</a>`:             "https://x.example",
		`<a href="mailto:a@b.example">a@b.example</a>`:                   "a@b.example",
		`<a href="https://evil.example">https://bank.example</a>`:        "https://bank.example (https://evil.example)",
		"<blockquote>one<br>two</blockquote>three":                       "> one\n> two\n\nthree",
		`<p hidden>secret<p>shown`:                                       "shown",
		`<div style="display:none">secret<div>x</div></div>shown`:        "shown",
		`<span style="font-size: 0px">secret</span>shown`:                "shown",
		`<span style="font-size: 0.9em">small</span>`:                    "small",
		"<script>evil()</script><style>p{}</style><title>t</title>shown": "shown",
		"<!-- <p>secret -->shown":                                        "shown",
		`<img alt="chart of logins" src="https://x.example">`:            "[chart of logins]",
		"<td>broken</p></table></div>":                                   "broken",
		"plain text":                                                     "plain text",
	} {
		if got, _ := mailtext.HTML(document); got != want {
			t.Errorf("HTML(%q): got %q, want %q", document, got, want)
		}
	}
}

func TestFlowed(t *testing.T) {
	for s, want := range map[string]string{
		"one \ntwo\nthree":     "one two\nthree",
		"one\r\ntwo \r\nthree": "one\ntwo three",
		"> a \n> b\nc":         "> a b\nc",
		"> a \n>> b":           "> a \n>> b",
		" from\n >x":           "from\n>x",
		"x\n-- \nAnn":          "x\n-- \nAnn",
		"":                     "",
	} {
		if got := mailtext.Flowed(s, false); got != want {
			t.Errorf("Flowed(%q): got %q, want %q", s, got, want)
		}
	}
	if got := mailtext.Flowed("脆弱 \n性", true); got != "脆弱性" {
		t.Errorf("deleted space: got %q", got)
	}
}

func TestRTF(t *testing.T) {
	for document, want := range map[string]string{
		`{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}\pard caf\'e9\par next\par}`:    "café\nnext",
		`{\rtf1\ansicpg1251 \'d3\'f2\'e5\'f7\'ea\'e0}`:                                "Утечка",
		`{\rtf1\uc1 \u1059?\u1090?\u-10179?\u-8704?}`:                                 "Ут😀",
		`{\rtf1{\*\htmltag64 <p>}shown{\*\generator x;}{\info{\title secret}}}`:       "shown",
		`{\rtf1{\field{\*\fldinst{HYPERLINK "https://x.example"}}{\fldrslt{proof}}}}`: `HYPERLINK "https://x.example"proof`,
		`{\rtf1 a\tab b\{c\}\\d\~e}`:                                                  "a\tb{c}\\d e",
		`{\rtf1 x\bin3 abcy`:                                                          "xy",
		strings.Repeat("{", 5000) + "deep":                                            "deep",
		`no markup`:                                                                   "no markup",
	} {
		if got := mailtext.RTF([]byte(document), 1<<16); got != want {
			t.Errorf("RTF(%.60q): got %q, want %q", document, got, want)
		}
	}
}

func attribute(id uint32, value []byte) []byte {
	out := binary.LittleEndian.AppendUint32([]byte{1}, id)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(value)))
	return append(append(out, value...), 0, 0)
}

func property(kind, id uint16, value []byte) []byte {
	out := binary.LittleEndian.AppendUint16(nil, kind)
	out = binary.LittleEndian.AppendUint16(out, id)
	out = binary.LittleEndian.AppendUint32(out, 1)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(value)))
	out = append(out, value...)
	return append(out, make([]byte, (4-len(value)%4)%4)...)
}

func winmail(attributes ...[]byte) []byte {
	out := []byte{0x78, 0x9f, 0x3e, 0x22, 1, 0}
	for _, a := range attributes {
		out = append(out, a...)
	}
	return out
}

func properties(list ...[]byte) []byte {
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(list)))
	for _, p := range list {
		out = append(out, p...)
	}
	return out
}

// compressedRTF is an RTF document in the form of Outlook without compression.
func compressedRTF(document string) []byte {
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(document)+12))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(document)))
	out = append(out, "MELA\x00\x00\x00\x00"...)
	return append(out, document...)
}

// packedRTF is the example of a compressed document in [MS-OXRTFCP].
var packedRTF = []byte("\x2d\x00\x00\x00\x2b\x00\x00\x00\x4c\x5a\x46\x75\xf1\xc5\xc7\xa7\x03\x00\x0a\x00\x72\x63\x70\x67\x31\x32\x35\x42\x32\x0a\xf3\x20\x68\x65\x6c\x09\x00\x20\x62\x77\x05\xb0\x6c\x64\x7d\x0a\x80\x0f\xa0")

func TestTNEF(t *testing.T) {
	utf16 := []byte("L\x00\xfc\x00c\x00k\x00e\x00\x00\x00")
	for name, tt := range map[string]struct {
		raw                  []byte
		text, subject, files string
		problem              bool
	}{
		"body":           {winmail(attribute(0x0002800c, []byte("the story\x00")), attribute(0x00018004, []byte("leak\x00"))), "the story", "leak", "", false},
		"code page":      {winmail(attribute(0x00069007, []byte("\xe3\x04\x00\x00\x00\x00\x00\x00")), attribute(0x0002800c, []byte("\xd3\xf2\x00"))), "Ут", "", "", false},
		"properties":     {winmail(attribute(0x00069003, properties(property(0x1f, 0x1000, utf16), property(0x1f, 0x37, utf16)))), "Lücke", "Lücke", "", false},
		"HTML":           {winmail(attribute(0x00069003, properties(property(0x102, 0x1013, []byte("<p>the <b>story</b>"))))), "the story", "", "", false},
		"RTF":            {winmail(attribute(0x00069003, properties(property(0x102, 0x1009, compressedRTF(`{\rtf1 the story}`))))), "the story", "", "", false},
		"compressed RTF": {winmail(attribute(0x00069003, properties(property(0x102, 0x1009, packedRTF)))), "hello world", "", "", false},
		"damaged RTF":    {winmail(attribute(0x00069003, properties(property(0x102, 0x1009, []byte("x"))))), "", "", "", true},
		"files": {winmail(attribute(0x00069002, nil), attribute(0x00018010, []byte("A~1.XLS\x00")), attribute(0x00069005, properties(property(0x1f, 0x3707, utf16))),
			attribute(0x00069002, nil), attribute(0x00018010, []byte("b.txt\x00")), attribute(0x00069002, nil)), "", "", "Lücke b.txt unnamed", false},
		"truncated": {winmail(attribute(0x0002800c, []byte("the story\x00")))[:20], "the s", "", "", true},
	} {
		got := mailtext.TNEF(tt.raw, 1<<16)
		if got.Text != tt.text || got.Subject != tt.subject || strings.Join(got.Files, " ") != tt.files || (len(got.Problems) > 0) != tt.problem {
			t.Errorf("%s: got %+v, want %+v", name, got, tt)
		}
	}
}

// FuzzAll checks that no function panics or returns more than its limit allows.
func FuzzAll(f *testing.F) {
	f.Add([]byte("=?utf-8?q?=C3?= =?utf-8?b?vA==?= =?x?q?"), "utf-8", "base64")
	f.Add([]byte(`attachment; filename*0*=utf-8'de'%C3%BC; filename*1="b c"; x="`), "klingon", "rot13")
	f.Add(winmail(attribute(0x00069003, properties(property(0x102, 0x1009, packedRTF)))), "utf-16", "quoted-printable")
	f.Add([]byte(`{\rtf1\u-10179?\'e9{\*\x`), "iso-2022-jp", "8bit")
	f.Add([]byte("<a href=x><p hidden><blockquote>y<pre>z"), "gb18030", "")
	f.Add([]byte("BEGIN:VCALENDAR\nSUMMARY:x\n y"), "utf-7", "")
	f.Fuzz(func(t *testing.T, b []byte, charset, transfer string) {
		const limit = 1000
		r := mailtext.Decode(b, transfer, charset, limit)
		if len(r.Text) > limit || r.Unread < 0 || !utf8.ValidString(r.Text) {
			t.Fatalf("got text %q of %d bytes, %d unread", r.Text, len(r.Text), r.Unread)
		}
		s, _ := mailtext.Charset(b, charset)
		if len(s) > 4*len(b)+8 || !utf8.ValidString(s) {
			t.Fatalf("got %d bytes of %d, valid %v", len(s), len(b), utf8.ValidString(s))
		}
		if w := mailtext.Words(string(b)); len(w) > 4*len(b)+8 || !utf8.ValidString(w) {
			t.Fatalf("got words %q of %q", w, b)
		}
		if _, params := mailtext.Params(string(b)); len(params) > 100 {
			t.Fatalf("got %d parameters", len(params))
		}
		text, _ := mailtext.HTML(s)
		if len(text) > 30*len(s)+8 {
			t.Fatalf("got %d bytes of HTML text of %d", len(text), len(s))
		}
		mailtext.Flowed(s, true)
		mailtext.Calendar(s)
		mailtext.HTMLCharset(b)
		if rtf := mailtext.RTF(b, limit); len(rtf) > 5*limit {
			t.Fatalf("got %d bytes of RTF text", len(rtf))
		}
		if m := mailtext.TNEF(b, limit); len(m.Text) > 40*limit || len(m.Files) > 20 {
			t.Fatalf("got %d bytes of text", len(m.Text))
		}
	})
}
