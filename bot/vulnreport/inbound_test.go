package vulnreport_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
	"tocsin/bot/intake/intaketest"
	"tocsin/bot/secret"
	"tocsin/bot/vulnreport"
)

func source(t testing.TB, c vulnreport.Config) *vulnreport.Source {
	t.Helper()
	return sourceAt(t, c, nil)
}

// sourceAt returns a source with a clock.
func sourceAt(t testing.TB, c vulnreport.Config, clock func() time.Time) *vulnreport.Source {
	t.Helper()
	s, err := vulnreport.New(c, vulnreport.Deps{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var byMail = http.Header{"X-Report-Via": {"mail"}, "X-Report-At": {"2026-11-03T02:30:00Z"}}

// decode returns the only alert of a mail.
func decode(t testing.TB, s *vulnreport.Source, raw string) incident.Alert {
	t.Helper()
	got, err := s.Decode(byMail, []byte(raw))
	if err != nil || len(got) != 1 || got[0].Alert == nil {
		t.Fatalf("got signals %+v, error %v; want one alert", got, err)
	}
	return *got[0].Alert
}

func mail(lines ...string) string { return strings.Join(lines, "\r\n") }

func checkDetail(t *testing.T, a incident.Alert, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.Detail, text) {
			t.Errorf("got detail\n%s\nwant it to contain %q", a.Detail, text)
		}
	}
}

func TestDecode_Mail(t *testing.T) {
	raw, err := os.ReadFile("testdata/latin1.eml")
	if err != nil {
		t.Fatal(err)
	}
	got := decode(t, source(t, vulnreport.Config{AuthServID: "mx.example.com"}), string(raw))
	reference := got.EventID
	want := incident.Alert{
		Source: "report", Kind: "report.mail", Level: incident.LevelCritical, Title: "Lücke im Login",
		Detail: fmt.Sprintf(`Reference: %s
Reporter: Jörg Müller <joerg@example.org>
Stated severity: critical
Sender checks: spf pass, dkim pass, dmarc fail
Mail: SHA-256 %x, %d bytes, stored unchanged
Attachment: proof.png (image/png, 4 bytes, SHA-256 %x)
Attachment: passwd (application/octet-stream, 3 bytes, SHA-256 %x)
Grüße aus Köln
Severity: Critical`, reference, sha256.Sum256(raw), len(raw), sha256.Sum256([]byte("\x89PNG")), sha256.Sum256([]byte("abc"))),
		Fingerprint: got.Fingerprint, Correlation: "report:" + reference, EventID: reference, At: time.Date(2026, 11, 3, 2, 30, 0, 0, time.UTC), Report: got.Report,
	}
	if d := cmp.Diff(want, got); d != "" || !referencePattern.MatchString(reference) || !strings.HasPrefix(got.Fingerprint, "report:"+reference) {
		t.Error(d)
	}
}

func TestDecode_ThreadSharesReference(t *testing.T) {
	s := source(t, vulnreport.Config{})
	head := func(h ...string) string { return mail(append(h, "From: ann@example.org", "Subject: x", "", "text")...) }
	first := decode(t, s, head("Message-ID: <1@example.org>"))
	tests := []struct {
		name, raw string
		same      bool
	}{
		{"second mail", head("Message-ID: <2@example.org>", "References: <1@example.org>", "In-Reply-To: <1@example.org>"), true},
		{"third mail", head("Message-ID: <3@example.org>", "References: <1@example.org> <2@example.org>"), true},
		{"reply to the acknowledgement", head("Message-ID: <4@example.org>", "In-Reply-To: <ack."+first.EventID+"@example.com>"), true},
		{"other mail", head("Message-ID: <5@example.org>"), false},
		{"other mail without an id", head("X: y"), false},
	}
	for _, tt := range tests {
		got := decode(t, s, tt.raw)
		if (got.Correlation == first.Correlation) != tt.same || got.Fingerprint == first.Fingerprint {
			t.Errorf("%s: got correlation key %s, first mail has %s", tt.name, got.Correlation, first.Correlation)
		}
	}
	if copied := decode(t, s, head("Message-ID: <1@example.org>", "Received: from elsewhere")); copied.Fingerprint != first.Fingerprint {
		t.Errorf("mail with another Received header: got fingerprint %q, want %q", copied.Fingerprint, first.Fingerprint)
	}
}

func TestDecode_AutomaticMail(t *testing.T) {
	s := source(t, vulnreport.Config{})
	for header, alerts := range map[string]int{"Auto-Submitted: auto-replied (vacation)": 0, "Auto-Submitted: auto-notified; owner-email=x": 0, "Return-Path: <>": 0,
		`Content-Type: multipart/report; report-type=delivery-status; boundary=b`: 0, "Message-ID: <ack.VR-00000-00000@example.com>": 0,
		"Auto-Submitted: no": 1, "Auto-Submitted: auto-generated": 1, "Precedence: list": 1, "Return-Path: <a@example.org>": 1} {
		got, err := s.Decode(byMail, []byte(mail(header, "From: a@example.org", "", "text")))
		if err != nil || len(got) != alerts {
			t.Errorf("%s: got %d alerts, error %v; want %d alerts", header, len(got), err, alerts)
		}
	}
}

func TestDecode_SenderChecksOfConfiguredServer(t *testing.T) {
	s := source(t, vulnreport.Config{AuthServID: "MX.example.com"})
	got := decode(t, s, mail("Authentication-Results: evil.example; dmarc=pass", "Authentication-Results: mx.example.com 1; spf=fail; dmarc=fail",
		"Authentication-Results: mx.example.com; dmarc=pass", "From: a@example.org", "", "text"))
	checkDetail(t, got, "Sender checks: spf fail, dmarc fail")
	checkDetail(t, decode(t, s, mail("From: a@example.org", "", "text")), "Sender checks: no result from mx.example.com")
}

func TestDecode_HostileMails(t *testing.T) {
	deep := "From: a@example.org\r\n"
	for n := range 50 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", n, n)
	}
	many := "From: a@example.org\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Type: text/plain\r\n\r\nx\r\n", 5000) + "--b--\r\n"
	tests := []struct{ name, raw, title, detail string }{
		{"empty", "", "", "Reference: VR-"},
		{"binary data", "\x00\xff\xfe", "", "Reference: VR-"},
		{"no header", "just text", "", "just text"},
		{"HTML only", mail("From: a@example.org", "Content-Type: text/html", "", "<p>one<br>two</p><script>alert(1)</script>&lt;b&gt;"), "", "one\ntwo\n\n<b>"},
		{"unknown charset", mail("Subject: x", "Content-Type: text/plain; charset=klingon", "", "text"), "x", `The charset "klingon" is unknown`},
		{"unknown encoding", mail("Subject: x", "Content-Transfer-Encoding: rot13", "", "text"), "x", "text"},
		{"invalid base64", mail("Subject: x", "Content-Transfer-Encoding: base64", "", "!!!"), "x", "damaged"},
		{"multipart without parts", mail("Subject: x", "Content-Type: multipart/mixed", "", "text"), "x", "Mail: SHA-256"},
		{"deeply nested", deep, "", "deeper"},
		{"many parts", many, "", "more parts"},
		{"long text", mail("Subject: x", "", strings.Repeat("y", 1<<20)), "x", "longer than"},
		{"path as a file name", mail("Subject: x", "Content-Type: multipart/mixed; boundary=b", "", "--b", `Content-Disposition: attachment; filename="..\\..\\evil.exe"`, "", "MZ", "--b--"), "x", "Attachment: evil.exe"},
		{"markup", mail("Subject: <!channel> [x](javascript:1)", "", "![x](http://evil.example/)"), "<!channel> [x](javascript:1)", "![x](http://evil.example/)"},
		{"signed without a signature", mail("Subject: x", "Content-Type: multipart/signed; boundary=b", "", "--b", "", "text", "--b--"), "x", "no signature"},
		{"signed without a boundary", mail("Subject: x", "Content-Type: multipart/signed", "", "text"), "x", "no signature"},
		{"encrypted without an end", mail("Subject: x", "", "-----BEGIN PGP MESSAGE-----", "abc"), "x", "has no end"},
	}
	s := source(t, vulnreport.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := decode(t, s, tt.raw)
			if tt.title == "" {
				tt.title = "Vulnerability report " + got.EventID
			}
			if got.Title != tt.title || got.Level != incident.LevelLow || strings.Contains(got.Detail, "<script>") {
				t.Errorf("got alert %+v", got)
			}
			checkDetail(t, got, tt.detail)
		})
	}
}

