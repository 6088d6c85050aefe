// Package trust decides which keys and providers count as whose: the passkeys of people, who
// vouched for them, and the providers that are distrusted.
//
// Everything is an event of one append-only log. A [State] is what follows from its events.
// The functions are pure: the Desk reads the events, decides and appends in one transaction,
// and the notary records every event with the fingerprint of its key:
//
//	state := trust.Fold(events)
//	next, err := state.Register(request, env) // or an *incident.Error
package trust

import (
	"time"

	"tocsin/bot/incident"
)

// Kind is the kind of an [Event]. Stored events contain it, so it is never renamed.
type Kind string

// The kinds of events.
const (
	CodeIssued         Kind = "enrolment_code_issued" // an administrator issued a one-time code to a person
	Vouched            Kind = "vouched"               // a person vouched for the next passkey of another
	PasskeyRegistered  Kind = "passkey_registered"
	RevocationProposed Kind = "passkey_revocation_proposed" // the first of two people from security wants to revoke a passkey
	PasskeyRevoked     Kind = "passkey_revoked"
	VoucherVoided      Kind = "voucher_voided" // a voucher, code or approval no longer counts
	ProviderDistrusted Kind = "provider_distrusted"
	TrustProposed      Kind = "provider_trust_proposed" // the first of two people wants to trust a provider again
	ProviderTrusted    Kind = "provider_trusted"
)

// Event is an entry of the log. The columns ID to Fingerprint are not encrypted.
type Event struct {
	ID          int64             `json:"id"` // in order, from 1
	At          time.Time         `json:"at"`
	Kind        Kind              `json:"kind"`
	Person      incident.PersonID `json:"person,omitempty"`      // whom it is about
	By          incident.PersonID `json:"by,omitempty"`          // who did it, "" for a user of the host or the bot
	Through     string            `json:"through,omitempty"`     // of By, see [incident.Command.Through], or the [incident.Provider] of the command
	Provider    string            `json:"provider,omitempty"`    // of an event about a provider
	Fingerprint string            `json:"fingerprint,omitempty"` // of an event about a passkey, see [incident.KeyFingerprint]
	Details     Details           `json:"details"`               // encrypted
}

// Details is the part of an event that is encrypted. Which fields are set depends on the kind.
type Details struct {
	Handle     incident.Identity `json:"identity,omitzero"` // of By, as in the audit log
	Reason     string            `json:"reason,omitempty"`
	Name       string            `json:"name,omitempty"`            // of a passkey, "YubiKey 5"
	Credential []byte            `json:"credential_id,omitempty"`   // of a passkey
	PublicKey  []byte            `json:"public_key_spki,omitempty"` // of a passkey, DER
	Record     []byte            `json:"record,omitempty"`          // of a passkey, for the library of the ceremonies
	Approval   string            `json:"approval,omitempty"`        // of a passkey: what allowed its registration
	Approvers  []string          `json:"approvers,omitempty"`       // of a passkey: fingerprints of the keys that approved it
	Used       []int64           `json:"used,omitempty"`            // events of codes and vouchers that this one uses up or voids
	CodeHash   string            `json:"code_hash,omitempty"`       // of an enrolment code
	Expires    time.Time         `json:"expires,omitzero"`          // of an enrolment code or a voucher
	Since      time.Time         `json:"since,omitzero"`            // of a distrust: acts after it do not count
	Names      []string          `json:"names,omitempty"`           // of a distrust: the provider and its issuers
	Proof      *incident.Proof   `json:"proof,omitempty"`           // of By
}
