// Package mail sends Tocsin's e-mail through one SMTP relay: pages, postmortems,
// invitations to the review meeting, acknowledgements to reporters and notices
// about Tocsin's health.
//
// SMTP has no way to find out whether a relay accepted a message when its
// response was lost. The Message-ID is therefore derived from the mark of the
// effect and stays equal for every attempt. Servers, clients and people recognise
// a repeat by it.
package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
)

// TLS is how the connection to the relay is encrypted.
type TLS string

// The TLS modes. Credentials are sent unencrypted only with [TLSNone].
const (
	TLSMandatory     TLS = "mandatory"     // requires STARTTLS (the default)
	TLSImplicit      TLS = "implicit"      // TLS from the first byte, usually on port 465
	TLSOpportunistic TLS = "opportunistic" // STARTTLS if the relay offers it
	TLSNone          TLS = "none"          // no encryption, for a relay on this machine
)

// Config configures the relay and the sender. Without a host Tocsin sends no mail.
type Config struct {
	Host        string        `yaml:"host"`
	Port        int           `yaml:"port"` // default 465 with TLSImplicit, otherwise 587
	TLS         TLS           `yaml:"tls"`
	Username    string        `yaml:"username"` // empty: no authentication
	Password    secret.String `yaml:"password"`
	From        string        `yaml:"from"`        // "Tocsin <tocsin@example.com>"
	Postmortems []string      `yaml:"postmortems"` // recipients of postmortems whose audience is the whole company
}

// Defaults returns the configuration that a file completes.
func Defaults() Config { return Config{Port: 587, TLS: TLSMandatory} }

// Validate returns the problems of the configuration.
func (c Config) Validate() setting.Problems {
	if c.Host == "" && c.From == "" && len(c.Postmortems) == 0 {
		return nil
	}
	return c.problems()
}

func (c Config) problems() setting.Problems {
	var p setting.Problems
	if c.Host == "" {
		p.Add("host", "is missing, but other keys use mail. Write the host of the SMTP relay")
	}
	if _, err := mail.ParseAddress(c.From); err != nil {
		p.Add("from", "is not a mail address. Write one such as Tocsin <tocsin@example.com>")
	}
	if c.Port < 1 || c.Port > 65535 {
		p.Add("port", "is out of range. Write a port such as 587")
	}
	if !slices.Contains([]TLS{TLSMandatory, TLSImplicit, TLSOpportunistic, TLSNone}, c.TLS) {
		p.Add("tls", "unknown mode. Write mandatory, implicit, opportunistic or none")
	}
	p.CheckAddresses("postmortems", c.Postmortems)
	return p
}

// Warnings returns what is valid, but does not work or is not safe.
func (c Config) Warnings() setting.Problems {
	var p setting.Problems
	if c.Host == "" {
		return nil
	}
	if c.TLS == TLSNone && !c.Password.IsZero() && !setting.IsLoopback(c.Host) {
		p.Add("tls", "is none, so the password passes the network without encryption. Write mandatory or implicit")
	}
	switch {
	case c.Port == 465 && c.TLS != TLSImplicit && c.TLS != TLSNone:
		p.Add("tls", "does not fit port 465, where TLS begins at once. Write implicit, or port 587")
	case c.Port == 587 && c.TLS == TLSImplicit:
		p.Add("tls", "does not fit port 587, where TLS begins with STARTTLS. Write mandatory, or port 465")
	}
	switch {
	case c.Username == "" && !c.Password.IsZero():
		p.Add("username", "is missing, so the password is not used. Write the user name")
	case c.Username != "" && c.Password.IsZero():
		p.Add("password", "is missing, so Tocsin cannot sign in. Write the password, or remove mail.username")
	}
	return p
}

// Target is an escalation step that pages by mail.
type Target struct {
	To []string `yaml:"to"`
}

// Validate returns the problems of the target.
func (t Target) Validate() setting.Problems {
	var p setting.Problems
	if len(t.To) == 0 {
		p.Add("to", "is empty. Add at least one address")
	}
	p.CheckAddresses("to", t.To)
	return p
}

// Deps are the parts of the process that a [Mailer] uses.
type Deps struct {
	Clock     func() time.Time // default time.Now
	Logger    *slog.Logger     // default slog.Default
	TLSConfig *tls.Config      // default: the system's certificate authorities
}

// Mailer sends mail through one relay. It opens a connection for each message and
// is safe for concurrent use.
type Mailer struct {
	cfg            Config
	deps           Deps
	from           *mail.Address
	domain         string
	postmortemList []*mail.Address
	log            *slog.Logger
}

// Handler performs one kind of effect.
type Handler = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error)

// New returns a Mailer without connecting to the relay. The error joins all problems
// of the configuration.
func New(c Config, d Deps) (*Mailer, error) {
	c.TLS = cmp.Or(c.TLS, TLSMandatory)
	if c.Port == 0 {
		c.Port = 587
		if c.TLS == TLSImplicit {
			c.Port = 465
		}
	}
	if err := c.problems().Err(); err != nil {
		return nil, err
	}
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	m := &Mailer{cfg: c, deps: d, log: d.Logger.With("component", "mail")}
	m.from, _ = mail.ParseAddress(c.From) // valid, as all addresses of c
	_, m.domain, _ = strings.Cut(m.from.Address, "@")
	m.postmortemList, _ = addresses(c.Postmortems)
	return m, nil
}

// addresses parses mail addresses with or without a display name and drops
// duplicates. It returns the valid addresses even if the error is not nil.
func addresses(list []string) ([]*mail.Address, error) {
	var out []*mail.Address
	var errs []error
	for _, s := range list {
		a, err := mail.ParseAddress(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("%q is not a mail address: %w", s, err))
			continue
		}
		if !slices.ContainsFunc(out, func(b *mail.Address) bool { return strings.EqualFold(a.Address, b.Address) }) {
			out = append(out, a)
		}
	}
	return out, errors.Join(errs...)
}
