package vulnreport

import (
	"bufio"
	"bytes"
	"fmt"
	"iter"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"
)

// part is a MIME part: its parsed header, and its body as received, before the
// transfer encoding is decoded.
type part struct {
	*message.Entity
	raw []byte
}

// parsePart parses the header of raw. limit bounds the bytes of the header. A longer
// header is cut after a line, and parsePart reports it to the budget. The returned
// part has no entity if the header is malformed. The error can also be an unknown
// charset or encoding, and then the body is undecoded.
func (l *parsedMail) parsePart(raw []byte, limit int64) (part, error) {
	head, body := splitHeader(raw)
	size := int64(len(head))
	n := l.budget.header.TakeUpTo(min(size, limit))
	l.budget.header.Refuse(max(0, size-limit))
	if n < size {
		head = head[:bytes.LastIndexByte(head[:n], '\n')+1]
	}
	h, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(append(bytes.Clone(head), "\r\n"...))))
	if err != nil {
		return part{}, fmt.Errorf("read header: %w", err)
	}
	e, err := message.New(message.Header{Header: h}, bytes.NewReader(body))
	return part{e, body}, err
}

// splitHeader splits a part at its first empty line. Without an empty line the whole
// part is a header.
func splitHeader(raw []byte) (head, body []byte) {
	for at := 0; at < len(raw); {
		end := bytes.IndexByte(raw[at:], '\n')
		if end < 0 {
			break
		}
		if line := raw[at : at+end]; len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return raw[:at], raw[at+end+1:]
		}
		at += end + 1
	}
	return raw, nil
}

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
