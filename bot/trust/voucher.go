package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// ActVouch is the act in the statement of a voucher.
const ActVouch = "vouch"

const (
	// CodeBytes is the number of random bytes of an enrolment code.
	CodeBytes = 10
	// maxStatementAge is the largest difference between the time of a signed statement and the time of its arrival.
	maxStatementAge = 5 * time.Minute
)

// NewCode returns random bytes as an enrolment code that people can type: "ABCD-EFGH-IJKL-MNOP".
func NewCode(random []byte) string {
	s := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random)
	var parts []string
	for part := range slices.Chunk([]byte(s), 4) {
		parts = append(parts, string(part))
	}
	return strings.Join(parts, "-")
}

// CodeHash returns the hash of an enrolment code as a person typed it.
func CodeHash(code string) string {
	code = strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, strings.ToUpper(strings.TrimSpace(code)))
	sum := sha256.Sum256([]byte("tocsin-enrolment-code-v1\n" + code))
	return hex.EncodeToString(sum[:])
}

// IssueCode returns the events of a new enrolment code for a person. Earlier codes of the person are void then.
func (s State) IssueCode(a Actor, person incident.PersonID, code, reason string, env Env) ([]Event, error) {
	if !a.onHost() || !a.Administrator {
		return nil, incident.Forbidden("only an administrator issues enrolment codes, on the machine of Tocsin: tocsin passkeys code PERSON")
	}
	if _, known := env.Directory.Person(person); !known {
		return nil, incident.Unknown("person", "unknown person. Use a name under people")
	}
	e := a.event(CodeIssued, person, env)
	e.Details.CodeHash, e.Details.Expires, e.Details.Reason = CodeHash(code), env.Now.Add(VoucherTTL), reason
	var old []int64
	for _, c := range s.Codes {
		if c.Person == person && !c.Spent {
			old = append(old, c.Event)
		}
	}
	if len(old) == 0 {
		return []Event{e}, nil
	}
	void := a.event(VoucherVoided, person, env)
	void.Details.Used, void.Details.Reason = old, "replaced by a new enrolment code"
	return []Event{void, e}, nil
}

// findCode returns the code that a person typed.
func (s State) findCode(person incident.PersonID, code string, env Env) (Code, error) {
	hash := CodeHash(code)
	for _, c := range s.Codes {
		if c.Person != person || subtle.ConstantTimeCompare([]byte(c.Hash), []byte(hash)) == 0 {
			continue
		}
		if !c.ActiveAt(env.Now) {
			return Code{}, incident.Forbidden("the enrolment code expired or was used. Ask an administrator for a new one")
		}
		return c, nil
	}
	return Code{}, incident.Forbidden("the enrolment code is wrong. Check it, or ask an administrator for a new one")
}

// Vouching is the word of the actor for the next passkey of a person.
type Vouching struct {
	Person incident.PersonID
	Reason string          // of a voucher on the host
	Proof  *incident.Proof // over [VouchStatement], nil on the host
}

// VouchStatement returns the statement that a person signs to vouch for another.
func VouchStatement(d incident.Directory, by, person incident.PersonID, at time.Time, nonce string) incident.ActStatement {
	sum := sha256.Sum256([]byte("tocsin-vouch-v1\n" + string(person)))
	return incident.ActStatement{Act: ActVouch, Digest: "sha256:" + hex.EncodeToString(sum[:]),
		Attestation: "I know " + d.Name(person) + " (" + string(person) + ") and have spoken with this person. The passkey that is registered next for this account belongs to this person.",
		Person:      by, Time: incident.StatementTime(at), Nonce: nonce}
}

