package response

import (
	"time"

	"tocsin/bot/incident"
)

// Configuration is a pair of routing and detection rules that are in force
// together. If either changes, the configuration is a new one.
type Configuration struct {
	Routing, Detection Ruleset
	Since              time.Time // set by the store
}

// Ruleset is the source of rules and its digest.
type Ruleset struct {
	Digest string
	Source []byte
}

// RoutingDecision is how an alert was routed.
type RoutingDecision struct {
	Rule         int         // position of the rule from 1, or 0 for the default rule
	Routing      int64       // id of the configuration
	Maintenance  int64       // id of the maintenance window that suppressed the alert, or 0
	RecurrenceOf incident.ID // the ended incident of a recurrence, or 0
	Storm        bool        // the alert was grouped into an alert storm
}

// AlertRow is a stored alert with its occurrence count.
type AlertRow struct {
	ID       int64           `json:"id"`
	Incident incident.ID     `json:"incident,omitempty"`
	Alert    incident.Alert  `json:"alert"` // first occurrence
	Hash     string          `json:"hash"`  // keyed hash of the fingerprint
	Count    int64           `json:"count"`
	FirstAt  time.Time       `json:"first_at"`
	LastAt   time.Time       `json:"last_at"`
	Decision RoutingDecision `json:"decision"` // about the last occurrence
}

// Delivery is a stored delivery and its outcome.
type Delivery struct {
	Stored  incident.StoredDelivery
	Outcome DeliveryOutcome
}

// DeliveryOutcome is the outcome of one delivery.
type DeliveryOutcome struct {
	Row      int64
	Outcome  string      // "opened", "attached", "grouped", "counted", "recurred", "maintenance", "watched", "dropped", "command", "undecodable", "ignored"
	Incident incident.ID // 0 if there is none
	Alert    int64       // AlertRow.ID, 0 if there is none
	Rule     int         // position of the rule that decided, from 1
	Routing  int64       // id of the configuration
	Reason   string      // for people, "" for most outcomes, stored encrypted
	Unread   bool        // the delivery, or a part of it, cannot be read
}

// Job is one attempt at an effect. Token belongs to the store.
type Job struct {
	Effect  int64
	Attempt int // from 1
	Token   any
}

// Access is an entry of the audit log: an attempt to read, or a command that was denied.
type Access struct {
	At       time.Time
	Person   incident.PersonID
	Handle   incident.Identity
	Action   string // "show", "list", "document", "alerts", "explain", "maintenance", "export", or the verb of a denied command after "command "
	Incident incident.ID
	Reason   string // stored encrypted
	Allowed  bool
}
