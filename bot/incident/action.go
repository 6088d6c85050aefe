package incident

import "time"

// ActionKind says what an action item is for.
type ActionKind string

// The kinds of action items. Closing needs at least one detection and one prevention.
const (
	ActionDetection  ActionKind = "detection"
	ActionPrevention ActionKind = "prevention"
	ActionMitigation ActionKind = "mitigation"
	ActionProcess    ActionKind = "process"
)

// ActionKinds lists them.
func ActionKinds() []ActionKind {
	return []ActionKind{ActionDetection, ActionPrevention, ActionMitigation, ActionProcess}
}

// Action is an action item: something the company does so that it does not happen again.
type Action struct {
	ID    string     `json:"id"` // "A1", in order
	Kind  ActionKind `json:"kind"`
	Title string     `json:"title"`
	Owner PersonID   `json:"owner"`
	Due   time.Time  `json:"due"` // the day, at midnight UTC
	Done  time.Time  `json:"done,omitzero"`
	How   string     `json:"how,omitempty"` // what was done, for the one who checks
}

// closeBlocker says what still stands between a concluded review and closing, or "".
func (i Incident) closeBlocker() string {
	if i.Review.EndorsedBy != "" {
		return ""
	}
	for _, kind := range []ActionKind{ActionDetection, ActionPrevention} {
		if !i.hasAction(kind) {
			return "at least one action item for " + string(kind) + " with an owner and a due date (or a reasoned exception that security endorses)"
		}
	}
	return ""
}

func (i Incident) hasAction(kind ActionKind) bool {
	for _, a := range i.Actions {
		if a.Kind == kind && a.Owner != "" && !a.Due.IsZero() {
			return true
		}
	}
	return false
}
