package trust

import (
	"slices"
	"time"

	"tocsin/bot/incident"
)

// Provider is a provider that is distrusted.
type Provider struct {
	Name     string   // "slack", or the name of an issuer
	Names    []string // with the issuers whose accounts are those of the provider
	Since    time.Time
	At       time.Time // when a person declared the distrust first
	By       incident.PersonID
	Reason   string
	Events   []int64  // of the distrust, more than one if it was extended
	Proposal Proposed // to trust the provider again
}

// Proposed is the first half of the decision to trust a provider again. Its event is 0 without one.
type Proposed struct {
	Event   int64
	By      incident.PersonID
	At      time.Time
	Through string
	Reason  string
}

// ActiveAt reports whether a second person can confirm the proposal at a time.
func (p Proposed) ActiveAt(at time.Time) bool {
	return p.Event != 0 && at.Before(p.At.Add(ProposalTTL))
}

// ProposalTTL is how long a second person can confirm that a provider is trusted again.
const ProposalTTL = 24 * time.Hour

// Providers returns the providers that are distrusted at present, in the order of the log.
func (s State) Providers() (out []Provider) {
	for _, e := range s.events {
		n := slices.IndexFunc(out, func(p Provider) bool { return p.Name == e.Provider })
		switch {
		case e.Kind == ProviderDistrusted && n < 0:
			out = append(out, Provider{Name: e.Provider, Names: namesOf(e), Since: e.Details.Since, At: e.At, By: e.By, Reason: e.Details.Reason, Events: []int64{e.ID}})
		case e.Kind == ProviderDistrusted:
			out[n].extend(e)
		case e.Kind == TrustProposed && n >= 0:
			out[n].Proposal = Proposed{Event: e.ID, By: e.By, At: e.At, Through: e.Through, Reason: e.Details.Reason}
		case e.Kind == ProviderTrusted && n >= 0:
			out = slices.Delete(out, n, n+1)
		}
	}
	return out
}

// extend adds a later distrust of the same provider. A proposal to trust it again does not survive.
func (p *Provider) extend(e Event) {
	if e.Details.Since.Before(p.Since) {
		p.Since = e.Details.Since
	}
	for _, name := range namesOf(e) {
		if !slices.Contains(p.Names, name) {
			p.Names = append(slices.Clip(p.Names), name)
		}
	}
	p.Events, p.Proposal = append(p.Events, e.ID), Proposed{}
}

// namesOf returns the names of a distrust: the provider and its issuers.
func namesOf(e Event) []string {
	names := slices.Clone(e.Details.Names)
	if !slices.Contains(names, e.Provider) {
		names = append([]string{e.Provider}, names...)
	}
	return names
}

// Provider returns a provider that is distrusted at present, by its own name or by the name of one of its issuers.
func (s State) Provider(name string) (Provider, bool) {
	all := s.Providers()
	n := slices.IndexFunc(all, func(p Provider) bool { return p.Name == name })
	if n < 0 {
		n = slices.IndexFunc(all, func(p Provider) bool { return slices.Contains(p.Names, name) })
	}
	if n < 0 {
		return Provider{}, false
	}
	return all[n], true
}

// Distrusts returns what is distrusted at present: one value for each provider and each of its issuers.
func (s State) Distrusts() (out []incident.Distrust) {
	for _, p := range s.Providers() {
		for _, name := range p.Names {
			if n := slices.IndexFunc(out, func(d incident.Distrust) bool { return d.Provider == name }); n < 0 {
				out = append(out, incident.Distrust{Provider: name, Since: p.Since, At: p.At})
			} else if p.Since.Before(out[n].Since) {
				out[n].Since = p.Since
			}
		}
	}
	return out
}
