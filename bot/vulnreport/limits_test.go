package vulnreport_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"tocsin/bot/vulnreport"
)

func TestSplitParts(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       []string
		ended      bool
	}{
		{"two parts", "preamble\r\n--b\r\none\r\n--b\r\ntwo\r\n--b--\r\nepilogue\r\n--b\r\nno", []string{"one", "two"}, true},
		{"line feeds", "--b\none\n--b\ntwo\n--b--\n", []string{"one", "two"}, true},
		{"spaces after the boundary", "--b \t\r\none\r\n--b-- \r\n", []string{"one"}, true},
		{"empty lines belong to the part", "--b\r\n\r\none\r\n\r\n--b--", []string{"\r\none\r\n"}, true},
		{"empty part", "--b\r\n--b\r\n\r\n--b--", []string{"", ""}, true},
		{"longer boundary", "--b\r\none\r\n--bc\r\ntwo\r\n--b--", []string{"one\r\n--bc\r\ntwo"}, true},
		{"boundary inside a line", "--b\r\none --b\r\n--b--", []string{"one --b"}, true},
		{"no end", "--b\r\none\r\n--b\r\ntwo", []string{"one", "two"}, false},
		{"no boundary", "text", nil, false},
		{"only the end", "--b--", nil, false},
	} {
		got, ended := vulnreport.SplitParts(tt.body, "b")
		if !slices.Equal(got, tt.want) || ended != tt.ended {
			t.Errorf("%s: got %q, ended %v; want %q, %v", tt.name, got, ended, tt.want, tt.ended)
		}
	}
	if got, _ := vulnreport.SplitParts("--\r\nx\r\n----", ""); got != nil {
		t.Errorf("without a boundary: got %q, want no part", got)
	}
}

func FuzzSplitParts(f *testing.F) {
	f.Add("--b\r\none\r\n--b--", "b")
	f.Add("--b\nx\n--b \t\n--b--", "b")
	f.Fuzz(func(t *testing.T, body, boundary string) {
		parts, _ := vulnreport.SplitParts(body, boundary)
		size := 0
		for _, p := range parts {
			size += len(p)
			if !strings.Contains(body, p) {
				t.Fatalf("got part %q, which is not in %q", p, body)
			}
		}
		if size > len(body) {
			t.Fatalf("got %d bytes of parts, want at most %d", size, len(body))
		}
	})
}

func TestCheckPackets(t *testing.T) {
	literal := []byte{0xCB, 8, 'b', 0, 0, 0, 0, 0, 'h', 'i'}
	legacy := []byte{0xAC, 8, 'b', 0, 0, 0, 0, 0, 'h', 'i'}
	partial := []byte{0xCB, 0xE2, 'b', 0, 0, 0, 4, 0, 0, 'h', 'i'}
	signature := []byte{0xC2, 1, 4}
	for name, tt := range map[string]struct {
		packets []byte
		want    string
	}{
		"literal":                  {literal, ""},
		"legacy length":            {legacy, ""},
		"indeterminate length":     {[]byte{0xAF, 'b', 0, 0, 0, 0, 0, 'h', 'i'}, ""},
		"partial length":           {partial, ""},
		"signed":                   {slices.Concat([]byte{0xC4, 1, 3}, literal, signature), ""},
		"empty":                    {nil, "has 0 texts"},
		"two literals":             {slices.Concat(literal, literal), "has 2 texts"},
		"encrypted":                {slices.Concat(literal, []byte{0xD2, 1, 1}), "packet of type 18"},
		"session key":              {slices.Concat([]byte{0xC1, 1, 3}, literal), "packet of type 1"},
		"compressed":               {slices.Concat([]byte{0xC8, 1, 0}, literal), "packet of type 8"},
		"many signatures":          {append(slices.Clone(literal), bytes.Repeat(signature, 16)...), "more encrypted content"},
		"not a packet":             {[]byte("text"), "malformed"},
		"truncated":                {literal[:5], "malformed"},
		"truncated length":         {[]byte{0xCB, 0xFF, 0, 0}, "malformed"},
		"truncated legacy length":  {[]byte{0xAE, 0, 0}, "malformed"},
		"truncated partial length": {[]byte{0xCB, 0xE1, 'b'}, "malformed"},
		"length of 4 GiB":          {[]byte{0xCB, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 'b'}, "malformed"},
	} {
		err := vulnreport.CheckPackets(tt.packets)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got error %v, want %q", name, err, tt.want)
		}
	}
}

