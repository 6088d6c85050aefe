package incident

import (
	"slices"
	"time"
)

// WaitingEffect is an effect that failed and that is tried again. It waits in its lane:
// later effects of the lane start after it.
type WaitingEffect struct {
	ID       int64      `json:"id"`
	Kind     EffectKind `json:"kind"`
	Incident ID         `json:"incident,omitempty"`
	Seq      int        `json:"-"`      // number of the event that caused it
	System   string     `json:"system"` // see [Blocked.System]
	// Blocked is set if the system refuses until an administrator repairs the cause.
	// Otherwise the system does not work or requested a pause.
	Blocked     bool      `json:"blocked"`
	Paused      bool      `json:"paused,omitempty"` // the system requested the pause
	Cause       string    `json:"cause"`            // redacted
	Reached     []string  `json:"-"`                // see [Partial]
	Fix         string    `json:"fix,omitempty"`
	Since       time.Time `json:"since"` // first failed attempt
	Attempts    int       `json:"attempts"`
	LastAttempt time.Time `json:"last_attempt"`
	NextAttempt time.Time `json:"next_attempt"`
	Behind      int       `json:"behind,omitempty"` // number of later effects of the lane
}

// visibleAfter is how long an effect fails before people see it, unless an
// administrator must act. Most failures are over at the next attempt.
const visibleAfter = 2 * time.Minute

// Visible reports whether people in the incident see at a time that the effect waits.
func (w WaitingEffect) Visible(now time.Time) bool {
	return w.Blocked || w.Attempts > 0 && now.Sub(w.Since) >= visibleAfter
}

// HasAccessAgain reports whether a removal of the person from the channel is obsolete,
// because the person got access again.
func (i Incident) HasAccessAgain(p PersonID) bool {
	return !i.Excludes(p) && !slices.Contains(i.Revoked, p)
}

// CardRefresh returns the effect that updates the card of the incident, if it has one.
func (i Incident) CardRefresh() []Effect {
	if i.Links[LinkChannel] == "" {
		return nil
	}
	return refreshCard(effectBuilder{inc: i, event: Event{Seq: i.Head.Seq}})
}
