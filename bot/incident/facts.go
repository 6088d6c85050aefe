package incident

import (
	"slices"
	"strconv"
	"time"
)

// FactName is the name of a fact.
type FactName string

// The facts. Values of instants are in RFC 3339.
const (
	FactOccurred     FactName = "occurred"      // instant of the beginning
	FactDetected     FactName = "detected"      // instant of the detection
	FactAware        FactName = "aware"         // instant per regime: start of the company's awareness under that law
	FactClassified   FactName = "classified"    // instant of the classification, under DORA as major
	FactPersonalData FactName = "personal_data" // unknown, no, suspected, confirmed
	FactAffected     FactName = "affected"      // an affected party, see [Affected]
	FactTimeZone     FactName = "time_zone"     // IANA name
	FactLanguage     FactName = "language"      // BCP 47
)

// FactNames returns all facts in display order.
func FactNames() []FactName {
	return []FactName{FactOccurred, FactDetected, FactAware, FactClassified, FactPersonalData, FactAffected, FactTimeZone, FactLanguage}
}

// PersonalData is the state of knowledge about involved personal data.
type PersonalData string

// The states of knowledge about personal data.
const (
	PersonalUnknown   PersonalData = "unknown"
	PersonalNo        PersonalData = "no"
	PersonalSuspected PersonalData = "suspected"
	PersonalConfirmed PersonalData = "confirmed"
)

// moreSeriousThan reports whether p is more serious than other, in the order no,
// unknown, suspected, confirmed.
func (p PersonalData) moreSeriousThan(other PersonalData) bool {
	order := []PersonalData{PersonalNo, PersonalUnknown, PersonalSuspected, PersonalConfirmed}
	return slices.Index(order, p) > slices.Index(order, other)
}

// Capacity is the role of the company as it processed the data of a party.
type Capacity string

// The capacities of the GDPR.
const (
	Controller Capacity = "controller"
	Processor  Capacity = "processor"
)

// Affected is a party that the incident harmed or may have harmed.
type Affected struct {
	Who        string    `json:"who"`
	Capacity   Capacity  `json:"capacity"` // of the company, towards this party
	Count      int       `json:"count"`    // number of people, 0 if unknown
	NotifiedAt time.Time `json:"notified_at,omitzero"`
	By         PersonID  `json:"by,omitempty"` // author of the last statement, with Reason
	Reason     string    `json:"reason,omitempty"`
}

// PeopleCount returns a number of people as a text, such as "12 people".
func PeopleCount(n int) string {
	if n == 1 {
		return "1 person"
	}
	return strconv.Itoa(n) + " people"
}

// Instant is a stated point in time, with the author and reason of the statement.
type Instant struct {
	At     time.Time `json:"at"`
	SetAt  time.Time `json:"set_at"`
	By     PersonID  `json:"by"`
	Reason string    `json:"reason"`
}

// Facts are the established facts, for reporting deadlines and the closing record.
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

// FactChange is the argument of [VerbSetFact].
type FactChange struct {
	Name     FactName  `json:"name"`
	Regime   string    `json:"regime,omitempty"` // FactAware: "gdpr", "nis2", ...
	Value    string    `json:"value,omitempty"`
	Affected *Affected `json:"affected,omitempty"` // FactAffected
}
