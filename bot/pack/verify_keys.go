package pack

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
)

// KeyEvents returns the ids of the events of the log of keys that concern keys: their registrations and revocations, the
// codes and vouchers that allowed them, and the events of the keys of the vouchers.
func KeyEvents(log []trust.Event, fingerprints []string) []int64 {
	wanted, ids := map[string]bool{}, map[int64]bool{}
	for _, f := range fingerprints {
		wanted[f] = true
	}
	for n := len(log) - 1; n >= 0; n-- { // events refer only to earlier ones
		e := log[n]
		if e.Fingerprint != "" && wanted[e.Fingerprint] && (e.Kind == trust.PasskeyRegistered || e.Kind == trust.PasskeyRevoked) {
			ids[e.ID] = true
		}
		if !ids[e.ID] || e.Kind == trust.PasskeyRevoked {
			continue
		}
		for _, id := range e.Details.Used {
			ids[id] = true
		}
		for _, f := range append(slices.Clone(e.Details.Approvers), e.Fingerprint) {
			wanted[f] = f != ""
		}
	}
	var out []int64
	for _, e := range log {
		// The key of a voucher can be registered or revoked after the voucher.
		if ids[e.ID] || wanted[e.Fingerprint] && (e.Kind == trust.PasskeyRegistered || e.Kind == trust.PasskeyRevoked) {
			out = append(out, e.ID)
		}
	}
	return out
}

// Fingerprints returns the fingerprints of the keys in the proofs of a timeline.
func Fingerprints(timeline []incident.Event) (out []string) {
	for _, e := range timeline {
		if p, err := proofOf(e); err == nil && p != nil {
			out = append(out, p.Fingerprint())
		}
	}
	return out
}

// KeyPeople returns the people whom the opened events of the log of keys name.
func KeyPeople(p Proofs) (out []incident.PersonID) {
	for _, row := range p.Keys {
		if e, err := keyEvent([]byte(row.Content)); err == nil {
			out = append(out, e.Person, e.By)
		}
	}
	return out
}

// readKeys opens the events of the log of keys, and checks that no event before the checkpoint is missing.
func (v *verification) readKeys() {
	f := findings{name: "keys"}
	defer func() { v.report.add(f) }()
	v.keys = map[int64]trust.Event{}
	for _, name := range v.folder(keysFolder, ".row") {
		base := strings.TrimSuffix(name, ".row")
		id, err := strconv.ParseInt(strings.TrimPrefix(base, keysFolder), 10, 64)
		if err != nil || fmt.Sprintf("%s%06d", keysFolder, id) != base {
			continue // an unknown file
		}
		content, _ := v.file(name)
		salt, _ := v.file(base + ".salt")
		if err := v.readKey(id, content, salt); err != nil {
			f.problem("%s: %s", name, err)
		}
	}
	if !v.isSigned {
		return
	}
	lines := v.lines[subjectKeys]
	for id := int64(1); id <= v.checkpoint.LastTrust; id++ {
		if _, ok := lines[id]; !ok {
			f.problem("event %d of %d of the log of keys is not in the pack: it could be a revocation", id, v.checkpoint.LastTrust)
			break
		}
	}
	f.ok = fmt.Sprintf("the log of keys has %d events until the checkpoint, and the pack opens %d of them", v.checkpoint.LastTrust, len(v.keys))
}

// readKey opens an event of the log of keys.
func (v *verification) readKey(id int64, content, salt []byte) error {
	e, err := keyEvent(content)
	if err != nil {
		return err
	}
	line, known := v.lines[subjectKeys][id]
	switch {
	case e.ID != id:
		return fmt.Errorf("the row is event %d", e.ID)
	case !known || !line.opens(salt, content):
		return fmt.Errorf("the notary did not record this content of event %d", id)
	case line.Detail != keyDetail(e.Kind, e.Fingerprint):
		return fmt.Errorf("the notary recorded another kind or key for event %d", id)
	}
	v.keys[id] = e
	return nil
}

// keyDetail is the part of an event of the log of keys that a leaf has in clear.
func keyDetail(kind trust.Kind, fingerprint string) string {
	return strings.TrimSpace(string(kind) + " " + fingerprint)
}

// sameStep reports whether two leaves, the earlier one first, were appended at one time. All leaves between them must be
// in the pack.
func (v *verification) sameStep(first, last int64) bool {
	if last-first > maxStep {
		return false
	}
	for n := first + 1; n <= last; n++ {
		if isStart, known := v.steps[n]; !known || isStart {
			return false
		}
	}
	return true
}

// maxStep is the maximum number of leaves between two events of one step that a pack has.
const maxStep = 256

// keyUse is the use of a key at one time.
type keyUse struct {
	person incident.PersonID
	proof  *incident.Proof
	at     time.Time // recorded
	leaf   int64     // that has the use, or -1 if the checkpoint does not have it yet
}

// registration returns the registration of a key.
func (v *verification) registration(fingerprint string) (trust.Event, bool) {
	for id, line := range v.lines[subjectKeys] {
		if line.Detail == keyDetail(trust.PasskeyRegistered, fingerprint) {
			e, ok := v.keys[id]
			return e, ok
		}
	}
	return trust.Event{}, false
}

