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
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/mail"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
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

// Config configures the ways in which reports arrive, and their decoding.
type Config struct {
	Form        *FormConfig    `yaml:"form"`
	Mailbox     *MailboxConfig `yaml:"mailbox"`
	SecurityTxt *SecurityTxt   `yaml:"security_txt"`
	// Keys decrypt mails from reporters. Old keys should remain while a reporter may
	// still use them.
	Keys []Key `yaml:"pgp_keys"`
	// Signers names files with armored public keys of known reporters. A signature by
	// another key is reported as unverified and is not an error.
	Signers []string `yaml:"pgp_signers"`
	// AuthServID is the name that the receiving mail server writes into
	// Authentication-Results. If it is empty, these headers are ignored.
	AuthServID string `yaml:"auth_serv_id"`
	// Usual has the default severity sev4, because anyone may send a report.
	Usual intake.Usual `yaml:",inline"`
}

// Key names a file with an armored private key.
type Key struct {
	File       string        `yaml:"file"`
	Passphrase secret.String `yaml:"passphrase"`
}

const example = `report:                                 # vulnerability reports
  form:                                 # a public form at /report
    company: Example
    policy: https://example.com/security
    contact: mailto:security@example.com
    trusted_origins: [https://www.example.com]
    acknowledge: true                   # confirm receipt by mail if the reporter gave an address
  security_txt:                         # /.well-known/security.txt
    contacts: [mailto:security@example.com]
    expires: 2027-06-01                 # Tocsin sends reminders 30, 7 and 1 days before and after expiry
    encryption: [https://example.com/pgp-key.txt]
    policy: [https://example.com/security]
    acknowledgments: [https://example.com/thanks]
    languages: [en, fr]
    canonical: [https://example.com/.well-known/security.txt]
    hiring: [https://example.com/jobs]
  mailbox:                              # IMAP mailbox that only Tocsin uses
    address: imap.example.com:993
    tls: implicit                       # implicit, starttls or none
    username: security
    password: ${IMAP_PASSWORD}
    folder: INBOX
    poll: 1m
    max_message: 5242880                # bytes
    aliases: [security@example.com]     # addresses of the mailbox. Mail from them is not answered, replies go to the first
    acknowledge: true                   # confirm receipt by mail
  pgp_keys: []                          # [{file: security-key.asc, passphrase: "${PGP_PASSPHRASE}"}]
  pgp_signers: []                       # files with public keys of known reporters
  auth_serv_id: mx.example.com          # name of your mail server in Authentication-Results
`

// Validate returns the problems of the configuration. It reads the files with keys.
func (c Config) Validate() setting.Problems {
	var p setting.Problems
	if c.Form != nil {
		p.AddBelow("form", c.Form.Validate())
	}
	if c.Mailbox != nil {
		p.AddBelow("mailbox", c.Mailbox.Validate())
	}
	if c.SecurityTxt != nil {
		p.AddBelow("security_txt", c.SecurityTxt.Validate())
	}
	if c.receives() {
		_, _, keys := c.readKeys()
		p = append(p, keys...)
	}
	return p
}

// receives reports whether reports can arrive.
func (c Config) receives() bool { return c.Form != nil || c.Mailbox != nil }

// Registration describes the source. It is fixed because it reads a mailbox.
func (c Config) Registration() intake.Registration {
	usual := c.Usual
	usual.Severity = cmp.Or(usual.Severity, string(incident.Sev4))
	return intake.Registration{Name: sourceName, On: c.receives(), Fixed: true, Usual: usual, Example: example, BareHeader: bareHeader,
		Alerts: intake.Alerts{Kinds: []string{"report.form", "report.mail"}, Levels: []incident.Level{incident.LevelCritical, incident.LevelHigh, incident.LevelMedium, incident.LevelLow}},
		New: func(d intake.Deps) (intake.Source, error) {
			return New(c, Deps{Clock: d.Clock, MailFrom: d.MailFrom})
		},
		Post: intake.Poster{Refusal: "they arrive by form and mail, and no endpoint accepts them signed"}}
}

