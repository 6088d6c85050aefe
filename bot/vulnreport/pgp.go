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

// maxPlain is how many bytes may come out of one encrypted part, however well
// they were compressed.
const maxPlain = 8 << 20

const (
	messageBegin = "-----BEGIN PGP MESSAGE-----"
	messageEnd   = "-----END PGP MESSAGE-----"
	signedBegin  = "-----BEGIN PGP SIGNED MESSAGE-----"
)

func (s *Source) config() *packet.Config {
	most := int64(maxPlain)
	return &packet.Config{Time: s.clock, MaxDecompressedMessageSize: &most}
}

// looksEncrypted tells an encrypted part by its armor, or by its name.
func looksEncrypted(title string, content []byte) bool {
	title = strings.ToLower(title)
	return bytes.HasPrefix(bytes.TrimSpace(content), []byte(messageBegin)) || strings.HasSuffix(title, ".pgp") || strings.HasSuffix(title, ".gpg")
}

// decrypt opens a message, armored or not, in memory. What is to be said about
// it goes to note.
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
	plain, err := io.ReadAll(io.LimitReader(md.UnverifiedBody, maxPlain+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read it: %w", err)
	case len(plain) > maxPlain:
		return nil, fmt.Errorf("it holds more than %d bytes", maxPlain)
	}
	if md.IsEncrypted {
		note("It was encrypted to %016X.", md.DecryptedWith.PublicKey.KeyId)
	}
	switch {
	case !md.IsSigned:
	case md.SignedBy == nil:
		note("It is signed by %016X, whom we do not know: unverified.", md.SignedByKeyId)
	case md.SignatureError != nil:
		note("Its signature is BAD: %v.", md.SignatureError)
	default:
		note("Its signature is good: %s.", whose(md.SignedBy.Entity))
	}
	return plain, nil
}

// decryptError says for whom a message is that we cannot open.
func decryptError(err error, md *openpgp.MessageDetails) error {
	if errors.Is(err, pgperrors.ErrKeyIncorrect) {
		return errors.New("none of our keys fits")
	}
	if md != nil && len(md.EncryptedToKeyIds) > 0 {
		return fmt.Errorf("it is encrypted to %016X: %w", md.EncryptedToKeyIds[0], err)
	}
	return err
}

func whose(e *openpgp.Entity) string {
	for title := range e.Identities {
		return fmt.Sprintf("%s, %X", title, e.PrimaryKey.Fingerprint)
	}
	return fmt.Sprintf("%X", e.PrimaryKey.Fingerprint)
}

// inline opens the armored blocks in a text and checks one that is signed in
// the clear. A block that does not open stays as it is.
func (l *parsedMail) inline(text []byte) []byte {
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
			l.note("An encrypted text has no end; it is kept as it came.")
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

// signed reads multipart/signed: the first part is what was signed, byte for
// byte with its headers, the second the signature.
func (l *parsedMail) signed(e *message.Entity, boundary string, depth int) {
	parts := split(l.readPart(e, maxFile), boundary)
	if len(parts) < 2 {
		l.note("The mail says it is signed and has no signature.")
	}
	for n, raw := range parts {
		part, err := message.Read(bytes.NewReader(raw))
		if part == nil {
			l.note("A part of the mail cannot be read: %v.", err)
			continue
		}
		kind, _, _ := part.Header.ContentType()
		if n == 1 && kind == "application/pgp-signature" {
			signature := l.readPart(part, maxText)
			signer, err := openpgp.CheckArmoredDetachedSignature(l.source.keys, bytes.NewReader(crlf(parts[0])), bytes.NewReader(signature), l.source.config())
			l.noteSignature(signer, err)
			continue
		}
		l.walk(part, err, depth+1)
	}
}

func (l *parsedMail) noteSignature(signer *openpgp.Entity, err error) {
	switch {
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		l.note("It is signed by somebody whose key we do not have: unverified.")
	case err != nil:
		l.note("Its signature is BAD: %v.", err)
	default:
		l.note("Its signature is good: %s.", whose(signer))
	}
}

// split cuts a multipart body at its boundary, without the line break before
// each boundary, which belongs to it.
func split(body []byte, boundary string) [][]byte {
	if boundary == "" {
		return nil
	}
	mark := []byte("\r\n--" + boundary)
	chunks := bytes.Split(append([]byte("\r\n"), crlf(body)...), mark)
	var out [][]byte
	for _, c := range chunks[1:] {
		if bytes.HasPrefix(c, []byte("--")) || len(out) == 10 {
			break // the end
		}
		if _, after, found := bytes.Cut(c, []byte("\r\n")); found {
			out = append(out, after)
		}
	}
	return out
}

// crlf gives a text the line ends that mails have on the wire.
func crlf(b []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// Err says what is wrong with the keys that reporters encrypt to: that none of
// them is valid any more. Mails encrypted to one are opened all the same.
func (s *Source) Err() error {
	if len(s.private) == 0 {
		return nil
	}
	for _, e := range s.private {
		if _, valid := e.EncryptionKey(s.clock()); valid {
			return nil
		}
	}
	return errors.New("no PGP key is valid any more: reporters cannot encrypt to us")
}
