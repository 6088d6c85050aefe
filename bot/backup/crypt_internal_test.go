package backup

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
)

// newFile writes identities to a file and returns it with the recipients.
func newFile(t *testing.T, ids ...interface{ String() string }) string {
	t.Helper()
	text := ""
	for _, id := range ids {
		text += id.String() + "\n"
	}
	file := filepath.Join(t.TempDir(), "identity.txt")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func encrypt(t *testing.T, content string, recipients ...string) []byte {
	t.Helper()
	list, err := parseRecipients(recipients)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, list...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestDecrypt(t *testing.T) {
	one, _ := age.GenerateX25519Identity()
	two, _ := age.GenerateX25519Identity()
	other, _ := age.GenerateX25519Identity()
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("content ", 20000)
	for name, raw := range map[string][]byte{"X25519": encrypt(t, content, one.Recipient().String(), two.Recipient().String()), "post-quantum": encrypt(t, content, hybrid.Recipient().String())} {
		ids, err := LoadIdentities(newFile(t, two, hybrid))
		if err != nil {
			t.Fatal(err)
		}
		r, err := decrypt(bytes.NewReader(raw), ids)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != content {
			t.Errorf("%s: got %d bytes, %v", name, len(got), err)
		}
		for _, n := range []int{0, 10, 100, len(raw) / 2, len(raw) - 1} {
			damaged := map[string][]byte{"truncated": raw[:n], "altered": append(append(bytes.Clone(raw[:n]), raw[n]^1), raw[n+1:]...)}
			for kind, b := range damaged {
				r, err := decrypt(bytes.NewReader(b), ids)
				if err == nil {
					_, err = io.ReadAll(r)
				}
				if err == nil {
					t.Errorf("%s, %s at %d: no error", name, kind, n)
				}
			}
		}
	}
	ids, err := LoadIdentities(newFile(t, other))
	if err != nil {
		t.Fatal(err)
	}
	_, err = decrypt(bytes.NewReader(encrypt(t, "x", one.Recipient().String(), two.Recipient().String())), ids)
	for _, want := range []string{recipientName(one.Recipient().String()) + "…", recipientName(two.Recipient().String()) + "…", recipientName(other.Recipient().String()) + "…", ids.file, "Use an identity of one of these recipients"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	plain, err := age.Decrypt(bytes.NewReader(encrypt(t, "x", one.Recipient().String())), one)
	if err != nil || plain == nil {
		t.Errorf("another program of age cannot open a backup: %v", err)
	}
}

func TestLoadIdentities_Problems(t *testing.T) {
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "identity.txt")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for text, want := range map[string]string{"age-encryption.org/v1\n": "is encrypted with a passphrase", "AGE-SECRET-KEY-1SECRETTEXT": "is not an age identity", "": "is not an age identity"} {
		if _, err := LoadIdentities(write(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "SECRETTEXT") {
			t.Errorf("%q: got %v, want %q without the key", text, err, want)
		}
	}
}

// FuzzParseKey checks that keys which can be parsed are the keys of their objects.
func FuzzParseKey(f *testing.F) {
	f.Add("daily/20261130T000000Z-3f2a-0123456789abcdef0123456789abcdef.tocsin.age")
	f.Add("daily/../20261130T000000Z-3f2a-0123456789abcdef0123456789abcdef.tocsin.age")
	f.Fuzz(func(t *testing.T, key string) {
		if o, ok := parseKey(key); ok && (o.Key() != key || !filepath.IsLocal(key)) {
			t.Errorf("got %s for %q", o.Key(), key)
		}
		parseSmallKey(key)
	})
}

// FuzzDecrypt checks that no input panics or opens without its identity.
func FuzzDecrypt(f *testing.F) {
	one, _ := age.GenerateX25519Identity()
	f.Add([]byte("age-encryption.org/v1\n-> tocsin-recipient age1\n\n---"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := decrypt(bytes.NewReader(raw), Identities{list: []age.Identity{one}}); err == nil {
			t.Error("got no error")
		}
	})
}
