package command

import (
	"slices"
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// overviewSpecs are the questions of people about their work and an incident, and the
// commands that change who leads it and how.
var overviewSpecs = []Spec{
	{Name: "my", Help: "show what waits for you: your steps, signatures and action items, and your incidents", Common: true,
		Examples: []string{"my"},
		Syntaxes: []Syntax{{Query: QueryMy}}},

	{Name: "timeline", Aliases: []string{"history", "log"}, Help: "show the last 20 entries of the timeline, of one kind, one person or since a time", NeedsIncident: true, Common: true,
		Examples: []string{"timeline", "timeline notes by @ada", "timeline INC-42 steps since 02:31", "timeline before 40", "timeline entry 7"},
		Syntaxes: []Syntax{{Query: QueryTimeline, Args: []Arg{{Name: "timeline", Usage: "[KIND] [by PERSON] [since TIME] [before NUMBER] [entry NUMBER]",
			Next: append(incident.TimelineTopics(), "by", "since", "before", "entry"), read: readTimelineFilter, write: writeTimelineFilter}}}}},

	{Name: "handover", Aliases: []string{"hand-over"}, Help: "make another person commander, and send them a briefing", NeedsIncident: true, Common: true,
		Examples: []string{"handover @ada", "handover @ada the customer calls back at 04:00"},
		Syntaxes: []Syntax{{Verb: incident.VerbHandover, Args: []Arg{skipWords("to"), newCommanderArg.ask(), proseArg.named("[TEXT]")},
			Form: &FormSpec{Title: "Hand over the command", Submit: "Hand over", Fields: []Field{
				personArg.input(KindPerson, "Who takes the command?"),
				proseArg.input(KindProse, "What does the new commander need to know?").optional().
					hint("Tocsin adds a briefing: the state, the facts, the deadlines, the open steps and the people."),
			}},
			result: handedOver}}},

	{Name: "playbook", Aliases: []string{"playbooks"}, Help: "list the playbooks, or start another one", NeedsIncident: true,
		Examples: []string{"playbook list", "playbook start data-exposure"},
		Syntaxes: []Syntax{
			{Query: QueryPlaybooks, Words: []string{"list"}, Bare: true, Args: []Arg{incidentArg}},
			{Verb: incident.VerbStartPlaybook, Words: []string{"start", "run"}, Args: []Arg{incidentArg, playbookArg.ask()}, button: []part{playbookPart}, atOnce: playbookPart,
				Form: &FormSpec{Title: "Start a playbook", Submit: "Start", NeedsState: true, fill: inOrder(listPlaybooks, explainIfEmpty("playbook", "Every playbook runs in %s already.")), Fields: []Field{
					playbookArg.choice("Which playbook?").hint("Its steps appear in the checklist. A playbook that does not fit cannot be stopped: skip its steps with a reason.")}},
				result: playbookStarted},
		}},
}

func playbookPart(c *incident.Command) *string { return &c.Playbook }

// playbookArg is the name of a playbook.
var playbookArg = Arg{Name: "playbook", Usage: "NAME", read: func(p *parser, w *Parsed) (bool, error) {
	word, ok := p.next()
	if !ok {
		return false, nil
	}
	w.Command.Playbook = strings.Trim(word.text, ",.:")
	return true, nil
}, part: playbookPart, write: func(w *Parsed) string { return quoteWord(w.Command.Playbook) }}

// listPlaybooks offers the playbooks that do not run in the incident, by their titles.
func listPlaybooks(f *Form, c FormContext) {
	menu := f.field(playbookArg.Name)
	for _, p := range c.Playbooks {
		if !slices.ContainsFunc(c.Incident.Runs, func(r incident.Run) bool { return r.Playbook == p.Name }) {
			menu.list(p.Name, p.Title)
		}
	}
}

// newCommanderArg is personArg for a command that a form completes.
var newCommanderArg = Arg{Name: "person", Usage: "PERSON", read: func(p *parser, w *Parsed) (bool, error) {
	if p.atEnd() {
		return false, nil
	}
	return personArg.read(p, w)
}, write: personArg.write}

// readTimelineFilter reads the filters of a timeline in any order.
func readTimelineFilter(p *parser, w *Parsed) (bool, error) {
	f := &w.Timeline
	for !p.atEnd() {
		if err := readTimelineWord(p, f); err != nil {
			return false, err
		}
	}
	return true, nil
}

func readTimelineWord(p *parser, f *incident.TimelineFilter) error {
	twice := func(word string) error {
		return incident.Invalid("timeline", "the filter %s is given twice. Type it once", word)
	}
	switch {
	case p.take("by", "of", "from"):
		if f.Person != "" {
			return twice("by")
		}
		person, err := p.person("person")
		f.Person = person
		return err
	case p.take("since", "after"):
		if !f.Since.IsZero() {
			return twice("since")
		}
		at, err := p.needTime("since", past)
		f.Since = at
		return err
	case p.take("before"):
		if f.Before != 0 {
			return twice("before")
		}
		return readEntryNumber(p, "before", &f.Before)
	case p.take("entry"):
		if f.Entry != 0 {
			return twice("entry")
		}
		return readEntryNumber(p, "entry", &f.Entry)
	}
	word, _ := p.next()
	topic := strings.ToLower(strings.Trim(word.text, ",.:"))
	for _, known := range incident.TimelineTopics() {
		if topic == known || topic == strings.TrimSuffix(known, "s") {
			if f.Topic != "" {
				return twice(known)
			}
			f.Topic = known
			return nil
		}
	}
	return unknownWord(incident.Invalid, "timeline", word.text, append(incident.TimelineTopics(), "by", "since", "before", "entry"),
		"unknown filter %q of the timeline. Did you mean %s?", "unknown filter %q of the timeline. Use one of: %s")
}

// readEntryNumber reads the number of an entry of a timeline.
func readEntryNumber(p *parser, field string, n *int) error {
	word, _ := p.next()
	got, err := strconv.Atoi(strings.TrimPrefix(word.text, "#"))
	if err != nil || got < 1 {
		return incident.Invalid(field, "%q is not the number of an entry. Type a number such as 40", truncate(word.text))
	}
	*n = got
	return nil
}

func writeTimelineFilter(w *Parsed) string {
	f := w.Timeline
	out := []string{}
	if f.Topic != "" {
		out = append(out, f.Topic)
	}
	if f.Person != "" {
		out = append(out, "by "+writePerson(f.Person))
	}
	if !f.Since.IsZero() {
		out = append(out, "since "+writeTime(f.Since, w.Command.Zone))
	}
	if f.Before > 0 {
		out = append(out, "before "+strconv.Itoa(f.Before))
	}
	if f.Entry > 0 {
		out = append(out, "entry "+strconv.Itoa(f.Entry))
	}
	return strings.Join(out, " ")
}
