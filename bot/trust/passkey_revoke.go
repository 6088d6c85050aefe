package trust

import (
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// Revocation ends a passkey.
type Revocation struct {
	Fingerprint string    // or its beginning, at least 8 hexadecimal digits
	Since       time.Time // from when the key does not count, or zero for now
	Reason      string
}

// Revoke returns the events of a revocation, or the proposal of the first of two people from security. Keys and vouchers that the
// revoked key approved after its time fall with it.
func (s State) Revoke(a Actor, r Revocation, env Env) ([]Event, error) {
	k, err := s.find(r.Fingerprint)
	if err != nil {
		return nil, err
	}
	if r.Since.IsZero() {
		r.Since = env.Now
	}
	switch {
	case r.Since.After(env.Now):
		return nil, incident.Invalid("since", "the time of the revocation is in the future. Use the time of the theft, or leave it out")
	case r.Since.Before(k.RegisteredAt):
		r.Since = k.RegisteredAt
	}
	if !k.RevokedAt.IsZero() && !r.Since.Before(k.RevokedAt) {
		return nil, incident.Conflict("this passkey is revoked already, since %s", k.RevokedAt.UTC().Format("2006-01-02 15:04 UTC"))
	}
	own := a.onPages() && a.Person == k.Person
	if strings.TrimSpace(r.Reason) == "" && !own {
		return nil, incident.Invalid("because", "a revocation needs a reason, such as \"the laptop was stolen\"")
	}
	switch {
	case own, a.onHost() && a.Administrator:
		return s.revocation(a, k, r, nil, env), nil
	case a.onPages() && env.Directory.Represents(a.Person, incident.Security, env.Now):
		return s.revokeByTwo(a, k, r, env)
	}
	return nil, incident.Forbidden("only the owner, an administrator on the machine of Tocsin, or two people from security revoke a passkey. Ask security")
}

// revokeByTwo proposes a revocation, or confirms the proposal of another person from security.
func (s State) revokeByTwo(a Actor, k Key, r Revocation, env Env) ([]Event, error) {
	if s.distrusts(a.Through) {
		return nil, errDistrusted(a.Through)
	}
	if !a.SecondFactor {
		return nil, incident.Forbidden("this needs a session with a second factor. Confirm with your passkey, or sign in again")
	}
	for _, p := range slices.Backward(s.Proposals) {
		if p.Fingerprint != k.Fingerprint || !p.ActiveAt(env.Now) || !env.Directory.Represents(p.By, incident.Security, env.Now) {
			continue
		}
		if !incident.Independent(env.Directory, nil, p.By, a.Person) {
			return nil, incident.Conflict("you proposed to revoke this passkey. A second person from security must confirm it")
		}
		return s.revocation(a, k, Revocation{Since: p.Since, Reason: p.Reason}, []int64{p.Event}, env), nil
	}
	e := a.event(RevocationProposed, k.Person, env)
	e.Fingerprint, e.Details.Since, e.Details.Reason = k.Fingerprint, r.Since, r.Reason
	return []Event{e}, nil
}

// revocation returns the events that end a key and everything that rests on it.
func (s State) revocation(a Actor, k Key, r Revocation, used []int64, env Env) []Event {
	f := s.fall(fallen{map[string]time.Time{k.Fingerprint: r.Since}, map[int64]bool{}})
	keys, open := s.open(f)
	var out []Event
	for _, one := range keys {
		e := a.event(PasskeyRevoked, one.Person, env)
		e.Fingerprint, e.Details.Since, e.Details.Reason = one.Fingerprint, f.keys[one.Fingerprint], r.Reason
		if one.Fingerprint == k.Fingerprint {
			e.Details.Used = used
		} else {
			e.Details.Reason = "approved by " + k.Fingerprint + ", which is revoked: " + r.Reason
		}
		out = append(out, e)
	}
	if len(open) > 0 {
		void := a.event(VoucherVoided, k.Person, env)
		void.Fingerprint, void.Details.Used, void.Details.Reason = k.Fingerprint, open, "given with a passkey that is revoked"
		out = append(out, void)
	}
	return out
}

const minFingerprint = 8

// find returns the key with a fingerprint, or with a beginning of it that is not ambiguous.
func (s State) find(fingerprint string) (Key, error) {
	typed := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(fingerprint)), "sha256:")
	if len(typed) < minFingerprint {
		return Key{}, incident.Invalid("fingerprint", "the fingerprint %q is too short. Use at least %d of its digits, as `tocsin passkeys list` prints them", fingerprint, minFingerprint)
	}
	var found []Key
	for _, k := range s.Keys {
		if strings.HasPrefix(strings.TrimPrefix(k.Fingerprint, "sha256:"), typed) {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 0:
		return Key{}, incident.Unknown("fingerprint", "no passkey has the fingerprint %q. Use one that `tocsin passkeys list` prints", fingerprint)
	case 1:
		return found[0], nil
	}
	return Key{}, incident.Invalid("fingerprint", "%d passkeys have a fingerprint that begins with %q. Use more digits", len(found), fingerprint)
}