// Vouch returns the event of a voucher.
func (s State) Vouch(a Actor, v Vouching, env Env) (Event, error) {
	if err := s.mayVouch(a.Person, v.Person, env); err != nil {
		return Event{}, err
	}
	if s.distrusts(a.Through) {
		return Event{}, errDistrusted(a.Through)
	}
	e := a.event(Vouched, v.Person, env)
	e.Details.Expires, e.Details.Reason = env.Now.Add(VoucherTTL), v.Reason
	switch {
	case a.onPages():
		var signed incident.ActStatement
		if v.Proof != nil {
			signed = v.Proof.Statement
		}
		key, err := s.Proven(v.Proof, VouchStatement(env.Directory, a.Person, v.Person, signed.SignedAt(), signed.Nonce), env)
		if err != nil {
			return Event{}, err
		}
		e.Fingerprint, e.Details.Proof = key.Fingerprint, v.Proof
	case a.onHost():
		if name, has := s.keyOfDepartments(a.Person, env); has {
			return Event{}, incident.Forbidden("%s has a passkey, so people from this department vouch on the pages with a passkey. The command line is only for the first ones", name)
		}
		if strings.TrimSpace(v.Reason) == "" {
			return Event{}, incident.Invalid("because", "a voucher on the host needs a reason. Add --because, such as \"met in person\"")
		}
	default:
		return Event{}, incident.Forbidden("people vouch on the pages with a passkey. Open the pages of Tocsin")
	}
	return e, nil
}

// mayVouch returns an error if one person cannot vouch for another.
func (s State) mayVouch(by, person incident.PersonID, env Env) error {
	if _, known := env.Directory.Person(by); !known {
		return incident.Forbidden("only a person of the configuration can vouch. Ask an administrator to add you under people")
	}
	if _, known := env.Directory.Person(person); !known {
		return incident.Unknown("person", "unknown person. Use a name under people")
	}
	if !incident.Independent(env.Directory, nil, by, person) {
		return incident.Forbidden("you cannot vouch for yourself. Ask another person")
	}
	for _, v := range s.Vouchers {
		if v.Person == person && v.By == by && v.ActiveAt(env.Now) {
			return incident.Conflict("you have vouched for %s already, until %s", env.Directory.Name(person), v.Expires.UTC().Format("2006-01-02 15:04 UTC"))
		}
	}
	return nil
}

// Proven returns the key of a proof, which must be over a statement, fresh, new to the log, and made with an active passkey of the
// person in the statement.
func (s State) Proven(p *incident.Proof, want incident.ActStatement, env Env) (Key, error) {
	if p == nil {
		return Key{}, incident.Forbidden("this needs your passkey. Confirm it on the page")
	}
	key, known := s.Key(p.Credential)
	age := env.Now.Sub(p.Statement.SignedAt())
	switch {
	case !known || key.Person != want.Person || !bytes.Equal(key.PublicKey, p.PublicKey):
		return Key{}, incident.Forbidden("this passkey is not registered for you. Use one of your own")
	case !key.ActiveAt(env.Now):
		return Key{}, incident.Forbidden("this passkey is revoked. Use another one")
	case p.RelyingParty != env.RelyingParty.ID || p.Origin != env.RelyingParty.Origin:
		return Key{}, incident.Forbidden("the passkey signed for another website. Open the pages at %s", env.RelyingParty.Origin)
	case p.Statement != want:
		return Key{}, incident.Forbidden("the passkey signed another statement. Reload the page and try again")
	case age > maxStatementAge || age < -maxStatementAge || s.usedNonce(p.Statement.Nonce):
		return Key{}, incident.Forbidden("the signed statement is too old or was used. Reload the page and try again")
	}
	if err := p.Verify(); err != nil {
		return Key{}, incident.Forbidden("the signature of the passkey is not valid: %s. Reload the page and try again", err.Error())
	}
	return key, nil
}

// usedNonce reports whether the log has a proof with a nonce.
func (s State) usedNonce(nonce string) bool {
	return slices.ContainsFunc(s.events, func(e Event) bool { return e.Details.Proof != nil && e.Details.Proof.Statement.Nonce == nonce })
}

// validVouchers returns the vouchers for a person that count: by people who are independent of the person, with a key that counted
// when it signed.
func (s State) validVouchers(person incident.PersonID, env Env) (out []Voucher) {
	for _, v := range s.Vouchers {
		_, known := env.Directory.Person(v.By)
		if v.Person == person && v.ActiveAt(env.Now) && known && incident.Independent(env.Directory, nil, v.By, person) && s.countedAt(v.Fingerprint, v.At) {
			out = append(out, v)
		}
	}
	return out
}

// countedAt reports whether the key with a fingerprint counted at a time. A voucher on the host has none.
func (s State) countedAt(fingerprint string, at time.Time) bool {
	return fingerprint == "" || slices.ContainsFunc(s.Keys, func(k Key) bool { return k.Fingerprint == fingerprint && k.ActiveAt(at) })
}
