package vulnreport

import (
	"fmt"

	"tocsin/bot/bounds"
)

// Limits for one mail. Each is a total over all parts, because a stranger chooses how
// many parts a mail has.
const (
	maxParts       = 100       // MIME parts, including those that were encrypted
	maxNesting     = 10        // levels of MIME parts and encryption
	maxHeaderBytes = 256 << 10 // of the headers of all parts
	maxPartHeader  = 32 << 10  // of the header of one part
	maxTextBytes   = 64 << 10  // of the text, and of the HTML
	maxFiles       = 20        // listed attachments
	maxNotes       = 20        // sentences about encryption, signatures and unreadable parts
	maxPlainBytes  = 8 << 20   // decrypted and decompressed bytes
	maxInnerBytes  = 8 << 20   // of encoded messages and winmail.dat files within the mail
	maxEncrypted   = 16        // PGP messages
	maxKeyPackets  = 64        // session keys of all PGP messages
	maxDecryptions = 16        // operations with a private key, each up to 10 ms
	maxSignatures  = 8         // verified signatures
	maxHashedBytes = 16 << 20  // bytes under a detached signature
)

// budget holds what remains of the limits for one mail.
type budget struct {
	parts, header, text, html, plain, inner, encrypted, keyPackets, decryptions, signatures, hashed *bounds.Budget

	undecrypted int // PGP messages left encrypted because of a limit
	unverified  int // signatures left unverified because of a limit
	files       int // attachments that are not listed
}

func newBudget() *budget {
	return &budget{parts: bounds.New(maxParts), header: bounds.New(maxHeaderBytes), text: bounds.New(maxTextBytes), html: bounds.New(maxTextBytes),
		plain: bounds.New(maxPlainBytes), inner: bounds.New(maxInnerBytes), encrypted: bounds.New(maxEncrypted), keyPackets: bounds.New(maxKeyPackets),
		decryptions: bounds.New(maxDecryptions), signatures: bounds.New(maxSignatures), hashed: bounds.New(maxHashedBytes)}
}

// omissions returns a sentence for each kind of content that a limit left out.
func (b *budget) omissions() []string {
	var out []string
	add := func(n int64, one, many string) {
		switch {
		case n == 1:
			out = append(out, one)
		case n > 1:
			out = append(out, fmt.Sprintf(many, n))
		}
	}
	add(b.parts.Refused(), "1 part was not read, because the mail has more parts or deeper nesting than Tocsin reads.",
		"%d parts were not read, because the mail has more parts or deeper nesting than Tocsin reads.")
	add(b.header.Refused(), "1 byte of the headers was not read.", "%d bytes of the headers were not read.")
	add(b.text.Refused(), "1 byte was not read, because the text is longer than 65536 bytes.", "%d bytes were not read, because the text is longer than 65536 bytes.")
	add(b.html.Refused(), "1 byte was not read, because the HTML is longer than 65536 bytes.", "%d bytes were not read, because the HTML is longer than 65536 bytes.")
	add(b.inner.Refused(), "1 byte of attached messages was not read.", "%d bytes of attached messages were not read.")
	add(int64(b.undecrypted), "1 encrypted part was not decrypted.", "%d encrypted parts were not decrypted.")
	add(int64(b.unverified), "1 signature was not verified.", "%d signatures were not verified.")
	add(int64(b.files), "1 attachment is not listed.", "%d attachments are not listed.")
	if len(out) > 0 {
		out = append(out, "Read the rest in the mailbox.")
	}
	return out
}