func TestDecode_TruncatedMail(t *testing.T) {
	h := byMail.Clone()
	h.Set("X-Report-Full-Size", "30000000")
	got, err := source(t, vulnreport.Config{}).Decode(h, []byte(mail("Subject: x", "", "begin")))
	if err != nil {
		t.Fatal(err)
	}
	checkDetail(t, *got[0].Alert, "truncated: the full mail of 30000000 bytes is in the mailbox")
}

func TestVerify_RejectsWebhooks(t *testing.T) {
	s := source(t, vulnreport.Config{})
	if _, err := s.Verify(t.Context(), http.Header{}, []byte("{}"), now); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("got error %v, want forbidden", err)
	}
	for via, body := range map[string]string{"": "{}", "fax": "{}", "form": "[]"} {
		if got, err := s.Decode(http.Header{"X-Report-Via": {via}}, []byte(body)); err == nil {
			t.Errorf("via %q: got signals %+v, want an error", via, got)
		}
	}
}

// entity returns a new PGP key pair that is valid since one hour ago.
func entity(t testing.TB, name string) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", name+"@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return now.Add(-time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func armored(t testing.TB, kind string, write func(*bytes.Buffer) error) string {
	t.Helper()
	var raw, out bytes.Buffer
	if err := write(&raw); err != nil {
		t.Fatal(err)
	}
	w, err := armor.Encode(&out, kind, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(raw.Bytes())
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(out.String(), "\n", "\r\n")
}

func privateKey(t testing.TB, e *openpgp.Entity, passphrase string) vulnreport.Key {
	t.Helper()
	if passphrase != "" {
		if err := e.EncryptPrivateKeys([]byte(passphrase), nil); err != nil {
			t.Fatal(err)
		}
	}
	key := armored(t, openpgp.PrivateKeyType, func(b *bytes.Buffer) error { return e.SerializePrivateWithoutSigning(b, nil) })
	return vulnreport.Key{File: keyFile(t, key), Passphrase: secret.New(passphrase)}
}

// keyFile writes a file with a key and returns its path.
func keyFile(t testing.TB, key string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key.asc")
	if err := os.WriteFile(name, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func publicKey(t testing.TB, e *openpgp.Entity) string {
	t.Helper()
	return armored(t, openpgp.PublicKeyType, func(b *bytes.Buffer) error { return e.Serialize(b) })
}

var pgpConfig = &packet.Config{Time: func() time.Time { return now }}

func encrypted(t testing.TB, to, by *openpgp.Entity, text string, c *packet.Config) string {
	t.Helper()
	return armored(t, openpgp.MessageType, func(b *bytes.Buffer) error {
		w, err := openpgp.Encrypt(b, []*openpgp.Entity{to}, by, nil, c)
		if err != nil {
			return err
		}
		_, _ = w.Write([]byte(text))
		return w.Close()
	})
}

func pgpMIME(ciphertext string) string {
	return mail("From: Ann <ann@example.org>", "Message-ID: <1@example.org>", "Subject: ...", `Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b`, "",
		"--b", "Content-Type: application/pgp-encrypted", "", "Version: 1", "", "--b", "Content-Type: application/octet-stream; name=encrypted.asc", "", ciphertext, "--b--", "")
}

func TestDecode_PGP(t *testing.T) {
	recipient, ann, stranger := entity(t, "security"), entity(t, "ann"), entity(t, "stranger")
	inner := mail("Content-Type: multipart/mixed; boundary=i; protected-headers=v1", "Subject: The real subject", "", "--i", "Content-Type: text/plain", "", "The finding.", "Severity: high",
		"--i", "Content-Disposition: attachment; filename=poc.py", "", "print(1)", "--i--", "")
	content := mail("Content-Type: text/plain", "", "The finding.")
	signature := func(by *openpgp.Entity, of string) string {
		var b bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&b, by, strings.NewReader(of), pgpConfig); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	signed := func(signature string) string {
		return mail("From: Ann <ann@example.org>", "Subject: Signed", `Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary="s;s"`, "",
			"--s;s", content, "--s;s", "Content-Type: application/pgp-signature; name=signature.asc", "", signature, "--s;s--", "")
	}
	clear := func(by *openpgp.Entity) string {
		var b bytes.Buffer
		w, err := clearsign.Encode(&b, by.PrivateKey, pgpConfig)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte("The finding."))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	bomb := encrypted(t, recipient, nil, strings.Repeat("x", 20<<20), &packet.Config{Time: pgpConfig.Time, DefaultCompressionAlgo: packet.CompressionZLIB})
	tests := []struct {
		name, raw, title string
		detail           []string
		absent           string // must not be in the detail
	}{
		{"PGP/MIME", pgpMIME(encrypted(t, recipient, ann, inner, pgpConfig)), "The real subject",
			[]string{"encrypted to ", "signature is good: ann <ann@example.org>", "The finding.", "Attachment: poc.py", "Stated severity: high", "stored unchanged"}, "BEGIN PGP"},
		{"unsigned", pgpMIME(encrypted(t, recipient, nil, inner, pgpConfig)), "The real subject", []string{"The finding."}, "signature"},
		{"signed by an unknown key", pgpMIME(encrypted(t, recipient, stranger, inner, pgpConfig)), "The real subject", []string{"is unverified because the key is unknown", "The finding."}, "good"},
		{"encrypted to another key", pgpMIME(encrypted(t, stranger, ann, inner, pgpConfig)), "...", []string{"could not be decrypted: no configured key matches", "Attachment: encrypted.asc", "SHA-256"}, "The finding"},
		{"damaged", pgpMIME(strings.Replace(encrypted(t, recipient, ann, inner, pgpConfig), "\r\n\r\n", "\r\n\r\nAAAA", 1)), "...", []string{"could not be decrypted"}, "The finding"},
		{"decompression bomb", pgpMIME(bomb), "...", []string{"could not be decrypted"}, "xxxx"},
		{"encrypted and signed inside", pgpMIME(encrypted(t, recipient, nil, strings.SplitN(signed(signature(ann, content)), "\r\n", 3)[2], pgpConfig)), "...", []string{"signature is good: ann", "The finding."}, "is BAD"},
		{"inline", mail("Subject: Inline", "", "Hello,", encrypted(t, recipient, ann, "The finding.\r\nSeverity: high", pgpConfig), "Bye"), "Inline", []string{"Hello,", "The finding.", "Bye", "signature is good", "Stated severity: high"}, "BEGIN PGP"},
		{"inline to another key", mail("Subject: Inline", "", encrypted(t, stranger, ann, "The finding.", pgpConfig)), "Inline", []string{"could not be decrypted", "BEGIN PGP MESSAGE"}, "The finding"},
		{"encrypted attachment", mail("Subject: File", "Content-Type: multipart/mixed; boundary=b", "", "--b", "Content-Disposition: attachment; filename=poc.py.gpg", "", encrypted(t, recipient, nil, "print(1)", pgpConfig), "--b--"),
			"File", []string{fmt.Sprintf("Attachment: poc.py.gpg (text/plain, 8 bytes, SHA-256 %x), decrypted", sha256.Sum256([]byte("print(1)")))}, "BEGIN PGP"},
		{"detached signature", signed(signature(ann, content)), "Signed", []string{"signature is good: ann", "The finding."}, "is BAD"},
		{"detached signature by an unknown key", signed(signature(stranger, content)), "Signed", []string{"signature is unverified because its key is unknown", "The finding."}, "good"},
		{"detached signature of other content", signed(signature(ann, content+"!")), "Signed", []string{"signature is BAD", "The finding."}, "good"},
		{"invalid detached signature", signed("no signature"), "Signed", []string{"signature is BAD", "The finding."}, "good"},
		{"cleartext signature", mail("Subject: Clear", "", clear(ann)), "Clear", []string{"signature is good: ann", "The finding."}, "BEGIN PGP"},
		{"cleartext signature of other content", mail("Subject: Clear", "", strings.Replace(clear(ann), "finding", "changed", 1)), "Clear", []string{"signature is BAD", "The changed."}, "good"},
	}
	keys := []vulnreport.Key{privateKey(t, entity(t, "old"), ""), privateKey(t, recipient, "open sesame")}
	s := sourceAt(t, vulnreport.Config{Keys: keys, Signers: []string{keyFile(t, publicKey(t, ann))}}, pgpConfig.Time)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := decode(t, s, tt.raw)
			if got.Title != tt.title || strings.Contains(got.Detail, tt.absent) {
				t.Errorf("got title %q, want %q; want detail without %q, got\n%s", got.Title, tt.title, tt.absent, got.Detail)
			}
			checkDetail(t, got, append(tt.detail, fmt.Sprintf("SHA-256 %x", sha256.Sum256([]byte(tt.raw))))...)
		})
	}
	checkDetail(t, decode(t, source(t, vulnreport.Config{}), tests[0].raw), "could not be decrypted: no key is configured")
}

func TestNew_ReportsUnusableKeys(t *testing.T) {
	ann := entity(t, "ann")
	locked := privateKey(t, entity(t, "recipient"), "right")
	locked.Passphrase = secret.New("wrong")
	_, err := vulnreport.New(vulnreport.Config{Keys: []vulnreport.Key{{}, {File: keyFile(t, publicKey(t, ann))}, locked}, Signers: []string{"none"}}, vulnreport.Deps{})
	for _, field := range []string{"keys[0]", "keys[1]", "keys[2]", "signers[0]"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("got error %v, want it to contain %s", err, field)
		}
	}
}

