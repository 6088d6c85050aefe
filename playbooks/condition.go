package playbooks

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"tocsin/bot/expression"
	"tocsin/bot/incident"
)

// stepEnv holds the names that the condition of a step (when) can use.
// Severities compare as strings. For example severity <= "sev2" means sev1 or
// sev2.
type stepEnv struct {
	Status       string            `expr:"status"`
	Severity     string            `expr:"severity"`
	Title        string            `expr:"title"`
	PersonalData string            `expr:"personal_data"`
	Restricted   bool              `expr:"restricted"`
	Acknowledged bool              `expr:"acknowledged"`
	Sources      []string          `expr:"sources"`  // of the incident's alerts
	Kinds        []string          `expr:"kinds"`    // of the incident's alerts
	Affected     int               `expr:"affected"` // number of affected people, 0 if unknown
	Parties      int               `expr:"parties"`  // number of affected parties
	Capacities   []string          `expr:"capacities"`
	Aware        []string          `expr:"aware"` // regimes with a recorded time of awareness
	Classified   bool              `expr:"classified"`
	Evidence     int               `expr:"evidence"`
	Involved     []string          `expr:"involved"` // involved departments
	Roles        []string          `expr:"roles"`    // assigned roles
	Playbooks    []string          `expr:"playbooks"`
	Steps        map[string]string `expr:"steps"` // "playbook/step" → open, late, done or skipped
}

// matchEnv holds the names that the condition of a playbook (match) can use.
// They describe the incident and the alert that opened it or was attached. If a
// person opens the incident, the names of alert fields are empty.
type matchEnv struct {
	Source       string            `expr:"source"`
	Kind         string            `expr:"kind"`
	Level        string            `expr:"level"`
	Title        string            `expr:"title"` // of the alert, shortened, or of the incident if there is no alert
	Detail       string            `expr:"detail" size:"long"`
	Project      string            `expr:"project"`
	Release      string            `expr:"release"`
	Environment  string            `expr:"environment"`
	Account      string            `expr:"account"`
	Region       string            `expr:"region"`
	Principal    string            `expr:"principal"`
	Address      string            `expr:"address"`
	Rule         string            `expr:"rule"`
	Tags         map[string]string `expr:"tags"`
	Sample       bool              `expr:"sample"`
	Severity     string            `expr:"severity"`
	Status       string            `expr:"status"`
	PersonalData string            `expr:"personal_data"`
}

func newStepEnv(i incident.Incident) stepEnv {
	s := stepEnv{Status: string(i.Status), Severity: string(i.Severity), Title: i.Title, PersonalData: string(i.Facts.PersonalData),
		Restricted: i.Restricted, Acknowledged: i.Paging.Acknowledged(), Parties: len(i.Facts.Affected), Classified: i.Facts.Classified != nil,
		Evidence: len(i.Evidence), Steps: map[string]string{}}
	for _, a := range i.Alerts {
		s.Sources, s.Kinds = append(s.Sources, a.Source), append(s.Kinds, a.Kind)
	}
	for _, a := range i.Facts.Affected {
		s.Affected += a.Count
		s.Capacities = append(s.Capacities, string(a.Capacity))
	}
	for regime := range i.Facts.Aware {
		s.Aware = append(s.Aware, regime)
	}
	for _, d := range i.InvolvedDepartments {
		s.Involved = append(s.Involved, string(d))
	}
	for role := range i.Roles {
		s.Roles = append(s.Roles, string(role))
	}
	slices.Sort(s.Aware) // map order is random, but conditions must be reproducible
	slices.Sort(s.Roles)
	for _, r := range i.Runs {
		s.Playbooks = append(s.Playbooks, r.Playbook)
		for _, step := range r.Plan {
			s.Steps[r.Playbook+"/"+step.ID] = string(step.Status)
		}
	}
	return s
}

