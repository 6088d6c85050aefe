package incident

import "time"

// ActionKind is the purpose of an action item.
type ActionKind string

// The kinds of action items. Closing an incident needs at least one detection and
// one prevention, or a waiver.
const (
	ActionDetection  ActionKind = "detection"
	ActionPrevention ActionKind = "prevention"
	ActionMitigation ActionKind = "mitigation"
	ActionProcess    ActionKind = "process"
)

// ActionKinds returns all kinds.
func ActionKinds() []ActionKind {
	return []ActionKind{ActionDetection, ActionPrevention, ActionMitigation, ActionProcess}
}

// Action is an action item: follow-up work with an owner and a due date.
type Action struct {
	ID    string     `json:"id"` // "A1", in order
	Kind  ActionKind `json:"kind"`
	Title string     `json:"title"`
	Owner PersonID   `json:"owner"`
	Due   time.Time  `json:"due"` // midnight UTC of the due day
	Done  time.Time  `json:"done,omitzero"`
	How   string     `json:"how,omitempty"` // how it was done
}

// closeBlocker returns the kind of action item that is required for closing and
// missing, or "" if none is missing or security endorsed a waiver.
func (i Incident) closeBlocker() ActionKind {
	if i.Review.EndorsedBy != "" {
		return ""
	}
	for _, kind := range []ActionKind{ActionDetection, ActionPrevention} {
		if !i.hasAction(kind) {
			return kind
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
