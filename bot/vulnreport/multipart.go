package vulnreport

import (
	"bytes"
	"io"
	"iter"
	"regexp"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"

	"tocsin/bot/mailtext"
)

// part is a MIME part: its header, and its body as received, before the transfer encoding
// is decoded.
type part struct {
	header mail.Header
	kind   string            // media type, in lower case and without parameters
	params map[string]string // of the media type
	raw    []byte
}

// transfer returns the declared transfer encoding.
func (p part) transfer() string { return p.header.Get("Content-Transfer-Encoding") }

// attached reports whether the part is declared as an attachment.
func (p part) attached() bool {
	word, _ := mailtext.Params(p.header.Get("Content-Disposition"))
	return word == "attachment"
}

// filename returns the declared name of the file, or "".
func (p part) filename() string {
	_, params := mailtext.Params(p.header.Get("Content-Disposition"))
	if name := params["filename"]; name != "" {
		return name
	}
	return p.params["name"]
}

// body returns a reader of the decoded body, in its original charset. A body with an
// unknown encoding is not decoded.
func (p part) body() io.Reader {
	var h message.Header
	h.Set("Content-Transfer-Encoding", p.transfer())
	e, _ := message.New(h, bytes.NewReader(p.raw))
	return e.Body
}

// boundaryLine matches a line that begins a MIME part, with the header after it.
var boundaryLine = regexp.MustCompile(`(?m)^--([!-~](?:[ -~]{0,199}[!-~])?)[ \t]*\r?\n(?i:content-[a-z-]+[ \t]*:)`)

// findBoundary returns the boundary of a multipart body whose declared boundary is
// missing or wrong, or "".
func findBoundary(body []byte) string {
	if m := boundaryLine.FindSubmatch(body[:min(len(body), maxTextBytes)]); m != nil {
		return string(m[1])
	}
	return ""
}

// readPreamble reads the text before the first boundary. The sentence about MIME that mail
// programs write there is left out.
func (l *parsedMail) readPreamble(body []byte, boundary string) {
	n := bytes.Index(body, []byte("--"+boundary))
	if n > 0 && len(bytes.TrimSpace(body[:n])) > 0 && !preambleSentence.Match(body[:min(n, 1000)]) {
		l.addBlock(body[:n], "text/plain", "", nil)
	}
}

var preambleSentence = regexp.MustCompile(`(?i)multi-?part|\bmime\b|openpgp`)

// splitParts returns the parts of a multipart body, without copying it. The line break
// before a boundary belongs to the boundary. The second value is false for a last part
// without a boundary after it.
func splitParts(body []byte, boundary string) iter.Seq2[[]byte, bool] {
	return func(yield func([]byte, bool) bool) {
		if boundary == "" {
			return
		}
		mark := []byte("--" + boundary)
		start := -1 // of the current part
		for at := 0; at < len(body); {
			found := bytes.Index(body[at:], mark)
			if found < 0 {
				break
			}
			line := at + found
			at = line + len(mark)
			if line > 0 && body[line-1] != '\n' {
				continue // before the rest of the line is searched, which would be quadratic
			}
			rest, _, _ := bytes.Cut(body[at:], []byte("\n"))
			last := bytes.HasPrefix(rest, []byte("--"))
			if len(bytes.TrimSpace(bytes.TrimPrefix(rest, []byte("--")))) > 0 {
				continue // another boundary that begins with this one
			}
			if start >= 0 && !yield(withoutLineBreak(body[start:max(start, line)]), true) || last {
				return
			}
			start = min(at+len(rest)+1, len(body))
			at = start
		}
		if start >= 0 {
			yield(body[start:], false)
		}
	}
}

// withoutLineBreak removes one line break at the end of b.
func withoutLineBreak(b []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
}
