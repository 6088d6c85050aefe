package mailtext

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Result is the text of one part of a mail.
type Result struct {
	Text     string
	Unread   int      // bytes of the body beyond the limit
	Problems []string // sentences about content that could not be read
}

// Decode returns the text of a body with a transfer encoding and a charset, both as
// declared. The text has at most about limit bytes. Damaged content is decoded as far as
// possible, and content that was never encoded is shown as received.
func Decode(body []byte, transfer, charset string, limit int) Result {
	d := textDecoder{charset: charset, limit: limit}
	switch canonicalTransfer(transfer) {
	case "quotedprintable", "qp":
		d.add(quotedPrintable(d.cut(body, 12*limit)))
	case "base64", "b64":
		d.base64(d.cut(body, 6*limit))
	case "", "7bit", "8bit", "binary", "none", "ascii", "plain", "text", "utf8":
		d.add(d.cut(body, 4*limit))
	default:
		d.problem(fmt.Sprintf("The transfer encoding %.40q is unknown.", transfer))
		body = d.cut(body, 6*limit)
		switch {
		case bytes.Count(body, []byte("=\n"))+bytes.Count(body, []byte("=\r\n"))+bytes.Count(body, []byte("=3D"))+bytes.Count(body, []byte("=C3")) > 1:
			d.add(quotedPrintable(body))
		case isBase64(body):
			d.base64(body)
		default:
			d.add(body)
		}
	}
	text := d.out.String()
	if len(text) > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		d.unread += len(text) - cut
		text = text[:cut]
	}
	return Result{Text: text, Unread: d.unread, Problems: d.problems}
}

// canonicalTransfer returns the letters and digits of a transfer encoding, in lower case.
func canonicalTransfer(s string) string {
	s, _, _ = strings.Cut(s, ";")
	s, _, _ = strings.Cut(s, "(")
	if len(s) > 100 {
		return "?"
	}
	return strings.ToLower(strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s))
}

type textDecoder struct {
	charset  string
	limit    int
	out      strings.Builder
	unread   int
	problems []string
}

func (d *textDecoder) problem(s string) {
	for _, p := range d.problems {
		if p == s {
			return
		}
	}
	if s != "" {
		d.problems = append(d.problems, s)
	}
}

// cut returns at most n bytes of b, and counts the rest as unread.
func (d *textDecoder) cut(b []byte, n int) []byte {
	n = max(n, 0)
	if len(b) <= n {
		return b
	}
	d.unread += len(b) - n
	return b[:n]
}

func (d *textDecoder) add(b []byte) {
	text, problem := Charset(b, d.charset)
	d.problem(problem)
	d.out.WriteString(text)
}

const damagedBase64 = "A base64 text is damaged. Its unreadable lines are shown as received."

// base64 decodes a base64 text. Lines that are not base64, such as the footer that a
// mailing list appended, are text.
func (d *textDecoder) base64(body []byte) {
	var run, decoded, carry []byte       // a run of base64 lines: as received, decoded, and its incomplete end
	first, count, literal := 0, 0, false // count is of the base64 characters in carry
	end := func(next bool) {
		decoded = append(decoded, base64Bytes(carry)...)
		short := len(bytes.TrimSpace(run)) < 24 && (literal || next) && !bytes.ContainsAny(run, "=")
		switch {
		case len(bytes.TrimSpace(run)) == 0:
			d.out.Write(run)
		case !short && plausible(decoded, d.charset):
			d.add(decoded)
		default:
			d.problem(damagedBase64)
			d.out.WriteString(lenientUTF8(run))
		}
		run, decoded, carry, count = run[:0], decoded[:0], carry[:0], 0
	}
	for line := range bytes.Lines(body) {
		content := bytes.TrimSpace(line)
		kind := lineKind(content)
		if kind == lineText {
			d.problem(damagedBase64)
			end(true)
			if s := d.out.String(); s != "" && !strings.HasSuffix(s, "\n") {
				d.out.WriteByte('\n')
			}
			d.out.WriteString(lenientUTF8(line))
			literal = true
			continue
		}
		run = append(run, line...)
		if kind == lineDamaged {
			d.problem("A base64 text is damaged. Some of its characters are wrong or missing.")
		}
		if first == 0 {
			first = len(content)
		}
		carry, count = append(carry, content...), count+base64Count(content)
		if count%4 == 0 || first%4 == 0 { // a damaged line does not spoil the next one
			decoded, carry, count = append(decoded, base64Bytes(carry)...), carry[:0], 0
		}
		if bytes.HasSuffix(content, []byte("=")) { // the end of the data
			end(false)
			first = 0
		}
	}
	end(false)
}

