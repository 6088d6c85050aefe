package incident

import (
	"strings"
	"time"
)

// Unfinished lists the steps that were open when the incident was resolved.
type Unfinished struct {
	Steps  []string  `json:"steps"`
	By     PersonID  `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// Text returns the steps and the reason as one text for readers of the record.
func (u *Unfinished) Text() string {
	if u == nil {
		return ""
	}
	return strings.Join(u.Steps, ", ") + ": " + u.Reason
}

// OpenSteps returns the steps that people started and did not finish.
func (i Incident) OpenSteps() (out []string) {
	for _, ref := range i.unfinishedSteps(true) {
		out = append(out, ref.Step)
	}
	return out
}
