package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"filippo.io/age"

	"tocsin/bot/health"
	"tocsin/bot/incident"
)

// maxName is how much of a recipient a file names. Post-quantum recipients have 2000
// characters.
const maxName = 32

// recipientStanza is the type of the header line that names a recipient. The headers of
// age do not name X25519 recipients. age ignores lines of unknown types, but its MAC
// covers them.
const recipientStanza = "tocsin-recipient"

// namedRecipient is a recipient that also writes its name into the header.
type namedRecipient struct {
	age.Recipient
	name string
}

// Wrap implements [age.Recipient].
func (r namedRecipient) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	stanzas, _, err := r.WrapWithLabels(fileKey)
	return stanzas, err
}

// WrapWithLabels implements [age.RecipientWithLabels].
func (r namedRecipient) WrapWithLabels(fileKey []byte) (stanzas []*age.Stanza, labels []string, err error) {
	if labeled, ok := r.Recipient.(age.RecipientWithLabels); ok {
		stanzas, labels, err = labeled.WrapWithLabels(fileKey)
	} else {
		stanzas, err = r.Recipient.Wrap(fileKey)
	}
	return append(stanzas, &age.Stanza{Type: recipientStanza, Args: []string{r.name}}), labels, err
}

// recipientName returns the beginning of a recipient, which identifies it.
func recipientName(s string) string { return s[:min(len(s), maxName)] }

func parseRecipient(s string) (age.Recipient, error) {
	list, err := age.ParseRecipients(strings.NewReader(s))
	if err != nil || len(list) != 1 || strings.ContainsAny(s, "\n# ") {
		return nil, errors.New("not an age recipient")
	}
	return namedRecipient{list[0], recipientName(s)}, nil
}

// parseRecipients returns recipients that age can combine in one file.
func parseRecipients(list []string) ([]age.Recipient, error) {
	var out []age.Recipient
	for _, s := range list {
		one, err := parseRecipient(s)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	_, err := age.Encrypt(io.Discard, out...)
	return out, err
}

// Identities read backups.
type Identities struct {
	file string
	list []age.Identity
}

// LoadIdentities reads a file of age-keygen.
func LoadIdentities(file string) (Identities, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return Identities{}, fmt.Errorf("read age identity: %w. Name the file that age-keygen wrote with --identity", err)
	}
	if bytes.HasPrefix(raw, []byte("age-encryption.org/")) || bytes.HasPrefix(raw, []byte("-----BEGIN AGE")) {
		return Identities{}, fmt.Errorf("the age identity %s is encrypted with a passphrase. Decrypt it with `age --decrypt` to a file on a RAM disk, and name that file", file)
	}
	list, err := age.ParseIdentities(bytes.NewReader(raw))
	if err != nil {
		return Identities{}, fmt.Errorf("the file %s is not an age identity. Name the file that age-keygen wrote", file) // err quotes lines of the file
	}
	return Identities{file, list}, nil
}

// names returns the names of the recipients of the identities.
func (ids Identities) names() []string {
	var out []string
	for _, id := range ids.list {
		switch one := id.(type) {
		case *age.X25519Identity:
			out = append(out, recipientName(one.Recipient().String()))
		case *age.HybridIdentity:
			out = append(out, recipientName(one.Recipient().String()))
		}
	}
	return out
}

// maxHeader is the maximum size of the header of a backup in bytes.
const maxHeader = 256 << 10

var stanzaLine = regexp.MustCompile(`(?m)^-> ` + recipientStanza + ` ([!-~]{1,` + fmt.Sprint(maxName) + `})$`)

// decrypt returns the content of an encrypted backup. If no identity fits, the error names
// the recipients.
func decrypt(r io.Reader, ids Identities) (io.Reader, error) {
	var header boundedBuffer
	content, err := age.Decrypt(io.TeeReader(r, &header), ids.list...)
	if err == nil {
		return ageReader{content}, nil
	}
	if none := new(age.NoIdentityMatchError); errors.As(err, &none) {
		var names []string
		for _, m := range stanzaLine.FindAllStringSubmatch(header.String(), -1) {
			names = append(names, m[1]+"…")
		}
		return nil, incident.Invalid("identity", "the identity %s (recipient %s…) does not open this backup, which is encrypted to %s. Use an identity of one of these recipients",
			ids.file, strings.Join(ids.names(), "…, "), strings.Join(names, ", "))
	}
	return nil, explainDamage(err)
}

// ageReader explains errors in the middle of a backup.
type ageReader struct{ r io.Reader }

func (a ageReader) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = explainDamage(err)
	}
	return n, err
}

// explainDamage returns the error of a backup that cannot be decrypted.
func explainDamage(err error) error {
	var known *health.Problem
	var file *fs.PathError
	if errors.As(err, &known) || errors.As(err, &file) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("the backup is damaged or truncated. Use another copy, which `tocsin backup list` shows: %w", err)
}

// boundedBuffer holds the first maxHeader bytes of all writes.
type boundedBuffer struct{ bytes.Buffer }

func (b *boundedBuffer) Write(p []byte) (int, error) {
	_, _ = b.Buffer.Write(p[:min(len(p), max(maxHeader-b.Len(), 0))]) // a buffer takes all
	return len(p), nil
}
