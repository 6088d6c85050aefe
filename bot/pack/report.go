package pack

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// Result is how a check ended.
type Result string

// The results. A note is a fact that the pack cannot prove or does not have. It is not a sign of a change.
const (
	ResultOK      Result = "ok"
	ResultNote    Result = "note"
	ResultProblem Result = "problem"
)

// Check is one check of a pack.
type Check struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	Detail string `json:"detail"`
}

// How a signature is proven.
const (
	ByPasskey = "passkey"
	ByServer  = "vouched by the server only"
)

// Signature is one signature of a department in the timeline.
type Signature struct {
	Event      int                 `json:"event"`
	Department incident.Department `json:"department"`
	Person     incident.PersonID   `json:"person"`
	Name       string              `json:"name,omitempty"` // not proven
	At         time.Time           `json:"at"`
	Digest     string              `json:"digest"`
	// How is [ByPasskey] or [ByServer].
	How         string `json:"how"`
	Fingerprint string `json:"fingerprint,omitempty"`
	IsPinned    bool   `json:"pinned"`
	// Counts is set if the signature belongs to the approved record.
	Counts bool `json:"counts"`
	// Problems are the reasons why the signature is not valid.
	Problems []string `json:"problems,omitempty"`
	// Registration describes who approved the key.
	Registration string `json:"registration,omitempty"`
}

// Report is the result of [Verify].
type Report struct {
	// Verified is set if no check found a problem.
	Verified   bool        `json:"verified"`
	Incident   string      `json:"incident,omitempty"`
	ExportedAt time.Time   `json:"exported_at,omitzero"`
	IsWithheld bool        `json:"withheld"`
	Origin     string      `json:"origin,omitempty"` // of the passkeys
	NotaryKey  string      `json:"notary_key,omitempty"`
	Checkpoint string      `json:"checkpoint,omitempty"` // for people
	SHA256     string      `json:"sha256"`               // of the file
	Checks     []Check     `json:"checks"`
	Signatures []Signature `json:"signatures"`
}

// findings collects the results of one check.
type findings struct {
	name            string
	problems, notes []string
	ok              string // the detail if there are neither problems nor notes
}

// maxFindings is the maximum number of problems, and of notes, that a check lists.
const maxFindings = 20

func (f *findings) problem(format string, args ...any) {
	f.problems = appendBounded(f.problems, format, args)
}

func (f *findings) note(format string, args ...any) { f.notes = appendBounded(f.notes, format, args) }

func appendBounded(list []string, format string, args []any) []string {
	if len(list) == maxFindings {
		return append(list, "and more")
	}
	if len(list) > maxFindings {
		return list
	}
	return append(list, fmt.Sprintf(format, args...))
}

// add adds the checks of the findings to the report.
func (r *Report) add(f findings) {
	for _, p := range f.problems {
		r.Checks = append(r.Checks, Check{f.name, ResultProblem, p})
	}
	if len(f.problems) == 0 && f.ok != "" {
		r.Checks = append(r.Checks, Check{f.name, ResultOK, f.ok})
	}
	for _, n := range f.notes {
		r.Checks = append(r.Checks, Check{f.name, ResultNote, n})
	}
}

// finish sets Verified.
func (r *Report) finish() {
	r.Verified = true
	for _, c := range r.Checks {
		r.Verified = r.Verified && c.Result != ResultProblem
	}
}
