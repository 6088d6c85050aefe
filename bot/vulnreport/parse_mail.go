package vulnreport

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/emersion/go-message/mail"

	"tocsin/bot/mailtext"
	"tocsin/bot/text"
)

// parsedMail collects the content of one mail.
type parsedMail struct {
	source   *Source
	budget   *budget
	header   mail.Header // of the outer message, not of an encrypted one
	body     []byte      // of the outer message, as received
	from     string
	subject  string  // the protected subject of an encrypted message, otherwise the outer one
	blocks   []block // the texts, in the order of the mail
	attached string  // text of the first attached text file, for a mail without text
	files    []file
	notes    []string // about encryption, signatures and unreadable parts, for the detail of the alert
}

// block is the text of one part.
type block struct {
	text string
	html bool // written as HTML
}

// file describes an attachment. The alert contains only its name, type, size and hash.
type file struct {
	name, contentType string
	size              int64
	sum               string // "" for a file within winmail.dat, which is not read
	decrypted         bool   // size and hash describe the decrypted content
}

func (f file) String() string {
	if f.sum == "" {
		return fmt.Sprintf("%s (%s)", f.name, f.contentType)
	}
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
	if bytes.HasPrefix(raw, []byte("\xef\xbb\xbf")) || bytes.HasPrefix(raw, []byte("\xff\xfe")) || bytes.HasPrefix(raw, []byte("\xfe\xff")) {
		converted, _ := mailtext.Charset(raw, "")
		raw = []byte(converted)
	}
	if !bytes.ContainsRune(raw, '\n') {
		raw = bytes.ReplaceAll(raw, []byte("\r"), []byte("\n"))
	}
	if trimmed := messageStart(raw); continues(trimmed) {
		raw = trimmed
	}
	p := l.parsePart(raw, maxHeaderBytes)
	l.header, l.body = p.header, p.raw
	l.from, l.subject = writer(l.header), subject(l.header)
	l.walk(p, 0)
}

// walk reads a part and its children.
func (l *parsedMail) walk(p part, depth int) {
	if depth > maxNesting {
		l.budget.parts.Refuse(1)
		return
	}
	if !l.budget.parts.Take(1) {
		return
	}
	switch {
	case p.kind == "multipart/signed":
		l.readSigned(p, depth)
	case strings.HasPrefix(p.kind, "multipart/"):
		l.walkParts(p, depth)
	case p.kind == "message/rfc822", p.kind == "message/global", p.kind == "message/news":
		l.readMessage(p, depth)
	case p.kind == "application/pgp-encrypted": // only announces the next part
	case !p.attached() && isText(p):
		l.readText(p)
	case isCalendar(p.kind):
		l.readText(p)
	default:
		l.addFile(p, depth)
	}
}

func isCalendar(kind string) bool { return kind == "text/calendar" || kind == "application/ics" }

var mediaType = regexp.MustCompile(`^[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+$`)

// isText reports whether a part that is not an attachment contains text. A part with a
// malformed type and without a file name does, unless its bytes are binary.
func isText(p part) bool {
	switch {
	case p.kind == "", p.kind == "text":
		return p.filename() == "" || !isBinary(p.raw)
	case strings.HasPrefix(p.kind, "text/"), p.kind == "message/delivery-status", p.kind == "message/disposition-notification":
		return true
	}
	return p.filename() == "" && !mediaType.MatchString(p.kind) && !isBinary(p.raw)
}

// isBinary reports whether b begins with control characters that texts do not have.
func isBinary(b []byte) bool {
	b = b[:min(len(b), 512)]
	control := 0
	for _, c := range b {
		if c < ' ' && !strings.ContainsRune("\t\n\r\f\x1b", rune(c)) {
			control++
		}
	}
	return control > len(b)/20
}

// walkParts reads the parts of a multipart entity. Without a part that its boundary
// separates, the entity is read by the boundary that it uses, or else as a text.
func (l *parsedMail) walkParts(p part, depth int) {
	first, boundary := len(l.blocks), p.params["boundary"]
	if !l.walkBoundary(p, boundary, depth) {
		if found := findBoundary(p.raw); found != "" && found != boundary && l.walkBoundary(p, found, depth) {
			l.note("A part is declared with a wrong boundary.")
		} else if inner, ok := l.decodedMultipart(p); ok && l.walkBoundary(inner, boundary, depth) {
			l.note("A part is encoded although it has parts.")
		} else {
			l.note("A part is declared as multipart but has no parts. It is read as text.")
			p.kind = "text/plain"
			if looksHTML(p.raw) {
				p.kind = "text/html"
			}
			l.readText(p)
		}
	}
	if p.kind == "multipart/alternative" {
		l.chooseAlternative(first)
	}
}

