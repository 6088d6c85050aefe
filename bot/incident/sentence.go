package incident

import (
	"fmt"
	"reflect"
	"time"
)

// Sentence is a sentence for people. The English Format is the key of a
// catalogue of translations, so it is always a constant. Args stay typed until
// the edge: Slack mentions a [PersonID], a document prints the name.
type Sentence struct {
	Format string
	Args   []any
}

// Say returns the sentence with a format and its arguments. Vet checks the two
// against each other, as for [fmt.Sprintf].
func Say(format string, args ...any) Sentence {
	if false {
		_ = fmt.Sprintf(format, args...) // marks Say and its callers as printf wrappers
	}
	return Sentence{Format: format, Args: args}
}

// String returns the sentence in English, with each argument in its default form.
func (s Sentence) String() string { return fmt.Sprintf(s.Format, s.Args...) }

// Show returns s with each argument replaced by show's result. Numbers keep
// their type: formats may print them with %d, and a translation may choose a
// plural by them.
func (s Sentence) Show(show func(arg any) string) Sentence {
	out := Sentence{Format: s.Format, Args: make([]any, len(s.Args))}
	for n, arg := range s.Args {
		switch kind := reflect.ValueOf(arg).Kind(); {
		case kind >= reflect.Bool && kind <= reflect.Complex128:
			out.Args[n] = arg
		default:
			out.Args[n] = show(arg)
		}
	}
	return out
}

// Types of arguments, besides [PersonID], [Department], [Severity],
// [time.Time], numbers and plain strings. A plain string is a word of Tocsin
// such as a status.
type (
	// People are several persons.
	People []PersonID
	// Departments are several departments or teams.
	Departments []Department
	// Labels are several words, for example field labels.
	Labels []string
	// Steps are the IDs of steps of the playbooks. Readers of the incident see their titles.
	Steps []string
	// Quoted is text that a person or a source wrote.
	Quoted string
	// Literal is an identifier that is shown unchanged: a digest, a key, a URL.
	Literal string
	// Detail is the end of a sentence with an identifier that few readers need, or "".
	// Messages leave it out: their details have it.
	Detail string
	// Day is the calendar day of a time, in UTC.
	Day time.Time
	// PlaybookRef names a playbook by its id.
	PlaybookRef string
	// StepRef names a step of a playbook.
	StepRef struct{ Playbook, Step string }
)

// String returns the day as 2026-12-24.
func (d Day) String() string { return time.Time(d).UTC().Format(time.DateOnly) }

// String returns the reference as people type it: "leaked-aws-credentials/rotate-key".
func (r StepRef) String() string { return r.Playbook + "/" + r.Step }
