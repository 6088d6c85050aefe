package vulnreport

import (
	"bufio"
	"bytes"
	"regexp"
	"strings"

	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-message/textproto"

	"tocsin/bot/mailtext"
)

// Limits for one header.
const (
	maxHeaderLine = 32 << 10 // bytes of one line. A longer line is left out
	maxOddLines   = 100      // lines that are not fields
)

// maxUnknownLines is the maximum number of lines before the first known field of a header.
const maxUnknownLines = 50

// parsePart parses a part of a mail. limit bounds the bytes of its header. A longer header
// is cut after a line, and parsePart reports it to the budget. It never fails: bytes
// without a header are a text.
func (l *parsedMail) parsePart(raw []byte, limit int64) part {
	head, body := l.splitHeader(raw, l.budget.header.Left(), limit)
	h, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(append(head, "\r\n"...))))
	if err != nil {
		l.note("A header cannot be read (%v). It is shown as text.", err)
		h, body = textproto.Header{}, raw
	}
	p := part{raw: body}
	p.header.Header.Header = h
	p.kind, p.params = mailtext.Params(p.header.Get("Content-Type"))
	return p
}

var (
	// fieldName matches the beginning of a header field.
	fieldName = regexp.MustCompile(`^[!-9;-~]{1,100}[ \t]*:`)
	// knownField matches the fields that tell a header from a text with colons.
	knownField = regexp.MustCompile(`(?i)^(?:content|x|list|arc|resent|thread|original|return|reply|mail|delivered|envelope|received|authentication|dkim|auto|in-reply|message|mime|errors|disposition|user|feedback|autocrypt|protected)-|^(?:from|to|cc|bcc|subject|date|received|sender|references|importance|priority|precedence|comments|keywords|organization|autocrypt|status)[ \t]*:|^(?:auto-submitted|mime-version|message-id)\b`)
)

// splitHeader splits a part into its header, in a form that the library reads, and its
// body. The header ends at an empty line or before a line that is not a field. A part
// whose lines are no known fields has no header.
func (l *parsedMail) splitHeader(raw []byte, left, limit int64) (head, body []byte) {
	var out bytes.Buffer
	known, lines, odd, at := false, 0, 0, 0
	var used, refused int64
	for at < len(raw) {
		size := lineSize(raw[at:])
		content := bytes.TrimRight(raw[at:at+size], "\r\n")
		folded := len(content) > 0 && (content[0] == ' ' || content[0] == '\t')
		blank := folded && len(bytes.TrimSpace(content)) == 0
		if blank {
			odd++
		}
		empty := len(content) == 0 || blank && (odd > maxOddLines || !continues(raw[at+size:]))
		start := content[:min(len(content), 120)]
		switch {
		case empty:
			body, at = raw[at+size:], len(raw)
			continue
		case folded && lines > 0, fieldName.Match(start) && (known || lines < maxUnknownLines):
			known = known || knownField.Match(start)
		case known && odd < maxOddLines && continues(raw[at+size:]):
			l.note("A line of a header cannot be read: %s.", printable(mailtext.Words(string(content[:min(len(content), 400)]))))
			at, odd = at+size, odd+1
			continue
		default:
			body, at = raw[at:], len(raw)
			continue
		}
		if size > maxHeaderLine {
			at, refused = at+size, refused+int64(size)
			continue
		}
		if used+int64(size) > min(left, limit) {
			end, cut := headerEnd(raw[at:]), min(left, limit) // the rest uses up the limit
			refused, used, body = refused+used+int64(end)-cut, cut, raw[at+end:]
			break
		}
		at, used, lines = at+size, used+int64(size), lines+1
		out.Write(cleanHeaderLine(content))
		out.WriteString("\r\n")
	}
	if !known {
		if first, rest, ok := bytes.Cut(raw, []byte("\n")); ok && len(bytes.TrimSpace(first)) == 0 {
			return nil, rest
		}
		return nil, raw
	}
	l.budget.header.Take(used)
	l.budget.header.Refuse(refused)
	return out.Bytes(), body
}