// Kinds of lines of a base64 text.
const (
	lineBase64  = iota
	lineDamaged // base64 with a few other characters
	lineText    // text that was never encoded
)

func lineKind(line []byte) int {
	other, spaces := 0, 0
	for _, c := range line {
		if c == ' ' || c == '\t' {
			spaces++
		}
		if base64Value(c) < 0 && c != '=' {
			other++
		}
	}
	switch {
	case other == 0:
		return lineBase64
	case len(line) >= 40 && other*12 <= len(line) && spaces <= 1:
		return lineDamaged
	}
	return lineText
}

// isBase64 reports whether b looks like the base64 form of a text.
func isBase64(b []byte) bool {
	for line := range bytes.Lines(b) {
		if lineKind(bytes.TrimSpace(line)) != lineBase64 {
			return false
		}
	}
	return base64Count(b) >= 40 && plausible(base64Bytes(b), "")
}

// plausible reports whether decoded bytes are text.
func plausible(b []byte, charset string) bool {
	if len(b) == 0 {
		return false
	}
	text, _ := Charset(b, charset)
	wrong, runes := 0, 0
	for _, r := range text {
		runes++
		if r == utf8.RuneError || unicode.IsControl(r) && !strings.ContainsRune("\t\n\r\f\x1b", r) {
			wrong++
		}
	}
	if name := canonicalCharset(charset); (name == "" || name == "utf-8") && !utf8.Valid(b) && utf16Order(b) == "" && !bytes.HasPrefix(b, []byte("\xff\xfe")) && !bytes.HasPrefix(b, []byte("\xfe\xff")) {
		invalid := len(b) - len(bytes.ToValidUTF8(b, nil))
		if invalid*4 > len(b) {
			return false
		}
	}
	return wrong*20 <= runes
}

// base64Value returns the value of a base64 character, or -1.
func base64Value(c byte) int {
	switch {
	case c >= 'A' && c <= 'Z':
		return int(c - 'A')
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 26
	case c >= '0' && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}

// base64Count returns the number of base64 characters in b, including padding.
func base64Count(b []byte) (n int) {
	for _, c := range b {
		if base64Value(c) >= 0 || c == '=' {
			n++
		}
	}
	return n
}

// base64Bytes decodes base64. It skips other characters, and padding ends a group anywhere.
func base64Bytes(b []byte) []byte {
	out := make([]byte, 0, len(b)*3/4+3)
	bits, n := 0, 0
	finish := func() {
		if n > 1 {
			out = append(out, byte(bits<<(24-6*n)>>16))
		}
		if n > 2 {
			out = append(out, byte(bits<<(24-6*n)>>8))
		}
		bits, n = 0, 0
	}
	for _, c := range b {
		if c == '=' {
			finish()
			continue
		}
		v := base64Value(c)
		if v < 0 {
			continue
		}
		bits = bits<<6 | v
		if n++; n == 4 {
			out = append(out, byte(bits>>16), byte(bits>>8), byte(bits))
			bits, n = 0, 0
		}
	}
	finish()
	return out
}

// quotedPrintable decodes quoted-printable. An equals sign that does not begin an escape
// is text.
func quotedPrintable(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for n := 0; n < len(b); n++ {
		if b[n] != '=' {
			out = append(out, b[n])
			continue
		}
		if n+2 < len(b) {
			if high, low := hexValue(b[n+1]), hexValue(b[n+2]); high >= 0 && low >= 0 {
				out = append(out, byte(high<<4|low))
				n += 2
				continue
			}
		}
		end := n + 1
		for end < len(b) && end-n < 80 && (b[end] == ' ' || b[end] == '\t' || b[end] == '\r') {
			end++
		}
		switch {
		case end < len(b) && b[end] == '\n':
			n = end // a soft line break
		case end == len(b):
			n = end
		default:
			out = append(out, '=')
		}
	}
	return out
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
