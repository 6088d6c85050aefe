package vulnreport

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"tocsin/bot/bounds"
	"tocsin/bot/health"
)

const (
	messageBegin = "-----BEGIN PGP MESSAGE-----"
	messageEnd   = "-----END PGP MESSAGE-----"
	signedBegin  = "-----BEGIN PGP SIGNED MESSAGE-----"
)

// config returns the configuration for all PGP operations. The library must decompress
// nothing, because its limit holds for each layer. [parsedMail.decompress] does it.
func (s *Source) config() *packet.Config {
	return &packet.Config{Time: s.clock, MaxDecompressedMessageSize: new(int64)}
}

// looksEncrypted reports whether a part has PGP armor or the file extension of an
// encrypted file.
func looksEncrypted(filename string, content *bufio.Reader) bool {
	filename = strings.ToLower(filename)
	head, _ := content.Peek(1024)
	return bytes.HasPrefix(bytes.TrimSpace(head), []byte(messageBegin)) || strings.HasSuffix(filename, ".pgp") || strings.HasSuffix(filename, ".gpg")
}

// errLimit marks content that was left encrypted because of a limit for the mail.
var errLimit = errors.New("the mail has more encrypted content than Tocsin decrypts")

// decrypt decrypts a message, armored or not, in memory. It notes the key and the state
// of the signature.
func (l *parsedMail) decrypt(content *bufio.Reader) ([]byte, error) {
	plain, err := l.tryDecrypt(content)
	if errors.Is(err, errLimit) || errors.Is(err, bounds.ErrExceeded) {
		l.budget.undecrypted++
		return nil, errLimit
	}
	return plain, err
}

func (l *parsedMail) tryDecrypt(content *bufio.Reader) ([]byte, error) {
	if len(l.source.keys) == 0 {
		return nil, errors.New("no key is configured")
	}
	if l.budget.plain.Left() == 0 || !l.budget.encrypted.Take(1) {
		return nil, errLimit
	}
	content, err := unarmor(content)
	if err != nil {
		return nil, err
	}
	message, key, err := l.openEncrypted(content)
	if err != nil {
		return nil, err
	}
	packets, err := l.decompress(message)
	if err == nil && key != nil {
		_, _ = io.Copy(io.Discard, message) // up to the authentication code
		err = message.Close()               // checks it
	}
	if err != nil {
		return nil, fmt.Errorf("read decrypted content: %w", err)
	}
	if err := checkPackets(packets); err != nil {
		return nil, err
	}
	md, err := openpgp.ReadMessage(bytes.NewReader(packets), l.source.keys, nil, l.source.config())
	if err != nil {
		return nil, fmt.Errorf("read decrypted content: %w", err)
	}
	plain := bytes.NewBuffer(make([]byte, 0, len(packets)))
	if _, err := plain.ReadFrom(md.UnverifiedBody); err != nil {
		return nil, fmt.Errorf("read decrypted content: %w", err)
	}
	if key != nil {
		l.note("The content was encrypted to key %016X.", key.KeyId)
	}
	l.noteMessageSignature(md)
	return plain.Bytes(), nil
}

func (l *parsedMail) noteMessageSignature(md *openpgp.MessageDetails) {
	switch {
	case !md.IsSigned:
	case md.SignedBy == nil:
		l.note("The signature by %016X is unverified because the key is unknown.", md.SignedByKeyId)
	case md.SignatureError != nil:
		l.note("The signature is BAD: %v.", md.SignatureError)
	default:
		l.note("The signature is good: %s.", keyOwner(md.SignedBy.Entity))
	}
}

func keyOwner(e *openpgp.Entity) string {
	for identity := range e.Identities {
		return fmt.Sprintf("%s, %X", identity, e.PrimaryKey.Fingerprint)
	}
	return fmt.Sprintf("%X", e.PrimaryKey.Fingerprint)
}

