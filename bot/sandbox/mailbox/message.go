package mailbox

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"time"
)

// Message is an accepted mail. Readers share its slices and maps and must not
// change them.
type Message struct {
	Seq         int                 `json:"seq"` // from 1, in order of arrival
	At          time.Time           `json:"at"`
	Sender      string              `json:"sender"`     // from the envelope
	Recipients  []string            `json:"recipients"` // from the envelope, including Bcc
	From        string              `json:"from"`       // from the header, decoded
	To          []string            `json:"to"`         // from the header (To and Cc), decoded
	Subject     string              `json:"subject"`
	MessageID   string              `json:"message_id"` // without angle brackets
	Header      map[string][]string `json:"header"`     // as sent, with canonical keys
	Text        string              `json:"text"`
	HTML        string              `json:"html"`
	Attachments []Attachment        `json:"attachments"`
	Problem     string              `json:"problem,omitempty"` // parse error, if the structure is malformed
	Raw         []byte              `json:"-"`
}

// Attachment is a part other than the text and the HTML body. It is a file or
// an invitation (text/calendar).
type Attachment struct {
	Name    string            `json:"name"`
	Type    string            `json:"type"`   // media type in lower case
	Params  map[string]string `json:"params"` // of the media type, for example method and charset
	Size    int               `json:"size"`
	Content []byte            `json:"-"`
}

// Calendar returns the first text/calendar attachment and whether there is one.
func (m Message) Calendar() (Attachment, bool) {
	for _, a := range m.Attachments {
		if a.Type == "text/calendar" {
			return a, true
		}
	}
	return Attachment{}, false
}

// maxDepth limits the nesting of multiparts.
const maxDepth = 10

// Parse parses a message. It never fails: for a malformed message it returns
// the parts before the error and sets Problem.
func Parse(raw []byte) Message {
	m := Message{Raw: raw, To: []string{}, Attachments: []Attachment{}}
	in, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		m.Problem = fmt.Sprintf("read header: %v", err)
		m.Text = toUTF8(raw, "")
		return m
	}
	h := textproto.MIMEHeader(in.Header)
	m.Header = h
	m.From = decodeWords(h.Get("From"))
	m.Subject = decodeWords(h.Get("Subject"))
	m.MessageID = strings.Trim(strings.TrimSpace(h.Get("Message-Id")), "<>")
	for _, key := range []string{"To", "Cc"} {
		for _, list := range h[key] {
			m.To = append(m.To, addresses(list)...)
		}
	}
	if err := m.readPart(h, in.Body, 0); err != nil {
		m.Problem = err.Error()
	}
	return m
}

func addresses(list string) []string {
	parsed, err := (&mail.AddressParser{WordDecoder: &wordDecoder}).ParseList(list)
	if err != nil {
		return []string{decodeWords(list)}
	}
	out := make([]string, len(parsed))
	for i, a := range parsed {
		out[i] = a.Address
		if a.Name != "" {
			out[i] = a.Name + " <" + a.Address + ">"
		}
	}
	return out
}

// readPart adds one part, and the parts nested in it, to the message.
func (m *Message) readPart(h textproto.MIMEHeader, body io.Reader, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("read part: nested deeper than %d", maxDepth)
	}
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		kind = "text/plain" // the default type of RFC 2045, section 5.2
	}
	if strings.HasPrefix(kind, "multipart/") && params["boundary"] != "" {
		return m.readMultipart(multipart.NewReader(body, params["boundary"]), depth)
	}
	content, err := io.ReadAll(transferDecoder(h.Get("Content-Transfer-Encoding"), body))
	disposition, dparams, _ := mime.ParseMediaType(h.Get("Content-Disposition")) // an invalid header counts as absent
	name := decodeWords(dparams["filename"])
	if name == "" {
		name = decodeWords(params["name"])
	}
	switch {
	case kind == "text/plain" && disposition != "attachment" && name == "":
		m.Text += toUTF8(content, params["charset"])
	case kind == "text/html" && disposition != "attachment" && name == "":
		m.HTML += toUTF8(content, params["charset"])
	default:
		m.Attachments = append(m.Attachments, Attachment{Name: name, Type: kind, Params: params, Size: len(content), Content: content})
	}
	if err != nil {
		return fmt.Errorf("decode %s: %w", kind, err)
	}
	return nil
}

func (m *Message) readMultipart(r *multipart.Reader, depth int) error {
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read multipart: %w", err)
		}
		if err := m.readPart(p.Header, p, depth+1); err != nil {
			return err
		}
	}
}

func transferDecoder(encoding string, r io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	default:
		return r
	}
}

var wordDecoder = mime.WordDecoder{CharsetReader: func(_ string, in io.Reader) (io.Reader, error) { return in, nil }}

func decodeWords(s string) string {
	d, err := wordDecoder.DecodeHeader(s)
	if err != nil {
		d = s
	}
	return strings.ToValidUTF8(d, "\uFFFD")
}

// toUTF8 decodes ISO-8859-1 and treats every other charset as UTF-8. It
// replaces invalid bytes with U+FFFD.
func toUTF8(b []byte, charset string) string {
	switch strings.ToLower(charset) {
	case "iso-8859-1", "latin1":
		r := make([]rune, len(b))
		for i, c := range b {
			r[i] = rune(c)
		}
		return string(r)
	default:
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
}
