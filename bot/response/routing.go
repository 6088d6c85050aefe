package response

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

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
	Drop   string            `yaml:"drop" json:"drop,omitempty"`     // forget it; the reason why
	// Playbook is started in the incident besides those that match by themselves.
	Playbook string `yaml:"playbook" json:"playbook,omitempty"`
}

// subject is an alert as a rule sees it.
type subject struct {
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

// Routing is a checked list of rules.
type Routing struct {
	rules    []Rule
	programs []*vm.Program
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
	return r, nil
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
	program, err := expr.Compile(r.When, expr.Env(subject{}), expr.AsBool(), expr.MaxNodes(maxNodes))
	if err != nil {
		return nil, fmt.Errorf("when: %w", err)
	}
	return program, nil
}

// watching is what happens to an alert that no rule names.
var watching = Rule{Watch: true}

// route finds the rule for an alert. A condition that fails on this alert (it
// parses a number out of a tag that has none, say) does not fit it.
func (r *Routing) route(a incident.Alert, log *slog.Logger) Rule {
	if r == nil {
		return watching
	}
	env := subject{Source: a.Source, Kind: a.Kind, Level: string(a.Level), Title: a.Title, Detail: a.Detail, Project: a.Project,
		Release: a.Release, Environment: a.Environment, Account: a.Account, Region: a.Region, Principal: a.Principal,
		Address: a.Address, Rule: a.Rule, URL: a.URL, Sample: a.Sample, Tags: a.Tags}
	for n, program := range r.programs {
		fits, err := expr.Run(program, env)
		if err != nil {
			log.Warn("a routing condition could not be computed for an alert", "rule", n, "kind", a.Kind)
			continue
		}
		if fits == true {
			return r.rules[n]
		}
	}
	return watching
}
