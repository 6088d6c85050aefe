package trust

import (
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// Distrusting is the decision of a person that a provider's accounts are in the hands of an attacker.
type Distrusting struct {
	Provider string
	Names    []string // the provider and the issuers that belong to it
	Since    time.Time
	Reason   string
}

// Distrust returns the events of a distrust: the distrust, and the revocation of every passkey, code, voucher and proposal that was
// obtained through the provider since then. One person from security is enough. A repeated distrust can only begin earlier.
func (s State) Distrust(a Actor, r Distrusting, env Env) ([]Event, error) {
	known, distrusted := s.Provider(r.Provider)
	switch {
	case strings.TrimSpace(r.Reason) == "":
		return nil, incident.Invalid("because", "a distrust needs a reason. Add --because, such as \"stolen tokens of four people\"")
	case r.Since.IsZero():
		return nil, incident.Invalid("since", "the time is missing. Add --since with the time after which acts through %s do not count, such as 2026-11-24T09:00Z or 3h", r.Provider)
	case r.Since.After(env.Now):
		return nil, incident.Invalid("since", "%s is in the future. Use the time of the first possible act of the attacker", incident.TimeText(r.Since))
	}
	if err := s.mayDecide(a, append([]string{r.Provider}, r.Names...), env); err != nil {
		return nil, err
	}
	if !env.Directory.Represents(a.Person, incident.Security, env.Now) {
		return nil, incident.Forbidden("only people from security distrust a provider. Ask one of them")
	}
	if distrusted && !r.Since.Before(known.Since) && !slices.ContainsFunc(r.Names, func(name string) bool { return !slices.Contains(known.Names, name) }) {
		return nil, incident.Conflict("%s is distrusted already, since %s. Name an earlier time to extend that", r.Provider, incident.TimeText(known.Since))
	}
	e := a.event(ProviderDistrusted, "", env)
	e.Provider = r.Provider
	e.Details.Since, e.Details.Names, e.Details.Reason = r.Since.UTC(), r.Names, r.Reason
	return append([]Event{e}, s.voided(r.Names, r.Since, env)...), nil
}

// mayDecide returns an error if the actor cannot decide about a provider: people of the configuration on the host, or on the pages
// with a second factor, whom another provider vouches for.
func (s State) mayDecide(a Actor, names []string, env Env) error {
	_, known := env.Directory.Person(a.Person)
	switch {
	case !known:
		return incident.Forbidden("only a person of the configuration decides whether a provider is trusted. Ask an administrator to add you under people")
	case !a.onHost() && !a.onPages(), slices.Contains(names, a.Through), slices.Contains(names, string(a.Handle.Provider)):
		return incident.Forbidden("this is not possible through %s. Use the command line of the host, or the pages with another way to sign in", names[0])
	case a.onPages() && !a.SecondFactor:
		return incident.Forbidden("this needs a session with a second factor. Confirm with your passkey, or sign in again")
	}
	for _, p := range s.Providers() {
		if slices.Contains(p.Names, a.Through) {
			return incident.Forbidden("%s is distrusted since %s, and it vouches for your session. Use another way to sign in", a.Through, incident.TimeText(p.Since))
		}
	}
	return nil
}

// voided returns the events that end what was obtained through providers since a time. Tocsin itself is their author.
func (s State) voided(names []string, since time.Time, env Env) (out []Event) {
	tocsin := Actor{Handle: incident.System}
	keys, open := s.Since(names, since)
	for _, k := range keys {
		e := tocsin.event(PasskeyRevoked, k.Person, env)
		e.Fingerprint, e.Details.Since, e.Details.Reason = k.Fingerprint, k.RegisteredAt, "obtained through "+names[0]+", which is distrusted"
		out = append(out, e)
	}
	if len(open) > 0 {
		e := tocsin.event(VoucherVoided, "", env)
		e.Details.Used, e.Details.Reason = open, "obtained through "+names[0]+", which is distrusted"
		out = append(out, e)
	}
	return out
}

// Trusting is the decision of a person to trust a provider again.
type Trusting struct {
	Provider string
	Reason   string
}

// Trust returns the proposal of the first of two people to trust a provider again, or the decision of the second one. Both come
// from security or legal, at least one from security, and neither through the provider.
func (s State) Trust(a Actor, r Trusting, env Env) ([]Event, error) {
	p, distrusted := s.Provider(r.Provider)
	switch {
	case !distrusted:
		return nil, incident.Conflict("%s is not distrusted. Type tocsin provider list to see the providers", r.Provider)
	case p.Name != r.Provider:
		return nil, incident.Conflict("%s is distrusted because it belongs to %s. Type tocsin provider trust %[2]s", r.Provider, p.Name)
	case strings.TrimSpace(r.Reason) == "":
		return nil, incident.Invalid("because", "trusting a provider again needs a reason. Add --because, such as \"all sessions ended, apps reviewed\"")
	}
	if err := s.mayDecide(a, p.Names, env); err != nil {
		return nil, err
	}
	security := func(person incident.PersonID) bool {
		return env.Directory.Represents(person, incident.Security, env.Now)
	}
	if !security(a.Person) && !env.Directory.Represents(a.Person, incident.Legal, env.Now) {
		return nil, incident.Forbidden("only people from security or legal decide that a provider is trusted again. Ask one of them")
	}
	first := p.Proposal
	_, stays := env.Directory.Person(first.By)
	if !first.ActiveAt(env.Now) || !stays {
		e := a.event(TrustProposed, "", env)
		e.Provider, e.Details.Reason = p.Name, r.Reason
		return []Event{e}, nil
	}
	switch {
	case !incident.Independent(env.Directory, nil, first.By, a.Person):
		return nil, incident.Conflict("you proposed to trust %s again. A second, independent person must type the same command", p.Name)
	case !security(a.Person) && !security(first.By):
		return nil, incident.Conflict("one of the two people must be from security. Ask a member of security to type the same command")
	}
	e := a.event(ProviderTrusted, "", env)
	e.Provider, e.Details.Reason, e.Details.Used = p.Name, r.Reason, []int64{first.Event}
	return []Event{e}, nil
}
