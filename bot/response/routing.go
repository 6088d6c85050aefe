package response

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/bot/expression"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// Rule is a routing rule: the action for an alert that matches When. The first
// rule that matches decides. An alert without a matching rule is watched. Exactly
// one of Open, Attach, Watch and Drop must be set.
type Rule struct {
	// When is an expr-lang expression over the alert: source, kind, level, title,
	// detail, project, release, environment, account, region, principal, address,
	// rule, url, sample and tags["..."].
	When   string            `yaml:"when" json:"when"`
	Open   incident.Severity `yaml:"open" json:"open,omitempty"`     // attach to the live incident of the correlation key, or open one
	Attach bool              `yaml:"attach" json:"attach,omitempty"` // attach to the live incident, or watch if there is none
	Watch  bool              `yaml:"watch" json:"watch,omitempty"`   // count and list, but page no one
	Drop   string            `yaml:"drop" json:"drop,omitempty"`     // store separately for the review meeting, with this reason
	// Playbook starts in the incident, in addition to the playbooks that match.
	Playbook string `yaml:"playbook" json:"playbook,omitempty"`
	// RecurrenceWindow is how long after the end of its incident an alert is a
	// recurrence. A recurrence of a false alarm is suppressed. Any other
	// recurrence opens an incident that names its predecessor. It requires Open.
	// Zero disables recurrences.
	RecurrenceWindow time.Duration `yaml:"recurrence_window" unit:"days" json:"recurrence_window,omitempty"`
}

// describe returns the action of the rule in words.
func (r Rule) describe() string {
	switch {
	case r.Drop != "":
		return "drop: " + r.Drop
	case r.Attach:
		return "attach to the live incident, or watch"
	case r.Watch:
		return "watch"
	case r.Playbook != "":
		return "open " + string(r.Open) + " with " + r.Playbook
	}
	return "open " + string(r.Open)
}

// maxWindow is the maximum of Rule.RecurrenceWindow. An older incident explains
// nothing.
const maxWindow = 30 * 24 * time.Hour

// alertEnv is an alert in the conditions of rules.
type alertEnv struct {
	Source      string            `expr:"source"`
	Kind        string            `expr:"kind"`
	Level       string            `expr:"level"`
	Title       string            `expr:"title"`
	Detail      string            `expr:"detail" size:"long"`
	Project     string            `expr:"project"`
	Release     string            `expr:"release"`
	Environment string            `expr:"environment"`
	Account     string            `expr:"account"`
	Region      string            `expr:"region"`
	Principal   string            `expr:"principal"`
	Address     string            `expr:"address"`
	Rule        string            `expr:"rule"`
	URL         string            `expr:"url"`
	Sample      bool              `expr:"sample"`
	Tags        map[string]string `expr:"tags"`
}

func newAlertEnv(a incident.Alert) alertEnv {
	return alertEnv{Source: a.Source, Kind: a.Kind, Level: string(a.Level), Title: a.Title, Detail: a.Detail, Project: a.Project,
		Release: a.Release, Environment: a.Environment, Account: a.Account, Region: a.Region, Principal: a.Principal,
		Address: a.Address, Rule: a.Rule, URL: a.URL, Sample: a.Sample, Tags: a.Tags}
}

// Routing is a compiled list of routing rules. It is safe for concurrent use.
type Routing struct {
	rules    []Rule
	programs []*expression.Program
	source   []byte // the rules as JSON, for the store
	digest   string // of source
}

// NewRouting compiles the rules. The error lists every invalid rule, numbered
// from 0, and how to correct it. playbooks are the names of the existing
// playbooks.
func NewRouting(rules []Rule, playbooks []string) (*Routing, error) {
	r := &Routing{rules: slices.Clone(rules)}
	var errs []error
	for n := range r.rules {
		program, err := r.rules[n].compile(playbooks)
		if err != nil {
			errs = append(errs, fmt.Errorf("routing[%d]: %w", n, err))
		}
		r.programs = append(r.programs, program)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return r, r.encode()
}

// encode sets the source and the digest of the routing.
func (r *Routing) encode() (err error) {
	if r.source, err = json.Marshal(r.rules); err != nil {
		return fmt.Errorf("encode routing: %w", err)
	}
	r.digest = text.Digest(r.source)
	return nil
}

// restoreRouting decodes a routing from the store. It compiles no conditions,
// because it may run in a transaction.
func restoreRouting(source []byte) (*Routing, error) {
	r := &Routing{}
	if err := json.Unmarshal(source, &r.rules); err != nil {
		return nil, fmt.Errorf("decode stored routing: %w", err)
	}
	return r, r.encode()
}

// Digest returns the digest of the rules, "" for a nil routing.
func (r *Routing) Digest() string {
	if r == nil {
		return ""
	}
	return r.digest
}

func (r *Rule) compile(playbooks []string) (*expression.Program, error) {
	actions := 0
	for _, set := range []bool{r.Open != "", r.Attach, r.Watch, r.Drop != ""} {
		if set {
			actions++
		}
	}
	switch {
	case actions != 1:
		return nil, errors.New("give exactly one of open: SEVERITY, attach: true, watch: true or drop: REASON")
	case r.Playbook != "" && r.Open == "" && !r.Attach:
		return nil, errors.New("playbook requires open or attach, because it runs in an incident")
	case r.Playbook != "" && !slices.Contains(playbooks, r.Playbook):
		return nil, fmt.Errorf("unknown playbook %q. Known playbooks: %s", r.Playbook, strings.Join(playbooks, ", "))
	case r.RecurrenceWindow != 0 && r.Open == "":
		return nil, errors.New("recurrence_window requires open, because only open opens an incident")
	case r.RecurrenceWindow < 0 || r.RecurrenceWindow > maxWindow:
		return nil, errors.New("recurrence_window must be between 0 and 720h")
	case strings.TrimSpace(r.When) == "":
		return nil, errors.New(`when is missing. Use 'true' to match every alert`)
	}
	if r.Open != "" {
		severity, err := incident.ParseSeverity(string(r.Open))
		if err != nil {
			return nil, fmt.Errorf("open: %w", err)
		}
		r.Open = severity
	}
	program, err := compileCondition(r.When)
	if err != nil {
		return nil, fmt.Errorf("when: %w", err)
	}
	return program, nil
}

// compileCondition compiles the condition of a routing rule or maintenance
// window.
func compileCondition(when string) (*expression.Program, error) {
	return expression.Compile(when, alertEnv{}, expression.Condition)
}

// defaultRule decides about alerts that no rule matches.
var defaultRule = Rule{Watch: true}
