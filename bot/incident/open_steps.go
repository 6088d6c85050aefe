package incident

import (
	"cmp"
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
	return strings.Join(u.Steps, "; ") + ": " + u.Reason
}

// StepTitles returns the titles of the steps with these IDs. It keeps an ID without a step.
func (i Incident) StepTitles(ids []string) []string {
	titles := map[string]string{}
	for _, r := range i.Runs {
		for _, s := range r.Plan {
			titles[s.ID] = s.Title
		}
	}
	out := make([]string, len(ids))
	for n, id := range ids {
		out[n] = cmp.Or(titles[id], id)
	}
	return out
}

// Titled returns the steps that were left open with their titles instead of their IDs.
func (u *Unfinished) Titled(i Incident) *Unfinished {
	if u == nil {
		return nil
	}
	out := *u
	out.Steps = i.StepTitles(u.Steps)
	return &out
}

// OpenSteps returns the steps that people started and did not finish.
func (i Incident) OpenSteps() (out []string) {
	for _, ref := range i.unfinishedSteps(true) {
		out = append(out, ref.Step)
	}
	return out
}
