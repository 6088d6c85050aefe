package incident

import "fmt"

// Erased replaces a text that was erased, in every sentence.
const Erased Quoted = "(erased)"

// Sentence returns the event in one sentence without a full stop, and the name
// of the text that a person wrote about the event, or "". Slack, mail, the
// command line and documents lay the two out.
func (e Event) Sentence() (s Sentence, text string) {
	if spec, known := eventSpecs[e.Kind]; known {
		return spec.sentence(e), spec.text
	}
	return Say("%s recorded %s", e.By, string(e.Kind)), ""
}

// say returns a function for an event whose sentence needs only its author.
func say(format string) func(Event) Sentence {
	return func(e Event) Sentence { return Say(format, e.By) }
}

// quoted returns a text of the event for use inside a sentence.
func (e Event) quoted(name string) Quoted {
	text, ok := e.Texts[name]
	if ok && text.Value == "" && text.Commitment != "" {
		return Erased
	}
	return Quoted(text.Value)
}

func (e Event) person(field string) PersonID { return PersonID(e.Field(field)) }
func (e Event) department() Department       { return Department(e.Field("department")) }

// detail returns a format with a field, or "" without the field.
func (e Event) detail(format, field string) Detail {
	if e.Field(field) == "" {
		return ""
	}
	return Detail(fmt.Sprintf(format, e.Field(field)))
}

func (e Event) literal(field string) Literal   { return Literal(e.Field(field)) }
func (e Event) step() StepRef                  { return StepRef{Playbook: e.Field("run"), Step: e.Field("step")} }
func (e Event) is(field string) bool           { return e.Field(field) == "true" }
func (e Event) number(field string) int        { return atoi(e.Field(field)) }
func (e Event) severity(field string) Severity { return Severity(e.Field(field)) }
