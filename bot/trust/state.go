package trust

import (
	"slices"
	"time"

	"tocsin/bot/incident"
)

// State is the result of the events of the log. Its slices are in the order of the log and must not be changed.
type State struct {
	Keys      []Key
	Codes     []Code
	Vouchers  []Voucher
	Proposals []Proposal

	events       []Event // all of them, for the providers
	byCredential map[string]int
}

// Key is a passkey with everything that the log holds about it.
type Key struct {
	incident.Passkey
	Event    int64  // that registered the key
	Name     string // that the person chose
	Approval string // reason for which the registration was allowed, for people
	Record   []byte // for the library of the ceremonies
	// Through is the origin of the session that registered the key. See [Event.Through].
	Through string
	// Approvers are the fingerprints of the keys that approved this one: of the person or of the vouchers.
	Approvers []string
	Used      []int64 // codes and vouchers that the registration used up

	RevokedBy     incident.PersonID // "" for a user of the host or the bot
	RevokedReason string
}

// Code is a one-time enrolment code.
type Code struct {
	Event   int64
	Person  incident.PersonID
	At      time.Time
	Expires time.Time
	Hash    string            // see [CodeHash]
	By      incident.PersonID // the administrator, or "" for a user of the host without a person
	Through string            // of the administrator
	Spent   bool              // used or void
}

// ActiveAt reports whether the code can be used at a time.
func (c Code) ActiveAt(at time.Time) bool { return !c.Spent && at.Before(c.Expires) }

// Voucher is a person's word that the next passkey of another is theirs.
type Voucher struct {
	Event   int64
	Person  incident.PersonID // whom it is for
	By      incident.PersonID
	At      time.Time
	Expires time.Time
	Through string
	// Fingerprint is the fingerprint of the passkey that signed, or "" if a user of the host recorded the voucher.
	Fingerprint string
	Spent       bool // used or void
}

// ActiveAt reports whether the voucher can be used at a time.
func (v Voucher) ActiveAt(at time.Time) bool { return !v.Spent && at.Before(v.Expires) }

// Proposal is the first half of a revocation by two people from security.
type Proposal struct {
	Event       int64
	Fingerprint string
	By          incident.PersonID
	At          time.Time
	Since       time.Time
	Reason      string
	Through     string
	Spent       bool // confirmed or void
}

// ActiveAt reports whether a second person can confirm the proposal at a time.
func (p Proposal) ActiveAt(at time.Time) bool { return !p.Spent && at.Before(p.At.Add(VoucherTTL)) }

// Fold returns the state after events, which are in the order of the log.
func Fold(events []Event) State {
	s := State{events: events, byCredential: map[string]int{}}
	for _, e := range events {
		s.apply(e)
	}
	return s
}

// apply adds one event to the state.
func (s *State) apply(e Event) {
	d := e.Details
	switch e.Kind {
	case CodeIssued:
		s.Codes = append(s.Codes, Code{Event: e.ID, Person: e.Person, At: e.At, Expires: d.Expires, Hash: d.CodeHash, By: e.By, Through: e.Through})
	case Vouched:
		s.Vouchers = append(s.Vouchers, Voucher{Event: e.ID, Person: e.Person, By: e.By, At: e.At, Expires: d.Expires, Through: e.Through, Fingerprint: e.Fingerprint})
	case PasskeyRegistered:
		s.spend(d.Used)
		s.byCredential[string(d.Credential)] = len(s.Keys)
		s.Keys = append(s.Keys, Key{Passkey: incident.Passkey{Person: e.Person, Fingerprint: e.Fingerprint, Credential: d.Credential, PublicKey: d.PublicKey, RegisteredAt: e.At},
			Event: e.ID, Name: d.Name, Approval: d.Approval, Record: d.Record, Through: e.Through, Approvers: d.Approvers, Used: d.Used})
	case RevocationProposed:
		s.Proposals = append(s.Proposals, Proposal{Event: e.ID, Fingerprint: e.Fingerprint, By: e.By, At: e.At, Since: d.Since, Reason: d.Reason, Through: e.Through})
	case PasskeyRevoked:
		s.spend(d.Used)
		s.revoke(e)
	case VoucherVoided:
		s.spend(d.Used)
	}
}

// spend marks codes, vouchers and proposals as used.
func (s *State) spend(events []int64) {
	for _, id := range events {
		for n := range s.Codes {
			s.Codes[n].Spent = s.Codes[n].Spent || s.Codes[n].Event == id
		}
		for n := range s.Vouchers {
			s.Vouchers[n].Spent = s.Vouchers[n].Spent || s.Vouchers[n].Event == id
		}
		for n := range s.Proposals {
			s.Proposals[n].Spent = s.Proposals[n].Spent || s.Proposals[n].Event == id
		}
	}
}

// revoke ends a key. A second revocation can only make the time earlier.
func (s *State) revoke(e Event) {
	n := slices.IndexFunc(s.Keys, func(k Key) bool { return k.Fingerprint == e.Fingerprint })
	if n < 0 {
		return
	}
	k, at := &s.Keys[n], e.At
	if !e.Details.Since.IsZero() && e.Details.Since.Before(at) {
		at = e.Details.Since
	}
	if k.RevokedAt.IsZero() || at.Before(k.RevokedAt) {
		k.RevokedAt, k.RevokedBy, k.RevokedReason = at, e.By, e.Details.Reason
	}
}

// Passkeys returns the keys of a person in the order of their registration, revoked ones included.
func (s State) Passkeys(person incident.PersonID) []incident.Passkey {
	var out []incident.Passkey
	for _, k := range s.Keys {
		if k.Person == person {
			out = append(out, k.Passkey)
		}
	}
	return out
}

// Owner returns the key with a credential id, revoked or not.
func (s State) Owner(credential []byte) (incident.Passkey, bool) {
	k, ok := s.Key(credential)
	return k.Passkey, ok
}

// Key returns the key with a credential id, revoked or not.
func (s State) Key(credential []byte) (Key, bool) {
	n, ok := s.byCredential[string(credential)]
	if !ok {
		return Key{}, false
	}
	return s.Keys[n], true
}