// messageStart returns a message without empty lines and the line of an mbox file before
// its header.
func messageStart(raw []byte) []byte {
	raw = bytes.TrimLeft(raw, "\r\n")
	if bytes.HasPrefix(raw, []byte("From ")) || bytes.HasPrefix(raw, []byte(">From ")) {
		raw = raw[lineSize(raw):]
	}
	return raw
}

// lineSize returns the length of the first line of b, with its end.
func lineSize(b []byte) int {
	if n := bytes.IndexByte(b, '\n'); n >= 0 {
		return n + 1
	}
	return len(b)
}

// headerEnd returns the place after the first empty line of b, or the length of b.
func headerEnd(b []byte) int {
	end := len(b)
	for _, mark := range []string{"\n\n", "\n\r\n"} {
		if n := bytes.Index(b[:end], []byte(mark)); n >= 0 {
			end = n + len(mark)
		}
	}
	return end
}

// continues reports whether the next lines are fields of a header, with a known one.
func continues(raw []byte) bool {
	for range 20 {
		line, rest, _ := bytes.Cut(raw, []byte("\n"))
		line = bytes.TrimRight(line[:min(len(line), 120)], "\r")
		switch {
		case len(line) == 0:
			return false
		case knownField.Match(line) && fieldName.Match(line):
			return true
		case !fieldName.Match(line) && line[0] != ' ' && line[0] != '\t':
			return false
		}
		raw = rest
	}
	return false
}

// cleanHeaderLine returns a line of a header as UTF-8, without control characters and
// without white space before the colon.
func cleanHeaderLine(line []byte) []byte {
	s, _ := mailtext.Charset(line, "utf-8")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return ' ' // otherwise a sender could hide a field in a line
		case r < ' ' && r != '\t' && r != '\x1b' || r == 0x7f:
			return -1
		}
		return r
	}, s)
	if name, value, ok := strings.Cut(s, ":"); ok && s[0] != ' ' && s[0] != '\t' {
		s = strings.TrimRight(name, " \t") + ":" + value
	}
	return []byte(s)
}

// subject returns the decoded subject, shortened to maxSubject characters.
func subject(h mail.Header) string {
	s := h.Get("Subject")
	s = mailtext.Words(s[:min(len(s), 16*maxSubject)])
	if runes := []rune(s); len(runes) > maxSubject {
		s = string(runes[:maxSubject]) + "…"
	}
	return strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
}

// maxSubject is the maximum length of a subject, in characters.
const maxSubject = 1000

// Parts of an address field that is malformed.
var (
	bracketedAddress = regexp.MustCompile(`^([^<>]{0,500})<\s*([^<>\s]{1,320})\s*>`)
	bareAddress      = regexp.MustCompile(`[^\s<>"(),;:@]{1,200}@[^\s<>"(),;:@]{1,255}`)
)

// author returns the first author of a mail: the name and the address, as far as they can
// be read.
func author(h mail.Header) (name, address string) {
	value := h.Get("From")
	value = value[:min(len(value), 4096)]
	if list, err := h.AddressList("From"); err == nil && len(list) > 0 {
		name, address = list[0].Name, list[0].Address
		if !strings.Contains(value, "=?") {
			return name, address
		}
	}
	if m := bracketedAddress.FindStringSubmatch(value); m != nil {
		name = strings.ReplaceAll(strings.Trim(strings.TrimSpace(m[1]), `"'`), `\`, "")
		if address == "" {
			address = m[2]
		}
		return mailtext.Words(name), address
	}
	if address == "" {
		address = bareAddress.FindString(value)
	}
	if address == "" {
		return mailtext.Words(value), ""
	}
	return name, address
}

// writer returns the first author for people.
func writer(h mail.Header) string {
	name, address := author(h)
	name, address = printable(strings.TrimSpace(name)), printable(address)
	if address == "" {
		return name
	}
	return strings.TrimSpace(name + " <" + address + ">")
}
