package command

import (
	"slices"
	"strings"

	"tocsin/bot/incident"
)

// FormSpec describes the form of a verb: what people fill in if they press a button
// or leave a command incomplete. Providers lay it out.
type FormSpec struct {
	Title, Submit string // at most 24 characters each
	NeedsState    bool   // the form shows the state of the incident, or names of the directory
	NeedsOthers   bool   // the form lists other incidents
	NeedsAlerts   bool   // the form lists suppressed alerts
	Reads         bool   // the form shows the submitted record
	Edits         bool   // the form edits the closing record
	Fields        []Field

	// fill adapts the form to the incident and to what the person already gave, or
	// is nil.
	fill func(*Form, FormContext)
	// check completes and checks the command of a submitted form, or is nil.
	check func(*incident.Command) error
}

// Form is a form to be filled in.
type Form struct {
	Verb     incident.Verb
	Document []Paragraph // what the person reads before the fields, as long as it may be
	Fields   []Field     // without fields there is nothing to submit
	State    FormState
}

// FormState is the part of a command that the form carries along and the person does
// not edit.
type FormState struct {
	Incident   incident.ID         `json:"i,omitempty"`
	Department incident.Department `json:"d,omitempty"`
	Step       string              `json:"s,omitempty"`
	Fact       incident.FactName   `json:"f,omitempty"`
	Expect     string              `json:"x,omitempty"` // digest of the record in the form
	Seen       int                 `json:"n,omitempty"` // last event of the timeline behind the form
	Statement  string              `json:"a,omitempty"` // that the signature attests
	Message    *incident.Message   `json:"m,omitempty"` // that the command is about, without its text and files
}

// FormContext is the input of a form.
type FormContext struct {
	Given     incident.Command        // what the person already gave
	Incident  incident.Incident       // if FormSpec.NeedsState
	Timeline  []incident.Event        // if FormSpec.NeedsState
	Draft     []incident.PartDraft    // of the closing record, if FormSpec.NeedsState
	Directory incident.Directory      // if FormSpec.NeedsState
	Playbooks []incident.PlaybookInfo // if FormSpec.NeedsState
	Env       incident.Env            // of the person, if FormSpec.NeedsState
	Memory    incident.FormMemory     // if FormSpec.KeepsDrafts or FormSpec.Reads
	Others    []incident.Summary      // if FormSpec.NeedsOthers
	Alerts    []incident.AlertLine    // if FormSpec.NeedsAlerts
}

// Field is one input of a form, or a text between the inputs.
type Field struct {
	Name     string // of the argument, also in errors
	Kind     FieldKind
	Label    string // or the text, of a field without input
	Hint     string
	Options  []string          // of KindChoice, KindRadio, KindMany and KindTicks, or the label of KindCheck
	Titles   map[string]string // of Options, by default the option itself
	Optional bool
	Value    string // initial value: a person is named by the id, several by ids with spaces
	// Sparse marks a field whose value is submitted only if it was changed, because
	// the initial value may be redacted.
	Sparse bool
	// Draft is what the person typed earlier and did not submit. The form shows it in
	// place of Value.
	Draft string
	// Command is typed instead if the value is too long for an input of the provider.
	Command string

	arg Arg // without a reader and a part if nothing is submitted
}

// FieldKind is the kind of a field.
type FieldKind int

// The kinds of fields. The comments show the values that providers submit.
const (
	KindLine   FieldKind = iota // a line of text
	KindProse                   // lines of text
	KindChoice                  // one of Field.Options, in a menu
	KindRadio                   // one of at most 10 Field.Options, all in view
	KindMany                    // some of Field.Options
	KindTicks                   // some of at most 10 Field.Options, all in view
	KindCheck                   // a box to tick: any text if it is ticked
	KindPerson                  // a person: a Mention
	KindPeople                  // people: a Mention each
	KindDay                     // a calendar day: 2026-12-24
	KindMoment                  // a day and time: RFC 3339
	KindNumber                  // a whole number, not negative

	// Fields without input.
	KindNote    // small text
	KindPlain   // a paragraph
	KindHeading // a heading
	KindRule    // a line between parts
)

