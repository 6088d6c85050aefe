package playbooks

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// Version is the version of the format this package reads.
const Version = 1

// Limits on a playbook. A step's texts have to fit into a chat message.
const (
	MaxBytes  = 256 << 10
	MaxSteps  = 60
	MaxTitle  = 200  // runes, of a title or a role's line
	MaxDetail = 2800 // runes, of a detail, a description or a text the bot says
	MaxDue    = 90 * 24 * time.Hour
)

// Playbook is one file, checked.
type Playbook struct {
	Name        string
	Title       string
	Description string
	Match       string // expr over the alert and the incident; empty: only by name
	Roles       map[incident.Role]string
	Consult     []incident.ConsultRequest
	Steps       []incident.Step
	Digest      string // "sha256:" and the hex SHA-256 of the file
	File        string
	Source      []byte // the file, byte for byte

	match condition
}

// Pin returns the playbook as an incident keeps it from its start on.
func (p *Playbook) Pin() incident.Run {
	plan := slices.Clone(p.Steps)
	for n := range plan {
		plan[n].After = slices.Clone(plan[n].After)
	}
	return incident.Run{Playbook: p.Name, Title: p.Title, Digest: p.Digest, Plan: plan, Consult: slices.Clone(p.Consult)}
}

// Teams lists every department or team that the playbook calls in or has
// consulted, so that a configuration without one of them can be refused.
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

func digest(src []byte) string {
	sum := sha256.Sum256(src)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ParseError is one thing that is wrong in a file. Line and Column count from 1,
// Column in characters.
type ParseError struct {
	File         string
	Line, Column int
	Message      string
}

func (f ParseError) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
}

// ParseErrors is everything that is wrong in one or more files.
type ParseErrors struct{ Errors []ParseError }

func (e *ParseErrors) Error() string {
	lines := make([]string, len(e.Errors))
	for n, f := range e.Errors {
		lines[n] = f.String()
	}
	return strings.Join(lines, "\n")
}
