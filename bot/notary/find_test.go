package notary

import (
	"bytes"
	"encoding/base64"
	"errors"
	"mime/quotedprintable"
	"strings"
	"testing"
)

func TestOpenAll_FindsNotesInTexts(t *testing.T) {
	key := testKey(t, 1)
	signed := mustSign(t, key)
	later := example
	later.Size = 9
	second, err := key.Sign(later)
	if err != nil {
		t.Fatal(err)
	}
	var quoted bytes.Buffer
	w := quotedprintable.NewWriter(&quoted)
	_, _ = w.Write([]byte("Checkpoint:\r\n\r\n" + strings.ReplaceAll(signed, "\n", "\r\n") + "\r\nEnd"))
	_ = w.Close()
	prefixed := func(prefix string) string {
		return prefix + strings.ReplaceAll(strings.TrimSuffix(signed, "\n"), "\n", "\n"+prefix) + "\n"
	}
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"the note":                {signed, 1},
		"two notes":               {"first\n" + signed + "\nsecond\n" + second.Note, 2},
		"one note twice":          {signed + "\n" + signed, 1},
		"quoted in a mail":        {"On Monday they wrote:\n" + prefixed("> ") + "Bye", 1},
		"quote without spaces":    {strings.ReplaceAll(prefixed("> "), "> \n", ">\n"), 1},
		"indented":                {prefixed("    "), 1},
		"quoted-printable":        {"Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted.String(), 1},
		"base64":                  {"Subject: x\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(signed)), 1},
		"a part of a mail":        {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted.String() + "\r\n--b--\r\n", 1},
		"line of a syslog file":   {"<109>1 2026-11-30T03:04:05Z host tocsin 7 checkpoint - " + strings.ReplaceAll(signed, "\n", `\n`) + "\n<109>1 2026-11-30T04:04:05Z host tocsin 7 checkpoint - " + strings.ReplaceAll(second.Note, "\n", `\n`) + "\n", 2},
		"with a foreign one":      {mustSign(t, testKey(t, 2)) + "\n" + signed, 1},
		"only foreign":            {mustSign(t, testKey(t, 2)), 0},
		"cut before the end":      {signed[:len(signed)-20], 0},
		"nothing":                 {"hello", 0},
		"mail without a boundary": {"Content-Type: multipart/mixed\r\n\r\nx", 0},
	} {
		got, err := key.Verifier().OpenAll(c.text)
		if len(got) != c.want || (c.want == 0) != errors.Is(err, ErrForeign) {
			t.Errorf("%s: got %d checkpoints, %v, want %d", name, len(got), err, c.want)
		}
	}
}

func FuzzOpenAll(f *testing.F) {
	key := testKey(f, 1)
	signed, err := key.Sign(example)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + signed.Note + "\r\n--b--\r\n")
	f.Add("> " + signed.Note)
	f.Fuzz(func(t *testing.T, text string) {
		found, _ := key.Verifier().OpenAll(text)
		for _, c := range found {
			if c.text() != example.withOrigin(key).text() {
				t.Errorf("opened another checkpoint: %+v", c)
			}
		}
	})
}
