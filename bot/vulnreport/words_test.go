package vulnreport_test

import (
	"encoding/base64"
	"fmt"
	"html"
	"math/rand/v2"
	"mime/quotedprintable"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"

	"tocsin/bot/vulnreport"
)

// mailMaker builds mails from random words. Each word is unique. The structure of the mail
// is random too, and often broken in a way that leaves its words readable.
type mailMaker struct {
	*rand.Rand
	words []string // all words of the mail
	n     int
}

// alphabets has letters that each charset can write. "" is no declared charset.
var alphabets = map[string]string{"": "äöüéß", "utf-8": "äжあ漢", "iso-8859-1": "äöüéß", "windows-1252": "äé€", "koi8-r": "жщюя", "windows-1251": "жщюя",
	"iso-2022-jp": "あ漢字", "shift_jis": "あ漢字", "euc-jp": "あ漢字", "gb18030": "漏洞漢", "big5": "漏洞漢", "utf-16le": "äжあ"}

func (m *mailMaker) pick(from ...string) string { return from[m.IntN(len(from))] }

// text returns a few words that a charset can write.
func (m *mailMaker) text(charset string) string {
	letters := []rune(alphabets[charset])
	var out []string
	for range 1 + m.IntN(12) {
		m.n++
		w := fmt.Sprintf("w%dx", m.n)
		for range m.IntN(3) {
			w += string(letters[m.IntN(len(letters))])
		}
		w += m.pick("end", "fin", "stop")
		m.words, out = append(m.words, w), append(out, w)
	}
	return strings.Join(out, " ")
}

// inCharset returns s in a charset.
func inCharset(charset, s string) string {
	if charset == "utf-8" {
		return s
	}
	if charset == "" {
		charset = "iso-8859-1"
	}
	e, err := htmlindex.Get(charset)
	if err != nil {
		panic(err)
	}
	out, err := encoding.ReplaceUnsupported(e.NewEncoder()).String(s)
	if err != nil {
		panic(err)
	}
	return out
}

func (m *mailMaker) charset() string {
	return m.pick("", "utf-8", "iso-8859-1", "windows-1252", "koi8-r", "windows-1251", "iso-2022-jp", "shift_jis", "euc-jp", "gb18030", "big5", "utf-16le")
}

// part returns a header and a body.
func (m *mailMaker) part(depth int) (header []string, body string) {
	kinds := []string{"text", "text", "html", "winmail"}
	if depth < 4 {
		kinds = append(kinds, "mixed", "mixed", "alternative", "message")
	}
	switch m.pick(kinds...) {
	case "html":
		charset := m.charset()
		return m.leaf("text/html", charset, m.htmlOf(m.text(charset)))
	case "winmail":
		return []string{m.pick("Content-Type: application/ms-tnef; name=winmail.dat", "Content-Type: application/octet-stream; name=winmail.dat"), "Content-Transfer-Encoding: base64"},
			lines(base64.StdEncoding.EncodeToString([]byte(tnef(tnefAttribute(1, 0x800c, inCharset("windows-1252", m.text("windows-1252"))+"\x00")))))
	case "mixed":
		return m.multipart(depth)
	case "alternative":
		charset := m.charset()
		s := m.text(charset)
		plainHeader, plainBody := m.leaf("text/plain", charset, s)
		htmlHeader, htmlBody := m.leaf("text/html", charset, "<p>"+strings.ReplaceAll(html.EscapeString(s), " ", " <b>x</b>")+"</p>")
		return []string{"Content-Type: multipart/alternative; boundary=alt" + fmt.Sprint(m.n)},
			fmt.Sprintf("--alt%[1]d\r\n%[2]s\r\n\r\n%[3]s\r\n--alt%[1]d\r\n%[4]s\r\n\r\n%[5]s\r\n--alt%[1]d--", m.n, strings.Join(plainHeader, "\r\n"), plainBody, strings.Join(htmlHeader, "\r\n"), htmlBody)
	case "message":
		inner, body := m.part(depth + 1)
		raw := m.pick("", "From x@example.org Mon Nov 30 09:00:00 2026\r\n", "\r\n") + "From: x@example.org\r\nSubject: " + m.text("utf-8") + "\r\n" + strings.Join(inner, "\r\n") + "\r\n\r\n" + body
		if m.IntN(3) == 0 {
			return []string{"Content-Type: message/rfc822", "Content-Transfer-Encoding: base64"}, lines(base64.StdEncoding.EncodeToString([]byte(raw)))
		}
		return []string{m.pick("Content-Type: message/rfc822", "Content-Type: message/rfc822; name=fwd.eml\r\nContent-Disposition: attachment; filename=fwd.eml", "Content-Type: application/octet-stream; name=fwd.eml")}, raw
	}
	charset := m.charset()
	return m.leaf(m.pick("text/plain", "text/plain", "text/markdown", "TEXT/PLAIN"), charset, m.text(charset))
}

// htmlOf returns an HTML document with the words of s.
func (m *mailMaker) htmlOf(s string) string {
	s = html.EscapeString(s)
	switch m.IntN(4) {
	case 0:
		return "<html><style>p{x:y}</style><body><p>" + strings.ReplaceAll(s, " ", "</p>\r\n<p>") + "</p></body></html>"
	case 1:
		return "<table><tr><td>" + strings.ReplaceAll(s, " ", "</td><td>") + "</td></tr></table>"
	case 2:
		return "<div><ul><li>" + strings.ReplaceAll(s, " ", "<li>") // no end
	}
	return "<a href='https://x.example/'>" + strings.ReplaceAll(s, " ", "<br>") + "</a><script>x()</script>"
}

