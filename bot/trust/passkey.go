package trust

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"tocsin/bot/incident"
)

const (
	// VoucherTTL is how long an enrolment code, a voucher and a proposed revocation can be used.
	VoucherTTL = 24 * time.Hour
	// FreshTime is how long a sign-in or a use of a passkey allows the registration of another.
	FreshTime = 10 * time.Minute
	// MaxKeys is the maximum number of active passkeys of a person.
	MaxKeys = 10

	maxKeyName = 60
)

// Actor is who acts, and how the person was recognised.
type Actor struct {
	Person       incident.PersonID // "" for a user of the host who belongs to no person
	Handle       incident.Identity
	Through      string    // see [Event.Through]
	SecondFactor bool      // of the session
	SignedIn     time.Time // when the session began
	// Administrator is set for a user of the host who operates the instance.
	Administrator bool
	// Asserted is the fingerprint of the passkey that was used last in the session, at AssertedAt.
	Asserted   string
	AssertedAt time.Time
}

// onHost reports whether the actor uses the command line of the host.
func (a Actor) onHost() bool { return a.Handle.Provider == incident.ProviderLocal }

// onPages reports whether the actor has a session on the pages.
func (a Actor) onPages() bool { return a.Handle.Provider == incident.ProviderWeb && a.Person != "" }

// event returns an event by the actor about a person.
func (a Actor) event(kind Kind, person incident.PersonID, env Env) Event {
	return Event{At: env.Now, Kind: kind, Person: person, By: a.Person, Through: a.Through, Details: Details{Handle: a.Handle}}
}

// Env is the input of a decision, in addition to the state.
type Env struct {
	Now          time.Time
	Directory    incident.Directory
	RelyingParty incident.RelyingParty
}

// Registration is a new passkey. The ceremony on the page has proven that its owner has it.
type Registration struct {
	Name       string
	Credential []byte
	PublicKey  []byte // DER
	Record     []byte
	Code       string // enrolment code that the person typed, or ""
}

// Register returns the events of a registration: the key, and the codes and vouchers that are left over, which are void then.
func (s State) Register(a Actor, r Registration, env Env) ([]Event, error) {
	ok, err := s.approve(a, r.Code, env)
	if err != nil {
		return nil, err
	}
	if err := s.checkNew(a.Person, r, env); err != nil {
		return nil, err
	}
	e := a.event(PasskeyRegistered, a.Person, env)
	e.Fingerprint = incident.KeyFingerprint(r.PublicKey)
	e.Details.Name, e.Details.Credential, e.Details.PublicKey, e.Details.Record = keyName(r.Name, len(s.Passkeys(a.Person))+1), r.Credential, r.PublicKey, r.Record
	e.Details.Approval, e.Details.Approvers, e.Details.Used = ok.text, ok.approvers, ok.used
	events := []Event{e}
	if left := s.leftOver(a.Person, ok.used); len(left) > 0 {
		void := a.event(VoucherVoided, a.Person, env)
		void.Details.Used, void.Details.Reason = left, "left over after the registration of a passkey"
		events = append(events, void)
	}
	return events, nil
}

// leftOver returns the events of the codes and vouchers for a person that are not spent, except used ones.
func (s State) leftOver(person incident.PersonID, used []int64) (out []int64) {
	for _, c := range s.Codes {
		if c.Person == person && !c.Spent && !slices.Contains(used, c.Event) {
			out = append(out, c.Event)
		}
	}
	for _, v := range s.Vouchers {
		if v.Person == person && !v.Spent && !slices.Contains(used, v.Event) {
			out = append(out, v.Event)
		}
	}
	return out
}

// checkNew returns an error if the key cannot be a new one of the person.
func (s State) checkNew(person incident.PersonID, r Registration, env Env) error {
	if len(r.Credential) == 0 || len(r.Credential) > 1023 {
		return incident.Invalid("credential", "the passkey has no usable id. Try another passkey")
	}
	if err := incident.CheckKey(r.PublicKey); err != nil {
		return incident.Invalid("public_key", "the passkey cannot be used: %s. Use a passkey with ES256, EdDSA or RS256", err.Error())
	}
	for _, k := range s.Keys {
		if bytes.Equal(k.Credential, r.Credential) || bytes.Equal(k.PublicKey, r.PublicKey) {
			return incident.Conflict("this passkey is registered already. Create a new one")
		}
	}
	if s.active(person, env.Now) >= MaxKeys {
		return incident.Conflict("you have %d passkeys. Revoke one before you register another", MaxKeys)
	}
	return nil
}

// active returns the number of the keys of a person that count at a time.
func (s State) active(person incident.PersonID, at time.Time) (n int) {
	for _, k := range s.Keys {
		if k.Person == person && k.ActiveAt(at) {
			n++
		}
	}
	return n
}

// Usable returns the key with a credential id if it can be used now. If person is not "", it must be a key of this person.
func (s State) Usable(person incident.PersonID, credential []byte, env Env) (Key, error) {
	key, known := s.Key(credential)
	switch {
	case !known:
		return Key{}, incident.Forbidden("Tocsin does not know this passkey. Use another one, or sign in in another way and register it")
	case person != "" && key.Person != person:
		return Key{}, incident.Forbidden("this passkey belongs to another person. Use one of your own")
	case !key.ActiveAt(env.Now):
		return Key{}, incident.Forbidden("this passkey is revoked. Use another one")
	}
	if _, known := env.Directory.Person(key.Person); !known {
		return Key{}, incident.Forbidden("the owner of this passkey is not in the configuration. Ask an administrator to add the person")
	}
	return key, nil
}

// keyName returns the name of a key in one line. n is the number of the key.
func keyName(name string, n int) string {
	name = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, name)), " ")
	if runes := []rune(name); len(runes) > maxKeyName {
		name = string(runes[:maxKeyName])
	}
	if name == "" {
		return fmt.Sprintf("Passkey %d", n)
	}
	return name
}