// IsInput reports whether the field has an input.
func (k FieldKind) IsInput() bool { return k < KindNote }

// Paragraph is a part of a document in a form.
type Paragraph struct {
	Kind FieldKind // KindNote, KindPlain or KindHeading
	Text string
}

// Values holds the submitted values by the names of the fields. A field that the form
// showed and the person left empty has no value or an empty one.
type Values map[string][]string

// FormOf returns the first form of a verb.
func FormOf(verb incident.Verb) (*FormSpec, bool) {
	return FormFor(incident.Command{Verb: verb})
}

// FormFor returns the form for the rest of a command. It differs from [FormOf] if the
// command is about a fact: each fact has its own form.
func FormFor(c incident.Command) (*FormSpec, bool) {
	y, ok := syntaxOf(c.Verb)
	if !ok || y.Form == nil {
		return nil, false
	}
	if c.Verb == incident.VerbSetFact && c.Fact != nil {
		if form, ok := factForms[c.Fact.Name]; ok {
			return form, true
		}
	}
	return y.Form, true
}

// Given returns the part of a command that the form carries along.
func (s FormState) Given(verb incident.Verb) incident.Command {
	c := incident.Command{Verb: verb, For: s.Incident, Department: s.Department, Step: s.Step, Expect: s.Expect, Seen: s.Seen, Attested: s.Statement, Message: s.Message}
	if s.Fact != "" {
		c.Fact = &incident.FactChange{Name: s.Fact}
	}
	return c
}

// Open returns the form with the values that the person already gave.
func (f *FormSpec) Open(c FormContext) Form {
	given := c.Given
	out := Form{Verb: given.Verb, Fields: slices.Clone(f.Fields),
		State: FormState{Incident: given.For, Department: given.Department, Step: given.Step, Expect: given.Expect}}
	if given.Fact != nil {
		out.State.Fact = given.Fact.Name
	}
	if m := given.Message; m != nil {
		out.State.Message = &incident.Message{Ref: m.Ref, Author: m.Author, AuthorName: m.AuthorName, At: m.At}
	}
	for n, field := range out.Fields {
		out.Fields[n].Value = field.arg.initial(c)
	}
	if f.fill != nil {
		f.fill(&out, c)
	}
	f.restore(&out, c)
	for n := range out.Fields {
		switch field := &out.Fields[n]; field.Kind {
		case KindChoice, KindRadio:
			field.offer(field.Value)
		case KindMany:
			for _, option := range strings.Fields(field.Value) {
				field.offer(option)
			}
		}
	}
	return out
}

// Command returns the command of a submitted form. It returns an [*incident.Error]
// that names the field if a value is missing or cannot be parsed.
func (f *FormSpec) Command(verb incident.Verb, state FormState, values Values, c Context) (incident.Command, error) {
	w := Parsed{Command: state.Given(verb)}
	for _, field := range f.Fields {
		if field.arg.read == nil && field.arg.part == nil {
			continue
		}
		given, shown := values[field.Name]
		if err := field.read(given, &w, c); err != nil {
			return w.Command, inField(err, field.Name)
		}
		if empty := strings.TrimSpace(strings.Join(given, "")) == ""; shown && empty && !field.Optional {
			return w.Command, field.missing()
		}
	}
	if f.check != nil {
		return w.Command, f.check(&w.Command)
	}
	return w.Command, nil
}

// read reads the submitted values of a field.
func (f Field) read(values []string, w *Parsed, c Context) error {
	for _, value := range values {
		if value = strings.TrimSpace(value); value == "" && !f.Sparse {
			continue
		}
		p := newParser(value, c)
		p.spec, p.field, p.whole = SpecOf(w.Command.Verb), true, slices.Contains([]FieldKind{KindChoice, KindRadio, KindMany, KindTicks, KindNumber}, f.Kind)
		if _, err := f.arg.consume(p, w); err != nil {
			return err
		}
		if rest := p.rest(); rest != "" {
			return incident.Invalid(f.Name, "unexpected text %q. Enter one value", truncate(rest))
		}
	}
	return nil
}