// openInline decrypts the armored blocks in a text and verifies a cleartext signature.
// A block that cannot be decrypted remains unchanged.
func (l *parsedMail) openInline(text []byte) []byte {
	if bytes.Contains(text, []byte(signedBegin)) {
		if block, _ := clearsign.Decode(text); block != nil {
			l.verify(func() (*openpgp.Entity, error) { return block.VerifySignature(l.source.keys, l.source.config()) })
			text = block.Plaintext
		}
	}
	var out bytes.Buffer
	for out.Len() <= maxTextBytes { // the budget cuts the text after this
		start := bytes.Index(text, []byte(messageBegin))
		if start < 0 {
			break
		}
		length := bytes.Index(text[start:], []byte(messageEnd))
		if length < 0 {
			l.note("An encrypted text has no end and is shown encrypted.")
			break
		}
		end := start + length + len(messageEnd)
		out.Write(text[:start])
		plain, err := l.decrypt(bufio.NewReader(bytes.NewReader(text[start:end])))
		if err != nil {
			l.note("The text is encrypted and could not be decrypted: %v.", err)
			plain = text[start:end]
		}
		kept := min(len(plain), maxTextBytes)
		l.budget.text.Refuse(int64(len(plain) - kept))
		out.Write(plain[:kept])
		text = text[end:]
	}
	out.Write(text)
	return out.Bytes()
}

// verify runs a verification and notes its result, unless the mail has too many
// signatures.
func (l *parsedMail) verify(check func() (*openpgp.Entity, error)) {
	if !l.budget.signatures.Take(1) {
		l.budget.unverified++
		return
	}
	l.noteSignature(check())
}

// readSigned reads a multipart/signed entity. The signature in the second part covers
// the bytes of the first part including its headers.
func (l *parsedMail) readSigned(p part, depth int) {
	var signed []byte
	n := 0
	for raw := range splitParts(p.raw, p.params["boundary"]) {
		if n++; n == 1 {
			signed = raw
			l.readPreamble(p.raw, p.params["boundary"])
		}
		if n != 2 || !l.readSignature(signed, raw) {
			l.walkRaw(raw, p.kind, depth)
		}
	}
	if n < 2 {
		l.note("The mail is declared as signed but has no signature.")
	}
	if n == 0 {
		l.walkParts(p, depth)
	}
}

// readSignature verifies the detached signature in raw. It reports false if raw is
// another part.
func (l *parsedMail) readSignature(signed, raw []byte) bool {
	if l.budget.header.Left() == 0 {
		return false
	}
	p := l.parsePart(raw, maxPartHeader)
	if p.kind != "application/pgp-signature" {
		return false
	}
	signature, err := io.ReadAll(io.LimitReader(p.body(), maxSignatureBytes))
	if err != nil {
		l.note("A part is truncated or malformed: %v.", err)
	}
	if !l.budget.hashed.Take(int64(len(signed))) {
		l.budget.unverified++
		return true
	}
	l.verify(func() (*openpgp.Entity, error) {
		return openpgp.CheckArmoredDetachedSignature(l.source.keys, bytes.NewReader(toCRLF(signed)), bytes.NewReader(signature), l.source.config())
	})
	return true
}

// maxSignatureBytes is the maximum size of an armored detached signature.
const maxSignatureBytes = 16 << 10

func (l *parsedMail) noteSignature(signer *openpgp.Entity, err error) {
	switch {
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		l.note("The signature is unverified because its key is unknown.")
	case err != nil:
		l.note("The signature is BAD: %v.", err)
	default:
		l.note("The signature is good: %s.", keyOwner(signer))
	}
}

// toCRLF converts line endings to CRLF, which signatures cover.
func toCRLF(b []byte) []byte {
	if bytes.Count(b, []byte("\n")) == bytes.Count(b, []byte("\r\n")) {
		return b
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// Err returns an error if keys are configured and none of them can still be used for
// encryption. Mails encrypted to an expired key are still decrypted.
func (s *Source) Err() error {
	if len(s.privateKeys) == 0 {
		return nil
	}
	for _, e := range s.privateKeys {
		if _, valid := e.EncryptionKey(s.clock()); valid {
			return nil
		}
	}
	return &health.Problem{Cause: "No PGP key for vulnerability reports is valid",
		Fix: "Create a new key or extend this one, publish it at the URL in security.txt, add it to sources.report.pgp_keys and restart Tocsin"}
}

// Check is intake.Checked.
func (s *Source) Check() (part string, err error) { return "pgp key", s.Err() }
