package trust

import (
	"fmt"
	"slices"

	"tocsin/bot/incident"
)

// approval is the reason for which a registration is allowed.
type approval struct {
	text      string   // for people
	approvers []string // fingerprints
	used      []int64  // codes and vouchers
}

// MayRegister returns the reason for which the actor can register a passkey, for people, or an error with the missing part.
func (s State) MayRegister(a Actor, code string, env Env) (string, error) {
	ok, err := s.approve(a, code, env)
	return ok.text, err
}

// approve decides whether the actor may register a passkey. A session of a login link has proven nothing, so it always needs a code
// and vouchers.
func (s State) approve(a Actor, code string, env Env) (approval, error) {
	if _, known := env.Directory.Person(a.Person); !known || !a.onPages() {
		return approval{}, incident.Forbidden("a passkey is registered by its owner on the pages. Sign in there first")
	}
	if s.distrusts(a.Through) {
		return approval{}, errDistrusted(a.Through)
	}
	first := len(s.Passkeys(a.Person)) == 0
	if link := a.Through == incident.ThroughHost; !link {
		if key, ok := s.freshKey(a, env); ok {
			return approval{text: "own passkey " + key.Fingerprint, approvers: []string{key.Fingerprint}}, nil
		}
		if first && freshFactor(a, env) {
			return approval{text: "sign-in with a second factor through " + a.Through}, nil
		}
	} else if code == "" {
		return approval{}, incident.Forbidden("you signed in with a login link, which proves no second factor. Ask an administrator for an enrolment code, and %s", vouchersNeeded(first))
	}
	if first {
		return s.approveFirst(a, code, env)
	}
	return s.approveFurther(a, code, env)
}

// distrusts reports whether a provider or issuer is distrusted.
func (s State) distrusts(name string) bool {
	return slices.ContainsFunc(s.Distrusts(), func(d incident.Distrust) bool { return d.Provider == name })
}

func errDistrusted(name string) error {
	return incident.Forbidden("you signed in through %s, which is distrusted. Sign in in another way", name)
}

func vouchersNeeded(first bool) string {
	if first {
		return "a person from another department for a voucher"
	}
	return "two people for a voucher each"
}

// freshKey returns the key that the actor used a short time ago.
func (s State) freshKey(a Actor, env Env) (Key, bool) {
	for _, k := range s.Keys {
		if k.Fingerprint == a.Asserted && a.Asserted != "" && k.Person == a.Person && k.ActiveAt(env.Now) {
			age := env.Now.Sub(a.AssertedAt)
			return k, age >= 0 && age <= FreshTime
		}
	}
	return Key{}, false
}

// freshFactor reports whether an issuer proved a second factor a short time ago.
func freshFactor(a Actor, env Env) bool {
	age := env.Now.Sub(a.SignedIn)
	return a.SecondFactor && a.Through != "" && a.Through != incident.ThroughPasskey && a.Through != incident.ThroughHost && age >= 0 && age <= FreshTime
}

// approveFirst decides about the first passkey of a person by a code and a voucher.
func (s State) approveFirst(a Actor, code string, env Env) (approval, error) {
	if code == "" {
		return approval{}, incident.Forbidden("your first passkey needs a sign-in with a second factor in the last %d minutes. Sign in again, or ask an administrator for an enrolment code and a person from another department for a voucher",
			int(FreshTime.Minutes()))
	}
	c, err := s.findCode(a.Person, code, env)
	if err != nil {
		return approval{}, err
	}
	for _, v := range s.validVouchers(a.Person, env) {
		if !otherDepartment(env, a.Person, v.By) || c.By != "" && !incident.Independent(env.Directory, nil, c.By, v.By) {
			continue
		}
		return approval{"enrolment code and the voucher of " + voucherText(env, v), fingerprints(v), []int64{c.Event, v.Event}}, nil
	}
	return approval{}, incident.Forbidden("the enrolment code is valid, but no person from another department has vouched for you. Ask one of the people under \"Who can vouch for you\"")
}

// approveFurther decides about another passkey of a person by two vouchers.
func (s State) approveFurther(a Actor, code string, env Env) (approval, error) {
	var codes []int64
	text := ""
	if a.Through == incident.ThroughHost {
		c, err := s.findCode(a.Person, code, env)
		if err != nil {
			return approval{}, err
		}
		codes, text = []int64{c.Event}, "enrolment code and "
	}
	valid := s.validVouchers(a.Person, env)
	for n, v := range valid {
		for _, w := range valid[n+1:] {
			if incident.Independent(env.Directory, nil, v.By, w.By) {
				return approval{fmt.Sprintf("%svouchers of %s and %s", text, voucherText(env, v), voucherText(env, w)), fingerprints(v, w), append(codes, v.Event, w.Event)}, nil
			}
		}
	}
	return approval{}, incident.Forbidden("you have had a passkey, so another one needs your own passkey or two vouchers (%d of 2 are here). Confirm with your passkey, or ask two people to vouch for you", min(len(valid), 2))
}

func voucherText(env Env, v Voucher) string {
	if v.Fingerprint == "" {
		return env.Directory.Name(v.By) + " (recorded on the host)"
	}
	return env.Directory.Name(v.By)
}

func fingerprints(vouchers ...Voucher) (out []string) {
	for _, v := range vouchers {
		if v.Fingerprint != "" {
			out = append(out, v.Fingerprint)
		}
	}
	return out
}
