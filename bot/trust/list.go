package trust

import (
	"time"

	"tocsin/bot/incident"
)

// PasskeyLine is a passkey for people, who compare its fingerprint.
type PasskeyLine struct {
	Person        incident.PersonID     `json:"person"`
	Name          string                `json:"name"` // of the person
	Departments   []incident.Department `json:"departments"`
	Fingerprint   string                `json:"fingerprint"`
	Key           string                `json:"key"` // its name
	RegisteredAt  time.Time             `json:"registered_at"`
	Approval      string                `json:"approval"`
	LastUsed      time.Time             `json:"last_used,omitzero"`
	RevokedAt     time.Time             `json:"revoked_at,omitzero"`
	RevokedReason string                `json:"revoked_reason,omitempty"`
}

// PasskeyList are all passkeys, and how many people of each department have one.
type PasskeyList struct {
	Passkeys []PasskeyLine `json:"passkeys"`
	Roster   []RosterLine  `json:"roster"`
	// Required is set if signatures need a passkey.
	Required bool `json:"required"`
}

// EnrolmentCode is a new enrolment code. Only its hash is stored.
type EnrolmentCode struct {
	Person  incident.PersonID `json:"person"`
	Name    string            `json:"name"`
	Code    string            `json:"code"`
	Expires time.Time         `json:"expires"`
}
