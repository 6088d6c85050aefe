package pack

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"tocsin/bot/incident"
)

// checkSignatures checks every signature of a department in the timeline, and the proofs of other acts.
func (v *verification) checkSignatures() {
	f := findings{name: "proofs"}
	defer func() { v.report.add(f) }()
	nonces := map[string]int{}
	others, used := 0, map[string]bool{}
	for _, e := range v.events {
		p, err := proofOf(e)
		switch {
		case e.Kind == incident.EventSigned:
			v.report.Signatures = append(v.report.Signatures, v.signature(e, p, err, nonces))
			used[e.Field("proof")] = true
		case err != nil:
			f.problem("%s", err)
		case p != nil && !used[e.Field("proof")]: // one command can record several events
			used[e.Field("proof")] = true
			others++
			for _, why := range v.checkAct(e, p) {
				f.problem("event %d (%s by %s): %s", e.Seq, e.Kind, v.name(e.By), why)
			}
		}
	}
	proven := 0
	for _, s := range v.report.Signatures {
		if s.How == ByPasskey && len(s.Problems) == 0 {
			proven++
		}
	}
	f.ok = fmt.Sprintf("%d signatures of departments and %d other acts are proven by passkeys", proven, others)
}

// signature checks one signature of a department. err is the reason why its proof cannot be read.
func (v *verification) signature(e incident.Event, p *incident.Proof, err error, nonces map[string]int) Signature {
	s := Signature{Event: e.Seq, Department: incident.Department(e.Field("department")), Person: e.By, Name: v.meta.People[e.By], At: e.RecordedAt,
		Digest: e.Field("digest"), How: ByServer}
	switch {
	case err != nil:
		s.Problems = append(s.Problems, err.Error())
	case p == nil:
		if v.o.RequirePasskeys {
			s.Problems = append(s.Problems, "there is no signature with a passkey")
		}
	default:
		s.How, s.Fingerprint = ByPasskey, p.Fingerprint()
		s.Problems = v.checkAct(e, p)
		if p.Statement.Act != string(incident.VerbSign) || p.Statement.Digest != s.Digest || p.Statement.Department != s.Department {
			s.Problems = append(s.Problems, "the statement is about another act, record or department")
		}
		if t, ok := e.Texts["attestation"]; ok && !t.Erased() && t.Value != p.Statement.Attestation {
			s.Problems = append(s.Problems, "the statement has another attestation than the timeline")
		}
		if first := nonces[p.Statement.Nonce]; first != 0 {
			s.Problems = append(s.Problems, fmt.Sprintf("the proof repeats the one of event %d", first))
		}
		nonces[p.Statement.Nonce] = e.Seq
		v.checkSignatureFiles(&s, e, *p)
		v.describeUse(&s, e, p)
	}
	return s
}

// describeUse sets the registration of the key of a signature, and whether it is pinned.
func (v *verification) describeUse(s *Signature, e incident.Event, p *incident.Proof) {
	reg, _, notes := v.checkKey(keyUse{e.By, p, e.RecordedAt, v.leafOf(e.Seq)})
	if reg.ID != 0 {
		s.Registration = strings.Join(append([]string{v.describeKey(reg)}, notes...), "; ")
	}
	if len(v.o.Pins) == 0 {
		return
	}
	s.IsPinned = slices.ContainsFunc(v.o.Pins, func(pin string) bool { return samePin(pin, s.Fingerprint) })
	if !s.IsPinned {
		s.Problems = append(s.Problems, "the key is not one of those given with --pin")
	}
}

// samePin compares a fingerprint as a person typed it.
func samePin(pin, fingerprint string) bool { return cleanPin(pin) == cleanPin(fingerprint) }

// cleanPin returns the hexadecimal digits of a fingerprint.
func cleanPin(text string) string {
	return strings.TrimPrefix(strings.NewReplacer(":", "", " ", "").Replace(strings.ToLower(strings.TrimSpace(text))), "sha256")
}

