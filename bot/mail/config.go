// Package mail sends what the bot writes by e-mail: pages, postmortems and
// invitations to the review meeting.
//
// A mail server cannot be asked whether it took a message before its answer was
// lost. So every message has a Message-ID made of the effect's mark, the same
// at each attempt, by which servers, clients and people recognise a repeat.
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

// TLS says how the connection to the relay is protected.
type TLS string

// The ways. Credentials are never sent in the clear unless TLS is switched off.
const (
	TLSMandatory     TLS = "mandatory"     // STARTTLS or nothing: the default
	TLSImplicit      TLS = "implicit"      // TLS from the first byte, usually port 465
	TLSOpportunistic TLS = "opportunistic" // STARTTLS where the relay offers it
	TLSNone          TLS = "none"          // for a relay on this machine
)

// Config of the relay.
type Config struct {
	Host         string
	Port         int // default 465 with TLSImplicit, else 587
	TLS          TLS
	TLSConfig    *tls.Config // default: the system's authorities
	Username     string      // empty: no authentication
	Password     secret.String
	From         string           // "Tocsin <tocsin@example.com>"
	PostmortemTo []string         // who gets postmortems that are for the whole company
	Clock        func() time.Time // default time.Now
	Logger       *slog.Logger     // default slog.Default
}

// Mailer sends mail through one relay.
type Mailer struct {
	cfg        Config
	from       *mail.Address
	domain     string
	postmortem []*mail.Address
	log        *slog.Logger
}

// Handler carries out one kind of effect.
type Handler = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error)

// New makes a Mailer. It reports every fault of the configuration at once.
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
	var faults []error
	if c.Host == "" {
		faults = append(faults, errors.New("host: the relay's name is missing"))
	}
	if c.Port < 1 || c.Port > 65535 {
		faults = append(faults, fmt.Errorf("port: %d is none", c.Port))
	}
	if !slices.Contains([]TLS{TLSMandatory, TLSImplicit, TLSOpportunistic, TLSNone}, c.TLS) {
		faults = append(faults, fmt.Errorf("tls: %q is none of mandatory, implicit, opportunistic, none", c.TLS))
	}
	var err error
	if m.from, err = mail.ParseAddress(c.From); err != nil {
		faults = append(faults, fmt.Errorf("from: %q is no address: %w", c.From, err))
	} else {
		_, m.domain, _ = strings.Cut(m.from.Address, "@")
	}
	if m.postmortem, err = addresses(c.PostmortemTo); err != nil {
		faults = append(faults, fmt.Errorf("postmortems: %w", err))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return m, nil
}

// addresses parses addresses with or without a name; one that stands twice
// counts once.
func addresses(list []string) ([]*mail.Address, error) {
	var out []*mail.Address
	var faults []error
	for _, s := range list {
		a, err := mail.ParseAddress(s)
		if err != nil {
			faults = append(faults, fmt.Errorf("%q is no address: %w", s, err))
			continue
		}
		if !slices.ContainsFunc(out, func(b *mail.Address) bool { return strings.EqualFold(a.Address, b.Address) }) {
			out = append(out, a)
		}
	}
	return out, errors.Join(faults...)
}
