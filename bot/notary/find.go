package notary

import (
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
)

// OpenAll returns the checkpoints in a text with a valid signature, each one once and in the order of the text. The text
// can be a note, a message with a note in it, a mail as it was saved, or lines of a syslog file. It returns [ErrForeign] if there is none.
func (v Verifier) OpenAll(text string) ([]Checkpoint, error) {
	var out []Checkpoint
	known := map[string]bool{}
	for _, one := range append([]string{text}, mailTexts(text)...) {
		for _, candidate := range v.candidates(one) {
			if c, err := v.Open(candidate); err == nil && !known[c.Note] {
				known[c.Note] = true
				out = append(out, c)
			}
		}
	}
	if len(out) == 0 {
		return nil, ErrForeign
	}
	return out, nil
}

// maxCandidates is how many notes of one text are opened.
const maxCandidates = 100

// candidates returns the parts of a text that begin like a note. A quoted note has the text before its first line before
// its other lines too, such as "> ". In a syslog file only the first line has a text before it.
func (v Verifier) candidates(text string) (out []string) {
	lines := strings.Split(storedForms.Replace(text), "\n")
	for n, line := range lines {
		for _, feed := range []string{`\n`, "#012"} { // a message in syslog, on one line
			if at := strings.Index(line, v.verifier.Name()+feed); at >= 0 && len(out) < maxCandidates {
				out = append(out, storedForms.Replace(line[at:]))
			}
		}
		prefix, isStart := strings.CutSuffix(strings.TrimRight(line, " \t"), v.verifier.Name())
		if !isStart || len(out) >= maxCandidates {
			continue
		}
		rest := strings.Join(lines[n+1:], "\n")
		out = append(out, v.verifier.Name()+"\n"+rest[:min(len(rest), maxNote)])
		if prefix == "" {
			continue
		}
		var b strings.Builder
		b.WriteString(v.verifier.Name() + "\n")
		for _, next := range lines[n+1:] {
			unquoted, isQuoted := strings.CutPrefix(next, prefix)
			if !isQuoted && strings.TrimSpace(next) != strings.TrimSpace(prefix) || b.Len() > maxNote {
				break
			}
			if !isQuoted {
				unquoted = ""
			}
			b.WriteString(strings.TrimRight(unquoted, " \t") + "\n")
		}
		out = append(out, b.String())
	}
	return out
}

const (
	maxNote      = 256 << 10 // maximum size of a note in bytes
	maxMailParts = 50
	maxMailDepth = 5
)

// mailTexts returns the decoded text parts of a mail, or nothing if the text is not a mail.
func mailTexts(text string) []string {
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		return nil
	}
	var out []string
	addMailTexts(textproto.MIMEHeader(m.Header), m.Body, maxMailDepth, &out)
	return out
}

func addMailTexts(header textproto.MIMEHeader, body io.Reader, depth int, out *[]string) {
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") && depth > 0 {
		parts := multipart.NewReader(body, params["boundary"])
		for len(*out) < maxMailParts {
			part, err := parts.NextRawPart()
			if err != nil {
				return
			}
			addMailTexts(part.Header, part, depth-1, out)
		}
		return
	}
	switch strings.ToLower(header.Get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	decoded, err := io.ReadAll(io.LimitReader(body, maxNote))
	if err == nil && strings.HasPrefix(kind, "text/") {
		*out = append(*out, string(decoded))
	}
}
