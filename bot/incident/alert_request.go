package incident

import "time"

// Disposition is where an alert is kept that belongs to no incident.
type Disposition string

// The shelves.
const (
	DispositionWatched     Disposition = "watched"     // no rule calls for more
	DispositionDropped     Disposition = "dropped"     // a rule drops it, with a reason
	DispositionMaintenance Disposition = "maintenance" // it came in a maintenance window
)

// Dispositions lists them.
func Dispositions() []Disposition {
	return []Disposition{DispositionWatched, DispositionDropped, DispositionMaintenance}
}

// AlertRequest is what words ask of the Desk besides the life of one incident: to
// show the alerts that are kept, to explain one, to keep maintenance windows.
type AlertRequest struct {
	Query       string      // QueryAlerts, QueryExplain or QueryMaintenance
	Disposition Disposition // of QueryAlerts
	Alert       int64       // of QueryExplain: an alert's id, or ...
	Delivery    int64       // ... a delivery's
	// Of QueryMaintenance; both empty: list the windows.
	Add *MaintenanceWindow
	End int64  // id of a window
	Key string // idempotency key, from the door
}

// AlertResult is what an errand came to.
type AlertResult struct {
	Disposition        Disposition         `json:"disposition,omitempty"`
	Alerts             []AlertLine         `json:"alerts,omitempty"`              // newest first
	Kinds              int64               `json:"kinds,omitempty"`               // how many alerts are on the shelf, listed or not
	Occurrences        int64               `json:"occurrences,omitempty"`         // and their copies together
	MaintenanceWindows []MaintenanceWindow `json:"maintenance_windows,omitempty"` // of maintenance, the running and coming ones first
	Done               string              `json:"done,omitempty"`                // what was done, in a sentence
	Explanation        *Explanation        `json:"explanation,omitempty"`
}

// AlertLine is a kept alert in one line.
type AlertLine struct {
	ID      int64     `json:"id"`
	Source  string    `json:"source"`
	Kind    string    `json:"kind"`
	Level   Level     `json:"level"`
	Title   string    `json:"title"`
	Count   int64     `json:"count"`
	FirstAt time.Time `json:"first_at"`
	LastAt  time.Time `json:"last_at"`
	Reason  string    `json:"reason,omitempty"` // of one that was dropped
}