// leaf returns a part with a text in a charset and with a random transfer encoding.
func (m *mailMaker) leaf(kind, charset, s string) ([]string, string) {
	raw := inCharset(charset, s)
	header := []string{}
	switch {
	case charset == "" && kind == "text/plain":
		header = append(header, m.pick("Content-Type: text/plain", "Content-Type: text", "Content-Type: text/plain; charset=utf-8", "Content-Type: text/plain; charset=klingon", "Content-Type: text/plain; charset=us-ascii"))
	case charset == "":
		header = append(header, "Content-Type: "+kind)
	case charset == "utf-8":
		header = append(header, "Content-Type: "+kind+m.pick("", "; charset=utf-8", `; charset="UTF8"`, " charset=iso-8859-1", "; charset=klingon"))
	default:
		header = append(header, "Content-Type: "+kind+m.pick("; charset="+charset, `; charset="`+strings.ToUpper(charset)+`"`, "; charset='"+charset+"'", "; x=y z; charset="+charset))
	}
	encodings := []string{"base64", "base64", "quoted-printable"}
	if charset != "utf-16le" {
		encodings = append(encodings, "8bit", "", "x-unknown")
	}
	switch e := m.pick(encodings...); e {
	case "base64":
		body := base64.StdEncoding.EncodeToString([]byte(raw))
		header = append(header, "Content-Transfer-Encoding: "+m.pick("base64", "BASE64", "base64;", "Base-64"))
		switch m.IntN(3) {
		case 0:
			body = strings.TrimRight(body, "=")
		case 1:
			if len(raw) > 20 && kind != "text/html" && charset != "utf-16le" {
				return header, lines(body) + "\r\n_______________________________\r\n" + m.text("utf-8") + " in a footer"
			}
		}
		return header, lines(body)
	case "quoted-printable":
		var b strings.Builder
		w := quotedprintable.NewWriter(&b)
		w.Binary = charset == "utf-16le"
		_, _ = w.Write([]byte(raw))
		_ = w.Close()
		return append(header, "Content-Transfer-Encoding: "+m.pick("quoted-printable", "Quoted-Printable", "quoted_printable")), b.String()
	case "":
		return header, raw
	default:
		return append(header, "Content-Transfer-Encoding: "+e), raw
	}
}

// multipart returns an entity with parts, whose boundary may be missing or wrong.
func (m *mailMaker) multipart(depth int) ([]string, string) {
	m.n++
	boundary := fmt.Sprintf("b%d=_", m.n)
	var b strings.Builder
	switch m.IntN(4) {
	case 0:
		b.WriteString("This is a multi-part message in MIME format.\r\n")
	case 1:
		b.WriteString(m.text("utf-8") + "\r\n")
	}
	for range 1 + m.IntN(3) {
		header, body := m.part(depth + 1)
		b.WriteString("--" + boundary + "\r\n" + strings.Join(header, "\r\n") + "\r\n\r\n" + body + "\r\n")
	}
	if m.IntN(3) > 0 {
		b.WriteString("--" + boundary + "--\r\n")
	}
	declared := m.pick("; boundary="+boundary, `; boundary="`+boundary+`"`, `; boundary="`+boundary, "; charset=x y; boundary="+boundary, "", "; boundary=other", " boundary="+boundary)
	return []string{"Content-Type: multipart/" + m.pick("mixed", "mixed", "related", "signed", "report") + declared}, b.String()
}

// lines breaks base64 into lines.
func lines(s string) string {
	var out []string
	for chunk := range slices.Chunk([]byte(s), 76) {
		out = append(out, string(chunk))
	}
	return strings.Join(out, "\r\n")
}

// mail returns a mail with a random structure, and its words.
func (m *mailMaker) mail() (string, []string) {
	header, body := m.part(0)
	subject := m.text("utf-8")
	raw := []string{"From: a@example.org", m.pick("Subject: "+subject, "Subject: =?utf-8?B?"+base64.StdEncoding.EncodeToString([]byte(subject))+"?=")}
	raw = append(raw, header...)
	if m.IntN(3) == 0 {
		raw = slices.Insert(raw, 1, m.pick("a line that is no field", "X-Odd : value", "X-Control: \x01\x00", "X-Long: "+strings.Repeat("x", 40_000)))
	}
	out := strings.Join(raw, "\r\n") + "\r\n\r\n" + body
	if m.IntN(4) == 0 && !strings.Contains(body, "\x00") {
		out = strings.ReplaceAll(out, "\r\n", "\n")
	}
	return out, m.words
}

// checkWords decodes a random mail. Every word of it must be in the alert.
func checkWords(t *testing.T, s *vulnreport.Source, seed uint64) {
	t.Helper()
	m := mailMaker{Rand: rand.New(rand.NewPCG(seed, 0))}
	raw, words := m.mail()
	got := decode(t, s, raw)
	for _, w := range words {
		if !strings.Contains(got.Title+"\n"+got.Detail, w) {
			t.Fatalf("seed %d: the alert has no word %q. Alert:\n%s\n%s\nMail:\n%s", seed, w, got.Title, got.Detail, raw)
		}
	}
}

func TestDecode_EveryWordIsInTheAlert(t *testing.T) {
	s := source(t, vulnreport.Config{})
	for seed := range uint64(3000) {
		checkWords(t, s, seed)
	}
}

func FuzzDecode_EveryWordIsInTheAlert(f *testing.F) {
	f.Add(uint64(7))
	s := source(f, vulnreport.Config{})
	f.Fuzz(func(t *testing.T, seed uint64) { checkWords(t, s, seed) })
}
