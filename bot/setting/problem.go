// Package setting holds what the configurations of all adapters share: the
// problems that their Validate methods return, checks of common values, and types
// of values that a file writes as text.
//
// An adapter declares a Config with yaml tags and validates it. Keys are relative
// to the Config, because the adapter does not know its place in the file:
//
//	func (c Config) Validate() setting.Problems {
//		var p setting.Problems
//		p.CheckSecrets("tokens", c.Tokens)
//		if c.Header == "" {
//			p.Add("header", "is missing. Write a name such as X-Api-Key")
//		}
//		return p
//	}
package setting

import (
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/secret"
)

// Problem is a problem with one key of a configuration. Fix describes the problem
// and its fix, without secrets.
type Problem struct {
	Key string
	Fix string
}

// Problems are the problems of a configuration.
type Problems []Problem

// Add adds a problem of a key. The text continues a sentence that begins with the
// key: what is wrong, then the fix.
func (p *Problems) Add(key, format string, args ...any) {
	*p = append(*p, Problem{key, fmt.Sprintf(format, args...)})
}

// Err returns the problems as one error, or nil if there are none. Each is an
// [*incident.Error] whose field is the key.
func (p Problems) Err() error {
	errs := make([]error, len(p))
	for n, one := range p {
		errs[n] = fmt.Errorf("%s: %w", one.Key, incident.Invalid(one.Key, "%s", one.Fix))
	}
	return errors.Join(errs...)
}

// AddBelow adds the problems of the configuration that a key holds.
func (p *Problems) AddBelow(key string, below Problems) {
	for _, one := range below {
		*p = append(*p, Problem{Join(key, one.Key), one.Fix})
	}
}

// Join returns the key of name below key. An empty name stands for key itself.
func Join(key, name string) string {
	if key == "" || name == "" {
		return key + name
	}
	return key + "." + name
}

// Index returns the key of an element of the list at key.
func Index(key string, n int) string { return fmt.Sprintf("%s[%d]", key, n) }

// minSecret is the minimum length of a shared secret, in bytes.
const minSecret = 16

// CheckSecrets adds a problem for each secret of a list that is too short.
func (p *Problems) CheckSecrets(key string, list []secret.String) {
	for n, one := range list {
		if IsShort(one) {
			p.Add(Index(key, n), "is too short. Use at least %d characters", minSecret)
		}
	}
}

// IsShort reports whether a shared secret is too short to be used.
func IsShort(s secret.String) bool { return len(s.Reveal()) < minSecret }

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// IsHeaderName reports whether s is the name of an HTTP header.
func IsHeaderName(s string) bool { return headerName.MatchString(s) }

// IsURL reports whether s is a URL with a host.
func IsURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != ""
}

// IsSite reports whether s is the address of a site: a URL of HTTP without a query and a
// fragment, to which paths are added.
func IsSite(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && !strings.ContainsAny(s, "?# ")
}

// IsPage reports whether s is the address of a page, which people open in a browser.
func IsPage(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && !strings.ContainsAny(s, "{}<>|\"\\^` \t\n")
}

// IsPlainHTTP reports whether s is the URL of another machine without encryption.
func IsPlainHTTP(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "http" && !IsLoopback(u.Hostname())
}

// IsLoopback reports whether a host is this machine.
func IsLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && addr.Unmap().IsLoopback()
}

// CheckAddresses adds a problem for each text of a list that is not a mail
// address.
func (p *Problems) CheckAddresses(key string, list []string) {
	for n, s := range list {
		p.CheckAddress(Index(key, n), s)
	}
}

// CheckAddress adds a problem if s is not a mail address.
func (p *Problems) CheckAddress(key, s string) {
	if _, err := mail.ParseAddress(s); err != nil {
		p.Add(key, "is not a mail address. Write one such as ada@example.com")
	}
}
