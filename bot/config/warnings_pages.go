package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"tocsin/bot/setting"
	"tocsin/bot/web"
)

// warnPages warns about pages that people cannot use, or that strangers can read.
func (c Config) warnPages(p *setting.Problems) {
	issuers := c.Web.SignIn.Issuers
	if c.PublicURL == "" {
		if len(issuers) > 0 {
			p.Add("sign_in.issuers", "have no effect, because there are no pages without public_url. Write the address of the pages there")
		}
		return
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil {
		return
	}
	switch {
	case setting.IsPlainHTTP(c.PublicURL):
		p.Add("public_url", "is not encrypted, so anyone on the way can take over a session, and browsers offer no passkeys. Write an address with https://")
	case isAddress(u.Hostname()):
		p.Add("public_url", "has an address instead of a name, to which passkeys cannot belong. Write a host name")
	}
	if strings.Trim(u.Path, "/") != "" {
		p.Add("public_url", "has a path, but the pages are at the root of a site. Write the address without %s", u.Path)
	}
	if !c.Web.Serves(web.ServePages) {
		p.Add("serve", "has no pages, but public_url names their address. Add pages, or omit public_url")
	} else if len(issuers) == 0 {
		p.Add("sign_in.issuers", "is empty, so people sign in only with a passkey or a login link. Add the OpenID provider of your company")
	}
	c.warnSubjects(p)
	if host, _, err := net.SplitHostPort(c.Telemetry.Listen); err == nil && !setting.IsLoopback(host) {
		p.Add("telemetry.listen", "is reachable from other machines without a password. Write 127.0.0.1, or let only your monitoring reach it")
	}
}

// warnSubjects warns about subjects that belong to no issuer.
func (c Config) warnSubjects(p *setting.Problems) {
	issuers := c.Web.SignIn.Issuers
	if len(issuers) == 0 {
		return
	}
	found := false
	for n, one := range c.People {
		if found = found || one.OIDC != ""; one.OIDC == "" || len(issuers) == 1 {
			continue
		}
		name, _, several := strings.Cut(one.OIDC, "|")
		if _, known := c.Web.SignIn.Issuer(name); !several || !known {
			p.Add(fmt.Sprintf("people[%d].oidc", n), "names no issuer, so the person cannot sign in. Write the name of the issuer before the subject, such as %s|%s", issuers[0].Name, one.OIDC)
		}
	}
	if !found {
		p.Add("people", "has no person with oidc, so no person can sign in with an issuer. Write the subject of each person")
	}
}

// isAddress reports whether a host is an address and not a name.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
