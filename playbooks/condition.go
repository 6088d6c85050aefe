package playbooks

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"tocsin/bot/incident"
)

// stepEnv is what a step's `when` may ask about. Severities compare as
// strings do: severity <= "sev2" means sev1 or sev2.
type stepEnv struct {
	Status       string            `expr:"status"`
	Severity     string            `expr:"severity"`
	Title        string            `expr:"title"`
	PersonalData string            `expr:"personal_data"`
	Restricted   bool              `expr:"restricted"`
	Acknowledged bool              `expr:"acknowledged"`
	Sources      []string          `expr:"sources"`  // of its alerts
	Kinds        []string          `expr:"kinds"`    // of its alerts
	Affected     int               `expr:"affected"` // people, as far as known
	Parties      int               `expr:"parties"`  // affected parties
	Capacities   []string          `expr:"capacities"`
	Aware        []string          `expr:"aware"` // regimes whose clock has its instant
	Classified   bool              `expr:"classified"`
	Evidence     int               `expr:"evidence"`
	Involved     []string          `expr:"involved"` // departments brought in
	Roles        []string          `expr:"roles"`    // that somebody holds
	Playbooks    []string          `expr:"playbooks"`
	Steps        map[string]string `expr:"steps"` // "playbook/step" → open, late, done, skipped
}

// matchEnv is what a playbook's `match` may ask about: the alert that opens or
// joins the incident, and the incident. Where a person opens it, what only an
// alert has is empty.
type matchEnv struct {
	Source       string            `expr:"source"`
	Kind         string            `expr:"kind"`
	Level        string            `expr:"level"`
	Title        string            `expr:"title"` // the alert's, or the incident's where there is no alert
	Detail       string            `expr:"detail"`
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
	slices.Sort(s.Aware) // maps have no order, conditions are pure
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
	o.Source, o.Kind, o.Level, o.Title, o.Detail = a.Source, a.Kind, string(a.Level), a.Title, a.Detail
	o.Project, o.Release, o.Environment, o.Account, o.Region = a.Project, a.Release, a.Environment, a.Account, a.Region
	o.Principal, o.Address, o.Rule, o.Sample = a.Principal, a.Address, a.Rule, a.Sample
	if a.Tags != nil {
		o.Tags = a.Tags
	}
	return o
}

// vocabulary holds the words that a name in a condition can be equal to.
var vocabulary = map[string][]string{
	"status":        words(incident.Statuses()),
	"severity":      words(incident.Severities()),
	"personal_data": words([]incident.PersonalData{incident.PersonalUnknown, incident.PersonalNo, incident.PersonalSuspected, incident.PersonalConfirmed}),
	"level":         words([]incident.Level{incident.LevelInformational, incident.LevelLow, incident.LevelMedium, incident.LevelHigh, incident.LevelCritical}),
}

func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for n, v := range list {
		out[n] = string(v)
	}
	return out
}

// condition is a compiled expression; nil holds never.
type condition = *vm.Program

// conditionError says what is wrong with an expression and where in its text,
// both counted from 0.
type conditionError struct {
	Line, Column int
	Message      string
}

// compile checks an expression over the fields of env. All it finds is
// returned, not only the first.
func compile(src string, env any) (condition, []conditionError) {
	check := &valueCheck{src: []rune(src)}
	program, err := expr.Compile(src, expr.Env(env), expr.AsBool(), expr.DisableBuiltin("now"), expr.MaxNodes(500), expr.Patch(check))
	if err == nil {
		return program, check.found
	}
	var located *file.Error
	if !errors.As(err, &located) {
		return nil, append(check.found, conditionError{Message: fmt.Sprintf("a condition is true or false: %v", err)})
	}
	bad := conditionError{Line: max(located.Line-1, 0), Column: located.Column, Message: located.Message}
	if name, unknown := strings.CutPrefix(located.Message, "unknown name "); unknown {
		known := names(env)
		bad.Message = fmt.Sprintf("%q is not known here%s", name, suggest(name, known))
	}
	return nil, append(check.found, bad)
}

// holds evaluates a condition.
func holds(c condition, env any) (bool, error) {
	out, err := expr.Run(c, env)
	if err != nil {
		return false, fmt.Errorf("evaluate condition: %w", err)
	}
	return out.(bool), nil // compiled with AsBool
}

func names(env any) []string {
	t := reflect.TypeOf(env)
	out := make([]string, t.NumField())
	for n := range out {
		out[n] = t.Field(n).Tag.Get("expr")
	}
	return out
}

// valueCheck finds comparisons that can never hold: severity == "sve1".
type valueCheck struct {
	src   []rune
	found []conditionError
	seen  []int
}

// Visit looks at one node; the compiler may walk the tree more than once.
func (v *valueCheck) Visit(node *ast.Node) {
	b, ok := (*node).(*ast.BinaryNode)
	if !ok {
		return
	}
	switch b.Operator {
	case "==", "!=", "<", "<=", ">", ">=":
		v.compare(b.Left, b.Right)
		v.compare(b.Right, b.Left)
	case "in":
		if list, ok := b.Right.(*ast.ArrayNode); ok {
			for _, item := range list.Nodes {
				v.compare(b.Left, item)
			}
		}
	}
}

func (v *valueCheck) compare(name, value ast.Node) {
	id, ok := name.(*ast.IdentifierNode)
	word, isText := value.(*ast.StringNode)
	if !ok || !isText || vocabulary[id.Value] == nil || slices.Contains(vocabulary[id.Value], word.Value) {
		return
	}
	from := word.Location().From
	if slices.Contains(v.seen, from) {
		return
	}
	v.seen = append(v.seen, from)
	before := v.src[:min(from, len(v.src))]
	line, column := 0, 0
	for _, r := range before {
		column++
		if r == '\n' {
			line, column = line+1, 0
		}
	}
	v.found = append(v.found, conditionError{Line: line, Column: column, Message: fmt.Sprintf("%s is never %q%s", id.Value, word.Value, suggest(word.Value, vocabulary[id.Value]))})
}
