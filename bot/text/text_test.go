package text

import (
	"strings"
	"testing"
	"testing/quick"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                         "plain",
		"a\r\nb\rc\u2028d\u0085e\vf":    "a\nb\nc\nd\ne\nf",
		"a\tb":                          "a b",
		"a\x00b\x1b[31mc\x7fd":          "ab[31mcd",
		"in\u202evoice\u2066.exe\u200f": "invoice.exe",
		"\ufeffa\u061cb":                "ab",
		"broken \xff\xfe":               "broken \ufffd",
		"é and e\u0301 and 👩\u200d🚒":    "é and e\u0301 and 👩\u200d🚒",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	for in, want := range map[string]string{"": "", "  a \n\n b\u00a0c\t": "a b c", "Subject\r\nBcc: x@example.com": "Subject Bcc: x@example.com"} {
		if got := Line(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestTruncate(t *testing.T) {
	for _, test := range []struct {
		in    string
		limit int
		want  string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"ééé", 3, "ééé"}, {"éééé", 3, "éé…"}, {"", 1, ""}, {"ab", 1, "…"},
		{"one two three", 5, "one…"},
		{"xe\u0301abc", 3, "x…"},                                 // not e without its accent
		{"x👩\u200d🚒abc", 4, "x…"},                                // not half of a joined emoji
		{"👍🏽👍🏽", 2, "👍…"},                                        // the first character alone is too long
		{"a" + strings.Repeat("\u0301", 9), 4, "a\u0301\u0301…"}, // one endless character
	} {
		if got := Truncate(test.in, test.limit); got != test.want {
			t.Errorf("%q to %d: got %q, want %q", test.in, test.limit, got, test.want)
		}
	}
}

// hostile returns a text with the characters that the functions handle, from random
// bytes.
func hostile(raw []byte) string {
	pieces := []string{"a", "B ", "é", "e\u0301", "👩\u200d🚒", "👍🏽", "\x00", "\x1b", "\r\n", "\n", "\t", "\u202e", "\u2066", "\u200f", "\u061c", "\ufeff", "\u2028", "\u0085", "\xff", "\xe2\x80", "\u00a0", "日本"}
	var b strings.Builder
	for _, c := range raw {
		b.WriteString(pieces[int(c)%len(pieces)])
	}
	return b.String()
}

// TestProperties checks hostile texts: the results are valid UTF-8 within their limit,
// without control characters and changes of the writing direction, and the functions
// change nothing when they run again.
func TestProperties(t *testing.T) {
	check := func(raw []byte, size uint8) bool {
		s, limit := hostile(raw), int(size)%40+1
		clean, line := Clean(s), Line(s)
		short := Truncate(line, limit)
		for _, got := range []string{clean, line, short} {
			bad := func(r rune) bool { return unicode.Is(unicode.Bidi_Control, r) || unicode.IsControl(r) && r != '\n' }
			if !utf8.ValidString(got) || strings.ContainsFunc(got, bad) {
				t.Errorf("%q: got %q", s, got)
			}
		}
		if strings.ContainsAny(line, "\n") || strings.Contains(line, "  ") || Clean(clean) != clean || Line(line) != line || Truncate(short, limit) != short {
			t.Errorf("%q: got the line %q, shortened to %q", s, line, short)
		}
		if n := utf8.RuneCountInString(short); n > limit {
			t.Errorf("%q: got %d characters, want at most %d", s, n, limit)
		}
		if kept, cut := strings.CutSuffix(short, "…"); cut && !strings.HasPrefix(line, kept) {
			t.Errorf("got %q, want the beginning of %q", short, line)
		}
		return !t.Failed()
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

func FuzzTruncate(f *testing.F) {
	f.Add("xe\u0301abc", 3)
	f.Add("\xff\u202e👩\u200d🚒", 2)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(1, limit)
		got := Truncate(Line(s), limit)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > limit {
			t.Errorf("%q to %d: got %q", s, limit, got)
		}
	})
}

func TestJoin(t *testing.T) {
	type scalar string
	if got := Join(", ", "", "a", "", "b", ""); got != "a, b" {
		t.Errorf("got %q", got)
	}
	if got := Lines(Field("Label", scalar("x")), Field("Empty", scalar("")), "y"); got != "Label: x\ny" {
		t.Errorf("got %q", got)
	}
	if got := Lines[string](); got != "" {
		t.Errorf("got %q for no parts", got)
	}
}

func TestTime(t *testing.T) {
	want := time.Date(2026, 11, 3, 11, 30, 0, 500_000_000, time.UTC)
	for in, ok := range map[string]bool{"2026-11-03T12:30:00.5+01:00": true, "1793705400.5": false, "": false, "yesterday": false} {
		if got := Time("", in); got.Equal(want) != ok || !ok && !got.IsZero() || got.Location() != time.UTC {
			t.Errorf("%q: got %v", in, got)
		}
	}
	for in, ok := range map[string]bool{"2026-11-03T12:30:00.5+01:00": true, "1793705400.5": true, "-1": false, "1e300": false, "NaN": false} {
		if got := Timestamp("x", in); got.Equal(want) != ok || !ok && !got.IsZero() || got.Location() != time.UTC {
			t.Errorf("%q as a timestamp: got %v", in, got)
		}
	}
}

func TestWebURL(t *testing.T) {
	for in, ok := range map[string]bool{"https://a.example/x": true, "http://a": true, "javascript:alert(1)": false, "//a.example": false, "https://": false, "ftp://a": false, "": false, "https://%": false} {
		if got := WebURL("data:x", in); (got == in && in != "") != ok {
			t.Errorf("%q: got %q, want it: %t", in, got, ok)
		}
	}
}

func TestID(t *testing.T) {
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := SHA256("abc"); got != abc {
		t.Errorf("got %s", got)
	}
	if got := Digest([]byte("abc")); got != "sha256:"+abc {
		t.Errorf("got %s", got)
	}
	long := strings.Repeat("a", MaxID+1)
	for id, hashed := range map[string]bool{"abc/1": false, long[1:]: false, long: true, "a\nb": true, "a\xff": true, "a\u202eb": true} {
		if got := ID(id); (got == Digest(id)) != hashed || !hashed && got != id || len(got) > MaxID {
			t.Errorf("%q: got %q, want it hashed: %t", id, got, hashed)
		}
	}
}

func TestFlex(t *testing.T) {
	var got struct{ A, B, C, D, E Flex }
	var number struct{ N int }
	document := []byte(`{"a":"x \u00e9","b":12.50,"c":true,"d":null,"e":{"f":1}}`)
	if err := DecodeJSON(document, &got); err != nil || got.A != "x é" || got.B != "12.50" || got.C != "true" || got.D != "" || got.E != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := DecodeJSON([]byte(`{"n":"text"}`), &number); err != nil || number.N != 0 {
		t.Errorf("a field of another type: got %+v, %v", number, err)
	}
	if err := DecodeJSON([]byte(`{"n":`), &number); err == nil || !strings.HasPrefix(err.Error(), "not JSON: ") {
		t.Errorf("got %v, want that it is not JSON", err)
	}
}
