package playbooks

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// Version is the supported version of the format.
const Version = 1

// Limits of a playbook. The texts of a step must fit into one Slack message.
const (
	MaxBytes  = 256 << 10
	MaxSteps  = 60
	MaxTitle  = 200  // characters of a title or a role description
	MaxDetail = 2800 // characters of a detail, a description or a text of an action
	MaxDue    = 90 * 24 * time.Hour
)

// Playbook is a parsed and valid playbook.
type Playbook struct {
	Name        string
	Title       string
	Description string
	Runbook     string // URL of the runbook, or ""
	Match       string // expression over the alert and the incident. If empty, the playbook is only started by name
	Roles       map[incident.Role]string
	Consult     []incident.ConsultRequest
	Steps       []incident.Step
	Digest      string // "sha256:" and the hex SHA-256 of Source
	File        string
	Source      []byte // content of the file

	match condition
}

// Pin returns a copy of the plan to store in an incident.
func (p *Playbook) Pin() incident.Run {
	plan := slices.Clone(p.Steps)
	for n := range plan {
		plan[n].After = slices.Clone(plan[n].After)
	}
	return incident.Run{Playbook: p.Name, Title: p.Title, Digest: p.Digest, Plan: plan, Consult: slices.Clone(p.Consult)}
}

// Teams returns all departments and teams in the consultations and actions of
// the playbook. Callers use it to reject a configuration without one of them.
func (p *Playbook) Teams() []incident.Department {
	var out []incident.Department
	for _, a := range p.Consult {
		out = append(out, a.Team)
	}
	for _, s := range p.Steps {
		if a, err := ParseAction(s.Action); err == nil && a.Team != "" {
			out = append(out, a.Team)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func sourceDigest(src []byte) string {
	return text.Digest(src)
}

// ParseError is one error in a file. Line and Column count from 1, Column in
// characters.
type ParseError struct {
	File         string
	Line, Column int
	Message      string
}

func (f ParseError) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
}

// ParseErrors is the error of [Parse] and [Load]. It holds all errors of one or
// more files.
type ParseErrors struct{ Errors []ParseError }

func (e *ParseErrors) Error() string {
	lines := make([]string, len(e.Errors))
	for n, f := range e.Errors {
		lines[n] = f.String()
	}
	return strings.Join(lines, "\n")
}
