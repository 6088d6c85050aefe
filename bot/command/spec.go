package command

import (
	"slices"
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// Spec describes one command that people type: its words, its help and the verbs
// that it gives. Help, completion, the command line, the forms and the documents are
// derived from it.
type Spec struct {
	Name          string
	Aliases       []string
	Help          string   // one line
	Examples      []string // complete commands, starting with the name
	NeedsIncident bool     // takes an incident, by default the one linked to the channel
	Common        bool     // a short help explains it, too
	// Syntaxes are the ways to continue after the name. Most commands have one.
	Syntaxes []Syntax

	usage string // replaces the derived one if that says too much
}

// Syntax describes one verb of a command: the words that select it, its arguments,
// its form and its result.
type Syntax struct {
	Verb  incident.Verb // or
	Query string        // for a command that only reads
	// Words select the syntax. The first one is the usual word, the others are
	// accepted as well. The syntax without words takes every other text.
	Words []string
	Bare  bool // selected, too, if no word follows the name
	Args  []Arg
	Form  *FormSpec

	button    []part                                    // the arguments that a button carries
	atOnce    part                                      // a button with this argument gives the command without the form
	result    func(change) incident.Sentence            // names the change
	unchanged func(incident.Incident) incident.Sentence // if the command had no effect, or nil
	kind      ResultKind
	// canonical reports whether the syntax gives a parsed line, if several syntaxes have
	// its verb or query. nil means that it does.
	canonical func(*Parsed) bool
}

// Arg is one argument of a command. The same function reads it from the words that
// people type and from the field of a form.
type Arg struct {
	Name  string   // of the field in forms and errors
	Usage string   // as help shows it, empty for an argument that is accepted silently
	Next  []string // possible words, for completion
	Flags []Flag   // spellings as flags of the command line, which exclude each other

	part  part                     // where the command holds it, or nil
	read  reader                   // nil means a text, which it writes to part
	write writer                   // the argument as people type it, nil means part as a quoted text
	value func(FormContext) string // the value in a form, nil means that of part
	asked bool                     // a form asks for it if it is missing
}

// reader consumes an argument and reports whether it was there.
type reader func(*parser, *Parsed) (bool, error)

// part is a text of a command.
type part func(*incident.Command) *string

func textPart(c *incident.Command) *string       { return &c.Text }
func reasonPart(c *incident.Command) *string     { return &c.Reason }
func titlePart(c *incident.Command) *string      { return &c.Title }
func waiverPart(c *incident.Command) *string     { return &c.Waiver }
func severityPart(c *incident.Command) *string   { return (*string)(&c.Severity) }
func rolePart(c *incident.Command) *string       { return (*string)(&c.Role) }
func departmentPart(c *incident.Command) *string { return (*string)(&c.Department) }
func personPart(c *incident.Command) *string     { return (*string)(&c.Person) }
func digestPart(c *incident.Command) *string     { return &c.Expect }
func stepPart(c *incident.Command) *string       { return &c.Step }
func itemPart(c *incident.Command) *string       { return &c.Item }

// consume reads the argument.
func (a Arg) consume(p *parser, w *Parsed) (bool, error) {
	if a.read != nil {
		return a.read(p, w)
	}
	if err := p.misplaced(); err != nil {
		return false, err
	}
	to := a.part(&w.Command)
	*to = p.reason()
	return *to != "", nil
}

// initial returns the value of the argument in a form.
func (a Arg) initial(c FormContext) string {
	switch {
	case a.value != nil:
		return a.value(c)
	case a.part != nil:
		return *a.part(&c.Given)
	}
	return ""
}

// Flag is an argument that the command line also takes as a flag, in any position.
type Flag struct {
	Name string // without the hyphens
	Help string // names the value in backquotes, if it takes one
}

// TakesValue reports whether a value follows the flag.
func (f Flag) TakesValue() bool { return strings.Contains(f.Help, "`") }

// ask returns the argument as one that opens the form if it is missing.
func (a Arg) ask() Arg {
	a.asked = true
	if read := a.read; read != nil {
		a.read = func(p *parser, w *Parsed) (bool, error) {
			if p.atEnd() && !p.field {
				return false, nil
			}
			return read(p, w)
		}
	}
	return a
}

// named returns the argument under other words for help.
func (a Arg) named(usage string) Arg {
	a.Usage = usage
	return a
}

// quiet returns the argument without help, completion and flags.
func (a Arg) quiet() Arg {
	a.Usage, a.Next, a.Flags = "", nil, nil
	return a
}

// specs holds every command in the order of help. init fills it, because the help
// command itself looks commands up.
var specs []Spec

func init() {
	specs = slices.Concat(responseSpecs, updateSpecs, overviewSpecs, recordSpecs, endingSpecs, reviewSpecs, accessSpecs, []Spec{accessRequestSpec, confirmSpec, helpSpec}, alertSpecs, []Spec{askSpec})
}

// Specs returns every command in the order of help. Callers must not change it.
func Specs() []Spec { return specs }

// Usage returns the arguments after the name, as help shows them.
func (s *Spec) Usage() string {
	if s.usage != "" {
		return s.usage
	}
	ways := make([]string, len(s.Syntaxes))
	for n, y := range s.Syntaxes {
		ways[n] = y.usage()
	}
	return strings.Join(ways, " | ")
}

// usage returns the words and arguments of the syntax.
func (y *Syntax) usage() string {
	words := y.Words[:min(1, len(y.Words))]
	for _, a := range y.Args {
		if a.Usage != "" {
			words = append(words[:len(words):len(words)], a.Usage)
		}
	}
	return strings.Join(words, " ")
}

// Next returns the words that may follow the name, for completion.
func (s *Spec) Next() []string {
	var out []string
	for _, y := range s.Syntaxes {
		out = append(out, y.Words[:min(1, len(y.Words))]...)
		for _, a := range y.Args {
			out = append(out, a.Next...)
		}
	}
	return out
}

// Flags returns the arguments that the command line takes as flags, too. The flags of
// one argument exclude each other.
func (s *Spec) Flags() [][]Flag {
	var out [][]Flag
	for _, y := range s.Syntaxes {
		for _, a := range y.Args {
			if len(a.Flags) > 0 {
				out = append(out, a.Flags)
			}
		}
	}
	return out
}

// Find returns the command with a name or alias.
func Find(name string) (*Spec, bool) {
	n := slices.IndexFunc(specs, func(s Spec) bool { return s.Name == name || slices.Contains(s.Aliases, name) })
	if n < 0 {
		return nil, false
	}
	return &specs[n], true
}

// Typed returns the commands that give a verb, as people type them.
func Typed(verb incident.Verb) []string {
	var out []string
	for _, s := range specs {
		for _, y := range s.Syntaxes {
			if y.Verb != "" && y.Verb == verb {
				out = append(out, strings.Join(append([]string{s.Name}, y.Words[:min(1, len(y.Words))]...), " "))
			}
		}
	}
	return out
}

// maxSuggestions is how many words the error about an unknown one suggests.
const maxSuggestions = 3

// suggest returns words as a choice, each in quotes.
func suggest(words []string) string {
	quoted := make([]string, len(words))
	for n, w := range words {
		quoted[n] = strconv.Quote(w)
	}
	return incident.Choices(quoted)
}

// ambiguous are words that people type for more than one command, with the advice.
var ambiguous = map[string]string{
	"mine": "Use ack to take the incident, or my to see what waits for you",
}

// findSpec is [Find] with an error that suggests the nearest name.
func findSpec(name string) (*Spec, error) {
	if s, ok := Find(name); ok {
		return s, nil
	}
	var known []string
	for _, s := range specs {
		known = append(append(known, s.Name), s.Aliases...)
	}
	if advice := ambiguous[name]; advice != "" {
		return nil, incident.Invalid("verb", "%q is not a command. %s", truncate(name), incident.Literal(advice))
	}
	var after []string // commands whose second word was typed alone
	for _, s := range specs {
		for _, y := range s.Syntaxes {
			if slices.Contains(y.Words, name) && len(after) < 3 {
				after = append(after, s.Name+" "+name)
			}
		}
	}
	if len(after) > 0 {
		return nil, incident.Invalid("verb", "%q is not a command alone. Did you mean %s?", truncate(name), strings.Join(after, " or "))
	}
	var near []string // without the aliases of a command that is suggested already
	for _, word := range incident.NearestAll(name, known, 2*maxSuggestions) {
		if s, _ := Find(word); !slices.Contains(near, s.Name) && len(near) < maxSuggestions {
			near = append(near, s.Name)
		}
	}
	if len(near) > 0 {
		return nil, incident.Invalid("verb", "unknown command %q. Did you mean %s?", truncate(name), suggest(near))
	}
	return nil, incident.Invalid("verb", "unknown command %q. Type help for all commands", truncate(name))
}

// names converts a slice of a string type, for messages and completion.
func names[T ~string](of []T) []string {
	out := make([]string, len(of))
	for n, s := range of {
		out[n] = string(s)
	}
	return out
}
