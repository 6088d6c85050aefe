package incident

import (
	"crypto/sha256"
	"encoding/hex"
)

// Attestation is the statement that the signature of a department attests. Each
// department vouches for its own part of the closing record.
type Attestation struct {
	Version string `json:"version"` // changes with the text
	Text    string `json:"text"`
}

// ID identifies the version and the text of the statement.
func (a Attestation) ID() string {
	sum := sha256.Sum256([]byte(a.Text))
	return a.Version + "#" + hex.EncodeToString(sum[:6])
}

// defaultVersion is the version of the statements below. Increase it with every change.
const defaultVersion = "tocsin/1"

// defaultAttestations are the statements unless the configuration has others.
var defaultAttestations = map[Department]string{
	Engineering: "I have read this record. For engineering I confirm, to the best of my knowledge: the affected systems, the technical cause, the response and the preventive work are complete and correct. " +
		"I do not vouch for the legal assessment.",
	Security: "I have read this record. For security I confirm, to the best of my knowledge: the course of the incident, its detection, its containment and the evidence are complete and correct. " +
		"I do not vouch for the legal assessment.",
	Legal: "I have read this record. For legal I confirm, to the best of my knowledge: the facts on personal data, the affected parties, the times at which the company became aware, and the decision to notify are complete and correct. " +
		"I do not vouch for the technical causes.",
	Communications: "I have read this record. For communications I confirm, to the best of my knowledge: the impact on customers and the public, and the statements that were sent about the incident, are complete and correct. " +
		"I do not vouch for the technical causes.",
}

// Attestation returns the statement of a department.
func (p Policy) Attestation(team Department) Attestation {
	if a, ok := p.Attestations[team]; ok {
		return a
	}
	return Attestation{Version: defaultVersion, Text: defaultAttestations[team]}
}

// MaySign returns an [*Error] if the actor of env cannot sign the submitted record for
// a department, and nil if the actor can or did.
func (i Incident) MaySign(team Department, env Env) error {
	c := Command{Verb: VerbSign, For: i.ID, Department: team}
	if i.Submission != nil {
		c.Expect = i.Submission.Digest
	}
	env.Policy.SignLevel = AuthAny // the person signs at the right level later
	_, err := Decide(c, i, env)
	return err
}

// Signers returns the people who can sign the submitted record for a department.
func (i Incident) Signers(team Department, env Env) []PersonID {
	var out []PersonID
	for _, p := range i.Representatives(env.Directory, team, env.Now) {
		env.Actor = p
		if i.MaySign(team, env) == nil {
			out = append(out, p)
		}
	}
	return out
}
