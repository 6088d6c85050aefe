package incident

import (
	"slices"
	"time"
)

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
	// DoneBy is who completed it, and How describes how.
	DoneBy PersonID `json:"done_by,omitempty"`
	How    string   `json:"how,omitempty"`
}

// IsDone reports whether the work is done.
func (a Action) IsDone() bool { return !a.Done.IsZero() }

// DaysLeft returns the number of days from the day of now, in its zone, to the due day. It
// is negative if the due day has passed.
func (a Action) DaysLeft(now time.Time) int {
	day := func(t time.Time) time.Time {
		year, month, day := t.Date()
		return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	}
	return int(day(a.Due.UTC()).Sub(day(now)) / (24 * time.Hour))
}

// Progress returns who completed the action item and when, or when it is due and how long
// it is overdue. Every list of action items shows it.
func (a Action) Progress(now time.Time) Sentence {
	switch left := a.DaysLeft(now); {
	case a.IsDone():
		return Say("done by %s on %s", a.DoneBy, Day(a.Done))
	case left == -1:
		return Say("due %s, 1 day overdue", Day(a.Due))
	case left < -1:
		return Say("due %s, %d days overdue", Day(a.Due), -left)
	}
	return Say("due %s", Day(a.Due))
}

// OpenActions returns the action items of the incident that are not done.
func (i Incident) OpenActions() []Action {
	return slices.DeleteFunc(slices.Clone(i.Actions), Action.IsDone)
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
