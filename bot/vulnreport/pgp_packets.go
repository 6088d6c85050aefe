package vulnreport

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Tags of packets, by RFC 9580.
const (
	tagSessionKey         = 1
	tagSignature          = 2
	tagPasswordSessionKey = 3
	tagOnePassSignature   = 4
	tagCompressed         = 8
	tagMarker             = 10
	tagLiteral            = 11
	tagPadding            = 21
)

const (
	maxArmorHeader = 4 << 10 // bytes before the content of an armored message
	maxLayers      = 2       // compressed packets within each other
	maxPackets     = 16      // packets of a decrypted message, most of them signatures
)

// unarmor returns the packets of a message. It returns the content unchanged if it has
// no armor.
func unarmor(content *bufio.Reader) (*bufio.Reader, error) {
	head, _ := content.Peek(maxArmorHeader)
	if !bytes.Contains(head, []byte(messageBegin)) {
		return content, nil
	}
	_, after, _ := bytes.Cut(head, []byte(messageBegin))
	if len(head) == maxArmorHeader && !bytes.Contains(bytes.ReplaceAll(after, []byte("\r"), nil), []byte("\n\n")) {
		return nil, errors.New("the armor has too many headers") // the library stores all of them
	}
	block, err := armor.Decode(content)
	if err != nil {
		return nil, fmt.Errorf("read armor: %w", err)
	}
	return bufio.NewReader(block.Body), nil
}

// nextTag returns the tag of the next packet without reading it. It returns 0 for data
// that is not a packet.
func nextTag(r *bufio.Reader) int {
	b, err := r.Peek(1)
	if err != nil {
		return 0
	}
	tag, _ := packetTag(b[0])
	return tag
}

// packetTag returns the tag in the first byte of a packet, and 0 if it is not one.
// legacy is true for the format of the length that RFC 9580 calls legacy.
func packetTag(b byte) (tag int, legacy bool) {
	switch {
	case b&0x80 == 0:
		return 0, false
	case b&0x40 == 0:
		return int(b>>2) & 0xf, true
	}
	return int(b & 0x3f), false
}

// openEncrypted returns the packets inside an encrypted message, and the key that
// decrypted it. A message that is not encrypted is returned unchanged, without a key.
// The budget bounds the session keys that are read and the operations with a private
// key. A session key protected by a password is skipped before its password function
// runs, which may need any amount of memory.
func (l *parsedMail) openEncrypted(content *bufio.Reader) (io.ReadCloser, *packet.PublicKey, error) {
	var candidates []*packet.EncryptedKey
	encrypted := false
	for {
		tag := nextTag(content)
		if tag != tagSessionKey && tag != tagPasswordSessionKey && tag != tagMarker && tag != tagPadding {
			break
		}
		if !l.budget.keyPackets.Take(1) {
			return nil, nil, errLimit
		}
		encrypted = encrypted || tag != tagMarker && tag != tagPadding
		p, err := packet.Read(content)
		if key, ok := p.(*packet.EncryptedKey); ok && err == nil {
			candidates = append(candidates, key)
		} else if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return nil, nil, fmt.Errorf("read session key: %w", err)
		}
	}
	if tag := nextTag(content); tag == tagCompressed || tag == tagLiteral || tag == tagOnePassSignature {
		if encrypted {
			return nil, nil, errors.New("no encrypted content follows the session keys")
		}
		return io.NopCloser(content), nil, nil
	}
	p, err := packet.Read(content)
	if err != nil {
		return nil, nil, fmt.Errorf("read encrypted content: %w", err)
	}
	data, ok := p.(packet.EncryptedDataPacket)
	if s, symmetric := p.(*packet.SymmetricallyEncrypted); !ok || symmetric && !s.IntegrityProtected {
		return nil, nil, errors.New("the message is not encrypted, or not protected against changes")
	}
	return l.openWithKeys(data, candidates)
}

