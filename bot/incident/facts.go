package incident

import (
	"slices"
	"time"
)

// FactName names a typed fact.
type FactName string

// The facts. Instants are RFC 3339 on the wire.
const (
	FactOccurred     FactName = "occurred"      // instant: when it began
	FactDetected     FactName = "detected"      // instant: when something or somebody noticed
	FactAware        FactName = "aware"         // instant, per regime: when the company knew in the sense of that law
	FactClassified   FactName = "classified"    // instant: when it was classified (DORA: as major)
	FactPersonalData FactName = "personal_data" // unknown, no, suspected, confirmed
	FactAffected     FactName = "affected"      // an affected party
	FactTimeZone     FactName = "time_zone"     // IANA name
	FactLanguage     FactName = "language"      // BCP 47
)

// FactNames lists them in the order they are shown.
func FactNames() []FactName {
	return []FactName{FactOccurred, FactDetected, FactAware, FactClassified, FactPersonalData, FactAffected, FactTimeZone, FactLanguage}
}

// PersonalData says whether personal data is involved.
type PersonalData string

// What is known about personal data.
const (
	PersonalUnknown   PersonalData = "unknown"
	PersonalNo        PersonalData = "no"
	PersonalSuspected PersonalData = "suspected"
	PersonalConfirmed PersonalData = "confirmed"
)

// moreSeriousThan reports whether more is to be feared from p than from other.
func (p PersonalData) moreSeriousThan(other PersonalData) bool {
	order := []PersonalData{PersonalNo, PersonalUnknown, PersonalSuspected, PersonalConfirmed}
	return slices.Index(order, p) > slices.Index(order, other)
}

// Capacity is in which role the company processed an affected party's data.
type Capacity string

// The capacities of the GDPR.
const (
	Controller Capacity = "controller"
	Processor  Capacity = "processor"
)

// Affected is a party the incident harmed or may have harmed.
type Affected struct {
	Who        string    `json:"who"`
	Capacity   Capacity  `json:"capacity"` // the company's, towards this party
	Count      int       `json:"count"`    // how many people, 0 where unknown
	NotifiedAt time.Time `json:"notified_at,omitzero"`
	By         PersonID  `json:"by,omitempty"` // who stated it last, and why
	Reason     string    `json:"reason,omitempty"`
}

// Instant is a point in time somebody stated, with when, who and why.
type Instant struct {
	At     time.Time `json:"at"`
	SetAt  time.Time `json:"set_at"`
	By     PersonID  `json:"by"`
	Reason string    `json:"reason"`
}

// Facts are what the clocks and the lawyers need to know.
type Facts struct {
	Occurred     *Instant           `json:"occurred,omitempty"`
	Detected     *Instant           `json:"detected,omitempty"`
	Aware        map[string]Instant `json:"aware,omitempty"` // by regime: "gdpr", "nis2", "dora"
	Classified   *Instant           `json:"classified,omitempty"`
	PersonalData PersonalData       `json:"personal_data"`
	Affected     []Affected         `json:"affected,omitempty"`
	TimeZone     string             `json:"time_zone,omitempty"`
	Language     string             `json:"language,omitempty"`
}

// FactChange is a fact to be set.
type FactChange struct {
	Name     FactName  `json:"name"`
	Regime   string    `json:"regime,omitempty"` // FactAware: "gdpr", "nis2", ...
	Value    string    `json:"value,omitempty"`
	Affected *Affected `json:"affected,omitempty"` // FactAffected
}
