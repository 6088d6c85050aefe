package detect

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Rule is a compiled rule with its metadata. A [Hit] points to it.
type Rule struct {
	ID             string // usually a UUID
	Name           string
	Title          string
	Level          Level
	Status         string
	Author         string // the license of SigmaHQ requires it in every message about a hit
	Description    string
	Tags           []string // such as attack.t1078.004
	FalsePositives []string // harmless causes to rule out first
	References     []string
	Fields         []string
	File           string
	Line           int
	// Off is the reason why the rule is off unless it is enabled. It is empty for
	// a rule that is on.
	Off string
	// Silent is true if the hits of the rule are only counted by correlations and
	// are not alerts.
	Silent bool
	// Correlation is nil for a rule about single records.
	Correlation *Correlation

	expr  expr
	feeds []feed
	index int // in the rules of its ruleset
}

// Level is the severity of a hit.
type Level string

// The levels of Sigma, from the least to the most severe.
const (
	Informational Level = "informational"
	Low           Level = "low"
	Medium        Level = "medium"
	High          Level = "high"
	Critical      Level = "critical"
)

var levels = []Level{Informational, Low, Medium, High, Critical}

// RuleError is the reason why a document is not used, or a warning about it.
type RuleError struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Rule   string `json:"rule,omitempty"` // its id, name or title
	Reason string `json:"reason"`
}

func (r RuleError) Error() string {
	at := r.File
	if r.Line > 0 {
		at = fmt.Sprintf("%s:%d", r.File, r.Line)
	}
	if r.Rule != "" {
		return fmt.Sprintf("%s: rule %s: %s", at, r.Rule, r.Reason)
	}
	return fmt.Sprintf("%s: %s", at, r.Reason)
}

// document is one YAML document of a rule file. nth counts from 0.
type document struct {
	file  string
	nth   int
	value *value
	rule  *Rule
}

func (d *document) ruleError(err error) RuleError {
	r := RuleError{File: d.file, Line: d.value.line, Reason: err.Error()}
	if d.rule != nil {
		r.Rule = d.rule.ID
	}
	if f := new(parseError); errors.As(err, &f) && f.line > 0 {
		r.Line = f.line
	}
	return r
}

// unjoin returns the errors that [errors.Join] combined, at any depth.
func unjoin(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, err := range joined.Unwrap() {
		out = append(out, unjoin(err)...)
	}
	return out
}

// readMetadata reads the keys that all kinds of documents share.
func readMetadata(d *document) (*Rule, error) {
	v := d.value
	r := &Rule{
		ID: v.str("id"), Name: v.str("name"), Title: v.str("title"),
		Level: Level(strings.ToLower(v.str("level"))), Status: strings.ToLower(v.str("status")),
		Author: strings.Join(v.strs("author"), ", "), Description: strings.TrimSpace(v.str("description")),
		Tags: v.strs("tags"), FalsePositives: v.strs("falsepositives"), References: v.strs("references"),
		Fields: v.strs("fields"), File: d.file, Line: v.line,
	}
	if r.ID == "" {
		if r.ID = r.Name; r.ID == "" {
			r.ID = strings.TrimSuffix(path.Base(d.file), path.Ext(d.file))
			if d.nth > 0 {
				r.ID = fmt.Sprintf("%s#%d", r.ID, d.nth+1)
			}
		}
	}
	if r.Title == "" {
		r.Title = r.ID
	}
	d.rule = r
	if r.Level == "" {
		r.Level = Medium
	}
	if !slices.Contains(levels, r.Level) {
		return r, parseErrorf(v.get("level").line, "unknown level %q. Use informational, low, medium, high or critical", r.Level)
	}
	switch r.Status {
	case "deprecated", "unsupported":
		r.Off = "its authors marked it as " + r.Status
	}
	if why := offByDefault[r.ID]; why != "" {
		r.Off = why
	}
	return r, readTocsinKey(r, v.get("custom"))
}

// readTocsinKey reads Tocsin's extension of Sigma, {default: off, reason: …}.
func readTocsinKey(r *Rule, v *value) error {
	state := v.get("default")
	if state == nil {
		return nil
	}
	switch state.text {
	case "on", "true":
		r.Off = ""
	case "off", "false":
		if r.Off = v.str("reason"); r.Off == "" {
			return parseErrorf(state.line, "a rule that is off by default must have a custom.reason")
		}
	default:
		return parseErrorf(state.line, "custom.default must be on or off, not %q", state.text)
	}
	return nil
}

// logsource reports whether the logsource of a document is CloudTrail, and
// returns it as product/service/category.
func (v *value) logsource() (cloudtrail bool, name string) {
	s := v.get("logsource")
	product, service, category := s.str("product"), s.str("service"), s.str("category")
	name = strings.Trim(strings.Join([]string{product, service, category}, "/"), "/")
	cloudtrail = (product == "" || strings.EqualFold(product, "aws")) &&
		(service == "" || strings.EqualFold(service, "cloudtrail")) && category == "" && name != ""
	return cloudtrail, name
}
