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
	_ "github.com/emersion/go-message/charset" // mails come in the charsets of the whole world
	"github.com/emersion/go-message/mail"
	"github.com/microcosm-cc/bluemonday"
)

// Bounds of what is read of one mail. A hostile one costs no more.
const (
	maxParts   = 100
	maxNesting = 10
	maxText    = 64 << 10 // bytes of the text, and of each part that may be one
	maxFile    = 32 << 20 // bytes of an attachment, after its transfer encoding
)

// parsedMail is a mail while it is read.
type parsedMail struct {
	source  *Source
	header  mail.Header // of the outer message
	from    string
	subject string // the protected one, where there is one
	plain   strings.Builder
	html    strings.Builder
	files   []file
	notes   []string // what a reader must know: about encryption, signatures, what could not be read
	parts   int
}

// file is an attachment. Only its name, size and hash leave the stored mail.
type file struct {
	name, kind string
	size       int64
	sum        string
	sealed     bool // it was encrypted; size and hash are those of the content
}

func (f file) String() string {
	s := fmt.Sprintf("%s (%s, %d bytes, SHA-256 %s)", f.name, f.kind, f.size, f.sum)
	if f.sealed {
		s += ", decrypted"
	}
	return s
}

func (l *parsedMail) note(format string, args ...any) {
	if len(l.notes) < 20 {
		l.notes = append(l.notes, strings.ToValidUTF8(fmt.Sprintf(format, args...), "\uFFFD"))
	}
}

// read reads a whole message. One that is no mail is read as a text.
func (l *parsedMail) read(raw []byte) {
	e, err := message.Read(bytes.NewReader(raw))
	if e == nil {
		l.note("The mail cannot be read (%v); this is how it begins.", err)
		l.plain.Write(raw[:min(len(raw), maxText)])
		return
	}
	l.header = mail.Header{Header: e.Header}
	if list, err := l.header.AddressList("From"); err == nil && len(list) > 0 {
		l.from = strings.TrimSpace(visible(list[0].Name) + " <" + visible(list[0].Address) + ">")
	} else {
		l.from = visible(l.header.Get("From"))
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

// walk reads one entity and those inside it. err is what reading its header
// said: an unknown charset or encoding is read as it stands.
func (l *parsedMail) walk(e *message.Entity, err error, depth int) {
	if l.parts++; l.parts > maxParts || depth > maxNesting {
		if l.parts == maxParts+1 || depth == maxNesting+1 {
			l.note("The mail has more parts, or deeper ones, than are read.")
		}
		return
	}
	if err != nil {
		l.note("A part is shown as it stands: %v.", err)
	}
	kind, params, _ := e.Header.ContentType()
	disposition, _, _ := e.Header.ContentDisposition()
	switch {
	case kind == "multipart/signed":
		l.signed(e, params["boundary"], depth)
	case strings.HasPrefix(kind, "multipart/"):
		l.children(e, depth)
	case disposition != "attachment" && (kind == "" || kind == "text/plain"):
		l.paragraph(l.readPart(e, maxText))
	case disposition != "attachment" && kind == "text/html":
		l.html.Write(l.readPart(e, maxText))
	case kind == "application/pgp-encrypted": // only says that the next part is
	default:
		l.file(e, kind, depth)
	}
}

func (l *parsedMail) children(e *message.Entity, depth int) {
	parts := e.MultipartReader()
	if parts == nil {
		l.note("A part says it has several and has none.")
		return
	}
	for l.parts <= maxParts {
		part, err := parts.NextPart()
		if part == nil {
			if !errors.Is(err, io.EOF) {
				l.note("The mail is cut off or broken: %v.", err)
			}
			return
		}
		l.walk(part, err, depth+1)
	}
}

// readPart reads at most n bytes of a part.
func (l *parsedMail) readPart(e *message.Entity, n int64) []byte {
	b, err := io.ReadAll(io.LimitReader(e.Body, n+1))
	if err != nil {
		l.note("A part is cut off or broken: %v.", err)
	}
	if int64(len(b)) > n {
		l.note("A part is longer than %d bytes; the beginning is read.", n)
		b = b[:n]
	}
	return b
}

// paragraph adds a text, with what is encrypted or signed inside it opened.
func (l *parsedMail) paragraph(text []byte) {
	text = l.inline(text)
	if l.plain.Len()+len(text) > maxText {
		text = text[:max(0, maxText-l.plain.Len())]
	}
	if l.plain.Len() > 0 && len(text) > 0 {
		l.plain.WriteString("\n\n")
	}
	l.plain.Write(bytes.TrimSpace(text))
}

// file lists an attachment; one that is encrypted to us is opened.
func (l *parsedMail) file(e *message.Entity, kind string, depth int) {
	disposed := mail.AttachmentHeader{Header: e.Header}
	title, err := disposed.Filename()
	if err != nil || title == "" {
		title = "unnamed"
	}
	content := l.readPart(e, maxFile)
	f := file{name: base(title), kind: visible(kind)}
	if looksEncrypted(title, content) {
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
			content, f.sealed = plain, true
		}
	}
	f.size, f.sum = int64(len(content)), fmt.Sprintf("%x", sha256.Sum256(content))
	l.files = append(l.files, f)
}

// base is a file name that is only a name, and no path.
func base(s string) string { return visible(path.Base(strings.ReplaceAll(s, `\`, "/"))) }

// visible is a text without what nobody sees: controls, and characters that
// reorder the others.
func visible(s string) string {
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
	breaks   = regexp.MustCompile(`(?i)<(br|/p|/div|/tr|/li|/h[1-6]|/pre)\b[^>]*>`)
	strip    = bluemonday.StrictPolicy()
	newlines = regexp.MustCompile(`\n{3,}`)
)

// text is what the reporter wrote: the plain text, or the HTML without its tags.
func (l *parsedMail) text() string {
	s := strings.TrimSpace(l.plain.String())
	if s == "" {
		s = html.UnescapeString(strip.Sanitize(breaks.ReplaceAllString(l.html.String(), "\n")))
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n") // a charset that is not the one it says, or a text that was cut
	return strings.TrimSpace(newlines.ReplaceAllString(s, "\n\n"))
}

var checks = regexp.MustCompile(`\b(spf|dkim|dmarc)=([a-z]+)`)

// authentication is what our own server found out about the sender. Anybody can
// write such a header; ours is the topmost that bears our server's name.
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
		for _, m := range checks.FindAllStringSubmatch(results, -1) {
			out = append(out, m[1]+" "+m[2])
		}
		return strings.Join(out, ", ")
	}
	return "none by " + l.source.authServID
}
