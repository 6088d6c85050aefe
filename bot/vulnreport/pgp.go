package vulnreport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/emersion/go-message"
)

// maxPlainBytes is the maximum size of one decrypted part, after decompression.
const maxPlainBytes = 8 << 20

const (
	messageBegin = "-----BEGIN PGP MESSAGE-----"
	messageEnd   = "-----END PGP MESSAGE-----"
	signedBegin  = "-----BEGIN PGP SIGNED MESSAGE-----"
)

func (s *Source) config() *packet.Config {
	limit := int64(maxPlainBytes)
	return &packet.Config{Time: s.clock, MaxDecompressedMessageSize: &limit}
}

// looksEncrypted reports whether a part has PGP armor or the file extension of an
// encrypted file.
func looksEncrypted(filename string, content []byte) bool {
	filename = strings.ToLower(filename)
	return bytes.HasPrefix(bytes.TrimSpace(content), []byte(messageBegin)) || strings.HasSuffix(filename, ".pgp") || strings.HasSuffix(filename, ".gpg")
}

// decrypt decrypts a message, armored or not, in memory. It calls note with the key and
// the state of the signature.
func (s *Source) decrypt(content []byte, note func(string, ...any)) ([]byte, error) {
	var r io.Reader = bytes.NewReader(content)
	if block, err := armor.Decode(bytes.NewReader(content)); err == nil {
		r = block.Body
	}
	if len(s.keys) == 0 {
		return nil, errors.New("no key is configured")
	}
	md, err := openpgp.ReadMessage(r, s.keys, nil, s.config())
	if err != nil {
		return nil, decryptError(err, md)
	}
	plain, err := io.ReadAll(io.LimitReader(md.UnverifiedBody, maxPlainBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read decrypted content: %w", err)
	case len(plain) > maxPlainBytes:
		return nil, fmt.Errorf("the content is larger than %d bytes", maxPlainBytes)
	}
	if md.IsEncrypted {
		note("The content was encrypted to key %016X.", md.DecryptedWith.PublicKey.KeyId)
	}
	switch {
	case !md.IsSigned:
	case md.SignedBy == nil:
		note("The signature by %016X is unverified because the key is unknown.", md.SignedByKeyId)
	case md.SignatureError != nil:
		note("The signature is BAD: %v.", md.SignatureError)
	default:
		note("The signature is good: %s.", keyOwner(md.SignedBy.Entity))
	}
	return plain, nil
}

// decryptError adds the ID of the recipient's key to a decryption error.
func decryptError(err error, md *openpgp.MessageDetails) error {
	if errors.Is(err, pgperrors.ErrKeyIncorrect) {
		return errors.New("no configured key matches")
	}
	if md != nil && len(md.EncryptedToKeyIds) > 0 {
		return fmt.Errorf("encrypted to key %016X: %w", md.EncryptedToKeyIds[0], err)
	}
	return err
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
			signer, err := block.VerifySignature(l.source.keys, l.source.config())
			l.noteSignature(signer, err)
			text = block.Plaintext
		}
	}
	var out bytes.Buffer
	for {
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
		if plain, err := l.source.decrypt(text[start:end], l.note); err != nil {
			l.note("The text is encrypted and could not be decrypted: %v.", err)
			out.Write(text[start:end])
		} else {
			out.Write(plain)
		}
		text = text[end:]
	}
	out.Write(text)
	return out.Bytes()
}

// readSigned reads a multipart/signed entity. The signature in the second part covers
// the bytes of the first part including its headers.
func (l *parsedMail) readSigned(e *message.Entity, boundary string, depth int) {
	parts := splitParts(l.readPart(e, maxFileBytes), boundary)
	if len(parts) < 2 {
		l.note("The mail is declared as signed but has no signature.")
	}
	for n, raw := range parts {
		part, err := message.Read(bytes.NewReader(raw))
		if part == nil {
			l.note("A part of the mail cannot be parsed: %v.", err)
			continue
		}
		kind, _, _ := part.Header.ContentType()
		if n == 1 && kind == "application/pgp-signature" {
			signature := l.readPart(part, maxTextBytes)
			signer, err := openpgp.CheckArmoredDetachedSignature(l.source.keys, bytes.NewReader(toCRLF(parts[0])), bytes.NewReader(signature), l.source.config())
			l.noteSignature(signer, err)
			continue
		}
		l.walk(part, err, depth+1)
	}
}

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

// splitParts splits a multipart body into its parts, at most ten. The line break before
// a boundary belongs to the boundary.
func splitParts(body []byte, boundary string) [][]byte {
	if boundary == "" {
		return nil
	}
	mark := []byte("\r\n--" + boundary)
	chunks := bytes.Split(append([]byte("\r\n"), toCRLF(body)...), mark)
	var out [][]byte
	for _, c := range chunks[1:] {
		if bytes.HasPrefix(c, []byte("--")) || len(out) == 10 {
			break
		}
		if _, after, found := bytes.Cut(c, []byte("\r\n")); found {
			out = append(out, after)
		}
	}
	return out
}

// toCRLF converts line endings to CRLF, which signatures cover.
func toCRLF(b []byte) []byte {
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
	return errors.New("no configured PGP key is valid, so reporters cannot encrypt their mail")
}
