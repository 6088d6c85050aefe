package vulnreport

import (
	"bytes"
	"regexp"
	"strings"

	"tocsin/bot/mailtext"
	"tocsin/bot/text"
)

// readText reads a text part.
func (l *parsedMail) readText(p part) {
	kind := p.kind
	if kind == "" || kind == "text" || !strings.HasPrefix(kind, "text/") {
		if kind = "text/plain"; looksHTML(p.raw) {
			kind = "text/html"
		}
	}
	l.addBlock(p.raw, kind, p.transfer(), p.params)
}

var htmlStart = regexp.MustCompile(`(?i)^\s*(?:<!doctype html|<html|<head|<body|<div|<p>|<meta)`)

func looksHTML(b []byte) bool { return htmlStart.Match(b[:min(len(b), 256)]) }

// addBlock decodes a text and appends it.
func (l *parsedMail) addBlock(raw []byte, kind, transfer string, params map[string]string) {
	html := kind == "text/html" || kind == "application/xhtml+xml"
	limit := l.budget.text
	charset := params["charset"]
	if html {
		limit = l.budget.html
		if charset == "" {
			charset = mailtext.HTMLCharset(raw)
		}
	}
	r := mailtext.Decode(raw, transfer, charset, int(limit.Left()))
	limit.Refuse(int64(r.Unread))
	for _, p := range r.Problems {
		l.note("%s", p)
	}
	s := r.Text
	switch kind {
	case "text/html", "application/xhtml+xml":
		limit.Take(int64(len(s)))
		l.blocks = append(l.blocks, block{text: l.htmlText(s), html: true})
		return
	case "text/calendar", "application/ics":
		s = mailtext.Calendar(s)
	case "text/rtf", "text/richtext", "text/enriched":
		if strings.HasPrefix(strings.TrimSpace(s), `{\rtf`) {
			s = mailtext.RTF([]byte(s), maxTextBytes)
		} else {
			s, _ = mailtext.HTML(strings.ReplaceAll(s, "\n\n", "<br>"))
		}
	default:
		opened := l.openInline([]byte(s))
		if s == string(opened) && strings.EqualFold(params["format"], "flowed") && !bytes.Contains(opened, []byte("-----BEGIN PGP")) {
			opened = []byte(mailtext.Flowed(s, strings.EqualFold(params["delsp"], "yes")))
		}
		s = string(opened)
	}
	l.appendBlock(block{text: s})
}

// htmlText returns the text of an HTML document.
func (l *parsedMail) htmlText(document string) string {
	s, hidden := mailtext.HTML(document)
	if hidden {
		l.note("The HTML hides a text from its reader. That text is not shown.")
	}
	if s == "" && strings.TrimSpace(document) != "" {
		l.note("The HTML has no text to show.")
	}
	return s[:min(len(s), 2*maxTextBytes)]
}

// appendBlock appends a text, as far as the budget allows.
func (l *parsedMail) appendBlock(b block) {
	b.text = strings.TrimSpace(b.text)
	b.text = b.text[:l.budget.text.TakeUpTo(int64(len(b.text)))]
	if b.text != "" {
		l.blocks = append(l.blocks, b)
	}
}

// chooseAlternative removes the HTML of a multipart/alternative entity if its plain text
// has the same words. Texts from first on belong to the entity.
func (l *parsedMail) chooseAlternative(first int) {
	words := map[string]bool{}
	for _, b := range l.blocks[first:] {
		if !b.html {
			for w := range strings.FieldsSeq(b.text) {
				words[w] = true
			}
		}
	}
	kept := l.blocks[:first]
	for _, b := range l.blocks[first:] {
		total, missing := 0, 0
		for w := range strings.FieldsSeq(b.text) {
			if total++; !words[w] {
				missing++
			}
		}
		if !b.html || missing*5 > total {
			kept = append(kept, b)
		}
	}
	l.blocks = kept
}

var blankLines = regexp.MustCompile(`\n{3,}`)

// text returns the text of the mail. A mail that has only attachments has the text of the
// first attached text file.
func (l *parsedMail) text() string {
	var parts []string
	for _, b := range l.blocks {
		parts = append(parts, strings.TrimSpace(b.text))
	}
	s := text.Join("\n\n", parts...)
	if s == "" {
		s = l.attached
	}
	return strings.TrimSpace(blankLines.ReplaceAllString(text.Clean(s), "\n\n"))
}

// readContainer reads the parts of an attachment that contain the text of a person: a
// forwarded message, a winmail.dat file, or an attached text of a mail without another
// one. It reports true if the attachment is read completely. An attachment that Tocsin
// cannot read although it is a message gets a note.
func (l *parsedMail) readContainer(p part, name string, depth int) bool {
	lower := strings.ToLower(name)
	switch {
	case strings.HasSuffix(lower, ".eml") && p.kind != "message/partial":
		raw := l.inner(p)
		if !continues(messageStart(raw)) {
			return false
		}
		p.raw = raw
		p.header.Del("Content-Transfer-Encoding")
		l.readMessage(p, depth)
		return true
	case p.kind == "application/ms-tnef", p.kind == "application/vnd.ms-tnef", lower == "winmail.dat":
		return l.readTNEF(l.inner(p))
	case strings.HasSuffix(p.kind, "pkcs7-mime"):
		if strings.Contains(strings.ToLower(p.params["smime-type"]), "signed") {
			l.note("%s is a message that is signed with S/MIME. Tocsin cannot read it.", name)
		} else {
			l.note("%s is a message that is encrypted or signed with S/MIME. Tocsin cannot read it.", name)
		}
	case strings.HasSuffix(p.kind, "pkcs7-signature"):
		l.note("The S/MIME signature was not verified.")
	case p.kind == "application/vnd.ms-outlook", strings.HasSuffix(lower, ".msg"):
		l.note("%s is a message of Outlook. Tocsin cannot read it.", name)
	case p.kind == "message/partial", p.kind == "message/external-body":
		l.note("The mail has only a part of a message, or a reference to it (%s).", printable(p.kind))
	case strings.HasPrefix(p.kind, "text/") && l.attached == "":
		l.attachText(p)
	}
	return false
}

// attachText remembers the text of an attachment, for a mail without another text.
func (l *parsedMail) attachText(p part) {
	r := mailtext.Decode(p.raw, p.transfer(), p.params["charset"], maxTextBytes)
	switch {
	case strings.HasPrefix(strings.TrimSpace(r.Text), "-----BEGIN PGP"): // decrypted below
	case p.kind == "text/html":
		l.attached, _ = mailtext.HTML(r.Text)
	default:
		l.attached = r.Text
	}
}

// readTNEF reads a winmail.dat file. It reports false if b is none.
func (l *parsedMail) readTNEF(b []byte) bool {
	if !mailtext.IsTNEF(b) {
		l.note("A winmail.dat file cannot be read.")
		return false
	}
	m := mailtext.TNEF(b, int(max(l.budget.text.Left(), 1)))
	for _, p := range m.Problems {
		l.note("%s", p)
	}
	if l.subject == "" {
		l.subject = m.Subject
	}
	l.appendBlock(block{text: m.Text})
	for _, name := range m.Files {
		l.list(file{name: baseName(name), contentType: "in winmail.dat"})
	}
	if m.Text == "" {
		l.note("A winmail.dat file has no text that Tocsin can read.")
	}
	return true
}
