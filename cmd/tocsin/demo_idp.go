package main

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"tocsin/bot/config"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/idp"
	"tocsin/bot/secret"
	"tocsin/bot/web"
)

// demoProvider is the running OpenID provider of a demo.
type demoProvider struct {
	*idp.Provider
	server *http.Server
}

// serveProvider serves an OpenID provider for the people of a company, and configures the
// pages for it. Its name is localhost, because passkeys cannot belong to an address.
func serveProvider(cfg *config.Config, c *company.Company, clock func() time.Time) (*demoProvider, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0") // closed at once: the configuration names the port before the bot listens
	if err != nil {
		return nil, fmt.Errorf("find a port for the pages: %w", err)
	}
	cfg.Listen = free.Addr().String()
	_ = free.Close()
	cfg.PublicURL = localURL(free)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve OpenID provider: %w", err)
	}
	var people []idp.Person
	for n, p := range c.People {
		cfg.People[n].OIDC = p.Email
		people = append(people, idp.Person{Subject: p.Email, Name: p.Name, Email: p.Email, Note: p.Department})
	}
	people = append(people, idp.Person{Subject: "visitor", Name: "Somebody else", Note: "not in the configuration of Tocsin"})
	p, err := idp.New(idp.Options{Issuer: localURL(l), People: people, Clock: clock})
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	p.Allow(cfg.PublicURL + web.CallbackPath)
	cfg.Web.SignIn.Issuers = []web.Issuer{{Name: "sandbox", Issuer: localURL(l), ClientID: idp.ClientID, ClientSecret: secret.New(idp.ClientSecret),
		SecondFactor: web.SecondFactor{Claim: "amr", Values: []string{"mfa"}}, MaxAge: 12 * time.Hour}}
	d := &demoProvider{p, &http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second}}
	go func() { _ = d.server.Serve(l) }()
	if problems := cfg.Validate(); len(problems) > 0 {
		_ = d.server.Close()
		return nil, problems
	}
	return d, nil
}

// localURL returns the address of a listener on this machine by name.
func localURL(l net.Listener) string {
	return fmt.Sprintf("http://localhost:%d", l.Addr().(*net.TCPAddr).Port)
}
