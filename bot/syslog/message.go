package syslog

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"
)

// Severity is the severity of a message. Smaller numbers are more severe.
type Severity int

// The severities that Tocsin uses.
const (
	Warning       Severity = 4
	Notice        Severity = 5
	Informational Severity = 6
)

// facility is the number of "log audit".
const facility = 13

// Message is one message.
type Message struct {
	At       time.Time
	Severity Severity
	Host     string // host name of the sender, see [Host]
	ID       string // kind of the message
	// Data are the parameters of the structured data, as pairs of a name and a value.
	Data [][2]string
	Text string
}

// dataID names the structured data. The number is the one that RFC 5612 reserves for
// software without a number of its own.
const dataID = "tocsin@32473"

// String returns the message without a frame. It can contain line feeds if its text
// does.
func (m Message) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "<%d>1 %s %s tocsin - %s ", facility*8+int(m.Severity), m.At.UTC().Format("2006-01-02T15:04:05.000000Z"), name(m.Host, 255), name(m.ID, 32))
	if len(m.Data) == 0 {
		b.WriteByte('-')
	} else {
		b.WriteString("[" + dataID)
		for _, pair := range m.Data {
			fmt.Fprintf(&b, " %s=\"%s\"", name(pair[0], 32), escapeValue.Replace(strings.ToValidUTF8(pair[1], "\uFFFD")))
		}
		b.WriteByte(']')
	}
	if m.Text != "" {
		b.WriteString(" " + strings.ToValidUTF8(m.Text, "\uFFFD"))
	}
	return b.String()
}

// Line returns the message as one line without its line feed. Control characters in it
// are replaced by spaces.
func (m Message) Line() string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, m.String())
}

// escapeValue escapes the characters with a meaning in the value of a parameter.
var escapeValue = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

// name returns a field of the header: printable ASCII without spaces, or "-".
func name(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune(`="]`, r) {
			return '_'
		}
		return r
	}, s)
	return cmp.Or(s[:min(len(s), limit)], "-")
}

// Host returns the name of this machine, or "" if it has none.
func Host() string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	return host
}
