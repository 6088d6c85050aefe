package incident

import (
	"slices"
	"time"
)

// Signature is the signature of a department on a digest.
type Signature struct {
	Department         Department `json:"department"`
	By                 PersonID   `json:"by"`
	At                 time.Time  `json:"at"`
	Kind               string     `json:"kind"`   // of document
	Schema             string     `json:"schema"` // of document
	Digest             string     `json:"digest"`
	Attestation        string     `json:"attestation"`
	AttestationVersion string     `json:"attestation_version,omitempty"`
	Auth               string     `json:"auth"` // how the signer was authenticated
	// Via, Through and SecondFactor describe the session of the signer, see [Command]. Proof
	// is the signature with the signer's passkey, or nil.
	Via          Via    `json:"via,omitempty"`
	Through      string `json:"through,omitempty"`
	SecondFactor bool   `json:"second_factor,omitempty"`
	Proof        *Proof `json:"proof,omitempty"`
	Deputy       bool   `json:"deputy,omitempty"`
	// Submitter marks a signature by the submitter of the record, which is allowed
	// only with [Policy.SubmitterMaySign].
	Submitter bool `json:"submitter,omitempty"`
}

// Objection prevents the approval until it is withdrawn or the record is amended.
type Objection struct {
	ID         string     `json:"id"` // "O1", in order
	Department Department `json:"department"`
	By         PersonID   `json:"by"`
	At         time.Time  `json:"at"`
	Reason     string     `json:"reason"`
	Digest     string     `json:"digest"`
	Closed     time.Time  `json:"closed,omitzero"`
	How        string     `json:"how,omitempty"` // "withdrawn" or "amended"
}

// Open reports whether the objection is neither withdrawn nor closed by an edit.
func (o Objection) Open() bool { return o.Closed.IsZero() }

// Consultation is a request for the answer of an affected team.
type Consultation struct {
	Team     Department `json:"team"`
	Blocking bool       `json:"blocking,omitempty"` // no approval without its answer
	AskedBy  PersonID   `json:"asked_by,omitempty"`
	AskedAt  time.Time  `json:"asked_at"`
	By       PersonID   `json:"by,omitempty"`
	At       time.Time  `json:"at,omitzero"`
	Answer   string     `json:"answer,omitempty"`
}

// Answered reports whether the team answered.
func (c Consultation) Answered() bool { return !c.At.IsZero() }

// Delegation lets a person act for a department in one incident until a date:
// sign, and everything else that its members may do.
type Delegation struct {
	Department Department `json:"department"`
	From       PersonID   `json:"from"`
	To         PersonID   `json:"to"`
	Until      time.Time  `json:"until"`

	Replacement bool `json:"replacement,omitempty"` // named by an administrator
}

// represents reports whether a person may sign, object or answer for a team at a
// time: as a member, a deputy or by a delegation in this incident.
func (i Incident) represents(d Directory, p PersonID, team Department, at time.Time) bool {
	_, known := d.Person(p)
	return !i.Excludes(p) && (d.Represents(p, team, at) || known && slices.ContainsFunc(i.Delegations, func(g Delegation) bool {
		return g.To == p && g.Department == team && at.Before(g.Until)
	}))
}

// Represents reports whether a person acts for a team in this incident at a time: as a
// member, a deputy, a delegate or a replacement who is not excluded.
func (i Incident) Represents(d Directory, p PersonID, team Department, at time.Time) bool {
	return i.represents(d, p, team, at)
}

// Representatives returns the people who may sign for a department in this incident
// at a time.
func (i Incident) Representatives(d Directory, team Department, at time.Time) []PersonID {
	out := d.Representatives(team, at)
	for _, g := range i.Delegations {
		if _, known := d.Person(g.To); known && g.Department == team && at.Before(g.Until) && !slices.Contains(out, g.To) {
			out = append(out, g.To)
		}
	}
	return slices.DeleteFunc(out, i.Excludes)
}

// SignedBy returns the signature of a department on the current digest, or nil. The
// result points into i.Signatures.
func (i Incident) SignedBy(team Department) *Signature {
	for n := range i.Signatures {
		s := &i.Signatures[n]
		if s.Department == team && i.Submission != nil && s.Digest == i.Submission.Digest {
			return s
		}
	}
	return nil
}

// Missing returns the obstacles to an approval of the submitted record:
// departments without a signature, open objections and blocking consultations
// without an answer.
func (i Incident) Missing() (unsigned []Department, objections []Objection, unanswered []Consultation) {
	for _, name := range RequiredDepartments() {
		if i.SignedBy(name) == nil {
			unsigned = append(unsigned, name)
		}
	}
	for _, o := range i.Objections {
		if o.Open() {
			objections = append(objections, o)
		}
	}
	for _, c := range i.Consultations {
		if c.Blocking && !c.Answered() {
			unanswered = append(unanswered, c)
		}
	}
	return unsigned, objections, unanswered
}

// fullySigned reports whether a record is submitted and nothing is missing for its
// approval.
func (i Incident) fullySigned() bool {
	unsigned, objections, unanswered := i.Missing()
	return i.Submission != nil && len(unsigned)+len(objections)+len(unanswered) == 0
}