func newMatchEnv(i incident.Incident, a *incident.Alert) matchEnv {
	o := matchEnv{Title: i.Title, Severity: string(i.Severity), Status: string(i.Status), PersonalData: string(i.Facts.PersonalData), Tags: map[string]string{}}
	if a == nil {
		return o
	}
	o.Source, o.Kind, o.Level, o.Title, o.Detail = a.Source, a.Kind, string(a.Level), title(a.Title), a.Detail
	o.Project, o.Release, o.Environment, o.Account, o.Region = a.Project, a.Release, a.Environment, a.Account, a.Region
	o.Principal, o.Address, o.Rule, o.Sample = a.Principal, a.Address, a.Rule, a.Sample
	if a.Tags != nil {
		o.Tags = a.Tags
	}
	return o
}

// title returns the title of an alert as incidents show it: of bounded length.
func title(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), utf8.UTFMax*incident.MaxTitle)], "\uFFFD")
	if utf8.RuneCountInString(s) > incident.MaxTitle {
		s = string([]rune(s)[:incident.MaxTitle])
	}
	return s
}

// knownValues are the values that a name in a condition can have.
var knownValues = map[string][]string{
	"status":        toStrings(incident.Statuses()),
	"severity":      toStrings(incident.Severities()),
	"personal_data": toStrings([]incident.PersonalData{incident.PersonalUnknown, incident.PersonalNo, incident.PersonalSuspected, incident.PersonalConfirmed}),
	"level":         toStrings([]incident.Level{incident.LevelInformational, incident.LevelLow, incident.LevelMedium, incident.LevelHigh, incident.LevelCritical}),
}

func toStrings[T ~string](list []T) []string {
	out := make([]string, len(list))
	for n, v := range list {
		out[n] = string(v)
	}
	return out
}

// condition is a compiled expression. A nil condition is never true.
type condition = *expression.Program

// conditionError is an error in an expression. Line and Column are its
// position, counted from 0.
type conditionError struct {
	Line, Column int
	Message      string
}

// compile compiles an expression over the fields of env. It returns all invalid
// values and the first syntax or type error.
func compile(src string, env any) (condition, []conditionError) {
	found := impossibleValues(src)
	program, err := expression.Compile(src, env, expression.Condition)
	if err == nil {
		return program, found
	}
	var located *expression.Error
	if !errors.As(err, &located) || located.Syntax() && located.Line == 0 {
		return nil, append(found, conditionError{Message: fmt.Sprintf("the condition must be true or false, add a comparison such as severity == \"sev1\" (%v)", err)})
	}
	bad := conditionError{Line: max(located.Line-1, 0), Column: max(located.Column-1, 0)}
	name, unknown := strings.CutPrefix(located.Message, "unknown name ")
	switch {
	case !located.Syntax():
		bad.Message = located.Message
	case unknown:
		bad.Message = fmt.Sprintf("unknown name %q%s", name, suggestion(name, fieldNames(env)))
	case strings.HasPrefix(located.Message, "unexpected token EOF"):
		bad.Message = "the expression is incomplete, add the missing part (" + located.Message + ")"
	case strings.Contains(located.Message, "mismatched types"):
		bad.Message = "values of different types, compare values of one type (" + located.Message + ")"
	default:
		bad.Message = "invalid expression, correct it here (" + located.Message + ")"
	}
	return nil, append(found, bad)
}

// evaluate returns the value of a condition.
func evaluate(c condition, env any) (bool, error) {
	holds, err := c.Matches(env)
	if err != nil {
		return false, fmt.Errorf("evaluate condition: %w", err)
	}
	return holds, nil
}

func fieldNames(env any) []string {
	t := reflect.TypeOf(env)
	out := make([]string, t.NumField())
	for n := range out {
		out[n] = t.Field(n).Tag.Get("expr")
	}
	return out
}

// impossibleValues finds comparisons with impossible values, such as severity ==
// "sve1".
func impossibleValues(src string) []conditionError {
	var found []conditionError
	for _, c := range expression.Comparisons(src) {
		known := knownValues[c.Name]
		if known == nil || slices.Contains(known, c.Text) {
			continue
		}
		bad := conditionError{Line: c.Line - 1, Column: c.Column - 1, Message: fmt.Sprintf("%s cannot be %q%s", c.Name, c.Text, suggestion(c.Text, known))}
		if !slices.Contains(found, bad) {
			found = append(found, bad)
		}
	}
	return found
}
