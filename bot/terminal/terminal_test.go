package terminal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"tocsin/bot/terminal"
)

func TestText_EscapesUnsafeCharacters(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, Zoë, 日本, €, 🚨, ⚠️": "plain text, Zoë, 日本, €, 🚨, ⚠️",
		`C:\Users\x`:                      `C:\Users\x`,
		"it's \"quoted\"":                 "it's \"quoted\"",
		"\x1b]0;title\x07":                `\x1b]0;title\a`,
		"\x1b[2J":                         `\x1b[2J`,
		"\u009b31m":                       `\u009b31m`,
		"\x9b31m":                         `\x9b31m`,
		"\x9d0;t\x9c":                     `\x9d0;t\x9c`,
		"paid\rfree":                      `paid\rfree`,
		"a\bb\x00\x7f\v\f":                `a\bb\x00\x7f\v\f`,
		"\u202egnp.exe\u202c":             `\u202egnp.exe\u202c`,
		"\u2066a\u2069\u200e\u200f\u061c": `\u2066a\u2069\u200e\u200f\u061c`,
		"a\u200bb\u200cc\u200dd\ufeff":    `a\u200bb\u200cc\u200dd\ufeff`,
		"\u2028\u2029\u00ad\u2060\u180e":  `\u2028\u2029\u00ad\u2060\u180e`,
		"\U000e0041\U000e0100\ufe01":      `\U000e0041\U000e0100\ufe01`,
		"\u3164\u115f\u034f":              `\u3164\u115f\u034f`,
		"\xff\xc3":                        `\xff\xc3`,
		"\xed\xa0\x80":                    `\xed\xa0\x80`,
		"row\n\tnext":                     "row\n\tnext",
	} {
		if got := terminal.Text(in); got != want {
			t.Errorf("Text(%q): got %q, want %q", in, got, want)
		}
		wantLine := strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(want)
		if got := terminal.Line(in); got != wantLine {
			t.Errorf("Line(%q): got %q, want %q", in, got, wantLine)
		}
	}
}

func TestWriter_SplitCharacters(t *testing.T) {
	const text = "Zoë 🚨 \x1b[31m \u202e \x9b €"
	for size := 1; size < 6; size++ {
		var out bytes.Buffer
		w := terminal.NewWriter(&out)
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			if got, err := w.Write([]byte(rest[:n])); got != n || err != nil {
				t.Fatalf("got %d, %v, want %d", got, err, n)
			}
			rest = rest[n:]
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if want := terminal.Text(text); out.String() != want {
			t.Errorf("writes of %d bytes: got %q, want %q", size, out.String(), want)
		}
	}
}

func TestWriter_FlushWritesIncompleteCharacter(t *testing.T) {
	var out bytes.Buffer
	w := terminal.NewWriter(&out)
	fmt.Fprint(w, "end\xf0\x9f")
	if err := w.Flush(); err != nil || out.String() != `end\xf0\x9f` {
		t.Errorf("got %q, %v, want the bytes escaped", out.String(), err)
	}
}

// TestJSON_EscapesInvalidBytes escapes bytes that are not UTF-8, because some
// terminals read them as controls. White space remains.
func TestJSON_EscapesInvalidBytes(t *testing.T) {
	for in, want := range map[string]string{
		"{\n\t\"a\": \"\u202e\xff\x9b31m\",\r\n\"b\": \"\ufffd\U000e0041\"}": "{\n\t\"a\": \"\\u202e\\ufffd\\ufffd31m\",\r\n\"b\": \"\ufffd\\udb40\\udc41\"}",
		"\"\x9b31m\"":             "\"\\ufffd31m\"",
		"[\n\t\"Zoë\",\r\n\"€\"]": "[\n\t\"Zoë\",\r\n\"€\"]",
	} {
		if got := string(terminal.JSON([]byte(in))); got != want {
			t.Errorf("JSON(%q): got %q, want %q", in, got, want)
		}
	}
}

// failingWriter fails every write.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWriter_ReturnsErrors(t *testing.T) {
	w := terminal.NewWriter(failingWriter{})
	if err := w.Flush(); err != nil {
		t.Errorf("nothing to flush: got %v, want no error", err)
	}
	if n, err := w.Write([]byte("x")); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %d, %v, want the error of the writer", n, err)
	}
}

func TestWriter_FlushesOnce(t *testing.T) {
	var out bytes.Buffer
	w := terminal.NewWriter(&out)
	fmt.Fprint(w, "\xf0")
	for range 2 {
		if err := w.Flush(); err != nil || out.String() != `\xf0` {
			t.Errorf("got %q, %v, want the byte once", out.String(), err)
		}
	}
}

// FuzzEscape checks that no unsafe character remains, that escaped JSON has equal
// values, and that splitting the text between writes changes nothing.
func FuzzEscape(f *testing.F) {
	f.Add("\x1b]52;c;aGk=\x07 \u202e \x9b \u200b\n", 3)
	f.Add("🏴\U000e0067\U000e0062\r\xed\xa0\x80", 1)
	f.Fuzz(func(t *testing.T, s string, at int) {
		for _, out := range []string{terminal.Line(s), terminal.Text(s)} {
			for _, r := range out {
				if r != '\n' && r != '\t' && (!unicode.IsGraphic(r) || r == utf8.RuneError && !strings.ContainsRune(s, r)) {
					t.Errorf("got %q in %q, want it escaped", r, out)
				}
			}
		}
		if strings.ContainsAny(terminal.Line(s), "\n\t\r") {
			t.Errorf("Line(%q) contains a break", s)
		}
		doc, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		safe := terminal.JSON(doc)
		var before, after string
		if json.Unmarshal(doc, &before) != nil || json.Unmarshal(safe, &after) != nil || before != after {
			t.Errorf("JSON(%s) = %s decodes to %q, want %q", doc, safe, after, before)
		}
		if got := terminal.Text(string(safe)); got != string(safe) {
			t.Errorf("JSON(%s) = %s, want no unsafe character", doc, safe)
		}
		var split bytes.Buffer
		w := terminal.NewWriter(&split)
		at = min(max(at, 0), len(s))
		fmt.Fprint(w, s[:at])
		fmt.Fprint(w, s[at:])
		if err := w.Flush(); err != nil || split.String() != terminal.Text(s) {
			t.Errorf("got %q after a split at %d, want %q", split.String(), at, terminal.Text(s))
		}
	})
}