// A message to a hidden recipient, or to many, is decrypted within the limits.
func TestDecode_PGPRecipients(t *testing.T) {
	recipient := entity(t, "security")
	s := sourceAt(t, vulnreport.Config{Keys: []vulnreport.Key{privateKey(t, recipient, "")}}, pgpConfig.Time)
	message := func(before int, hidden bool) string {
		return armored(t, openpgp.MessageType, func(b *bytes.Buffer) error {
			key := bytes.Repeat([]byte{7}, 16)
			for n := range before {
				k, _ := entity(t, fmt.Sprint("other", n)).EncryptionKey(now)
				if err := packet.SerializeEncryptedKey(b, k.PublicKey, packet.CipherAES128, key, pgpConfig); err != nil {
					return err
				}
			}
			k, _ := recipient.EncryptionKey(now)
			if err := packet.SerializeEncryptedKeyAEADwithHiddenOption(b, k.PublicKey, packet.CipherAES128, false, key, hidden, pgpConfig); err != nil {
				return err
			}
			w, err := packet.SerializeSymmetricallyEncrypted(b, packet.CipherAES128, false, packet.CipherSuite{}, key, pgpConfig)
			if err != nil {
				return err
			}
			_, _ = w.Write([]byte{0xCB, 18, 'b', 0, 0, 0, 0, 0, 'T', 'h', 'e', ' ', 'f', 'i', 'n', 'd', 'i', 'n', 'g', '.'})
			return w.Close()
		})
	}
	for name, raw := range map[string]string{"hidden": message(0, true), "many others": message(30, false), "hidden with others": message(10, true)} {
		got := decode(t, s, mail("Subject: x", "", raw))
		if !strings.Contains(got.Detail, "The finding.") {
			t.Errorf("%s: got detail\n%s\nwant the finding", name, got.Detail)
		}
	}
}

// TestDecode_PGPChangedContent changes one byte of an encrypted message. The changed
// text must not appear.
func TestDecode_PGPChangedContent(t *testing.T) {
	recipient := entity(t, "security")
	s := sourceAt(t, vulnreport.Config{Keys: []vulnreport.Key{privateKey(t, recipient, "")}}, pgpConfig.Time)
	for _, at := range []int{-1, -10, -30} {
		raw := armored(t, openpgp.MessageType, func(b *bytes.Buffer) error {
			w, err := openpgp.Encrypt(b, []*openpgp.Entity{recipient}, nil, nil, pgpConfig)
			if err != nil {
				return err
			}
			_, _ = w.Write([]byte("The finding."))
			if err := w.Close(); err != nil {
				return err
			}
			b.Bytes()[b.Len()+at] ^= 1
			return nil
		})
		got := decode(t, s, mail("Subject: x", "", raw))
		checkDetail(t, got, "could not be decrypted")
		if strings.Contains(got.Detail, "finding") {
			t.Errorf("byte %d: got changed content in\n%s", at, got.Detail)
		}
	}
}

// compressedMessage encrypts a text of n equal bytes, compressed to few.
func compressedMessage(t *testing.T, to *openpgp.Entity, n int) string {
	t.Helper()
	return armored(t, openpgp.MessageType, func(b *bytes.Buffer) error {
		var literal, compressed bytes.Buffer
		literal.Write(binary.BigEndian.AppendUint32([]byte{0xCB, 0xFF}, uint32(n+6)))
		literal.WriteString("b\x00\x00\x00\x00\x00" + strings.Repeat("x", n))
		compressed.WriteByte(2)
		z := zlib.NewWriter(&compressed)
		_, _ = z.Write(literal.Bytes())
		_ = z.Close()
		key := bytes.Repeat([]byte{7}, 16)
		k, _ := to.EncryptionKey(now)
		if err := packet.SerializeEncryptedKey(b, k.PublicKey, packet.CipherAES128, key, pgpConfig); err != nil {
			return err
		}
		w, err := packet.SerializeSymmetricallyEncrypted(b, packet.CipherAES128, false, packet.CipherSuite{}, key, pgpConfig)
		if err != nil {
			return err
		}
		_, _ = w.Write(binary.BigEndian.AppendUint32([]byte{0xC8, 0xFF}, uint32(compressed.Len())))
		_, _ = w.Write(compressed.Bytes())
		return w.Close()
	})
}

