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

// Config configures the relay and the sender.
type Config struct {
	Host         string
	Port         int // default 465 with TLSImplicit, otherwise 587
	TLS          TLS
	TLSConfig    *tls.Config // default: the system's certificate authorities
	Username     string      // empty: no authentication
	Password     secret.String
	From         string           // "Tocsin <tocsin@example.com>"
	PostmortemTo []string         // recipients of postmortems whose audience is the whole company
	Clock        func() time.Time // default time.Now
	Logger       *slog.Logger     // default slog.Default
}

// Mailer sends mail through one relay. It opens a connection for each message and
// is safe for concurrent use.
type Mailer struct {
	cfg            Config
	from           *mail.Address
	domain         string
	postmortemList []*mail.Address
	log            *slog.Logger
}

// Handler performs one kind of effect.
type Handler = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error)

// New returns a Mailer without connecting to the relay. The error joins all problems
// of the configuration.
func New(c Config) (*Mailer, error) {
	c.TLS = cmp.Or(c.TLS, TLSMandatory)
	if c.Port == 0 {
		c.Port = 587
		if c.TLS == TLSImplicit {
			c.Port = 465
		}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	m := &Mailer{cfg: c, log: c.Logger.With("component", "mail")}
	var errs []error
	if c.Host == "" {
		errs = append(errs, errors.New("host: write the name of the relay"))
	}
	if c.Port < 1 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("port: %d is out of range, use 1 to 65535", c.Port))
	}
	if !slices.Contains([]TLS{TLSMandatory, TLSImplicit, TLSOpportunistic, TLSNone}, c.TLS) {
		errs = append(errs, fmt.Errorf("tls: unknown mode %q, use mandatory, implicit, opportunistic or none", c.TLS))
	}
	var err error
	if m.from, err = mail.ParseAddress(c.From); err != nil {
		errs = append(errs, fmt.Errorf("from: %q is not a mail address: %w", c.From, err))
	} else {
		_, m.domain, _ = strings.Cut(m.from.Address, "@")
	}
	if m.postmortemList, err = addresses(c.PostmortemTo); err != nil {
		errs = append(errs, fmt.Errorf("postmortems: %w", err))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
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
