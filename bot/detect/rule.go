package detect

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Rule is what people need to know of a rule. A Hit points to it.
type Rule struct {
	ID             string // a UUID, usually
	Name           string
	Title          string
	Level          Level
	Status         string
	Author         string // must stay with every message made from a hit of a SigmaHQ rule
	Description    string
	Tags           []string // attack.t1078.004 and the like
	FalsePositives []string // what to check before believing it
	References     []string
	Fields         []string
	File           string
	Line           int
	// Off says why the rule is off unless somebody switches it on; "" for a rule
	// that is on.
	Off string
	// Silent: a correlation counts this rule's hits, and they are no alerts by
	// themselves.
	Silent bool
	// Correlation is nil for a rule about single records.
	Correlation *Correlation

	expr  expr
	feeds []feed
}

// Level is how grave a hit is.
type Level string

// The levels of Sigma, from least to most.
const (
	Informational Level = "informational"
	Low           Level = "low"
	Medium        Level = "medium"
	High          Level = "high"
	Critical      Level = "critical"
)

var levels = []Level{Informational, Low, Medium, High, Critical}

// RuleError says why a document is not used.
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

// document is one YAML document of a rule file.
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

// unjoin takes apart what errors.Join put together.
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

// readMetadata reads what all kinds of documents have in common.
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
		return r, parseErrorf(v.get("level").line, "the level %q is not known", r.Level)
	}
	switch r.Status {
	case "deprecated", "unsupported":
		r.Off = "its authors call it " + r.Status
	}
	if why := offByDefault[r.ID]; why != "" {
		r.Off = why
	}
	return r, readTocsinKey(r, v.get("custom"))
}

// readTocsinKey reads our own key: {default: off, reason: …}.
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
			return parseErrorf(state.line, "a rule that is off by default must say why (custom.reason)")
		}
	default:
		return parseErrorf(state.line, "custom.default is on or off, not %q", state.text)
	}
	return nil
}

// logsource sorts a document by its logsource: ours, or about something else.
func (v *value) logsource() (ours bool, what string) {
	s := v.get("logsource")
	product, service, category := s.str("product"), s.str("service"), s.str("category")
	what = strings.Trim(strings.Join([]string{product, service, category}, "/"), "/")
	ours = (product == "" || strings.EqualFold(product, "aws")) &&
		(service == "" || strings.EqualFold(service, "cloudtrail")) && category == "" && what != ""
	return ours, what
}
