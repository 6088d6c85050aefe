package incident

import (
	"fmt"
	"time"
)

// Disposition is the reason why an alert is suppressed: stored without an incident.
type Disposition string

// The dispositions.
const (
	DispositionWatched     Disposition = "watched"     // a routing rule watches it, or no rule matched
	DispositionDropped     Disposition = "dropped"     // a routing rule drops it, with a reason
	DispositionMaintenance Disposition = "maintenance" // it arrived in a maintenance window
)

// Dispositions returns all dispositions.
func Dispositions() []Disposition {
	return []Disposition{DispositionWatched, DispositionDropped, DispositionMaintenance}
}

// The values of [AlertRequest.Query].
const (
	QueryAlerts      = "alerts"
	QueryExplain     = "explain"
	QueryMaintenance = "maintenance"
	QueryTestPage    = "page_test"
	QueryAsk         = "ask"
)

// AlertRequest is a request to the Desk that concerns no single incident: list
// suppressed alerts, explain an alert, manage maintenance windows, search the stored
// records, or test paging.
type AlertRequest struct {
	Query       string      // QueryAlerts, QueryExplain, QueryMaintenance, QueryAsk or QueryTestPage
	Disposition Disposition // of QueryAlerts
	Alert       int64       // of QueryExplain: id of an alert, or ...
	Delivery    int64       // ... id of a delivery
	// Of QueryMaintenance. If all are empty, the windows are listed.
	Add     *MaintenanceWindow
	Confirm int64  // id of a maintenance window
	End     int64  // id of a maintenance window
	Key     string // idempotency key of the adapter
	// Ask is the question of QueryAsk.
	Ask *Question
	// Test is the request of QueryTestPage.
	Test TestPageRequest
}

// Subject names what the request reads, for the audit log: an alert, a delivery or a
// disposition. It is empty for the others.
func (r AlertRequest) Subject() string {
	switch {
	case r.Alert != 0:
		return fmt.Sprintf("A%d", r.Alert)
	case r.Delivery != 0:
		return fmt.Sprintf("D%d", r.Delivery)
	}
	return string(r.Disposition)
}

// AlertResult is the result of an [AlertRequest].
type AlertResult struct {
	Disposition        Disposition         `json:"disposition,omitempty"`
	Alerts             []AlertLine         `json:"alerts,omitempty"`              // newest first
	Kinds              int64               `json:"kinds,omitempty"`               // number of alerts with the disposition, listed or not
	Occurrences        int64               `json:"occurrences,omitempty"`         // sum of their occurrences
	MaintenanceWindows []MaintenanceWindow `json:"maintenance_windows,omitempty"` // active and future ones first
	Done               string              `json:"done,omitempty"`                // sentence about a completed action
	Explanation        *Explanation        `json:"explanation,omitempty"`
	TestPages          *TestPageList       `json:"test_pages,omitempty"`
	Trail              *Trail              `json:"trail,omitempty"`
}

// AlertLine is an alert in one line.
type AlertLine struct {
	ID      int64     `json:"id"`
	Source  string    `json:"source"`
	Kind    string    `json:"kind"`
	Level   Level     `json:"level"`
	Title   string    `json:"title"`
	Origin  Origin    `json:"origin,omitempty"`
	Count   int64     `json:"count"`
	FirstAt time.Time `json:"first_at"`
	LastAt  time.Time `json:"last_at"`
	Reason  string    `json:"reason,omitempty"` // of a dropped alert
}
