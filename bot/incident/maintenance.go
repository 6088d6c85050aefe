package incident

import "time"

// MaintenanceWindow is a window in which the alerts for which When is true open
// nothing. They are kept, counted and listed.
type MaintenanceWindow struct {
	ID         int64     `json:"id"`
	When       string    `json:"when"` // expr over the alert, as in a routing rule
	Reason     string    `json:"reason"`
	Owner      PersonID  `json:"owner"`
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
	Suppressed int64     `json:"suppressed"` // alerts that it kept from opening something
	EndedBy    PersonID  `json:"ended_by,omitempty"`
}

// MaxMaintenanceWindow is how long a window may be: what is longer is a routing
// rule, which somebody reviews.
const MaxMaintenanceWindow = 7 * 24 * time.Hour

// Active reports whether the window holds at a time.
func (m MaintenanceWindow) Active(at time.Time) bool { return !at.Before(m.From) && at.Before(m.To) }
