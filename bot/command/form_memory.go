package command

import (
	"fmt"
	"slices"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// KeepsDrafts reports whether Tocsin saves the long texts of the form while people type.
func (f *FormSpec) KeepsDrafts() bool {
	return slices.ContainsFunc(f.Fields, func(field Field) bool { return field.Kind == KindProse })
}

// asksIncident reports whether the form asks for the incident.
func (f *FormSpec) asksIncident() bool {
	return f != nil && slices.ContainsFunc(f.Fields, func(field Field) bool { return field.Name == formIncidentArg.Name && !field.Optional })
}

// FormKeyOf returns the key of the form for the rest of a command, see [FormFor]. The key
// of a form is equal before and after it was opened.
func FormKeyOf(c incident.Command, view string) incident.FormKey {
	parts := []string{string(c.Verb), c.Step}
	if c.Verb != incident.VerbSign && c.Verb != incident.VerbObject { // their form selects the department
		parts = append(parts, string(c.Department))
	}
	if c.Fact != nil {
		parts = append(parts, string(c.Fact.Name))
	}
	if c.Message != nil {
		parts = append(parts, c.Message.Ref)
	}
	f, ok := FormFor(c)
	return incident.FormKey{Incident: c.For, Form: strings.Join(parts, "/"), View: view, Edits: ok && f.Edits}
}

// Draft returns the long texts of a form as the person typed them.
func (f *FormSpec) Draft(values Values) map[string]string {
	out := map[string]string{}
	for _, field := range f.Fields {
		if typed := strings.Join(values[field.Name], ""); field.Kind == KindProse && strings.TrimSpace(typed) != "" {
			out[field.Name] = typed
		}
	}
	return out
}

// restore puts the saved draft into the form and shows that it did, and who else edits
// the record. A text that the person gave with the command replaces the draft.
func (f *FormSpec) restore(out *Form, c FormContext) {
	draft := c.Memory.Draft
	restored := false
	for n := range out.Fields {
		field := &out.Fields[n]
		typed := draft.Values[field.Name]
		if field.Kind != KindProse || typed == "" || typed == field.Value || field.arg.initial(FormContext{Given: c.Given}) != "" {
			continue
		}
		field.Draft, restored = typed, true
		if field.Sparse {
			field.Label = f.Fields[slices.IndexFunc(f.Fields, func(same Field) bool { return same.Name == field.Name })].Label
			field.Hint = changedSince(draft.Seen, *field, c)
		}
	}
	var notes []Paragraph
	for _, e := range c.Memory.Editors {
		notes = append(notes, Paragraph{KindNote, fmt.Sprintf("%s is editing since %s.", c.Directory.Name(e.Person), incident.ClockText(e.Since, c.Env.Now))})
	}
	if restored {
		notes = append(notes, Paragraph{KindNote, fmt.Sprintf("Your text of %s was saved. It is back in the form.", incident.ClockText(draft.At, c.Env.Now))})
	}
	out.Document = append(notes, out.Document...)
}

// maxQuote is the maximum number of bytes of the present text of a part in a hint.
const maxQuote = 1000

// changedSince returns the hint below a restored text of the closing record. If others
// changed the part after the form with the text opened, the hint shows their text.
func changedSince(seen int, field Field, c FormContext) string {
	n := slices.IndexFunc(c.Timeline, func(e incident.Event) bool { return e.Seq > seen })
	if n >= 0 {
		if by, at, changed := incident.PartEdit(c.Timeline[n:], field.Name); changed && by != c.Env.Actor {
			return fmt.Sprintf("%s changed this part at %s, after you began to type. Your text replaces: %s",
				c.Directory.Name(by), incident.ClockText(at, c.Env.Now), text.Truncate(c.Incident.Record.Get(field.Name), maxQuote))
		}
	}
	return "This is your saved text. It is confirmed when you save."
}
