package config

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
)

// SignOff configures signatures. No setting reduces the number required.
type SignOff struct {
	SubmitterMaySign bool                   `yaml:"submitter_may_sign"`
	DeputyAfter      time.Duration          `yaml:"deputy_after"`
	HeadAfter        time.Duration          `yaml:"head_after"`
	Attestations     map[string]Attestation `yaml:"attestations"`
}

// Attestation is the statement that the signature of a department attests.
type Attestation struct {
	Version string `yaml:"version"`
	Text    string `yaml:"text"`
}

// The maximum lengths of an attestation, in characters. The whole text stands above the
// signature.
const (
	maxAttestation = 1000
	maxVersion     = 40
)

// Validate returns the problems of the section.
func (s SignOff) Validate() setting.Problems {
	var p setting.Problems
	if s.DeputyAfter < time.Minute || s.DeputyAfter > 30*24*time.Hour {
		p.Add("deputy_after", "is out of range. Write 1m to 30d, such as 4h")
	}
	if s.HeadAfter <= s.DeputyAfter || s.HeadAfter > 30*24*time.Hour {
		p.Add("head_after", "is out of range. Write a time after deputy_after and at most 30d, such as 24h")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Attestations)) {
		at, a := "attestations."+name, s.Attestations[name]
		if !slices.Contains(incident.RequiredDepartments(), incident.Department(name)) {
			p.Add(at, "is not a department that signs. Write engineering, security, legal or communications")
		}
		if n := utf8.RuneCountInString(a.Text); strings.TrimSpace(a.Text) == "" || n > maxAttestation {
			p.Add(at+".text", "has %d characters. Write the statement in 1 to %d characters", n, maxAttestation)
		}
		if n := utf8.RuneCountInString(a.Version); strings.TrimSpace(a.Version) == "" || n > maxVersion || strings.HasPrefix(a.Version, "tocsin/") {
			p.Add(at+".version", "is not a version. Write one of 1 to %d characters that changes with the text, such as 2026-11", maxVersion)
		}
	}
	return p
}

// Policy returns the policy with the settings of the section.
func (s SignOff) Policy(p incident.Policy) incident.Policy {
	p.SubmitterMaySign, p.SignDeputyAfter, p.SignHeadAfter = s.SubmitterMaySign, s.DeputyAfter, s.HeadAfter
	for name, a := range s.Attestations {
		if p.Attestations == nil {
			p.Attestations = map[incident.Department]incident.Attestation{}
		}
		p.Attestations[incident.Department(name)] = incident.Attestation{Version: a.Version, Text: a.Text}
	}
	return p
}
