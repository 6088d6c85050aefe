package bot_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"tocsin/bot/vulnreport"
)

// maxMail is the default of sources.report.mailbox.max_message.
const maxMail = 5 << 20

var bombTime = time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)

// mailBombs builds hostile mails for a recipient with a PGP key.
type mailBombs struct {
	key     *packet.PublicKey
	private string // armored
	config  *packet.Config
}

func newMailBombs(t testing.TB, bits int) *mailBombs {
	t.Helper()
	m := &mailBombs{config: &packet.Config{Algorithm: packet.PubKeyAlgoRSA, RSABits: bits, Time: func() time.Time { return bombTime }}}
	to, err := openpgp.NewEntity("security", "", "security@example.com", m.config)
	if err != nil {
		t.Fatal(err)
	}
	k, _ := to.EncryptionKey(bombTime)
	m.key = k.PublicKey
	var armored bytes.Buffer
	w, err := armor.Encode(&armored, openpgp.PrivateKeyType, nil)
	if err == nil {
		err = to.SerializePrivateWithoutSigning(w, nil)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	m.private = armored.String()
	return m
}

// mailSource returns the source of vulnerability reports with a private key.
func mailSource(t testing.TB, private string) *vulnreport.Source {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key.asc")
	if err := os.WriteFile(file, []byte(private), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := vulnreport.New(vulnreport.Config{Keys: []vulnreport.Key{{File: file}}}, vulnreport.Deps{Clock: func() time.Time { return bombTime }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// message returns an armored message that encrypts raw packets. sessionKeys is the
// number of copies of the encrypted session key.
func (m *mailBombs) message(raw []byte, sessionKeys int) string {
	var out, text bytes.Buffer
	key := bytes.Repeat([]byte{7}, 16)
	for n := range sessionKeys {
		wrapped := key
		if n < sessionKeys-1 {
			wrapped = bytes.Repeat([]byte{8}, 16) // opens nothing
		}
		if err := packet.SerializeEncryptedKey(&out, m.key, packet.CipherAES128, wrapped, m.config); err != nil {
			panic(err)
		}
		if sessionKeys > 100 && n == 0 { // the RSA operations of the sender are slow
			one := bytes.Clone(out.Bytes())
			for range sessionKeys - 2 {
				out.Write(one)
			}
			break
		}
	}
	w, err := packet.SerializeSymmetricallyEncrypted(&out, packet.CipherAES128, false, packet.CipherSuite{}, key, m.config)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(raw)
	_ = w.Close()
	a, err := armor.Encode(&text, openpgp.MessageType, nil)
	if err != nil {
		panic(err)
	}
	_, _ = a.Write(out.Bytes())
	_ = a.Close()
	return strings.ReplaceAll(text.String(), "\n", "\r\n") + "\r\n"
}

// pgpPacket returns a packet with a length of four bytes.
func pgpPacket(tag byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0xC0 | tag, 0xFF}, uint32(len(body))), body...)
}

func literal(text []byte) []byte {
	return pgpPacket(11, append([]byte("b\x00\x00\x00\x00\x00"), text...))
}

func compressed(packets []byte) []byte {
	var out bytes.Buffer
	out.WriteByte(2)
	w := zlib.NewWriter(&out)
	_, _ = w.Write(packets)
	_ = w.Close()
	return pgpPacket(8, out.Bytes())
}

// bzip2Bomb is a literal packet of 8 MiB less 100 bytes, compressed by bzip2.
const bzip2Bomb = "QlpoOTFBWSZTWZFFsS4BAQdllOAAAEAgABAAAACQAAAIAAigAFCAGAVKR5DStTNWYAgC/gEgE7V8oBAGZ4XckU4UJCRRbEuA"

func bzip2Packet() []byte {
	raw, err := base64.StdEncoding.DecodeString(bzip2Bomb)
	if err != nil {
		panic(err)
	}
	return pgpPacket(8, append([]byte{3}, raw...))
}

func letter(header, body string) string {
	return "From: Ann <ann@example.org>\r\nMessage-ID: <1@example.org>\r\nSubject: x\r\n" + header + "\r\n" + body
}

func multipart(parts ...string) string {
	return letter("Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\n"+strings.Join(parts, "\r\n--b\r\n")+"\r\n--b--\r\n")
}

func plainPart(text string) string { return "Content-Type: text/plain\r\n\r\n" + text }

func filePart(text string) string {
	return "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=a.gpg\r\n\r\n" + text
}

// times repeats s up to the maximum size of a mail.
func times(s string) string { return strings.Repeat(s, (maxMail-4096)/len(s)) }

func repeated(n int, part string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = part
	}
	return out
}

// nested returns a signed multipart mail with parts in parts.
func nested(kind string, levels int, body string) string {
	var b strings.Builder
	for n := range levels {
		fmt.Fprintf(&b, "Content-Type: multipart/%s; boundary=b%d\n\n--b%d\n", kind, n, n)
	}
	b.WriteString("\n" + body)
	for n := levels - 1; n >= 0; n-- {
		fmt.Fprintf(&b, "\n--b%d\nContent-Type: application/pgp-signature\n\nx\n--b%d--\n", n, n)
	}
	return b.String()
}

// bombs returns the mails by name.
func (m *mailBombs) bombs() []bomb {
	unsigned := compressed(literal([]byte("x")))
	deep := bzip2Packet()
	for range 30 {
		deep = compressed(deep)
	}
	signature := pgpPacket(2, []byte{4, 0, 1, 8, 0, 0, 0, 10, 9, 16, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 8, 0xff})
	onePass := pgpPacket(4, []byte{3, 0, 8, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0})
	encrypted := letter("", "x")
	for range 12 {
		encrypted = multipart(filePart(m.message(literal([]byte(encrypted)), 1)))
	}
	mails := []struct{ name, raw, omitted string }{
		{"PGP blocks of bzip2", letter("", strings.Repeat(m.message(bzip2Packet(), 1), (64<<10)/len(m.message(bzip2Packet(), 1)))), "not decrypted"},
		{"PGP blocks of bzip2 in 100 parts", multipart(repeated(99, plainPart(strings.Repeat(m.message(bzip2Packet(), 1), 40)))...), "not decrypted"},
		{"PGP attachments of zlib", multipart(repeated(99, filePart(m.message(compressed(literal(make([]byte, 8<<20-100))), 1)))...), "not decrypted"},
		{"layers of compression", multipart(filePart(m.message(deep, 1))), "not decrypted"},
		{"session keys", multipart(filePart(m.message(unsigned, 6500))), "not decrypted"},
		{"session keys that open nothing", multipart(repeated(20, filePart(m.message(unsigned, 5)))...), "not decrypted"},
		{"signatures in a message", multipart(filePart(m.message(compressed(append(literal([]byte("x")), bytes.Repeat(signature, 8<<20/len(signature)-10)...)), 1))), "not decrypted"},
		{"one-pass signatures", multipart(filePart(m.message(compressed(bytes.Repeat(onePass, 8<<20/len(onePass)-10)), 1))), "not decrypted"},
		{"plaintext of 8 MiB", multipart(filePart(m.message(compressed(literal(make([]byte, 8<<20-1000))), 1))), ""},
		{"plaintext of 8 MiB with parts", multipart(filePart(m.message(compressed(literal([]byte(strings.Repeat("Content-Type: multipart/mixed; boundary=b\r\n\r\n", 1)+strings.Repeat("--b\r\n\r\nx\r\n", 700_000)))), 1))), "parts were not read"},
		{"armor headers", multipart(filePart("-----BEGIN PGP MESSAGE-----\r\n" + times("abcd: \r\n"))), "could not be decrypted"},
		{"encrypted messages within each other", encrypted, "parts"},
		{"parts", letter("Content-Type: multipart/mixed; boundary=b\r\n", times("--b\r\n\r\nx\r\n")), "parts were not read"},
		{"boundaries in one line", letter("Content-Type: multipart/mixed; boundary=b\r\n", times("--b")), ""},
		{"parts in parts", nested("mixed", 4000, times("x\n")[:4<<20]), "not read"},
		{"signed parts in parts", nested("signed", 4000, times("x\n")[:4<<20]), "not verified"},
		{"header lines", "Subject: x\r\n" + times("a:b\r\n"), "headers were not read"},
		{"header lines of a part", multipart("Content-Type: text/plain\r\n" + times("a:b\r\n")), "headers were not read"},
		{"header line", "Subject: " + times("x"), "headers were not read"},
		{"encoded words", "Subject: " + strings.Repeat("=?utf-8?q?=C3=A4?= ", 13_000) + "\r\n\r\nx", ""},
		{"open encoded words", "Subject: " + strings.Repeat("=?a?q?", 40_000) + "\r\n\r\nx", ""},
		{"addresses", "From: " + strings.Repeat("<a@b>,", 40_000) + "\r\n\r\nx", ""},
		{"comments in an address", "From: " + strings.Repeat("(", 250_000) + "\r\n\r\nx", ""},
		{"references", "References: " + strings.Repeat("<a@b> ", 40_000) + "\r\n\r\nx", ""},
		{"authentication results", strings.Repeat("Authentication-Results: mx; spf=a\r\n", 7_000) + "\r\nx", ""},
		{"parameters of a content type", "Content-Type: text/plain" + strings.Repeat("; a*0=b", 35_000) + "\r\n\r\nx", ""},
		{"text", letter("", times("x")), "text is longer"},
		{"quoted-printable", letter("Content-Transfer-Encoding: quoted-printable\r\n", times("=41=\r\n")), "text is longer"},
		{"base64", letter("Content-Transfer-Encoding: base64\r\n", times("QUFB\r\n")), "text is longer"},
		{"charset", letter("Content-Type: text/plain; charset=gb18030\r\n", times("\x80")), "text is longer"},
		{"HTML tags", letter("Content-Type: text/html\r\n", times("<a><b><p>")), "HTML is longer"},
		{"open HTML tags", letter("Content-Type: text/html\r\n", times("</p")), "HTML is longer"},
		{"HTML entities", letter("Content-Type: text/html\r\n", times("&lt;")), "HTML is longer"},
		{"attachments", multipart(repeated(99, filePart(strings.Repeat("x", 50<<10)))...), "attachments are not listed"},
		{"forwarded messages", letter("Content-Type: message/rfc822\r\n", strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 100_000)), "part was not read"},
		{"encoded messages", multipart(repeated(99, "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"+strings.Repeat("QUFB\r\n", 8000))...), ""},
		{"broken header lines", "Subject: x\r\n" + times("x\r\nSubject: x\r\n"), "text is longer"},
		{"blank header lines", "Subject: x\r\n" + times(" \r\n"), ""},
		{"boundaries to find", letter("Content-Type: multipart/mixed\r\n", times("--b\n")), ""},
		{"short base64 lines", letter("Content-Transfer-Encoding: base64\r\n", "A\r\n"+times("AAAA\r\n")), "text is longer"},
		{"winmail.dat", multipart("Content-Type: application/ms-tnef\r\n\r\n\x78\x9f\x3e\x22\x01\x00" + times(strings.Repeat("\x00", 64))), ""},
		{"hidden HTML", letter("Content-Type: text/html\r\n", times("<p hidden>")), "HTML is longer"},
		{"attachment", multipart(filePart(times("x"))), ""},
	}
	out := make([]bomb, 0, len(mails))
	for _, b := range mails {
		if len(b.raw) > maxMail+4096 {
			panic(b.name + " is larger than a mail")
		}
		out = append(out, bomb{name: "mail: " + b.name, body: []byte(b.raw), omitted: b.omitted, source: "report", private: m.private, header: http.Header{"X-Report-Via": {"mail"}, "X-Report-At": {"2026-11-24T02:00:00Z"}}})
	}
	return out
}
