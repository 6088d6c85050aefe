package incident

import "time"

// Explanation describes how an alert was routed and why.
type Explanation struct {
	Alert          AlertLine       `json:"alert"`
	Incident       ID              `json:"incident,omitempty"`
	Outcome        string          `json:"outcome"` // last decision, as a phrase
	Delivery       *StoredDelivery `json:"delivery,omitempty"`
	FirstDelivery  int64           `json:"first_delivery,omitempty"`  // the first delivery with the alert, if the request names an alert
	DecodeFailures []DecodeFailure `json:"decode_failures,omitempty"` // of an alert about undecodable deliveries
	Digest         string          `json:"digest"`                    // of the routing that decided
	Since          time.Time       `json:"since,omitzero"`            // when that routing and detection rules were first in force together
	CurrentDigest  string          `json:"current_digest"`            // of the current routing
	Rules          []RuleTrace     `json:"rules"`                     // the evaluated rules
	CurrentRules   []RuleTrace     `json:"current_rules,omitempty"`   // evaluated under the current routing, if it changed
	Detection      Detection       `json:"detection"`
	FailedWindows  []string        `json:"failed_windows,omitempty"` // maintenance windows whose condition fails on the alert
	// UnconfirmedWindows are the matching maintenance windows that did not suppress the
	// alert, because nobody confirmed them for its severity.
	UnconfirmedWindows []string `json:"unconfirmed_windows,omitempty"`
}

// UndecodableKind returns the kind of the alert about undecodable deliveries of a
// source.
func UndecodableKind(source string) string { return source + ".unreadable" }

// DecodeFailure is a reason why deliveries could not be decoded.
type DecodeFailure struct {
	Reason string    `json:"reason"`
	Count  int       `json:"count"` // among the newest undecodable deliveries
	Last   int64     `json:"last"`  // id of the newest one
	At     time.Time `json:"at"`    // arrival of the newest one
}

// Detection is the evaluation of the detection rules on the records of a delivery.
type Detection struct {
	Digest         string        `json:"digest"`                    // of the rules in force at the decision, empty if not recorded
	CurrentDigest  string        `json:"current_digest"`            // of the current rules
	Delivery       int64         `json:"delivery,omitempty"`        // id of the evaluated delivery, 0 if none: no rules apply, or see Note
	Records        []RecordTrace `json:"records,omitempty"`         // under the rules at the decision
	CurrentRecords []RecordTrace `json:"current_records,omitempty"` // under the current rules, if they differ
	More           int           `json:"more,omitempty"`            // number of omitted records
	// Counted names the correlation rule and the events of an alert that several
	// events caused. Such an alert has no single delivery.
	Counted string `json:"counted,omitempty"`
	Note    string `json:"note,omitempty"` // reason for missing parts
}

// RecordTrace is the evaluation of the detection rules on one record.
type RecordTrace struct {
	Name    string           `json:"name"`             // called operation
	Service string           `json:"service"`          // called service
	ID      string           `json:"id,omitempty"`     // given by AWS
	Error   string           `json:"error,omitempty"`  // reason why rules cannot evaluate it
	Rules   []DetectionTrace `json:"rules,omitempty"`  // rules for this kind of event, matches first, then near misses
	Others  int              `json:"others,omitempty"` // number of rules for other events, not evaluated
}

// DetectionTrace is the evaluation of one detection rule on a record.
type DetectionTrace struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Level   Level  `json:"level"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Matched bool   `json:"matched"`
	// Silent marks a rule that raises no alert and only feeds correlation rules.
	Silent bool              `json:"silent,omitempty"`
	Counts []string          `json:"counts,omitempty"` // correlation rules that count it
	Why    []FieldComparison `json:"why,omitempty"`    // the decisive comparisons
}

// FieldComparison is a line of a detection rule with expected and actual values.
type FieldComparison struct {
	Field    string `json:"field"` // with its modifiers, empty if the whole record is searched
	Line     int    `json:"line"`
	Expected string `json:"expected"`
	Actual   string `json:"actual"`
	Negated  bool   `json:"negated,omitempty"` // under a not: the record must not match
}

// StoredDelivery is a delivery as recorded.
type StoredDelivery struct {
	ID       int64             `json:"id"`
	Source   string            `json:"source"`
	Origin   Origin            `json:"origin,omitempty"`
	At       time.Time         `json:"at"`
	Sender   string            `json:"sender,omitempty"`
	Verified string            `json:"verified,omitempty"` // method of verification
	SHA256   string            `json:"sha256"`             // of the raw body
	Outcome  string            `json:"outcome,omitempty"`
	Reason   string            `json:"reason,omitempty"`
	Body     []byte            `json:"-"` // as received, not sent to people
	Header   map[string]string `json:"-"` // headers that decide how the body is decoded
}

// RuleTrace is the evaluation of one routing rule on an alert.
type RuleTrace struct {
	Index   int      `json:"index"` // from 1, 0 is the default rule, which watches, -1 is no rule: nobody has read the delivery
	When    string   `json:"when"`
	Action  string   `json:"action"`
	Matched bool     `json:"matched"`
	Why     []string `json:"why,omitempty"`     // if it did not match: the false clauses, with the compared values
	Failed  string   `json:"failed,omitempty"`  // why the condition could not be evaluated
	Applied bool     `json:"applied,omitempty"` // the rule failed and its action applies, because it may not hide the alert
}
