package vulnreport

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"html"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	_ "github.com/emersion/go-message/charset" // decodes charsets other than UTF-8
	"github.com/emersion/go-message/mail"
	"github.com/microcosm-cc/bluemonday"

	"tocsin/bot/bounds"
	"tocsin/bot/text"
)

// parsedMail collects the content of one mail.
type parsedMail struct {
	source  *Source
	budget  *budget
	header  mail.Header // of the outer message, not of an encrypted one
	from    string
	subject string // the protected subject of an encrypted message, otherwise the outer one
	plain   strings.Builder
	html    strings.Builder
	files   []file
	notes   []string // about encryption, signatures and unreadable parts, for the detail of the alert
}

// file describes an attachment. The alert contains only its name, type, size and hash.
type file struct {
	name, contentType string
	size              int64
	sum               string
	decrypted         bool // size and hash describe the decrypted content
}

func (f file) String() string {
	s := fmt.Sprintf("%s (%s, %d bytes, SHA-256 %s)", f.name, f.contentType, f.size, f.sum)
	if f.decrypted {
		s += ", decrypted"
	}
	return s
}

// note adds a sentence to the detail of the alert, once.
func (l *parsedMail) note(format string, args ...any) {
	text := strings.ToValidUTF8(fmt.Sprintf(format, args...), "\uFFFD")
	if len(l.notes) < maxNotes && !slices.Contains(l.notes, text) {
		l.notes = append(l.notes, text)
	}
}

// read parses a whole message. If raw is not a mail, read treats it as text.
func (l *parsedMail) read(raw []byte) {
	e, err := l.parsePart(raw, maxHeaderBytes)
	if e.Entity == nil {
		l.note("The mail cannot be parsed (%v). Its beginning follows as text.", err)
		l.plain.Write(raw[:l.budget.text.TakeUpTo(int64(len(raw)))])
		return
	}
	l.header = mail.Header{Header: e.Header}
	if list, err := l.header.AddressList("From"); err == nil && len(list) > 0 {
		l.from = strings.TrimSpace(printable(list[0].Name) + " <" + printable(list[0].Address) + ">")
	} else {
		l.from = printable(l.header.Get("From"))
	}
	l.subject = subject(l.header)
	l.walk(e, err, 0)
}

func subject(h mail.Header) string {
	s, err := h.Subject()
	if err != nil {
		s = h.Get("Subject")
	}
	if runes := []rune(s[:min(len(s), 4*maxSubject)]); len(runes) > maxSubject {
		s = string(runes[:maxSubject]) + "…"
	}
	return strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
}

// maxSubject is the maximum length of a subject, in characters.
const maxSubject = 1000

// walk reads an entity and its children. err is the error from parsing the header of
// e: an entity with an unknown charset or encoding is read undecoded.
func (l *parsedMail) walk(e part, err error, depth int) {
	if depth > maxNesting {
		l.budget.parts.Refuse(1)
		return
	}
	if !l.budget.parts.Take(1) {
		return
	}
	if err != nil {
		l.note("A part is shown undecoded: %v.", err)
	}
	kind, params, _ := e.Header.ContentType()
	disposition, _, _ := e.Header.ContentDisposition()
	switch {
	case kind == "multipart/signed":
		l.readSigned(e, params["boundary"], depth)
	case strings.HasPrefix(kind, "multipart/"):
		l.walkParts(e, params["boundary"], depth)
	case disposition != "attachment" && (kind == "" || kind == "text/plain"):
		l.addText(l.readText(e, l.budget.text))
	case disposition != "attachment" && kind == "text/html":
		html := l.readText(e, l.budget.html)
		l.budget.html.Take(int64(len(html)))
		l.html.Write(html)
	case kind == "application/pgp-encrypted": // only announces the next part
	default:
		l.addFile(e, kind, depth)
	}
}

func (l *parsedMail) walkParts(e part, boundary string, depth int) {
	found := false
	for raw, ended := range splitParts(e.raw, boundary) {
		found = true
		if !ended {
			l.note("The mail is truncated or malformed: the last part has no end.")
		}
		l.walkRaw(raw, depth)
	}
	if !found {
		l.note("A part is declared as multipart but has no parts.")
	}
}

// walkRaw parses a part of an entity at depth and reads it.
func (l *parsedMail) walkRaw(raw []byte, depth int) {
	if l.budget.parts.Left() == 0 || l.budget.header.Left() == 0 {
		l.budget.parts.Refuse(1)
		return
	}
	e, err := l.parsePart(raw, maxPartHeader)
	if e.Entity == nil {
		l.budget.parts.Take(1)
		l.note("A part of the mail cannot be parsed: %v.", err)
		return
	}
	l.walk(e, err, depth+1)
}