// decodedMultipart decodes a multipart entity with a transfer encoding, which the
// standard forbids.
func (l *parsedMail) decodedMultipart(p part) (part, bool) {
	if p.transfer() == "" || p.params["boundary"] == "" {
		return p, false
	}
	p.raw = l.inner(p)
	return p, true
}

// inner returns the decoded body of a part that is read as a message, as far as the
// budget allows.
func (l *parsedMail) inner(p part) []byte {
	body, err := io.ReadAll(io.LimitReader(p.body(), l.budget.inner.Left()+1))
	if err != nil {
		l.note("A part is truncated or malformed: %v.", err)
	}
	return body[:l.budget.inner.TakeUpTo(int64(len(body)))]
}

// walkBoundary reads the parts that a boundary separates. It reports false if there is
// none.
func (l *parsedMail) walkBoundary(p part, boundary string, depth int) bool {
	found := false
	for raw, ended := range splitParts(p.raw, boundary) {
		if !found {
			l.readPreamble(p.raw, boundary)
		}
		found = true
		if !ended {
			l.note("The mail is truncated or malformed: the last part has no end.")
		}
		l.walkRaw(raw, p.kind, depth)
	}
	return found
}

// walkRaw parses a part of an entity at depth and reads it.
func (l *parsedMail) walkRaw(raw []byte, parent string, depth int) {
	if l.budget.parts.Left() == 0 || l.budget.header.Left() == 0 {
		l.budget.parts.Refuse(1)
		return
	}
	p := l.parsePart(raw, maxPartHeader)
	if p.kind == "" && parent == "multipart/digest" {
		p.kind = "message/rfc822"
	}
	l.walk(p, depth+1)
}

// readMessage reads a message that was forwarded as an attachment.
func (l *parsedMail) readMessage(p part, depth int) {
	raw := p.raw
	if encoding := strings.ToLower(strings.TrimSpace(p.transfer())); encoding == "base64" || encoding == "quoted-printable" {
		raw = l.inner(p)
	}
	if l.budget.parts.Left() == 0 || l.budget.header.Left() == 0 {
		l.budget.parts.Refuse(1)
		return
	}
	inner := l.parsePart(messageStart(raw), maxPartHeader)
	title := subject(inner.header)
	head := text.Lines("Forwarded message", text.Field("From", writer(inner.header)), text.Field("Date", printable(inner.header.Get("Date"))), text.Field("Subject", title))
	l.appendBlock(block{text: head})
	if l.subject == "" {
		l.subject = title
	}
	l.walk(inner, depth+1)
}

// addFile lists an attachment. If it is encrypted, addFile tries to decrypt it, and
// reads a decrypted MIME message as part of the mail. It never holds the attachment in
// memory, only its decrypted content.
func (l *parsedMail) addFile(p part, depth int) {
	filename := p.filename()
	if filename == "" {
		filename = "unnamed"
	}
	f := file{name: baseName(filename), contentType: cmp.Or(printable(p.kind), "text/plain")}
	if l.readContainer(p, f.name, depth) {
		return
	}
	sum := sha256.New()
	body := bufio.NewReader(io.TeeReader(p.body(), io.MultiWriter(sum, (*counter)(&f.size))))
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
	l.list(f)
}

// list adds a file to the listed attachments.
func (l *parsedMail) list(f file) {
	if len(l.files) == maxFiles {
		l.budget.files++
		return
	}
	l.files = append(l.files, f)
}

// walkDecrypted reads a decrypted MIME message as part of the mail. It reports false
// if plain is not a MIME message.
func (l *parsedMail) walkDecrypted(plain []byte, depth int) bool {
	inner := l.parsePart(plain, maxPartHeader)
	if !inner.header.Has("Content-Type") {
		return false
	}
	if s := subject(inner.header); s != "" {
		l.subject = s
	}
	l.walk(inner, depth+1)
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
