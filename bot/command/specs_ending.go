package command

import (
	"regexp"
	"slices"
	"strings"

	"tocsin/bot/incident"
)

// endingSpecs are the commands that open an incident again or end it early.
var endingSpecs = []Spec{
	{Name: "reopen", Help: "reopen the incident and page again", NeedsIncident: true,
		Examples: []string{"reopen the key was used again"},
		Syntaxes: []Syntax{{Verb: incident.VerbReopen, Args: []Arg{happenedAtArg.quiet(), textArg.named("WHY").ask()},
			Form:   &FormSpec{Title: "Reopen the incident", Submit: "Reopen", Fields: []Field{textArg.input(KindProse, "Why is the incident not over?")}},
			result: done("%s is open again. A new paging round starts")}}},

	{Name: "dismiss", NeedsIncident: true, Common: true,
		Help:     "dismiss the incident as a false alarm (two people, one from security, if it ever was sev1 or sev2, contained or suspected of personal data)",
		Examples: []string{"dismiss no-personal-data because it was a planned test", "dismiss because the scan was ours"},
		Syntaxes: []Syntax{{Verb: incident.VerbDismiss, result: dismissed, Args: []Arg{happenedAtArg.quiet(), dismissalArg.ask()},
			Form: &FormSpec{Title: "Dismiss as false alarm", Submit: "Dismiss", NeedsState: true, fill: askOneOrTwo, Fields: []Field{
				textArg.input(KindProse, "Why is the incident a false alarm?").optional(),
				tick("no_personal_data", "Personal data", "No personal data is involved", func(c *incident.Command) { c.NoPersonalData = true }).
					hint("The fact personal_data becomes no. If you cannot rule it out, set the fact to suspected, and dismiss the incident with a second person."),
			}}}}},

	{Name: "merge", Help: "merge this incident into another", NeedsIncident: true,
		Examples: []string{"merge into INC-41 same key", "merge INC-42 into INC-41"},
		Syntaxes: []Syntax{{Verb: incident.VerbMerge, Args: []Arg{
			{Name: "target", Usage: "[INC-42] into INC-41", Next: []string{"into"}, read: readTarget, asked: true, write: func(w *Parsed) string { return "into " + w.Command.Target.String() }}, textArg.named("[WHY]")},
			Form: &FormSpec{Title: "Merge the incident", Submit: "Merge", NeedsState: true, NeedsOthers: true, fill: inOrder(listOthers("target"), explainIfEmpty("target", "There is no other incident into which %s can be merged.")), Fields: []Field{
				targetArg.choice("Into which incident?").hint("This incident ends, and the other one continues."),
				textArg.input(KindProse, "Why?").optional(),
			}},
			result: merged}}},
}

// statement matches the statement that no personal data is involved, typed as one
// word, such as no-personal-data, --no_personal_data or no-pii.
var statement = regexp.MustCompile(`(?i)^(?:-{1,2}|—|–)?(?:no|without)[-–—_]?(?:personal[-–—_]?data|pii)[,;:.]*$`)

// spacedStatement matches the statement typed as several words at the beginning of
// the reason. A reason such as "no personal data was checked" states nothing.
var spacedStatement = regexp.MustCompile(`(?i)^(?:no|without)\s+personal[\s-]+data\s*(?:$|[,;:.]\s*|[-–—]\s+|because\b\s*)`)

// dismissalArg is "[no-personal-data] because WHY". The statement may also be the
// last word.
var dismissalArg = Arg{Name: "text", Usage: "[no-personal-data] because WHY", Next: []string{"no-personal-data"},
	Flags: []Flag{{Name: "no-personal-data", Help: "state that no personal data is involved, to dismiss the incident alone"}},
	read: func(p *parser, w *Parsed) (bool, error) {
		text := p.bareReason(p.reason())
		if first, rest, _ := strings.Cut(text, " "); statement.MatchString(first) {
			w.Command.NoPersonalData, text = true, strings.TrimSpace(rest)
		}
		if found := spacedStatement.FindString(text); found != "" {
			w.Command.NoPersonalData, text = true, text[len(found):]
		}
		if n := strings.LastIndexFunc(text, isSpace); n >= 0 && statement.MatchString(strings.TrimSpace(text[n:])) {
			w.Command.NoPersonalData, text = true, strings.TrimRight(strings.TrimSpace(text[:n]), ",;:")
		}
		w.Command.Text = p.bareReason(text)
		return w.Command.Text != "", nil
	}, write: func(w *Parsed) string {
		if w.Command.NoPersonalData {
			return strings.TrimSpace("no-personal-data " + writeBecause(w))
		}
		return writeBecause(w)
	}}

// bareReason removes every introducing "because" and the quotes around a reason.
func (p *parser) bareReason(text string) string {
	for {
		bare := p.inner(text).reason()
		if bare == text {
			return text
		}
		text = bare
	}
}

// askOneOrTwo asks one person who may dismiss alone to state that no personal data
// is involved. A second person may agree without a reason.
func askOneOrTwo(f *Form, c FormContext) {
	why := &f.Fields[0]
	why.Optional = false
	if c.Incident.OneMayDismiss() {
		return
	}
	if c.Incident.Dismissal != nil {
		why.Optional, why.Hint = true, "Leave empty to agree with the proposal to dismiss the incident."
	}
	f.Fields = []Field{{Kind: KindNote, Label: "This takes two people, one from security, neither of whom lowered the severity or the suspicion of personal data."}, *why}
}

// readTarget reads the incident that goes on. For "merge INC-41" in the channel of
// INC-42, INC-41 is the target.
func readTarget(p *parser, w *Parsed) (bool, error) {
	p.take("into", "in", "with", "to")
	id, ok := p.incident()
	switch {
	case ok:
		w.Command.Target = id
	case p.Incident != 0 && w.Command.For != p.Incident && w.Command.For != 0:
		w.Command.Target, w.Command.For = w.Command.For, p.Incident
	case p.atEnd():
		return false, nil // a form asks for it
	default:
		return false, incident.Invalid("target", "the target is missing. Type merge into INC-41")
	}
	return true, nil
}

// targetArg is the incident that goes on, in a form.
var targetArg = Arg{Name: "target", read: func(p *parser, w *Parsed) (bool, error) {
	id, err := incident.ParseID(p.rest())
	w.Command.Target = id
	return err == nil, err
}, value: func(c FormContext) string {
	if c.Given.Target == 0 {
		return ""
	}
	return c.Given.Target.String()
}}

var helpSpec = Spec{Name: "help", Aliases: []string{"?"}, Help: "show all commands, or the help of one", Examples: []string{"help sign"},
	Syntaxes: []Syntax{{Query: QueryHelp, Args: []Arg{{Name: "verb", Usage: "[VERB]", read: readTopic, write: func(w *Parsed) string { return w.Topic }}}}}}

func readTopic(p *parser, w *Parsed) (bool, error) {
	topic, ok := p.next()
	if !ok {
		return false, nil
	}
	spec, err := findSpec(strings.ToLower(topic.text))
	if err != nil {
		return false, err
	}
	w.Topic = spec.Name
	for word, ok := p.peek(); ok; word, ok = p.peek() { // as in help review conclude
		explained := strings.FieldsFunc(strings.ToLower(spec.Usage()+" "+spec.Help), func(r rune) bool { return strings.ContainsRune(" ,:|[]()", r) })
		if !slices.Contains(explained, strings.ToLower(word.text)) {
			break
		}
		p.next()
	}
	return true, nil
}
