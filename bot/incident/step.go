package incident

import (
	"strings"
	"time"
)

// Run is one playbook in an incident. Its plan is copied when it starts, and
// later changes of the playbook do not affect it.
type Run struct {
	Playbook string           `json:"playbook"`
	Title    string           `json:"title"`
	Digest   string           `json:"digest"` // sha256 of the playbook's file
	Plan     []Step           `json:"plan"`
	Consult  []ConsultRequest `json:"consult,omitempty"` // affected teams to consult before closing
}

// FinishedSteps returns the number of steps that are done or skipped.
func (r Run) FinishedSteps() (n int) {
	for _, s := range r.Plan {
		if s.Finished() {
			n++
		}
	}
	return n
}

// PlaybookInfo describes a playbook that a person can start.
type PlaybookInfo struct {
	Name  string `json:"name"`
	Title string `json:"title"`
}

// ConsultRequest is a playbook's request to consult an affected team.
type ConsultRequest struct {
	Team     Department `json:"team"`
	Blocking bool       `json:"blocking,omitempty"`
}

// StepStatus is the state of a step.
type StepStatus string

// The states of a step.
const (
	StepOpen    StepStatus = "open"
	StepDone    StepStatus = "done"
	StepSkipped StepStatus = "skipped"
	StepLate    StepStatus = "late" // its deadline passed, it can still be done
)

// Step is one step of a pinned playbook.
type Step struct {
	ID       string        `json:"id"` // unique in its playbook
	Title    string        `json:"title"`
	Detail   string        `json:"detail,omitempty"`
	Role     Role          `json:"role,omitempty"`     // who performs it
	Action   string        `json:"action,omitempty"`   // performed by the bot, instead of a role
	Deadline time.Duration `json:"deadline,omitempty"` // from the start of the step
	After    []string      `json:"after,omitempty"`    // steps that must be finished first
	Phase    Status        `json:"phase,omitempty"`    // not before the incident has this status
	When     string        `json:"when,omitempty"`     // expr over the incident, empty means always

	Status  StepStatus `json:"status"`
	Started time.Time  `json:"started,omitzero"`
	By      PersonID   `json:"by,omitempty"`
	At      time.Time  `json:"at,omitzero"`
	Outcome string     `json:"outcome,omitempty"` // result, or the reason for skipping
}

// Finished reports whether the step is done or skipped.
func (s Step) Finished() bool { return s.Status == StepDone || s.Status == StepSkipped }

// Run returns the run of a playbook, or nil. The result points into i.
func (i *Incident) Run(playbook string) *Run {
	for n := range i.Runs {
		if i.Runs[n].Playbook == playbook {
			return &i.Runs[n]
		}
	}
	return nil
}

// Step returns the step with an id and its run, or nil. A reference may name the
// playbook, as in "data-exposure/preserve-logs". Otherwise the first run with
// such a step is used. The results point into i.
func (i *Incident) Step(ref string) (*Run, *Step) {
	playbook, id, qualified := strings.Cut(ref, "/")
	if !qualified {
		playbook, id = "", ref
	}
	for n := range i.Runs {
		if playbook != "" && i.Runs[n].Playbook != playbook {
			continue
		}
		for k := range i.Runs[n].Plan {
			if i.Runs[n].Plan[k].ID == id {
				return &i.Runs[n], &i.Runs[n].Plan[k]
			}
		}
	}
	return nil, nil
}
