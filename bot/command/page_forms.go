package command

import "tocsin/bot/incident"

// pageForms are forms of verbs whose commands the chat takes at once or as a typed line. A
// page has no line to type.
var pageForms = map[incident.Verb]*FormSpec{
	incident.VerbWaiveActions:     {Title: "Waive the action items", Submit: "Waive", Fields: []Field{textArg.input(KindProse, "Why does this incident need no action items?").hint("The first person proposes the waiver. A second one from security endorses it.")}},
	incident.VerbKeepSeverity:     {Title: "Keep the severity", Submit: "Keep", Fields: []Field{textArg.input(KindProse, "Why does the alert not raise the severity?").optional()}},
	incident.VerbSetLegalHold:     {Title: "Set a legal hold", Submit: "Set", Fields: []Field{textArg.input(KindProse, "Why must the incident be preserved?")}},
	incident.VerbReleaseLegalHold: {Title: "Release the legal hold", Submit: "Release", Fields: []Field{textArg.input(KindProse, "Why may retention delete the incident again?")}},
}

// PageForm returns the form for the rest of a command on a page. It is that of [FormFor]
// for the verbs that have one.
func PageForm(c incident.Command) (*FormSpec, bool) {
	if f, ok := FormFor(c); ok {
		return f, true
	}
	f, ok := pageForms[c.Verb]
	return f, ok
}
