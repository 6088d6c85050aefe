package response

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"tocsin/bot/incident"
)

// Rule says what to do with an alert for which When is true. The first rule
// that fits wins; without one the alert is watched. Exactly one of Open, Attach,
// Watch and Drop is given.
type Rule struct {
	// When is an expr-lang expression over the alert: source, kind, level, title,
	// detail, project, release, environment, account, region, principal, address,
	// rule, url, sample and tags["..."].
	When   string            `yaml:"when" json:"when"`
	Open   incident.Severity `yaml:"open" json:"open,omitempty"`     // join the live incident of its correlation, or open one
	Attach bool              `yaml:"attach" json:"attach,omitempty"` // join the live incident; where there is none, watch
	Watch  bool              `yaml:"watch" json:"watch,omitempty"`   // count it and show it, wake nobody
	Drop   string            `yaml:"drop" json:"drop,omitempty"`     // keep it apart, for the review meeting; the reason why
	// Playbook is started in the incident besides those that match by themselves.
	Playbook string `yaml:"playbook" json:"playbook,omitempty"`
	// Window is how long after the end of its incident an alert is still counted as
	// one of its copies: within it, what was dismissed as a false alarm wakes nobody
	// again, and what was real and comes back opens an incident that names the one
	// before. Only beside Open. Zero: every end is final.
	RecurrenceWindow time.Duration `yaml:"recurrence_window" json:"recurrence_window,omitempty"`
}

// describe says in words what the rule does.
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

// maxWindow bounds Rule.Window: an incident of last quarter explains nothing.
const maxWindow = 30 * 24 * time.Hour

// alertEnv is an alert as a rule sees it.
type alertEnv struct {
	Source      string            `expr:"source"`
	Kind        string            `expr:"kind"`
	Level       string            `expr:"level"`
	Title       string            `expr:"title"`
	Detail      string            `expr:"detail"`
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

// Routing is a checked list of rules.
type Routing struct {
	rules    []Rule
	programs []*vm.Program
	source   []byte // the rules as JSON, to be kept
	digest   string // over source
}

// maxNodes bounds the size of one condition.
const maxNodes = 500

// NewRouting checks and compiles the rules. The error names every rule that is
// wrong, by its place from 0, and what would be right. playbooks are the names
// that exist.
func NewRouting(rules []Rule, playbooks []string) (*Routing, error) {
	r := &Routing{rules: slices.Clone(rules)}
	var faults []error
	for n := range r.rules {
		program, err := r.rules[n].compile(playbooks)
		if err != nil {
			faults = append(faults, fmt.Errorf("routing[%d]: %w", n, err))
		}
		r.programs = append(r.programs, program)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return r, r.encode()
}

// encode makes what the routing is kept and known by.
func (r *Routing) encode() (err error) {
	if r.source, err = json.Marshal(r.rules); err != nil {
		return fmt.Errorf("encode routing: %w", err)
	}
	sum := sha256.Sum256(r.source)
	r.digest = "sha256:" + hex.EncodeToString(sum[:])
	return nil
}

// restoreRouting is a routing of the past as it was kept. It was checked when it was
// in force; a condition that cannot be compiled any more fits nothing.
func restoreRouting(source []byte) (*Routing, error) {
	r := &Routing{}
	if err := json.Unmarshal(source, &r.rules); err != nil {
		return nil, fmt.Errorf("decode a kept routing: %w", err)
	}
	for _, rule := range r.rules {
		program, _ := compileCondition(rule.When)
		r.programs = append(r.programs, program)
	}
	return r, r.encode()
}

// Digest is what the rules are known by.
func (r *Routing) Digest() string {
	if r == nil {
		return ""
	}
	return r.digest
}

func (r *Rule) compile(playbooks []string) (*vm.Program, error) {
	given := 0
	for _, is := range []bool{r.Open != "", r.Attach, r.Watch, r.Drop != ""} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, errors.New("give exactly one of open: SEVERITY, attach: true, watch: true and drop: REASON")
	case r.Playbook != "" && r.Open == "" && !r.Attach:
		return nil, errors.New("playbook needs open or attach beside it: without an incident nothing can run")
	case r.Playbook != "" && !slices.Contains(playbooks, r.Playbook):
		return nil, fmt.Errorf("there is no playbook %q; there are %s", r.Playbook, strings.Join(playbooks, ", "))
	case r.RecurrenceWindow != 0 && r.Open == "":
		return nil, errors.New("window needs open beside it: nothing else opens an incident")
	case r.RecurrenceWindow < 0 || r.RecurrenceWindow > maxWindow:
		return nil, errors.New("window is between 0 and 720h")
	case strings.TrimSpace(r.When) == "":
		return nil, errors.New(`when is missing; write 'true' for every alert`)
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

// compileCondition compiles what a rule or a maintenance window is true for.
func compileCondition(when string) (*vm.Program, error) {
	return expr.Compile(when, expr.Env(alertEnv{}), expr.AsBool(), expr.MaxNodes(maxNodes))
}

// defaultRule is what happens to an alert that no rule names.
var defaultRule = Rule{Watch: true}

// route finds the rule for an alert and its place, from 1; 0 is the one behind
// them all. A condition that fails on this alert (it parses a number out of a
// tag that has none, say) does not fit it.
func (r *Routing) route(a incident.Alert, log *slog.Logger) (int, Rule) {
	if r == nil {
		return 0, defaultRule
	}
	env := newAlertEnv(a)
	for n, program := range r.programs {
		if program == nil {
			continue
		}
		fits, err := expr.Run(program, env)
		if err != nil {
			log.Warn("a routing condition could not be computed for an alert", "rule", n, "kind", a.Kind)
			continue
		}
		if fits == true {
			return n + 1, r.rules[n]
		}
	}
	return 0, defaultRule
}