// openWithKeys decrypts data with the first session key that one of the private keys
// opens.
func (l *parsedMail) openWithKeys(data packet.EncryptedDataPacket, candidates []*packet.EncryptedKey) (io.ReadCloser, *packet.PublicKey, error) {
	for _, c := range candidates {
		keys := l.source.privateKeys.KeysById(c.KeyId)
		if c.KeyId == 0 { // the recipient is hidden
			keys = l.source.privateKeys.DecryptionKeys()
		}
		for _, k := range keys {
			if k.PrivateKey == nil || k.PrivateKey.Encrypted {
				continue
			}
			if !l.budget.decryptions.Take(1) {
				return nil, nil, errLimit
			}
			if c.Decrypt(k.PrivateKey, l.source.config()) != nil {
				continue
			}
			opened, err := data.Decrypt(c.CipherFunc, c.Key)
			if err != nil && !errors.Is(err, pgperrors.ErrKeyIncorrect) {
				return nil, nil, fmt.Errorf("encrypted to key %016X: %w", c.KeyId, err)
			}
			if opened != nil {
				return opened, k.PublicKey, nil
			}
		}
	}
	return nil, nil, errors.New("no configured key matches")
}

// decompress returns the packets of a message after decompression. The budget bounds
// the bytes of all layers together.
func (l *parsedMail) decompress(message io.Reader) ([]byte, error) {
	r := bufio.NewReader(message)
	for layers := 0; ; layers++ {
		for tag := nextTag(r); tag == tagMarker || tag == tagPadding; tag = nextTag(r) {
			if !l.budget.keyPackets.Take(1) {
				return nil, errLimit
			}
			if _, err := packet.Read(r); err != nil {
				return nil, err
			}
		}
		if nextTag(r) != tagCompressed {
			if layers == 0 {
				r = bufio.NewReader(l.budget.plain.Reader(r))
			}
			return io.ReadAll(r)
		}
		if layers == maxLayers {
			return nil, errLimit
		}
		p, err := packet.Read(r)
		compressed, ok := p.(*packet.Compressed)
		if err != nil || !ok {
			return nil, fmt.Errorf("read compressed packet: %w", err)
		}
		r = bufio.NewReader(l.budget.plain.Reader(compressed.Body))
	}
}

// checkPackets returns an error unless a message consists of one literal packet and a
// few signatures. The library would verify any number of signatures, and decrypt an
// encrypted message inside the decrypted one.
func checkPackets(b []byte) error {
	literals := 0
	for n := 0; len(b) > 0; n++ {
		tag, rest, err := skipPacket(b)
		switch {
		case err != nil:
			return err
		case n == maxPackets:
			return errLimit
		case tag == tagLiteral:
			literals++
		case tag != tagSignature && tag != tagOnePassSignature && tag != tagMarker && tag != tagPadding:
			return fmt.Errorf("the decrypted content has a packet of type %d. Send one signed text or file in each message", tag)
		}
		b = rest
	}
	if literals != 1 {
		return fmt.Errorf("the decrypted content has %d texts or files. Send one in each message", literals)
	}
	return nil
}

var errPacket = errors.New("the decrypted content is truncated or malformed")

// skipPacket returns the tag of the first packet and the bytes after it.
func skipPacket(b []byte) (tag int, rest []byte, err error) {
	tag, legacy := packetTag(b[0])
	kind := int(b[0] & 3) // of the length in the legacy format
	b = b[1:]
	if tag == 0 {
		return 0, nil, errPacket
	}
	if legacy {
		if kind == 3 {
			return tag, nil, nil // up to the end
		}
		size := 1 << kind
		if len(b) < size {
			return 0, nil, errPacket
		}
		var length [8]byte
		copy(length[8-size:], b[:size])
		if end := uint64(size) + binary.BigEndian.Uint64(length[:]); end <= uint64(len(b)) {
			return tag, b[end:], nil
		}
		return 0, nil, errPacket
	}
	for partial := true; partial; {
		var header, length uint64
		switch {
		case len(b) == 0:
			return 0, nil, errPacket
		case b[0] < 192:
			header, length, partial = 1, uint64(b[0]), false
		case b[0] < 224 && len(b) > 1:
			header, length, partial = 2, uint64(b[0]-192)<<8+uint64(b[1])+192, false
		case b[0] == 255 && len(b) > 4:
			header, length, partial = 5, uint64(binary.BigEndian.Uint32(b[1:])), false
		case b[0] >= 224 && b[0] < 255:
			header, length = 1, 1<<(b[0]&0x1f)
		default:
			return 0, nil, errPacket
		}
		if header+length > uint64(len(b)) {
			return 0, nil, errPacket
		}
		b = b[header+length:]
	}
	return tag, b, nil
}