func FuzzDecode(f *testing.F) {
	raw, err := os.ReadFile("testdata/latin1.eml")
	if err != nil {
		f.Fatal(err)
	}
	recipient := entity(f, "security")
	f.Add(raw)
	f.Add([]byte(pgpMIME(encrypted(f, recipient, recipient, "Content-Type: text/plain\r\n\r\nThe finding.", pgpConfig))))
	f.Add([]byte(mail("Content-Type: multipart/signed; boundary=s", "", "--s", "", "x", "--s", "Content-Type: application/pgp-signature", "", "y", "--s--")))
	f.Add([]byte(mail("", "-----BEGIN PGP SIGNED MESSAGE-----", "", "x", "-----BEGIN PGP SIGNATURE-----", "", "-----END PGP SIGNATURE-----")))
	for _, p := range append(intaketest.Fixtures(f, "testdata/ses-*.json"), intaketest.Corpus(f, "aws-lambda-go/ses*.json")...) {
		f.Add(p.Body)
	}
	s := sourceAt(f, vulnreport.Config{Keys: []vulnreport.Key{privateKey(f, recipient, "")}, AuthServID: "mx"}, pgpConfig.Time)
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := intaketest.Decode(t, s, byMail, raw)
		if err != nil {
			t.Fatalf("got error %v, want none for any mail", err)
		}
		for _, signal := range got {
			if a := signal.Alert; !referencePattern.MatchString(a.EventID) || !strings.Contains(a.Detail, fmt.Sprintf("%x", sha256.Sum256(raw))) {
				t.Fatalf("got alert %+v", a)
			}
		}
	})
}
