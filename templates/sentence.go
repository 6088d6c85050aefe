package templates

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// maxSentenceText is the maximum length of a text in [Sentence], in runes.
const maxSentenceText = 400

// Sentence returns an event as one line of plain English, with the text that a
// person wrote about it. The line is plain text: callers escape it for their
// format.
func Sentence(e incident.Event, dir incident.Directory) string {
	line, text := phrase(e, dir)
	if text := clip(oneLine(text), maxSentenceText); text != "" {
		return line + ": “" + text + "”"
	}
	return line + "."
}

// phrase returns an event's sentence on one line, without a full stop, and the
// text that a person wrote about the event, which may have several lines.
func phrase(e incident.Event, dir incident.Directory) (line, text string) {
	s, name := e.Sentence()
	if written, ok := e.Texts[name]; ok {
		text = erasedOr(written)
	}
	return Text(s, dir), text
}

// Text returns a sentence as one line of plain English. Callers escape it for their format.
func Text(s incident.Sentence, dir incident.Directory) string {
	return oneLine(s.Show(func(arg any) string { return plainArg(dir, arg) }).String())
}

// plainArg returns an argument of a sentence as plain text.
func plainArg(dir incident.Directory, arg any) string {
	switch v := arg.(type) {
	case incident.PersonID:
		return personName(dir, v)
	case incident.People:
		return personNames(dir, v)
	case incident.Department:
		return label(v)
	case incident.Departments:
		names := make([]string, len(v))
		for n, d := range v {
			names[n] = label(d)
		}
		return joinAnd(names)
	case incident.Labels:
		return joinAnd(v)
	case incident.Steps:
		return joinAnd(v)
	case time.Time:
		if incident.HasZone(v) {
			return incident.TimeText(v)
		}
		return formatUTC(v)
	case incident.StepRef:
		// The brackets keep the redactor from reading a playbook's name such as
		// leaked-aws-credentials as the name of a secret, and the step as its value.
		return v.Step + " (playbook " + v.Playbook + ")"
	case incident.Day, incident.Quoted, incident.Literal, incident.Detail, incident.PlaybookRef, incident.ID:
		return fmt.Sprint(v)
	}
	word := fmt.Sprint(arg)
	if law, ok := lawNames[word]; ok {
		return law
	}
	return humanize(word)
}