// checkKey returns the registration of the key of a use, and the reasons why the use does not count.
func (v *verification) checkKey(u keyUse) (reg trust.Event, problems, notes []string) {
	fingerprint := u.proof.Fingerprint()
	reg, ok := v.registration(fingerprint)
	if !ok {
		return reg, []string{"the key is not registered in the log of keys"}, nil
	}
	d := reg.Details
	if reg.Person != u.person {
		problems = append(problems, fmt.Sprintf("the key belongs to %s", v.name(reg.Person)))
	}
	if !bytes.Equal(d.PublicKey, u.proof.PublicKey) || !bytes.Equal(d.Credential, u.proof.Credential) {
		problems = append(problems, "the registration of the key has another public key or credential")
	}
	leaf := v.lines[subjectKeys][reg.ID].leaf
	if reg.At.After(u.at) || u.leaf >= 0 && leaf > u.leaf && !v.sameStep(u.leaf, leaf) {
		problems = append(problems, "the key was registered after the signature")
	}
	revoked, noted := v.checkRevocations(fingerprint, u)
	problems = append(append(problems, revoked...), v.checkApproval(reg)...)
	return reg, problems, noted
}

// checkRevocations returns why a use does not precede the revocations of its key. The leaves of the notary have the order.
// Within one step the recorded times have it.
func (v *verification) checkRevocations(fingerprint string, u keyUse) (problems, notes []string) {
	for id, line := range v.lines[subjectKeys] {
		if line.Detail != keyDetail(trust.PasskeyRevoked, fingerprint) {
			continue
		}
		e, opened := v.keys[id]
		precedes := u.leaf >= 0 && u.leaf < line.leaf
		if !opened {
			problems = append(problems, fmt.Sprintf("the revocation of the key (event %d of the log of keys) is not in the pack", id))
			continue
		}
		if precedes && v.sameStep(u.leaf, line.leaf) {
			precedes = u.at.Before(e.At)
		}
		when := e.At.UTC().Format("2006-01-02 15:04 UTC")
		if !precedes {
			problems = append(problems, "the key was revoked before the signature, on "+when)
			continue
		}
		text := "the key was revoked later, on " + when
		if since := e.Details.Since; !since.IsZero() && since.Before(e.At) {
			text += ", from " + since.UTC().Format("2006-01-02 15:04 UTC") + " on"
		}
		notes = append(notes, text)
	}
	return problems, notes
}

// checkApproval returns why a registration was not allowed.
func (v *verification) checkApproval(reg trust.Event) (problems []string) {
	for _, id := range reg.Details.Used {
		e, ok := v.keys[id]
		switch {
		case !ok:
			problems = append(problems, fmt.Sprintf("event %d of the log of keys, which allowed the key, is not in the pack", id))
		case e.Person != reg.Person || e.At.After(reg.At) || reg.At.After(e.Details.Expires):
			problems = append(problems, fmt.Sprintf("event %d of the log of keys did not allow the key", id))
		case e.Kind == trust.Vouched:
			problems = append(problems, v.checkVoucher(e)...)
		case e.Kind != trust.CodeIssued:
			problems = append(problems, fmt.Sprintf("event %d of the log of keys is not a code or a voucher", id))
		}
	}
	for _, fingerprint := range reg.Details.Approvers {
		if e, ok := v.registration(fingerprint); !ok || e.At.After(reg.At) {
			problems = append(problems, "the key was approved with a key that was not registered")
		}
	}
	return problems
}

// checkVoucher returns why a voucher does not count.
func (v *verification) checkVoucher(e trust.Event) []string {
	bad := func(why string) []string {
		return []string{fmt.Sprintf("the voucher of %s does not count: %s", v.name(e.By), why)}
	}
	p := e.Details.Proof
	switch {
	case e.By == e.Person:
		return bad("nobody vouches for their own key")
	case p == nil && e.Fingerprint == "":
		return nil // a user of the host recorded it
	case p == nil:
		return bad("its signature is missing")
	}
	if err := p.Verify(); err != nil {
		return bad(err.Error())
	}
	by, ok := v.registration(p.Fingerprint())
	s := p.Statement
	want := trust.VouchStatement(incident.Directory{}, e.By, e.Person, e.At, s.Nonce)
	switch {
	case !ok || by.Person != e.By || p.Fingerprint() != e.Fingerprint || by.At.After(e.At):
		return bad("its key is not one of theirs")
	case s.Act != want.Act || s.Digest != want.Digest || s.Person != e.By || s.Incident != "" || !isNear(s.Time, e.At):
		return bad("it was signed for something else")
	case p.RelyingParty != v.meta.RelyingParty || p.Origin != v.meta.Origin:
		return bad("it was signed on another website")
	}
	for id, line := range v.lines[subjectKeys] {
		if line.Detail == keyDetail(trust.PasskeyRevoked, e.Fingerprint) && id < e.ID {
			return bad("its key was revoked before")
		}
	}
	return nil
}

// isNear reports whether a statement was signed shortly before it was recorded.
func isNear(statement string, recorded time.Time) bool {
	at, err := time.Parse(time.RFC3339, statement)
	return err == nil && recorded.Sub(at).Abs() <= incident.ProofWindow
}

// describeKey describes the registration of a key and its reason.
func (v *verification) describeKey(reg trust.Event) string {
	text := "key registered on " + reg.At.UTC().Format("2006-01-02 15:04 UTC")
	if reg.Details.Approval != "" {
		text += ", " + strings.Join(strings.Fields(reg.Details.Approval), " ")
	}
	var vouchers []string
	for _, id := range reg.Details.Used {
		if e, ok := v.keys[id]; ok && e.Kind == trust.Vouched {
			vouchers = append(vouchers, v.name(e.By))
		}
	}
	if len(vouchers) > 0 {
		text += ", vouched for by " + strings.Join(vouchers, " and ")
	}
	return text
}
