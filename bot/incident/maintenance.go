package incident

import "time"

// MaintenanceWindow suppresses the alerts that match When between From and To. They
// are stored, counted and listed, and open no incident.
type MaintenanceWindow struct {
	ID         int64     `json:"id"`
	When       string    `json:"when"` // expr over the alert, like the condition of a routing rule
	Reason     string    `json:"reason"`
	Owner      PersonID  `json:"owner"`
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
	Suppressed int64     `json:"suppressed"` // number of suppressed alerts
	EndedBy    PersonID  `json:"ended_by,omitempty"`
	Failing    string    `json:"failing,omitempty"` // why the condition does not suppress some or all alerts, not stored
}

// MaxMaintenanceWindow is the maximum length of a maintenance window. A longer
// suppression belongs in a routing rule, which is reviewed.
const MaxMaintenanceWindow = 7 * 24 * time.Hour

// MaxOpenWindows is the maximum number of maintenance windows that are active or
// scheduled. Every alert is compared with all active ones.
const MaxOpenWindows = 50

// Active reports whether the window suppresses alerts at a time. To is exclusive.
func (m MaintenanceWindow) Active(at time.Time) bool { return !at.Before(m.From) && at.Before(m.To) }
