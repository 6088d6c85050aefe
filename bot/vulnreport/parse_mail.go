package vulnreport

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"html"
	"io"
	"path"
	"regexp"
	"strings"
	"unicode"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // decodes charsets other than UTF-8
	"github.com/emersion/go-message/mail"
	"github.com/microcosm-cc/bluemonday"
)

// Limits for one mail. They bound the cost of a hostile mail.
const (
	maxParts     = 100
	maxNesting   = 10
	maxTextBytes = 64 << 10 // of the whole text and of each text part
	maxFileBytes = 32 << 20 // of an attachment, after decoding its transfer encoding
)

// parsedMail collects the content of one mail.
type parsedMail struct {
	source  *Source
	header  mail.Header // of the outer message, not of an encrypted one
	from    string
	subject string // the protected subject of an encrypted message, otherwise the outer one
	plain   strings.Builder
	html    strings.Builder
	files   []file
	notes   []string // about encryption, signatures and unreadable parts, for the detail of the alert
	parts   int
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

func (l *parsedMail) note(format string, args ...any) {
	if len(l.notes) < 20 {
		l.notes = append(l.notes, strings.ToValidUTF8(fmt.Sprintf(format, args...), "\uFFFD"))
	}
}

// read parses a whole message. If raw is not a mail, read treats it as text.
func (l *parsedMail) read(raw []byte) {
	e, err := message.Read(bytes.NewReader(raw))
	if e == nil {
		l.note("The mail cannot be parsed (%v). Its beginning follows as text.", err)
		l.plain.Write(raw[:min(len(raw), maxTextBytes)])
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
	return strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
}

// walk reads an entity and its children. err is the error from parsing the header of
// e: an entity with an unknown charset or encoding is read undecoded.
func (l *parsedMail) walk(e *message.Entity, err error, depth int) {
	if l.parts++; l.parts > maxParts || depth > maxNesting {
		if l.parts == maxParts+1 || depth == maxNesting+1 {
			l.note("The mail has more parts or deeper nesting than Tocsin reads.")
		}
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
		l.walkParts(e, depth)
	case disposition != "attachment" && (kind == "" || kind == "text/plain"):
		l.addText(l.readPart(e, maxTextBytes))
	case disposition != "attachment" && kind == "text/html":
		l.html.Write(l.readPart(e, maxTextBytes))
	case kind == "application/pgp-encrypted": // only announces the next part
	default:
		l.addFile(e, kind, depth)
	}
}

func (l *parsedMail) walkParts(e *message.Entity, depth int) {
	parts := e.MultipartReader()
	if parts == nil {
		l.note("A part is declared as multipart but has no parts.")
		return
	}
	for l.parts <= maxParts {
		part, err := parts.NextPart()
		if part == nil {
			if !errors.Is(err, io.EOF) {
				l.note("The mail is truncated or malformed: %v.", err)
			}
			return
		}
		l.walk(part, err, depth+1)
	}
}

// readPart returns at most the first n bytes of a part.
func (l *parsedMail) readPart(e *message.Entity, n int64) []byte {
	b, err := io.ReadAll(io.LimitReader(e.Body, n+1))
	if err != nil {
		l.note("A part is truncated or malformed: %v.", err)
	}
	if int64(len(b)) > n {
		l.note("A part is longer than %d bytes. Tocsin reads only its beginning.", n)
		b = b[:n]
	}
	return b
}

// addText appends a text part after decrypting and verifying its PGP blocks.
func (l *parsedMail) addText(text []byte) {
	text = l.openInline(text)
	if l.plain.Len()+len(text) > maxTextBytes {
		text = text[:max(0, maxTextBytes-l.plain.Len())]
	}
	if l.plain.Len() > 0 && len(text) > 0 {
		l.plain.WriteString("\n\n")
	}
	l.plain.Write(bytes.TrimSpace(text))
}

// addFile lists an attachment. If it is encrypted, addFile tries to decrypt it, and
// reads a decrypted MIME message as part of the mail.
func (l *parsedMail) addFile(e *message.Entity, kind string, depth int) {
	header := mail.AttachmentHeader{Header: e.Header}
	filename, err := header.Filename()
	if err != nil || filename == "" {
		filename = "unnamed"
	}
	content := l.readPart(e, maxFileBytes)
	f := file{name: baseName(filename), contentType: printable(kind)}
	if looksEncrypted(filename, content) {
		plain, err := l.source.decrypt(content, l.note)
		if err != nil {
			l.note("%s is encrypted and could not be decrypted: %v.", f.name, err)
		} else if inner, err := message.Read(bytes.NewReader(plain)); inner != nil && inner.Header.Has("Content-Type") {
			if s := subject(mail.Header{Header: inner.Header}); s != "" {
				l.subject = s
			}
			l.walk(inner, err, depth+1)
			return
		} else {
			content, f.decrypted = plain, true
		}
	}
	f.size, f.sum = int64(len(content)), fmt.Sprintf("%x", sha256.Sum256(content))
	l.files = append(l.files, f)
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
