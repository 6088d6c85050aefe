package command

import (
	"regexp"
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// confirmSpec is the command about changes that came through a distrusted provider.
var confirmSpec = Spec{Name: "confirm", NeedsIncident: true,
	Help:     "confirm changes that came through a distrusted provider, or state that you undid them",
	Examples: []string{"confirm 17", "confirm INC-42 17-19,23", "confirm all", "confirm 17 undone set the fact again"},
	Syntaxes: []Syntax{{Verb: incident.VerbConfirmChange, Args: []Arg{incidentArg, changesArg.ask(), undoneArg, textArg.named("[HOW]")}, button: []part{itemPart}, atOnce: itemPart,
		Form: &FormSpec{Title: "Confirm changes", Submit: "Confirm", NeedsState: true, fill: inOrder(listChanges, explainIfEmpty("item", "No change in %s waits for a confirmation.")), Fields: []Field{
			changesArg.choice("Which change?"),
			tick("undone", "Undone", "I undid the change with other commands", func(c *incident.Command) { c.Undone = true }),
			textArg.input(KindProse, "How did you undo it?").optional(),
		}},
		result: changesConfirmed}}}

// eventNumbers matches a list of numbers of events, such as "17-19,23".
var eventNumbers = regexp.MustCompile(`^#?\d+(-\d+)?(,\d+(-\d+)?)*,?$`)

// changesArg is a list of numbers of events, or "all".
var changesArg = Arg{Name: "item", Usage: "NUMBERS|all", Next: []string{"all"}, part: itemPart, read: func(p *parser, w *Parsed) (bool, error) {
	word, ok := p.next()
	if !ok {
		return false, p.missing("item", "%s needs the numbers of events. Type %s")
	}
	if text := strings.ToLower(word.text); text == "all" || eventNumbers.MatchString(text) {
		w.Command.Item = strings.Trim(text, "#,")
		return true, nil
	}
	return false, incident.Invalid("item", "%q is not a number of an event. Type it as the card lists it, such as 17 or 17-19, or type all", truncate(word.text))
}, write: func(w *Parsed) string { return quoteWord(w.Command.Item) }}

// undoneArg states that the changes were undone.
var undoneArg = Arg{Name: "undone", Usage: "[undone]", Next: []string{"undone"}, read: func(p *parser, w *Parsed) (bool, error) {
	if word, ok := p.peek(); ok && !word.quoted && strings.EqualFold(word.text, "undone") {
		p.next()
		w.Command.Undone = true
		return true, nil
	}
	return false, nil
}, write: func(w *Parsed) string {
	if w.Command.Undone {
		return "undone"
	}
	return ""
}}

// listChanges offers the changes that wait.
func listChanges(f *Form, c FormContext) {
	menu := f.field("item")
	if len(c.Incident.DistrustedChanges) > 1 {
		menu.list("all", "All "+strconv.Itoa(len(c.Incident.DistrustedChanges))+" changes")
	}
	for _, change := range c.Incident.DistrustedChanges {
		menu.list(strconv.Itoa(change.Seq), change.Label(c.Directory))
	}
}

func changesConfirmed(c change) incident.Sentence {
	e := c.event(incident.EventChangeConfirmed)
	if e.Field("how") == "undone" {
		return incident.Say("You undid the changes %s of %s. Still to confirm: %d", incident.Literal(e.Field("confirmed")), c.inc.ID, len(c.inc.DistrustedChanges))
	}
	return incident.Say("You confirmed the changes %s of %s. Still to confirm: %d", incident.Literal(e.Field("confirmed")), c.inc.ID, len(c.inc.DistrustedChanges))
}
