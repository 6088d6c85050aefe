package incident

import "time"

// MaintenanceWindow suppresses the alerts that match When between From and To. They
// are stored, counted and listed, and open no incident. Until a second person
// confirms it, a window suppresses only alerts that routing opens at sev3 or sev4.
type MaintenanceWindow struct {
	ID               int64     `json:"id"`
	When             string    `json:"when"` // expr over the alert, like the condition of a routing rule
	Reason           string    `json:"reason"`
	Owner            PersonID  `json:"owner"`
	From             time.Time `json:"from"`
	To               time.Time `json:"to"`
	ConfirmedBy      PersonID  `json:"confirmed_by,omitempty"`
	ConfirmedAt      time.Time `json:"confirmed_at,omitzero"`
	Suppressed       int64     `json:"suppressed"`        // number of suppressed alerts
	SuppressedSevere int64     `json:"suppressed_severe"` // those of them that routing opens at sev1 or sev2
	EndedBy          PersonID  `json:"ended_by,omitempty"`
	Failing          string    `json:"failing,omitempty"` // why the condition does not suppress some or all alerts, not stored
}

// MaxMaintenanceWindow is the maximum length of a maintenance window. A longer
// suppression belongs in a routing rule, which is reviewed.
const MaxMaintenanceWindow = 7 * 24 * time.Hour

// MaxOpenWindows is the maximum number of maintenance windows that are active or
// scheduled. Every alert is compared with all active ones.
const MaxOpenWindows = 50

// The values of Args "event" of [EffectAnnounceMaintenance].
const (
	MaintenanceStarted   = "started"
	MaintenanceConfirmed = "confirmed"
	MaintenanceEnded     = "ended"
)

// Active reports whether the window suppresses alerts at a time. To is exclusive.
func (m MaintenanceWindow) Active(at time.Time) bool { return !at.Before(m.From) && at.Before(m.To) }

// Confirmed reports whether a second person had confirmed the window at a time.
func (m MaintenanceWindow) Confirmed(at time.Time) bool {
	return m.ConfirmedBy != "" && !at.Before(m.ConfirmedAt)
}

// Covers reports whether the window may suppress a matching alert at a time. open is
// the severity at which routing opens an incident for the alert, "" for none.
func (m MaintenanceWindow) Covers(open Severity, at time.Time) bool {
	return m.Confirmed(at) || open == Sev3 || open == Sev4
}
