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

// Message is one mail as it was accepted. It is shared between readers: do not
// change what it points to.
type Message struct {
	Seq         int                 `json:"seq"` // from 1, in order of arrival
	At          time.Time           `json:"at"`
	Sender      string              `json:"sender"`     // of the envelope
	Recipients  []string            `json:"recipients"` // of the envelope: also those in Bcc
	From        string              `json:"from"`       // of the header, decoded
	To          []string            `json:"to"`         // of the header: To and Cc, decoded
	Subject     string              `json:"subject"`
	MessageID   string              `json:"message_id"` // without its angle brackets
	Header      map[string][]string `json:"header"`     // as sent, keys in canonical form
	Text        string              `json:"text"`
	HTML        string              `json:"html"`
	Attachments []Attachment        `json:"attachments"`
	Problem     string              `json:"problem,omitempty"` // why the structure could not be read to its end
	Raw         []byte              `json:"-"`
}

// Attachment is any part that is neither the text nor the HTML: files, and
// invitations (text/calendar) wherever they stand.
type Attachment struct {
	Name    string            `json:"name"`
	Type    string            `json:"type"`   // media type in lower case
	Params  map[string]string `json:"params"` // of the type: method, charset, …
	Size    int               `json:"size"`
	Content []byte            `json:"-"`
}

// Calendar returns the message's first invitation or cancellation.
func (m Message) Calendar() (Attachment, bool) {
	for _, a := range m.Attachments {
		if a.Type == "text/calendar" {
			return a, true
		}
	}
	return Attachment{}, false
}

// maxDepth bounds how deep multiparts may nest.
const maxDepth = 10

// Parse reads a message. What is malformed is kept as far as it could be read,
// with the reason in Problem.
func Parse(raw []byte) Message {
	m := Message{Raw: raw, To: []string{}, Attachments: []Attachment{}}
	in, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		m.Problem = fmt.Sprintf("read header: %v", err)
		m.Text = utf8From(raw, "")
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
	if err := m.part(h, in.Body, 0); err != nil {
		m.Problem = err.Error()
	}
	return m
}

func addresses(list string) []string {
	parsed, err := (&mail.AddressParser{WordDecoder: &words}).ParseList(list)
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

// part reads one part into the message, and those inside it.
func (m *Message) part(h textproto.MIMEHeader, body io.Reader, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("read part: nested deeper than %d", maxDepth)
	}
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		kind = "text/plain" // RFC 2045, 5.2
	}
	if strings.HasPrefix(kind, "multipart/") && params["boundary"] != "" {
		return m.parts(multipart.NewReader(body, params["boundary"]), depth)
	}
	content, err := io.ReadAll(transferDecoder(h.Get("Content-Transfer-Encoding"), body))
	disposition, dparams, _ := mime.ParseMediaType(h.Get("Content-Disposition")) // malformed: none
	name := decodeWords(dparams["filename"])
	if name == "" {
		name = decodeWords(params["name"])
	}
	switch {
	case kind == "text/plain" && disposition != "attachment" && name == "":
		m.Text += utf8From(content, params["charset"])
	case kind == "text/html" && disposition != "attachment" && name == "":
		m.HTML += utf8From(content, params["charset"])
	default:
		m.Attachments = append(m.Attachments, Attachment{Name: name, Type: kind, Params: params, Size: len(content), Content: content})
	}
	if err != nil {
		return fmt.Errorf("decode %s: %w", kind, err)
	}
	return nil
}

func (m *Message) parts(r *multipart.Reader, depth int) error {
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read multipart: %w", err)
		}
		if err := m.part(p.Header, p, depth+1); err != nil {
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

var words = mime.WordDecoder{CharsetReader: func(_ string, in io.Reader) (io.Reader, error) { return in, nil }}

func decodeWords(s string) string {
	d, err := words.DecodeHeader(s)
	if err != nil {
		d = s
	}
	return strings.ToValidUTF8(d, "\uFFFD")
}

// utf8From converts what needs no tables and marks what is unreadable.
func utf8From(b []byte, charset string) string {
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