// exceeds returns the names of the costs above the limit.
func exceeds(got, limit vulnreport.Cost) (names []string) {
	g, l := reflect.ValueOf(got), reflect.ValueOf(limit)
	for n := range g.NumField() {
		if g.Field(n).Int() > l.Field(n).Int() {
			names = append(names, g.Type().Field(n).Name)
		}
	}
	return names
}

// TestMailbox_HostileMails reads hostile mails over IMAP and decodes them. It counts
// the parts, bytes and operations of each. The limits are totals of a mail.
func TestMailbox_HostileMails(t *testing.T) {
	recipient := entity(t, "security")
	s := sourceAt(t, vulnreport.Config{Keys: []vulnreport.Key{privateKey(t, recipient, "")}}, pgpConfig.Time)
	zeros := compressedMessage(t, recipient, 4<<20)
	small := encrypted(t, recipient, nil, "x", pgpConfig)
	part := func(kind, body string) string { return "--b\r\nContent-Type: " + kind + "\r\n\r\n" + body + "\r\n" }
	head := "From: a@example.org\r\nMessage-ID: <1@example.org>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
	signed := "multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nx\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\ny\r\n--s--\r\n"
	for _, tt := range []struct {
		name, raw, omitted string
		reaches            func(vulnreport.Cost) bool // a limit
	}{
		{"blocks of 4 MiB", head + strings.Repeat(part("application/octet-stream; name=a.gpg", zeros), 60), "encrypted parts were not decrypted", func(c vulnreport.Cost) bool { return c.Plain == vulnreport.Limits.Plain }},
		{"small blocks in one part", head + part("text/plain", strings.Repeat(small+"\r\n", 100)), "encrypted parts were not decrypted", func(c vulnreport.Cost) bool { return c.Encrypted == vulnreport.Limits.Encrypted }},
		{"small blocks in parts", head + strings.Repeat(part("application/octet-stream; name=a.gpg", small), 90), "encrypted parts were not decrypted", func(c vulnreport.Cost) bool { return c.Encrypted == vulnreport.Limits.Encrypted }},
		{"signatures", head + strings.Repeat("--b\r\nContent-Type: "+signed+"\r\n", 40), "signatures were not verified", func(c vulnreport.Cost) bool { return c.Signatures == vulnreport.Limits.Signatures }},
		{"parts", head + strings.Repeat(part("text/plain", "x"), 20_000), "19901 parts were not read", func(c vulnreport.Cost) bool { return c.Parts == vulnreport.Limits.Parts }},
		{"headers of parts", head + strings.Repeat("--b\r\nContent-Type: text/plain\r\n"+strings.Repeat("a: b\r\n", 10_000)+"\r\nx\r\n", 50), "bytes of the headers were not read", func(c vulnreport.Cost) bool { return c.Header == vulnreport.Limits.Header }},
		{"text of parts", head + strings.Repeat(part("text/plain", strings.Repeat("x", 60<<10)), 50), "the text is longer", func(c vulnreport.Cost) bool { return c.Text >= 64<<10 }},
		{"HTML of parts", head + strings.Repeat(part("text/html", strings.Repeat("x", 60<<10)), 50), "the HTML is longer", func(c vulnreport.Cost) bool { return c.HTML == vulnreport.Limits.HTML }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &mailboxTest{imapServer: newIMAPServer(t, nil)}
			a.put(t, nil, tt.raw)
			a.run(t, nil)
			a.expect(t, "stored", `+\Seen`)
			raw := a.stored[0].body
			if raw != tt.raw {
				t.Fatalf("got a stored mail of %d bytes, want %d", len(raw), len(tt.raw))
			}
			if over := exceeds(s.CostOf([]byte(raw)), vulnreport.Limits); len(over) > 0 || !tt.reaches(s.CostOf([]byte(raw))) {
				t.Errorf("got cost %+v above %v, want the limits %+v to be reached and kept", s.CostOf([]byte(raw)), over, vulnreport.Limits)
			}
			checkDetail(t, decode(t, s, raw), tt.omitted)
		})
	}
}