// checkAct returns why a proof does not prove the act of an event.
func (v *verification) checkAct(e incident.Event, p *incident.Proof) (problems []string) {
	if err := p.Verify(); err != nil {
		problems = append(problems, err.Error())
	}
	s := p.Statement
	if s.Incident != v.meta.Incident {
		problems = append(problems, fmt.Sprintf("the statement is about %.20q", s.Incident))
	}
	if s.Person != e.By {
		problems = append(problems, "the statement is by another person")
	}
	if !isNear(s.Time, e.RecordedAt) {
		problems = append(problems, "the statement has another time than the event")
	}
	if p.RelyingParty != v.meta.RelyingParty || p.Origin != v.meta.Origin {
		problems = append(problems, fmt.Sprintf("the passkey signed on %.100q, and the pages of the instance are %.100q", p.Origin, v.meta.Origin))
	}
	_, why, _ := v.checkKey(keyUse{e.By, p, e.RecordedAt, v.leafOf(e.Seq)})
	return append(problems, why...)
}

// checkSignatureFiles compares the files for openssl with the proof in the timeline.
func (v *verification) checkSignatureFiles(s *Signature, e incident.Event, p incident.Proof) {
	f := findings{}
	for name, want := range signatureFiles(e, p) {
		v.require(&f, name, want)
	}
	slices.Sort(f.problems)
	s.Problems = append(s.Problems, f.problems...)
}

// checkSignOff checks that each approval rests on signatures of the required departments by different people, and marks the
// signatures that count.
func (v *verification) checkSignOff() {
	f := findings{name: "sign-off"}
	defer func() { v.report.add(f) }()
	approvals := 0
	for n, e := range v.events {
		if e.Kind != incident.EventApproved {
			continue
		}
		approvals++
		inc := incident.Fold(v.id, v.events[:n+1])
		v.checkApproved(&f, inc, e)
	}
	if now := incident.Fold(v.id, v.events); approvals == 0 {
		for _, s := range now.Signatures {
			v.count(s)
		}
		f.ok = "the timeline is consistent"
		f.note("the closing record is not approved yet: %d of %d departments signed", len(now.Signatures), len(incident.RequiredDepartments()))
	} else {
		f.ok = fmt.Sprintf("%d approvals rest on signatures of four departments by four people", approvals)
	}
	server := 0
	for _, s := range v.report.Signatures {
		for _, why := range s.Problems {
			if who := fmt.Sprintf("the signature of %s by %s (event %d)", s.Department, v.name(s.Person), s.Event); s.Counts {
				f.problem("%s is not valid: %s", who, why)
			} else {
				f.note("%s no longer counts, and is not valid: %s", who, why)
			}
		}
		if s.Counts && s.How == ByServer {
			server++
		}
	}
	if server > 0 {
		f.note("%d signatures have no passkey: only the server vouches for them", server)
	}
}

// count marks the signature of the timeline that a state has, and returns it.
func (v *verification) count(have incident.Signature) *Signature {
	for n := range v.report.Signatures {
		s := &v.report.Signatures[n]
		if s.Department == have.Department && s.Person == have.By && s.At.Equal(have.At) && s.Digest == have.Digest {
			s.Counts = true
			return s
		}
	}
	return nil
}

// checkApproved checks the signatures of an approved record.
func (v *verification) checkApproved(f *findings, inc incident.Incident, e incident.Event) {
	digest := e.Field("digest")
	if inc.Submission == nil || inc.Submission.Digest != digest {
		f.problem("event %d approves the record %.80q, which was not submitted", e.Seq, digest)
		return
	}
	by := map[incident.PersonID]incident.Department{}
	for _, team := range incident.RequiredDepartments() {
		have := inc.SignedBy(team)
		if have == nil {
			f.problem("event %d approves the record without a signature of %s", e.Seq, team)
			continue
		}
		if other, isDouble := by[have.By]; isDouble || have.By == "" {
			f.problem("event %d approves the record, and %s signed for %s and %s", e.Seq, v.name(have.By), other, team)
		}
		by[have.By] = team
		if v.count(*have) == nil {
			f.problem("the signature of %s is not in the timeline", team)
		}
	}
}

// IsFingerprint reports whether a text is the fingerprint of a key as a person types it.
func IsFingerprint(text string) bool {
	raw, err := hex.DecodeString(cleanPin(text))
	return err == nil && len(raw) == sha256.Size
}
