package text

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"testing/quick"
	"time"
	"unicode"
	"unicode/utf16"
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

func TestTimestamp(t *testing.T) {
	want := time.Date(2026, 11, 3, 11, 30, 0, 500_000_000, time.UTC)
	for _, in := range []string{"2026-11-03T12:30:00.5+01:00", "2026-11-03T12:30:00.500000+0100", "2026-11-03T12:30:00.5+01", "2026-11-03 11:30:00.5Z", "2026-11-03 12:30:00.5 +0100",
		"2026-11-03 11:30:00.5 +0000 UTC", "2026-11-03T11:30:00.5", "2026-11-03t11:30:00.5z", " 1793705400.5 ", "1793705400500", "1793705400500000", "1793705400500000000", "1.7937054005e12", "1.7937054005e9"} {
		if got := Timestamp("x", "", in); !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%q: got %v, want %v", in, got, want)
		}
	}
	for in, want := range map[string]time.Time{"2026-11-03": time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC), "2026-11-03T12:30+01:00": time.Date(2026, 11, 3, 11, 30, 0, 0, time.UTC),
		"Tue, 03 Nov 2026 11:30:00 GMT": time.Date(2026, 11, 3, 11, 30, 0, 0, time.UTC), "Tue, 03 Nov 2026 12:30:00 +0100": time.Date(2026, 11, 3, 11, 30, 0, 0, time.UTC),
		"1793705400123456789": time.Date(2026, 11, 3, 11, 30, 0, 123456789, time.UTC)} {
		if got := Timestamp(in); !got.Equal(want) {
			t.Errorf("%q: got %v, want %v", in, got, want)
		}
	}
	for _, in := range []string{"", "yesterday", "-1", "0", "1e300", "NaN", "inf", "0x10", "12:30", "03/11/2026", "Tue Nov  3 12:30:00 CET 2026", "2026-11-03 12:30:00 CET", "2026-13-01"} {
		if got := Timestamp(in); !got.IsZero() {
			t.Errorf("%q: got %v, want no time", in, got)
		}
	}
}

func FuzzTimestamp(f *testing.F) {
	for _, s := range []string{"2026-11-03 12:30:00 +0100", "1793705400500", "9.2e18", "Tue, 03 Nov 2026 11:30:00 GMT", "0001-01-01T00:00:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := Timestamp(s); !got.IsZero() && (got.Year() < 0 || got.Year() > 9999 || got.Location() != time.UTC) {
			t.Errorf("%q: got %v", s, got)
		}
	})
}

func TestEmptyDocument(t *testing.T) {
	for src, want := range map[string]int{"": 0, "a: 1\n": 0, "---\na: 1\n": 0, "a: 1\n---\n": 0, "a: 1\n---\nb: 2\n---\nc: 3\n": 0, "a: |\n  ---\n  ---\n": 0, "----\n----\n": 0,
		"a: 1\n---\n---\nb: 2\n": 2, "a: 1\n---\n---\n# end\n---\n": 0, "a: 1\n---\n---": 0, "a: 1\n---\n---\n- b\n": 2, "a: 1\n---\n--- b: 2\n": 2, "---\n---\nb: 2": 1, "a: 1\r\n---\r\n\r\n# c\r\n--- # d\r\nb: 2\r\n": 2} {
		if got := EmptyDocument([]byte(src)); got != want {
			t.Errorf("%q: got %d, want %d", src, got, want)
		}
	}
}

func TestUTF8(t *testing.T) {
	const document = `{"a":"é👩"}`
	encode := func(order binary.AppendByteOrder, mark bool) (out []byte) {
		if mark {
			out = order.AppendUint16(out, 0xfeff)
		}
		for _, unit := range utf16.Encode([]rune(document)) {
			out = order.AppendUint16(out, unit)
		}
		return out
	}
	for name, in := range map[string][]byte{"plain": []byte(document), "with a mark": []byte("\ufeff" + document), "UTF-16 LE": encode(binary.LittleEndian, true), "UTF-16 BE": encode(binary.BigEndian, true),
		"UTF-16 LE without a mark": encode(binary.LittleEndian, false), "UTF-16 BE without a mark": encode(binary.BigEndian, false)} {
		before := bytes.Clone(in)
		if got := UTF8(in); string(got) != document || !bytes.Equal(in, before) {
			t.Errorf("%s: got %q, want %q", name, got, document)
		}
	}
	for _, in := range []string{"", "{", "\x00", "\xff\xfe", "\xff\xfe{", "\xff\xfe{\x00}", "a\xffb"} { // the last unit of an odd length is not valid
		if got := UTF8([]byte(in)); len(in)%2 == 1 && string(got) != in {
			t.Errorf("%q: got %q, want it unchanged", in, got)
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

func TestCapital(t *testing.T) {
	for in, want := range map[string]string{"": "", "the mail": "The mail", "états": "États", "10 mails": "10 mails", "\xffx": "\xffx"} {
		if got := Capital(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
