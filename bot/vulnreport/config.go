// Package vulnreport takes vulnerability reports from people: by a public form,
// by mail to the vulnerability alias, and tells them where to send them, in
// /.well-known/security.txt.
//
// A report is a delivery of the source "report" like any webhook: it is on disk
// before anybody is thanked for it, it is kept as it came – an encrypted mail
// encrypted – and what it means is found out later, by [Source.Decode]. Each
// report, or thread of mails, is an incident of its own. Its level is low unless
// it states a severity, so that routing can open a triage item without waking
// anybody.
//
// A report is known to its reporter by a reference such as VR-K7Q2M-9XWDA, which
// says nothing about the incident.
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

const name = "report"

// The headers stored with a report.
const (
	headerVia      = "X-Report-Via"       // viaForm or viaMail
	headerFullSize = "X-Report-Full-Size" // bytes of the mail in the mailbox, set only if the stored copy is truncated
	headerAt       = "X-Report-At"        // arrival time, RFC 3339
	viaForm        = "form"
	viaMail        = "mail"
)

// Deliver stores a report as a delivery of this source, and returns when it is
// on disk. A delivery whose id is known is no error.
type Deliver func(ctx context.Context, id string, header map[string]string, body []byte, sender string) error

// Config of the source: what it takes to read mails. All of it is optional.
type Config struct {
	// Keys decrypt what reporters encrypt; the old ones stay while somebody may
	// still use them.
	Keys []Key
	// Signers are armored public keys of reporters that we know. A signature of
	// anybody else is unverified, which is no fault.
	Signers []string
	// AuthServID is how our receiving server calls itself in
	// Authentication-Results. Without it, none of these headers is believed.
	AuthServID string
	// AnswerMail and AnswerForm: reporters are told that their report arrived, by
	// mail; of the form, those who left an address.
	AnswerMail, AnswerForm bool
	// Own are our own addresses, which are never answered. The first one is where
	// answers to an acknowledgement go; without any, none is asked for.
	Own   []string
	Clock func() time.Time // default time.Now; decides whether a key has expired
}

// Key is an armored private key.
type Key struct {
	Armored    secret.String
	Passphrase secret.String
}

// Source reads reports, as intake sees it.
type Source struct {
	keys       openpgp.EntityList
	private    openpgp.EntityList // of these, our own
	authServID string
	answer     map[string]bool // doors whose reporters are told
	own        []string
	clock      func() time.Time
}

// New makes the source. It reports every key that cannot be used.
func New(c Config) (*Source, error) {
	s := &Source{authServID: strings.ToLower(c.AuthServID), answer: map[string]bool{viaMail: c.AnswerMail, viaForm: c.AnswerForm}, own: c.Own, clock: c.Clock}
	if s.clock == nil {
		s.clock = time.Now
	}
	var faults []error
	for n, k := range c.Keys {
		list, err := k.open()
		if err != nil {
			faults = append(faults, fmt.Errorf("keys[%d]: %w", n, err))
		}
		s.keys, s.private = append(s.keys, list...), append(s.private, list...)
	}
	for n, armored := range c.Signers {
		list, err := openpgp.ReadArmoredKeyRing(strings.NewReader(armored))
		if err != nil {
			faults = append(faults, fmt.Errorf("signers[%d]: read armored key: %w", n, err))
		}
		s.keys = append(s.keys, list...)
	}
	return s, errors.Join(faults...)
}

func (k Key) open() (openpgp.EntityList, error) {
	list, err := openpgp.ReadArmoredKeyRing(strings.NewReader(k.Armored.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("read armored key: %w", err)
	}
	for _, e := range list {
		if e.PrivateKey == nil {
			return nil, errors.New("there is no private key in it")
		}
		if err := e.DecryptPrivateKeys([]byte(k.Passphrase.Reveal())); err != nil {
			return nil, fmt.Errorf("open private key with its passphrase: %w", err)
		}
	}
	return list, nil
}

// Name is the source's name.
func (*Source) Name() string { return name }

// Headers names what Decode needs.
func (*Source) Headers() []string { return []string{headerVia, headerFullSize, headerAt} }

// Verify refuses what is posted: reports come through the form and the mailbox.
func (*Source) Verify(http.Header, []byte, time.Time) (string, error) {
	return "", incident.Forbidden("reports are not posted here; use the form, or write to the address in /.well-known/security.txt")
}

// reference is the name that a report has for its reporter: the same for the
// same parts, and nothing can be read out of it.
func reference(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s,", len(p), p)
	}
	s := crockford.EncodeToString(h.Sum(nil))
	return "VR-" + s[:5] + "-" + s[5:10]
}

// crockford has no letter that is taken for another on the phone.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// severities are what a reporter may state. It is a claim, but the one thing
// that makes a report urgent.
var severities = map[string]incident.Level{
	"critical": incident.LevelCritical, "high": incident.LevelHigh, "medium": incident.LevelMedium, "low": incident.LevelLow,
}

func level(stated string) incident.Level {
	if l, ok := severities[strings.ToLower(strings.TrimSpace(stated))]; ok {
		return l
	}
	return incident.LevelLow
}
