// Package vulnreport receives vulnerability reports through a public form and through
// the mailbox of the vulnerability alias. It also serves /.well-known/security.txt.
//
// A report is a delivery of the source "report", like a webhook. It is stored before
// the reporter is thanked, byte for byte as received: an encrypted mail stays
// encrypted in the inbox. [Source.Decode] decodes it later. Each report or mail thread
// becomes its own incident. Its level is low unless the reporter states a severity,
// and routing rules can open an incident for triage without a page.
//
// Reporters refer to a report by a reference such as VR-K7Q2M-9XWDA. The reference
// reveals nothing about the incident.
package vulnreport

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"

	"tocsin/bot/incident"
	"tocsin/bot/secret"
)

const sourceName = "report"

// The headers stored with a report.
const (
	headerVia      = "X-Report-Via"       // viaForm or viaMail
	headerFullSize = "X-Report-Full-Size" // bytes of the mail in the mailbox, set only if the stored copy is truncated
	headerAt       = "X-Report-At"        // arrival time, RFC 3339
	viaForm        = "form"
	viaMail        = "mail"
)

// Deliver stores a report as a delivery of this source and returns after it is on disk.
// A repeated ID is not an error.
type Deliver func(ctx context.Context, id string, header map[string]string, body []byte, sender string) error

// Config configures the decoding of reports. All fields are optional.
type Config struct {
	// Keys decrypt mails from reporters. Old keys should remain while a reporter may
	// still use them.
	Keys []Key
	// Signers holds armored public keys of known reporters. A signature by another key
	// is reported as unverified and is not an error.
	Signers []string
	// AuthServID is the name that the receiving mail server writes into
	// Authentication-Results. If it is empty, these headers are ignored.
	AuthServID string
	// AnswerMail and AnswerForm enable an acknowledgement by mail for reports by mail
	// and for reports by form. A form report needs a mail address as its contact.
	AnswerMail, AnswerForm bool
	// Own holds the mail addresses of the alias and of Tocsin, which never get an
	// acknowledgement. The first one is the Reply-To of acknowledgements. If Own is
	// empty, acknowledgements have no Reply-To.
	Own   []string
	Clock func() time.Time // for the expiry of keys (default time.Now)
}

// Key is an armored private key and its passphrase.
type Key struct {
	Armored    secret.String
	Passphrase secret.String
}

// Source decodes vulnerability reports. It is safe for concurrent use.
type Source struct {
	keys         openpgp.EntityList
	privateKeys  openpgp.EntityList // subset of keys, for decryption
	authServID   string
	acknowledges map[string]bool // by viaForm and viaMail
	ownAddresses []string
	clock        func() time.Time
}

// New returns a source. The error joins the problems of all unusable keys.
func New(c Config) (*Source, error) {
	s := &Source{authServID: strings.ToLower(c.AuthServID), acknowledges: map[string]bool{viaMail: c.AnswerMail, viaForm: c.AnswerForm}, ownAddresses: c.Own, clock: c.Clock}
	if s.clock == nil {
		s.clock = time.Now
	}
	var errs []error
	for n, k := range c.Keys {
		list, err := k.open()
		if err != nil {
			errs = append(errs, fmt.Errorf("keys[%d]: %w", n, err))
		}
		s.keys, s.privateKeys = append(s.keys, list...), append(s.privateKeys, list...)
	}
	for n, armored := range c.Signers {
		list, err := openpgp.ReadArmoredKeyRing(strings.NewReader(armored))
		if err != nil {
			errs = append(errs, fmt.Errorf("signers[%d]: read armored key: %w", n, err))
		}
		s.keys = append(s.keys, list...)
	}
	return s, errors.Join(errs...)
}

func (k Key) open() (openpgp.EntityList, error) {
	list, err := openpgp.ReadArmoredKeyRing(strings.NewReader(k.Armored.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("read armored key: %w", err)
	}
	for _, e := range list {
		if e.PrivateKey == nil {
			return nil, errors.New("the file contains no private key")
		}
		if err := e.DecryptPrivateKeys([]byte(k.Passphrase.Reveal())); err != nil {
			return nil, fmt.Errorf("decrypt private key: %w", err)
		}
	}
	return list, nil
}

// Name returns the name of the source.
func (*Source) Name() string { return sourceName }

// Headers returns the names of the headers that Decode needs.
func (*Source) Headers() []string { return []string{headerVia, headerFullSize, headerAt} }

// Verify rejects every webhook, because reports arrive only by form and by mail.
func (*Source) Verify(context.Context, http.Header, []byte, time.Time) (string, error) {
	return "", incident.Forbidden("this endpoint does not accept reports: use the form at /report or a contact in /.well-known/security.txt")
}

// reference returns the public reference of a report. It is a hash of parts: equal
// parts have equal references, and a reference does not reveal the parts.
func reference(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s,", len(p), p)
	}
	s := crockford.EncodeToString(h.Sum(nil))
	return "VR-" + s[:5] + "-" + s[5:10]
}

// crockford is Crockford's base32 alphabet, without characters that are easily
// confused.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// statedLevels maps the severity that a reporter states to a level. The severity is
// unverified, but nothing else marks a report as urgent.
var statedLevels = map[string]incident.Level{
	"critical": incident.LevelCritical, "high": incident.LevelHigh, "medium": incident.LevelMedium, "low": incident.LevelLow,
}

func levelOf(stated string) incident.Level {
	if l, ok := statedLevels[strings.ToLower(strings.TrimSpace(stated))]; ok {
		return l
	}
	return incident.LevelLow
}