// readText returns the beginning of a text part, as far as the budget allows. It takes
// nothing from the budget except what it leaves out.
func (l *parsedMail) readText(e part, b *bounds.Budget) []byte {
	text, err := io.ReadAll(io.LimitReader(e.Body, b.Left()))
	if err != nil {
		l.note("A part is truncated or malformed: %v.", err)
	}
	if left, _ := io.Copy(io.Discard, e.Body); left > 0 { // an error was noted above
		b.Refuse(left)
	}
	return text
}

// addText appends a text part after decrypting and verifying its PGP blocks.
func (l *parsedMail) addText(text []byte) {
	text = bytes.TrimSpace(l.openInline(text))
	text = text[:l.budget.text.TakeUpTo(int64(len(text)))]
	if l.plain.Len() > 0 && len(text) > 0 {
		l.plain.WriteString("\n\n")
	}
	l.plain.Write(text)
}

// addFile lists an attachment. If it is encrypted, addFile tries to decrypt it, and
// reads a decrypted MIME message as part of the mail. It never holds the attachment in
// memory, only its decrypted content.
func (l *parsedMail) addFile(e part, kind string, depth int) {
	header := mail.AttachmentHeader{Header: e.Header}
	filename, err := header.Filename()
	if err != nil || filename == "" {
		filename = "unnamed"
	}
	f := file{name: baseName(filename), contentType: printable(kind)}
	sum := sha256.New()
	body := bufio.NewReader(io.TeeReader(e.Body, io.MultiWriter(sum, (*counter)(&f.size))))
	if looksEncrypted(filename, body) {
		plain, err := l.decrypt(body)
		if err != nil {
			l.note("%s is encrypted and could not be decrypted: %v.", f.name, err)
		} else if l.walkDecrypted(plain, depth) {
			return
		} else {
			f.size, f.sum, f.decrypted = int64(len(plain)), text.SHA256(plain), true
		}
	}
	if !f.decrypted {
		if _, err := io.Copy(io.Discard, body); err != nil {
			l.note("A part is truncated or malformed: %v.", err)
		}
		f.sum = fmt.Sprintf("%x", sum.Sum(nil))
	}
	if len(l.files) == maxFiles {
		l.budget.files++
		return
	}
	l.files = append(l.files, f)
}

// walkDecrypted reads a decrypted MIME message as part of the mail. It reports false
// if plain is not a MIME message.
func (l *parsedMail) walkDecrypted(plain []byte, depth int) bool {
	inner, err := l.parsePart(plain, maxPartHeader)
	if inner.Entity == nil || !inner.Header.Has("Content-Type") {
		return false
	}
	if s := subject(mail.Header{Header: inner.Header}); s != "" {
		l.subject = s
	}
	l.walk(inner, err, depth+1)
	return true
}

// counter counts the bytes written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// baseName returns the printable last element of a path.
func baseName(s string) string { return printable(path.Base(strings.ReplaceAll(s, `\`, "/"))) }

// printable removes control characters and formatting characters, which can reorder
// text, from s. It shortens s to about 90 characters if it has more than 100.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if runes := []rune(s); len(runes) > 100 {
		s = string(runes[:60]) + "…" + string(runes[len(runes)-30:])
	}
	return s
}

var (
	lineBreakTags = regexp.MustCompile(`(?i)<(br|/p|/div|/tr|/li|/h[1-6]|/pre)\b[^>]*>`)
	stripTags     = bluemonday.StrictPolicy()
	blankLines    = regexp.MustCompile(`\n{3,}`)
)

// text returns the plain text, or the HTML without its tags if there is no plain text.
func (l *parsedMail) text() string {
	s := strings.TrimSpace(l.plain.String())
	if s == "" {
		s = html.UnescapeString(stripTags.Sanitize(lineBreakTags.ReplaceAllString(l.html.String(), "\n")))
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n") // the declared charset may be wrong, or the text truncated
	return strings.TrimSpace(blankLines.ReplaceAllString(s, "\n\n"))
}

var authResult = regexp.MustCompile(`\b(spf|dkim|dmarc)=([a-z]+)`)

// authentication returns the sender checks of the receiving mail server, or "" if
// AuthServID is not configured. A sender can forge Authentication-Results, so only the
// topmost header with the name of the server counts.
func (l *parsedMail) authentication() string {
	if l.source.authServID == "" {
		return ""
	}
	fields := l.header.FieldsByKey("Authentication-Results")
	for fields.Next() {
		value := strings.ToLower(fields.Value())
		server, results, _ := strings.Cut(value, ";")
		if id, _, _ := strings.Cut(strings.TrimSpace(server), " "); id != l.source.authServID {
			continue
		}
		var out []string
		for _, m := range authResult.FindAllStringSubmatch(results, -1) {
			out = append(out, m[1]+" "+m[2])
		}
		return strings.Join(out, ", ")
	}
	return "no result from " + l.source.authServID
}