// missing returns the error for a required field that was left empty.
func (f Field) missing() *incident.Error {
	if f.Kind == KindLine || f.Kind == KindProse || f.Kind == KindNumber {
		return incident.Invalid(f.Name, "this field is empty. Fill it in")
	}
	return incident.Invalid(f.Name, "nothing is selected here. Select an option")
}

// errorFields maps the field of an [incident.Error] to fields of forms with another
// name.
var errorFields = map[string][]string{
	"actions": {"detection", "prevention"}, "action": {"title"}, "reason": {"text"}, "outcome": {"text"}, "record": {"summary"},
	"digest": {"attest", "text"}, "affected": {"who"}, "decisions": {"text"}, "objection": {"item"},
}

// ErrorField returns the field of a form that an error is about: one of the shown
// fields, by default the first one.
func ErrorField(err *incident.Error, shown []string) string {
	if err != nil {
		for _, name := range append([]string{err.Field}, errorFields[err.Field]...) {
			if slices.Contains(shown, name) {
				return name
			}
		}
	}
	return shown[0]
}

// syntaxOf returns the syntax of a verb, the one with a form if there are several.
func syntaxOf(verb incident.Verb) (*Syntax, bool) {
	var out *Syntax
	for n := range specs {
		for m := range specs[n].Syntaxes {
			if y := &specs[n].Syntaxes[m]; y.Verb == verb && (out == nil || y.Form != nil) {
				out = y
			}
		}
	}
	return out, out != nil
}

// SpecOf returns the command that gives a verb.
func SpecOf(verb incident.Verb) *Spec {
	n := slices.IndexFunc(specs, func(s Spec) bool {
		return slices.ContainsFunc(s.Syntaxes, func(y Syntax) bool { return y.Verb == verb })
	})
	if n < 0 {
		return &Spec{Name: string(verb)}
	}
	return &specs[n]
}

// UsageOf returns a verb as people type it, with its arguments, such as
// "contain INC-42 HOW". Outside of an incident, id is 0.
func UsageOf(verb incident.Verb, id incident.ID) string {
	spec := SpecOf(verb)
	words := []string{spec.Name}
	if spec.NeedsIncident && id != 0 {
		words = append(words, id.String())
	}
	if y, ok := syntaxOf(verb); ok {
		words = append(words, y.usage())
	}
	return strings.TrimSpace(strings.Join(words, " "))
}

// AboutIncident returns a typed command with the incident after its name.
func AboutIncident(typed string, id incident.ID) string {
	name, rest, _ := strings.Cut(typed, " ")
	return strings.TrimSpace(name + " " + id.String() + " " + rest)
}

// input returns the field of a form for an argument. Its value is read by the
// function that reads the typed argument.
func (a Arg) input(kind FieldKind, label string) Field {
	return Field{Name: a.Name, Kind: kind, Label: label, arg: a}
}

// choice returns the field as a menu. Without options the form has to add them.
func (a Arg) choice(label string, options ...string) Field {
	f := a.input(KindChoice, label)
	f.Options = options
	return f
}

// radio returns the field as a list of options that are all in view.
func (a Arg) radio(label string, options ...string) Field {
	f := a.choice(label, options...)
	f.Kind = KindRadio
	return f
}

// many returns the field as a menu for several options. The form adds the options.
func (a Arg) many(label string) Field { return a.input(KindMany, label) }

// titled returns the field with titles for the options.
func (f Field) titled(titles map[string]string) Field {
	f.Titles = titles
	return f
}

func (f Field) optional() Field {
	f.Optional = true
	return f
}

func (f Field) hint(text string) Field {
	f.Hint = text
	return f
}

// tick returns a box to tick.
func tick(name, label, option string, set func(*incident.Command)) Field {
	f := Arg{Name: name, read: func(p *parser, w *Parsed) (bool, error) {
		set(&w.Command)
		return p.rest() != "", nil
	}}.input(KindCheck, label)
	f.Options = []string{option}
	return f
}
