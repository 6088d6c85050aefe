package command

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// updateSpecs are the commands about updates and their register.
var updateSpecs = []Spec{
	{Name: "update", NeedsIncident: true, Common: true,
		Help: "post an update to the responders, and to further audiences after a second person from legal or communications approved it",
		Examples: []string{"update logins work again, we are looking for the cause", "update --to company,customers --next 30m logins work again",
			"update --to company --statement holding --next 04:00", "update --corrects U1 the export held 40 addresses, not 4", "update approve U1"},
		Syntaxes: []Syntax{
			{Verb: incident.VerbUpdate, Args: []Arg{happenedAtArg.quiet(), toArg, nextUpdateArg, statementArg, correctsArg, updateTextArg},
				Form: &FormSpec{Title: "Post an update", Submit: "Post", NeedsState: true, fill: listAudiences, check: checkUpdate, Fields: []Field{
					updateTextArg.input(KindProse, "What is the current status?").optional().hint("Leave it empty only if a statement below has all the words."),
					toArg.many("Who gets it in addition to the responders?").optional().hint("A second person from legal or communications approves the words first."),
					nextUpdateArg.input(KindMoment, "When is the next update?").optional(),
					statementArg.choice("Statement").optional(),
					correctsArg.choice("Which update does it correct?").optional()}},
				result: updateResult},
			{Verb: incident.VerbApproveUpdate, Words: []string{"approve"}, Args: []Arg{incidentArg, updateArg}, button: []part{itemPart},
				result: done("The update of %s goes to its audiences now")},
		}},

	{Name: "updates", Help: "show the updates: who got which text, when, and who approved it", NeedsIncident: true,
		Examples: []string{"updates", "updates INC-42"},
		Syntaxes: []Syntax{{Query: QueryUpdates, Args: []Arg{incidentArg}}}},
}

// updateResult tells the author of an update who gets it.
func updateResult(c change) incident.Sentence {
	i := c.inc
	if len(i.Updates) == 0 {
		return incident.Say("The responders of %s have your update", i.ID)
	}
	u := i.Updates[len(i.Updates)-1]
	switch {
	case u.Waits():
		return incident.Say("The responders of %s have %s. It goes to %s when a second person from legal or communications approves it", i.ID, incident.Literal(u.ID), incident.Literal(strings.Join(u.Audiences, ", ")))
	case len(u.Audiences) > 0:
		return incident.Say("The responders of %s have %s. It goes to %s now", i.ID, incident.Literal(u.ID), incident.Literal(strings.Join(u.Audiences, ", ")))
	}
	return incident.Say("The responders of %s have your update", i.ID)
}

// updateFlags read the options of an update, by the name of the flag.
var updateFlags = map[string]func(*parser, *incident.Command, word) error{
	"to": func(p *parser, c *incident.Command, w word) error {
		for _, name := range strings.Split(w.text, ",") {
			a, known := p.Directory.Audience(strings.TrimSpace(name))
			if !known {
				var all []string
				for _, a := range p.Directory.Audiences {
					all = append(all, a.Name)
				}
				if len(all) == 0 {
					return incident.Unknown("audiences", "no audience is configured. Leave it out, or add one to updates.audiences")
				}
				return unknownWord(incident.Unknown, "audiences", name, all, "unknown audience %q. Did you mean %q?", "unknown audience %q. Use one of: %s")
			}
			if !slices.Contains(c.Audiences, a.Name) {
				c.Audiences = append(c.Audiences, a.Name)
			}
		}
		return nil
	},
	"next": func(p *parser, c *incident.Command, w word) error {
		inner := p.inner(w.text)
		if span, ok := inner.span(); ok && inner.atEnd() {
			if c.When = span.after(p.Now).Truncate(time.Minute); c.When.Before(span.after(p.Now)) {
				c.When = c.When.Add(time.Minute) // readers expect whole minutes
			}
			return nil
		}
		at, err := p.inner(w.text).needTime("when", future)
		c.When = at
		return err
	},
	"statement": func(p *parser, c *incident.Command, w word) error {
		var all []string
		for _, s := range p.Directory.Statements {
			if all = append(all, s.Name); strings.EqualFold(s.Name, w.text) {
				c.Statement = s.Name
				return nil
			}
		}
		if len(all) == 0 {
			return incident.Unknown("statement", "no statement is configured. Type the text instead, or add one to updates.statements")
		}
		return unknownWord(incident.Unknown, "statement", w.text, all, "unknown statement %q. Did you mean %q?", "unknown statement %q. Use one of: %s")
	},
	"corrects": func(_ *parser, c *incident.Command, w word) error { c.Item = strings.ToUpper(w.text); return nil },
}

