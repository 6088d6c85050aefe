package config

import (
	"cmp"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
	"tocsin/bot/web"
)

// SignOff configures signatures. No setting reduces the number required.
type SignOff struct {
	// Require is how surely a signer must be recognised. It has no default, because each
	// value needs something else. Sensitive is the same for the other sensitive acts, by
	// default Require.
	Require          incident.AuthLevel     `yaml:"require"`
	Sensitive        incident.AuthLevel     `yaml:"sensitive"`
	SubmitterMaySign bool                   `yaml:"submitter_may_sign"`
	DeputyAfter      time.Duration          `yaml:"deputy_after"`
	HeadAfter        time.Duration          `yaml:"head_after"`
	Attestations     map[string]Attestation `yaml:"attestations"`
}

// Attestation is the statement that the signature of a department attests.
type Attestation struct {
	Version string `yaml:"version"`
	Text    string `yaml:"text"`
}

// The maximum lengths of an attestation, in characters. The whole text stands above the
// signature.
const (
	maxAttestation = 1000
	maxVersion     = 40
)

// Validate returns the problems of the section.
func (s SignOff) Validate() setting.Problems {
	var p setting.Problems
	switch {
	case s.Require == "":
		p.Add("require", "is missing. Write %s", levelChoices)
	case !slices.Contains(incident.AuthLevels(), s.Require):
		p.Add("require", "is not a way to sign. Write %s", levelChoices)
	}
	if s.Sensitive != "" && !slices.Contains(incident.AuthLevels(), s.Sensitive) {
		p.Add("sensitive", "is not a way to act. Write %s, or omit the key to use that of require", levelChoices)
	}
	if s.DeputyAfter < time.Minute || s.DeputyAfter > 30*24*time.Hour {
		p.Add("deputy_after", "is out of range. Write 1m to 30d, such as 4h")
	}
	if s.HeadAfter <= s.DeputyAfter || s.HeadAfter > 30*24*time.Hour {
		p.Add("head_after", "is out of range. Write a time after deputy_after and at most 30d, such as 24h")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Attestations)) {
		at, a := "attestations."+name, s.Attestations[name]
		if !slices.Contains(incident.RequiredDepartments(), incident.Department(name)) {
			p.Add(at, "is not a department that signs. Write engineering, security, legal or communications")
		}
		if n := utf8.RuneCountInString(a.Text); strings.TrimSpace(a.Text) == "" || n > maxAttestation {
			p.Add(at+".text", "has %d characters. Write the statement in 1 to %d characters", n, maxAttestation)
		}
		if n := utf8.RuneCountInString(a.Version); strings.TrimSpace(a.Version) == "" || n > maxVersion || strings.HasPrefix(a.Version, "tocsin/") {
			p.Add(at+".version", "is not a version. Write one of 1 to %d characters that changes with the text, such as 2026-11", maxVersion)
		}
	}
	return p
}

// levelChoices are the values of sign_off.require, as advice.
const levelChoices = "passkey (signers use their own passkey on the pages), mfa (signers use the pages with a second factor) or any (an account, such as that of Slack, is enough)"

// sensitive returns the level of sensitive acts.
func (s SignOff) sensitive() incident.AuthLevel { return cmp.Or(s.Sensitive, s.Require) }

// needsPages reports whether signatures or sensitive acts need the pages.
func (s SignOff) needsPages() bool {
	return s.Require == incident.AuthPasskey || s.Require == incident.AuthMFA || s.sensitive() == incident.AuthPasskey || s.sensitive() == incident.AuthMFA
}

// validateSignOff checks that people can sign at the required level.
func (c Config) validateSignOff(p *setting.Problems) {
	if !c.SignOff.needsPages() {
		return
	}
	key, level := "sign_off.require", c.SignOff.Require
	if level != incident.AuthPasskey && level != incident.AuthMFA {
		key, level = "sign_off.sensitive", c.SignOff.sensitive()
	}
	if c.PublicURL == "" || !c.Web.Serves(web.ServePages) {
		p.Add(key, "is %s, which needs the pages. Set public_url to their address and let serve contain pages, or write any", level)
		return
	}
	hasIssuer := slices.ContainsFunc(c.Web.SignIn.Issuers, func(i web.Issuer) bool { return i.SecondFactor.Claim != "" })
	hasPasskeys := canUsePasskeys(c.PublicURL)
	switch needsPasskey := c.SignOff.Require == incident.AuthPasskey || c.SignOff.sensitive() == incident.AuthPasskey; {
	case needsPasskey && !hasPasskeys:
		p.Add("public_url", "is %s, but browsers use passkeys only on https and with a host name. Write such an address, or sign_off.require: mfa with an issuer that proves a second factor", c.PublicURL)
		return
	case !hasPasskeys && !hasIssuer:
		p.Add(key, "is mfa, but nothing proves a second factor. Add second_factor to an issuer in sign_in, or write a public_url with https and a host name, on which passkeys work")
		return
	}
	for _, name := range incident.RequiredDepartments() {
		if people := c.teamMembers(c.Departments[string(name)]); !slices.ContainsFunc(people, func(id incident.PersonID) bool { return c.canSignIn(id, hasPasskeys) }) {
			p.Add("departments."+string(name)+".members", "has no person who can sign in to the pages, but a signature needs it. Add a person of people, with oidc if passkeys do not work here")
		}
	}
}

// canSignIn reports whether a person of the file can sign in to the pages.
func (c Config) canSignIn(id incident.PersonID, passkeys bool) bool {
	return slices.ContainsFunc(c.People, func(one Person) bool { return one.id() == id && (passkeys || one.OIDC != "") })
}

// canUsePasskeys reports whether browsers use passkeys on a site.
func canUsePasskeys(site string) bool {
	u, err := url.Parse(site)
	return err == nil && net.ParseIP(u.Hostname()) == nil && (u.Scheme == "https" || u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost"))
}

// Policy returns the policy with the settings of the section.
func (s SignOff) Policy(p incident.Policy) incident.Policy {
	p.SignLevel, p.SensitiveLevel = s.Require, s.sensitive()
	p.SubmitterMaySign, p.SignDeputyAfter, p.SignHeadAfter = s.SubmitterMaySign, s.DeputyAfter, s.HeadAfter
	for name, a := range s.Attestations {
		if p.Attestations == nil {
			p.Attestations = map[incident.Department]incident.Attestation{}
		}
		p.Attestations[incident.Department(name)] = incident.Attestation{Version: a.Version, Text: a.Text}
	}
	return p
}
