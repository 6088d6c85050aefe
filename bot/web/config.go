package web

import (
	"crypto/tls"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
)

// Config configures the pages and the public listener.
type Config struct {
	SignIn SignIn `yaml:"sign_in"`
	TLS    TLS    `yaml:"tls"`
	// Serve lists the paths of the public listener: [ServeWebhooks], [ServePages] or both.
	Serve []string `yaml:"serve"`
}

// The values of [Config.Serve].
const (
	ServeWebhooks = "webhooks" // what senders use: /hooks/, Slack over HTTP, the report form and security.txt
	ServePages    = "pages"    // what people of the company open
)

// SignIn configures how people sign in.
type SignIn struct {
	Issuers []Issuer `yaml:"issuers"`
}

// Issuer is an OpenID provider.
type Issuer struct {
	Name         string        `yaml:"name"`   // of the button, and in events
	Issuer       string        `yaml:"issuer"` // address that the tokens name
	ClientID     string        `yaml:"client_id"`
	ClientSecret secret.String `yaml:"client_secret"`
	SecondFactor SecondFactor  `yaml:"second_factor"`
	// MaxAge is the maximum time since the person proved to the issuer who they are. Zero
	// means no limit.
	MaxAge time.Duration `yaml:"max_age"`
	// Provider is the account system behind the issuer, such as slack, or "". A distrust of
	// it applies to the issuer.
	Provider string `yaml:"provider"`
}

// SecondFactor is how a token shows that the person proved a second factor.
type SecondFactor struct {
	Claim  string   `yaml:"claim"`  // acr, amr or acrs. Empty: the issuer proves none
	Values []string `yaml:"values"` // any of them is a proof
}

// TLS names the files of the certificate of the public listener. Without them it serves
// plain HTTP to a proxy.
type TLS struct {
	Cert string `yaml:"cert"` // PEM, with the intermediate certificates
	Key  string `yaml:"key"`
}

// On reports whether the public listener uses TLS.
func (t TLS) On() bool { return t.Cert != "" }

// Defaults returns the configuration that a file completes.
func Defaults() Config { return Config{Serve: []string{ServeWebhooks, ServePages}} }

// Serves reports whether the public listener serves a group of paths.
func (c Config) Serves(group string) bool { return slices.Contains(c.Serve, group) }

// Issuer returns the issuer with a name.
func (s SignIn) Issuer(name string) (Issuer, bool) {
	n := slices.IndexFunc(s.Issuers, func(i Issuer) bool { return i.Name == name })
	if n < 0 {
		return Issuer{}, false
	}
	return s.Issuers[n], true
}

// Subject returns how the key oidc of a person names a subject of an issuer. With one
// issuer it is the subject.
func (s SignIn) Subject(issuer, subject string) string {
	if len(s.Issuers) < 2 {
		return subject
	}
	return issuer + "|" + subject
}

// issuerName matches the names of issuers. The database stores them unencrypted.
var issuerName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// reservedNames cannot name an issuer, because events contain them with another meaning.
var reservedNames = []string{incident.ThroughPasskey, incident.ThroughHost, string(incident.ProviderSlack), string(incident.ProviderPagerDuty), string(incident.ProviderMail),
	string(incident.ProviderOIDC), string(incident.ProviderLocal), string(incident.ProviderWeb), string(incident.ProviderSystem), string(incident.ProviderSource)}

// maxAuthAge is the largest max_age.
const maxAuthAge = 30 * 24 * time.Hour

// Validate returns the problems of the configuration.
func (c Config) Validate() setting.Problems {
	var p setting.Problems
	names, addresses := map[string]int{}, map[string]int{}
	for n, one := range c.SignIn.Issuers {
		key := setting.Index("sign_in.issuers", n)
		p.AddBelow(key, one.validate())
		if first, twice := names[one.Name]; twice && one.Name != "" {
			p.Add(key+".name", "is also the name of sign_in.issuers[%d]. Write another name", first)
		}
		if first, twice := addresses[one.Issuer]; twice && one.Issuer != "" {
			p.Add(key+".issuer", "is also the issuer of sign_in.issuers[%d]. Remove one of them", first)
		}
		names[one.Name], addresses[one.Issuer] = n, n
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		p.Add("tls", "has only one of cert and key. Write both files, or omit the section")
	} else if c.TLS.On() {
		if _, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key); err != nil {
			p.Add("tls.cert", "cannot be used: %v. Write the files of a certificate and its key in PEM", err)
		}
	}
	if len(c.Serve) == 0 {
		p.Add("serve", "is empty. Write webhooks, pages or both")
	}
	for n, group := range c.Serve {
		if group != ServeWebhooks && group != ServePages {
			p.Add(setting.Index("serve", n), "unknown group of paths. Write webhooks or pages")
		}
	}
	return p
}

// validate returns the problems of an issuer.
func (i Issuer) validate() setting.Problems {
	var p setting.Problems
	switch {
	case !issuerName.MatchString(i.Name):
		p.Add("name", "is not a name. Write 1 to 40 lower-case letters, digits and hyphens, such as company")
	case slices.Contains(reservedNames, i.Name):
		p.Add("name", "is a reserved name. Write another one, such as company")
	}
	u, err := url.Parse(i.Issuer)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(i.Issuer, "?# ") || u.Scheme != "https" && u.Scheme != "http":
		p.Add("issuer", "is not the address of an OpenID provider. Copy the issuer from its documentation, such as https://login.example.com")
	case setting.IsPlainHTTP(i.Issuer):
		p.Add("issuer", "is not encrypted. Write an address with https://")
	}
	if strings.TrimSpace(i.ClientID) == "" {
		p.Add("client_id", "is missing. Register Tocsin at the provider and copy the client ID")
	}
	switch claim := i.SecondFactor.Claim; {
	case claim == "" && len(i.SecondFactor.Values) > 0:
		p.Add("second_factor.claim", "is missing. Write acr, amr or acrs")
	case claim != "" && claim != "acr" && claim != "amr" && claim != "acrs":
		p.Add("second_factor.claim", "unknown claim. Write acr, amr or acrs")
	case claim != "" && len(i.SecondFactor.Values) == 0:
		p.Add("second_factor.values", "is empty. Write the values that prove a second factor, such as mfa")
	}
	for n, value := range i.SecondFactor.Values {
		if strings.TrimSpace(value) == "" || strings.ContainsAny(value, " \t\n") {
			p.Add(setting.Index("second_factor.values", n), "is not a value of a claim. Write one without spaces, such as mfa")
		}
	}
	if i.MaxAge < 0 || i.MaxAge > maxAuthAge {
		p.Add("max_age", "is out of range. Write 0s to 30d, such as 12h")
	}
	if i.Provider != "" && !issuerName.MatchString(i.Provider) {
		p.Add("provider", "is not the name of an account system. Write one such as slack, or omit the key")
	}
	return p
}

// Warnings returns what is valid, but weak.
func (c Config) Warnings() setting.Problems {
	var p setting.Problems
	for n, one := range c.SignIn.Issuers {
		key := setting.Index("sign_in.issuers", n)
		if one.SecondFactor.Claim == "" {
			p.Add(key+".second_factor", "is missing, so a sign-in there proves one factor, and people need a passkey for sensitive acts. Write the claim and the values by which %s proves a second factor", one.Name)
		}
		if one.MaxAge == 0 {
			p.Add(key+".max_age", "is missing, so a sign-in accepts a session at the provider of any age. Write a time such as 12h")
		}
	}
	return p
}