// bareHeader returns the header of a report without any. The form stores JSON.
func bareHeader(body []byte) map[string]string {
	if json.Valid(body) {
		return map[string]string{headerVia: viaForm}
	}
	return map[string]string{headerVia: viaMail}
}

// Deps are the parts of the process that this package uses. Deliver is required,
// except for New.
type Deps struct {
	Deliver Deliver
	// Sender returns the network address of the sender of a form, for the rate limit.
	// The default is the address of the peer.
	Sender    func(*http.Request) string
	Clock     func() time.Time // default time.Now
	Logger    *slog.Logger     // default slog.Default
	TLSConfig *tls.Config      // of the mailbox
	MailFrom  string           // address from which Tocsin sends mail, or ""
}

func (d Deps) withDefaults() Deps {
	if d.Sender == nil {
		d.Sender = func(r *http.Request) string {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			return host
		}
	}
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	d.Logger = d.Logger.With("component", sourceName)
	return d
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
func New(c Config, d Deps) (*Source, error) {
	s := &Source{authServID: strings.ToLower(c.AuthServID), clock: d.withDefaults().Clock, ownAddresses: c.ownAddresses(d.MailFrom), acknowledges: map[string]bool{
		viaMail: c.Mailbox != nil && c.Mailbox.Acknowledge, viaForm: c.Form != nil && c.Form.Acknowledge}}
	var problems setting.Problems
	s.keys, s.privateKeys, problems = c.readKeys()
	return s, problems.Err()
}

// ownAddresses returns the addresses of the mailbox and of Tocsin, which never get
// an acknowledgement. The first one is the Reply-To of acknowledgements. Without an
// address of the mailbox, acknowledgements have no Reply-To.
func (c Config) ownAddresses(mailFrom string) []string {
	if c.Mailbox == nil {
		return nil
	}
	own := slices.Clone(c.Mailbox.Aliases)
	if _, err := mail.ParseAddress(c.Mailbox.Username); err == nil {
		own = append(own, c.Mailbox.Username)
	}
	if a, err := mail.ParseAddress(mailFrom); err == nil && len(own) > 0 {
		own = append(own, a.Address)
	}
	return own
}

// readKeys reads the files with keys. The private keys are also in all.
func (c Config) readKeys() (all, private openpgp.EntityList, p setting.Problems) {
	for n, k := range c.Keys {
		list, err := readKeyFile(k.File)
		if err != nil {
			p.Add(setting.Index("pgp_keys", n)+".file", "%v. Write the path of a file with an armored private key, from `gpg --armor --export-secret-keys ADDRESS`", err)
			continue
		}
		if err := unlock(list, k.Passphrase); err != nil {
			p.Add(setting.Index("pgp_keys", n), "%v. Check the file and the passphrase", err)
			continue
		}
		all, private = append(all, list...), append(private, list...)
	}
	for n, file := range c.Signers {
		list, err := readKeyFile(file)
		if err != nil {
			p.Add(setting.Index("pgp_signers", n), "%v. Write the path of a file with armored public keys, from `gpg --armor --export ADDRESS`", err)
		}
		all = append(all, list...)
	}
	return all, private, p
}

func readKeyFile(name string) (openpgp.EntityList, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the file: %w", err)
	}
	defer func() { _ = f.Close() }()
	list, err := openpgp.ReadArmoredKeyRing(f)
	if err != nil {
		return nil, fmt.Errorf("read armored key: %w", err)
	}
	return list, nil
}

// unlock decrypts private keys in place.
func unlock(list openpgp.EntityList, passphrase secret.String) error {
	for _, e := range list {
		if e.PrivateKey == nil {
			return errors.New("the file contains no private key")
		}
		if err := e.DecryptPrivateKeys([]byte(passphrase.Reveal())); err != nil {
			return fmt.Errorf("decrypt private key: %w", err)
		}
	}
	return nil
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
