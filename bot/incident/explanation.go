package incident

import "time"

// Explanation says why an alert was treated as it was.
type Explanation struct {
	Alert          AlertLine       `json:"alert"`
	Incident       ID              `json:"incident,omitempty"`
	Outcome        string          `json:"outcome"` // what was decided the last time, in words
	Delivery       *StoredDelivery `json:"delivery,omitempty"`
	FirstDelivery  int64           `json:"first_delivery,omitempty"`  // the delivery that an alert came with first, where an alert was asked for
	DecodeFailures []DecodeFailure `json:"decode_failures,omitempty"` // of an alert about deliveries that cannot be read: why they cannot
	Digest         string          `json:"digest"`                    // of the routing by which it was decided
	Since          time.Time       `json:"since,omitzero"`            // when that routing was first in force with these detection rules
	CurrentDigest  string          `json:"current_digest"`            // of the routing in force now
	Rules          []RuleTrace     `json:"rules"`                     // those that were tried
	CurrentRules   []RuleTrace     `json:"current_rules,omitempty"`   // how it would be decided now, where the routing changed
	Detection      Detection       `json:"detection"`
}

// UndecodableKind is the kind of the alert about deliveries of a source that cannot be read.
func UndecodableKind(source string) string { return source + ".unreadable" }

// DecodeFailure is a reason for which deliveries cannot be read.
type DecodeFailure struct {
	Reason string    `json:"reason"`
	Count  int       `json:"count"` // among the newest deliveries that cannot be read
	Last   int64     `json:"last"`  // the newest of them
	At     time.Time `json:"at"`    // when that came
}

// Detection is what the detection rules make of the records in a delivery.
type Detection struct {
	Digest         string        `json:"digest"`                    // of the rules in force when it was decided; empty where it was not kept
	CurrentDigest  string        `json:"current_digest"`            // of those in force now
	Delivery       int64         `json:"delivery,omitempty"`        // that was held against them; 0: none, for rules judge no such alert, or Note says why
	Records        []RecordTrace `json:"records,omitempty"`         // by the rules of then
	CurrentRecords []RecordTrace `json:"current_records,omitempty"` // by the rules of now, where they are others
	More           int           `json:"more,omitempty"`            // records that are not shown
	// Counted is, of an alert about several events, the rule that counted them, and
	// the events. No delivery is such an alert's own.
	Counted string `json:"counted,omitempty"`
	Note    string `json:"note,omitempty"` // why a part of it is missing
}

// RecordTrace is one record held against the detection rules.
type RecordTrace struct {
	Name    string           `json:"name"`             // what was called
	Service string           `json:"service"`          // of whom
	ID      string           `json:"id,omitempty"`     // that AWS gave it
	Error   string           `json:"error,omitempty"`  // why rules cannot judge it
	Rules   []DetectionTrace `json:"rules,omitempty"`  // those that ask for such events: what matches first, then what nearly does
	Others  int              `json:"others,omitempty"` // rules that ask for other events, and were not tried
}

// DetectionTrace is one detection rule held against a record.
type DetectionTrace struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Level   Level  `json:"level"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Matched bool   `json:"matched"`
	// Silent: it makes no alert, it is counted only.
	Silent bool              `json:"silent,omitempty"`
	Counts []string          `json:"counts,omitempty"` // the rules about several events that count it
	Why    []FieldComparison `json:"why,omitempty"`    // the lines that decide
}

// FieldComparison is a line of a detection rule, and what the record has there.
type FieldComparison struct {
	Field    string `json:"field"` // with its modifiers; empty: the whole record is searched
	Line     int    `json:"line"`
	Expected string `json:"expected"`
	Actual   string `json:"actual"`
	Negated  bool   `json:"negated,omitempty"` // under a not: the record must not have it
}

// StoredDelivery is the evidence of one delivery.
type StoredDelivery struct {
	ID       int64     `json:"id"`
	Source   string    `json:"source"`
	At       time.Time `json:"at"`
	Sender   string    `json:"sender,omitempty"`
	Verified string    `json:"verified,omitempty"` // how it was found to be genuine
	SHA256   string    `json:"sha256"`             // of the raw body
	Outcome  string    `json:"outcome,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Body     []byte    `json:"-"` // as it was received; never told
}

// RuleTrace is one routing rule held against an alert.
type RuleTrace struct {
	Index   int      `json:"index"` // from 1; 0 is the rule behind all: watch
	When    string   `json:"when"`
	Action  string   `json:"action"`
	Matched bool     `json:"matched"`
	Why     []string `json:"why,omitempty"` // where it does not fit: each part that is false, with the values it compared
}