// updateFlag returns the argument of one option of an update. On a typed line the options
// stand before the text, in any order.
func updateFlag(flag, name, usage, help string, write writer) Arg {
	return Arg{Name: name, Usage: "[--" + flag + " " + usage + "]", Next: []string{"--" + flag}, Flags: []Flag{{Name: flag, Help: help}}, write: write,
		read: func(p *parser, w *Parsed) (bool, error) {
			if p.field {
				word, ok := p.next()
				if !ok {
					return false, nil
				}
				return true, updateFlags[flag](p, &w.Command, word)
			}
			return true, readUpdateFlags(p, w)
		}}
}

// readUpdateFlags consumes all options before the text.
func readUpdateFlags(p *parser, w *Parsed) error {
	for found := true; found; {
		found = false
		for _, flag := range []string{"to", "next", "statement", "corrects"} {
			if !p.takeFlag(flag) {
				continue
			}
			word, ok := p.next()
			if !ok {
				return incident.Invalid(flag, "the value of --%s is missing. Type %s", flag, UsageOf(incident.VerbUpdate, 0))
			}
			if err := updateFlags[flag](p, &w.Command, word); err != nil {
				return err
			}
			found = true
		}
	}
	return p.noFlag("statement")
}

var (
	toArg = updateFlag("to", "audiences", "AUDIENCE", "`audiences` in addition to the responders, separated by commas", func(w *Parsed) string {
		return flagged("to", strings.Join(w.Command.Audiences, ","))
	})
	nextUpdateArg = updateFlag("next", "when", "TIME", "`time` or duration until the next update", func(w *Parsed) string {
		if w.Command.When.IsZero() {
			return ""
		}
		return flagged("next", w.Command.When.UTC().Format(time.RFC3339))
	})
	statementArg = updateFlag("statement", "statement", "NAME", "`name` of a configured text", func(w *Parsed) string { return flagged("statement", w.Command.Statement) })
	correctsArg  = updateFlag("corrects", "item", "U1", "`update` that this one corrects", func(w *Parsed) string { return flagged("corrects", w.Command.Item) })
)

// flagged returns an option as people type it.
func flagged(flag, value string) string {
	if value == "" {
		return ""
	}
	return "--" + flag + " " + quoteWord(value)
}

// updateTextArg is the text of an update. A statement can have all the words.
var updateTextArg = Arg{Name: "text", Usage: "TEXT", part: textPart, asked: true, read: func(p *parser, w *Parsed) (bool, error) {
	if err := p.misplaced(); err != nil {
		return false, err
	}
	w.Command.Text = p.freeText()
	return w.Command.Text != "" || w.Command.Statement != "", nil
}}

// updateArg is the number of an update.
var updateArg = Arg{Name: "item", Usage: "U1", part: itemPart, read: func(p *parser, w *Parsed) (bool, error) {
	word, ok := p.next()
	if !ok {
		return false, p.missing("item", "%s needs the number of the update. Type %s")
	}
	w.Command.Item = strings.ToUpper(strings.Trim(word.text, ",.:;"))
	return true, nil
}, write: func(w *Parsed) string { return quoteWord(w.Command.Item) }}

// listAudiences offers the configured audiences and statements, and the earlier updates.
// It leaves out the fields without an option.
func listAudiences(f *Form, c FormContext) {
	audiences := f.field(toArg.Name)
	for _, a := range c.Directory.Audiences {
		if !c.Incident.Restricted || a.Restricted {
			audiences.offer(a.Name)
		}
	}
	statements := f.field(statementArg.Name)
	for _, s := range c.Directory.Statements {
		if s.Playbook == "" || c.Incident.Run(s.Playbook) != nil {
			title := s.Name
			if s.ApprovedBy != "" {
				title = fmt.Sprintf("%s (approved by %s)", s.Name, s.ApprovedBy)
			}
			statements.list(s.Name, title)
		}
	}
	earlier := f.field(correctsArg.Name)
	for _, u := range c.Incident.Updates {
		earlier.list(u.ID, u.ID+", "+incident.TimeText(u.At))
	}
	f.Fields = slices.DeleteFunc(f.Fields, func(field Field) bool {
		return slices.Contains([]string{toArg.Name, statementArg.Name, correctsArg.Name}, field.Name) && len(field.Options) == 0 && field.Value == ""
	})
}

// checkUpdate requires a text or a statement.
func checkUpdate(c *incident.Command) error {
	if c.Text == "" && c.Statement == "" {
		return incident.Invalid("text", "the update is empty. Write a text or choose a statement")
	}
	return nil
}
