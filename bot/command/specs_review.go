package command

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// reviewSpecs are the commands about the review meeting and its action items.
var reviewSpecs = []Spec{
	{Name: "review", Help: "schedule the review meeting, conclude it, or waive action items", NeedsIncident: true, Common: true,
		Examples: []string{"review 2026-11-24 10:00", "review conclude", "review conclude because everybody met today", "review waive there is nothing to detect"},
		Syntaxes: []Syntax{
			{Verb: incident.VerbScheduleReview, Args: []Arg{meetingArg.ask()},
				Form:   &FormSpec{Title: "Schedule the review", Submit: "Schedule", Fields: []Field{meetingArg.input(KindMoment, "When is the review meeting?")}},
				result: reviewScheduled},
			{Verb: incident.VerbConclude, result: concluded, Words: []string{"conclude", "concluded"}, Args: []Arg{incidentArg, conclusionArg.ask()},
				canonical: func(w *Parsed) bool { return len(w.Command.Actions) == 0 && w.Command.Waiver == "" },
				Form:      &FormSpec{Title: "Conclude the review", Submit: "Conclude", NeedsState: true, fill: inOrder(askEarlyReason, showActions), check: checkActions, Fields: concludeFields()}},
			{Verb: incident.VerbWaiveActions, result: waived, Words: []string{"waive"}, Args: []Arg{incidentArg, textArg.named("REASON")}},
		}},

	{Name: "actions", Help: "list the action items: yours, the overdue ones or all that you may read", Common: true,
		Examples: []string{"actions my", "actions overdue", "actions all", "actions INC-42"},
		Syntaxes: []Syntax{{Query: QueryActions, Args: []Arg{actionScopeArg}}}},

	{Name: "action", Help: "add an action item (detection, prevention, mitigation, process) or finish one", NeedsIncident: true,
		Examples: []string{"action add detection alert on unused keys owner @ada due 2026-12-24", "action done A1 the rule is live"},
		Syntaxes: []Syntax{
			{Verb: incident.VerbAddAction, result: actionAdded, Words: []string{"add"}, Bare: true, Args: []Arg{incidentArg, actionKindArg.ask(), newAction.title, newAction.owner, newAction.due},
				Form: &FormSpec{Title: "Add an action item", Submit: "Add", check: func(c *incident.Command) error { return newAction.check(c.Action) }, Fields: []Field{
					actionKindArg.choice("Kind", names(incident.ActionKinds())...),
					newAction.title.input(KindLine, "What must be done?"),
					newAction.owner.input(KindPerson, "Owner"),
					newAction.due.input(KindDay, "Due date"),
				}}},
			{Verb: incident.VerbFinishAction, result: actionDone, button: []part{itemPart}, Words: []string{"done", "finish", "finished"}, Args: []Arg{incidentArg, actionArg.ask(), textArg.named("[HOW]")},
				Form: &FormSpec{Title: "Finish an action item", Submit: "Finish", NeedsState: true, fill: inOrder(listOpenActions, explainIfEmpty("item", "%s has no open action item."), selectOnly("item")), Fields: []Field{
					actionArg.choice("Which action item is done?"),
					textArg.input(KindProse, "How was it done?").optional(),
				}}},
		}},
}

// actionScopeArg is the scope of a list of action items. In the channel of an incident it
// is that incident by default, and elsewhere the action items of the person.
var actionScopeArg = Arg{Name: "scope", Usage: "[my|overdue|all|INCIDENT]", Next: incident.ActionScopes(), read: func(p *parser, w *Parsed) (bool, error) {
	if err := p.takeIncident(w); err != nil || p.named != 0 {
		return true, err
	}
	word, typed := p.next()
	switch scope := strings.ToLower(word.text); {
	case !typed && w.Command.For == 0:
		w.Topic = incident.ActionsMy
	case !typed:
	case slices.Contains(incident.ActionScopes(), scope):
		w.Topic = scope
	default:
		return false, unknownWord(incident.Invalid, "scope", word.text, incident.ActionScopes(),
			"unknown list of action items %q. Did you mean %s?", "unknown list of action items %q. Use one of: %s")
	}
	return true, nil
}, write: func(w *Parsed) string { return w.Topic }}

// meetingArg is the time of the review meeting.
var meetingArg = Arg{Name: "when", Usage: "TIME", Next: []string{"tomorrow"}, read: func(p *parser, w *Parsed) (bool, error) {
	if p.atEnd() {
		return false, nil
	}
	p.take("on", "at")
	word, _ := p.peek()
	if near := incident.Nearest(word.text, []string{"conclude", "waive"}); near != "" {
		return false, incident.Invalid("when", "unknown word %q after review. Did you mean %q?", truncate(word.text), near)
	}
	at, err := p.needTime("when", future)
	w.Command.When = at
	return err == nil, err
}, write: func(w *Parsed) string {
	if w.Command.When.IsZero() {
		return ""
	}
	return writeTime(w.Command.When, w.Command.Zone)
}}

// attendeeArg is a person who attended the review meeting.
var attendeeArg = Arg{Name: "attendance", read: func(p *parser, w *Parsed) (bool, error) {
	person, err := p.person("attendance")
	if err == nil {
		w.Command.Attendance = append(w.Command.Attendance, person)
	}
	return err == nil, err
}}

// conclusionArg is "with PERSON, PERSON because REASON: DECISIONS". The reason stands
// before the colon, because decisions have their own reasons.
var conclusionArg = Arg{Name: "attendance", Usage: "[with PERSON, … [because REASON]: DECISIONS]", read: func(p *parser, w *Parsed) (bool, error) {
	if !p.take("with") {
		if p.take("because") {
			w.Command.Reason = p.freeText()
			return false, nil // the form asks for the rest
		}
		if w.Command.Text = p.freeText(); w.Command.Text != "" {
			return false, incident.Invalid("attendance", "the people who attended are missing. Type review conclude with @ada, @ben: DECISIONS")
		}
		return false, nil
	}
	people, decisions, ok := p.splitConclusion(w)
	if !ok {
		return false, incident.Invalid("text", "the decisions are missing. Type them after a colon: review conclude with @ada, @ben: DECISIONS")
	}
	plain := masked(people) // a name may contain a comma
	for from := 0; from <= len(people); {
		to := len(people)
		if n := strings.Index(plain[from:], ","); n >= 0 {
			to = from + n
		}
		inner := p.inner(people[from:to])
		if _, err := attendeeArg.read(inner, w); err != nil {
			return false, err
		}
		if more := inner.rest(); more != "" {
			return false, incident.Invalid("attendance", "Tocsin does not understand %q after the name. Separate people with commas: review conclude with @ada, @ben: DECISIONS", truncate(more))
		}
		from = to + 1
	}
	w.Command.Text = p.inner(decisions).freeText()
	return true, nil
}, write: func(w *Parsed) string {
	reason := introduce("because", w.Command.Reason)
	if len(w.Command.Attendance) == 0 {
		return reason
	}
	people := make([]string, len(w.Command.Attendance))
	for n, person := range w.Command.Attendance {
		people[n] = writePerson(person)
	}
	return strings.TrimSpace("with "+strings.Join(people, ", ")+" "+reason) + ": " + quoteText(w.Command.Text)
}}

// splitConclusion splits "PEOPLE because REASON: DECISIONS" at its colon and sets the
// reason. A colon inside a word of the reason, such as 10:30, does not end it.
func (p *parser) splitConclusion(w *Parsed) (people, decisions string, ok bool) {
	rest := p.rest()
	plain := masked(rest) // a name may contain the separators
	end := strings.Index(plain, ":")
	if end < 0 {
		return "", "", false
	}
	q := p.inner(rest)
	people, introduced := q.cutFirst("because")
	if !introduced || q.pos > end {
		return rest[:end], rest[end+1:], true
	}
	q.skip()
	from := q.pos
	if word, _ := q.next(); word.quoted {
		if decisions, found := strings.CutPrefix(q.rest(), ":"); found {
			w.Command.Reason = Readable(word.text)
			return people, decisions, true
		}
	}
	if n := colonAtWordEnd.FindStringIndex(plain[from:]); n != nil {
		end = from + n[0]
	}
	w.Command.Reason = p.inner(rest[from:max(from, end)]).freeText()
	return people, rest[end+1:], true
}

var colonAtWordEnd = regexp.MustCompile(`:(\s|$)`)

// earlyReasonArg is why the review is concluded before its meeting.
var earlyReasonArg = Arg{Name: "reason", part: reasonPart}

// askEarlyReason asks for a reason only if the meeting has not begun.
func askEarlyReason(f *Form, c FormContext) {
	if !c.Incident.ReviewNeedsReason(c.Env.Now) {
		f.Fields = slices.DeleteFunc(f.Fields, func(field Field) bool { return field.Name == "reason" })
		return
	}
	if at := c.Incident.Review.At; !at.IsZero() {
		f.field("reason").Label = "Why before the meeting at " + shownTime(at) + "?"
	}
}

// requiredActions are the kinds of action items that an incident needs before it can
// be closed.
var requiredActions = []incident.ActionKind{incident.ActionDetection, incident.ActionPrevention}

// concludeFields returns the attendance, the decisions, and an action item of each
// required kind.
func concludeFields() []Field {
	fields := []Field{
		attendeeArg.input(KindPeople, "Who attended?"),
		textArg.input(KindProse, "What was decided?"),
		earlyReasonArg.input(KindProse, "Why without a scheduled meeting?").hint("The reason is part of the minutes and of the postmortem."),
	}
	for _, kind := range requiredActions {
		a := requiredAction(kind)
		fields = append(fields, Field{Name: string(kind) + "_heading", Kind: KindHeading, Label: "Action item: " + string(kind)},
			Field{Name: string(kind) + "_note", Kind: KindNote, Label: "Fill in all three fields, or give a reason for a waiver below."},
			a.title.input(KindLine, "What must be done?").optional(), a.owner.input(KindPerson, "Owner").optional(), a.due.input(KindDay, "Due date").optional())
	}
	return append(fields, Field{Kind: KindRule}, waiverArg.input(KindProse, "Reason for a waiver: why close without both action items?").optional().
		hint("A member of security must endorse the waiver."))
}

// waiverArg is the reason to close without the required action items.
var waiverArg = Arg{Name: "waiver", part: waiverPart}

// showActions adds the action items that exist already.
func showActions(f *Form, c FormContext) {
	for _, kind := range requiredActions {
		have := slices.IndexFunc(c.Incident.Actions, func(a incident.Action) bool { return a.Kind == kind })
		at := slices.IndexFunc(f.Fields, func(f Field) bool { return f.Name == string(kind)+"_heading" })
		if have >= 0 && at >= 0 {
			a := c.Incident.Actions[have]
			done := ""
			if a.IsDone() {
				done = " (done)"
			}
			f.Fields[at+1].Label = "Already recorded: " + a.ID + " " + a.Title + done + ". You can add another one."
		}
	}
}

func checkActions(c *incident.Command) error {
	for n := range c.Actions {
		if err := requiredAction(c.Actions[n].Kind).check(&c.Actions[n]); err != nil {
			return err
		}
	}
	return nil
}

// actionKindArg is the kind of an action item. It begins Command.Action.
var actionKindArg = Arg{Name: "kind", Usage: "KIND", read: func(p *parser, w *Parsed) (bool, error) {
	word, ok := p.next()
	if !ok {
		return false, nil
	}
	kind := incident.ActionKind(strings.ToLower(strings.TrimSuffix(word.text, ":")))
	if !slices.Contains(incident.ActionKinds(), kind) {
		return false, unknownWord(incident.Invalid, "kind", word.text, names(incident.ActionKinds()),
			"unknown kind of action item %q. Did you mean %s?", "unknown kind of action item %q. Use one of: %s")
	}
	newAction.of(w).Kind = kind
	return true, nil
}, write: func(w *Parsed) string {
	a := w.Command.Action
	if a == nil {
		return ""
	}
	return strings.TrimSpace(string(a.Kind) + " " + introduce("", a.Title) + " owner " + writePerson(a.Owner) + " due " + a.Due.UTC().Format(time.DateOnly))
}}

// actionArgs are the arguments of one action item of a command.
type actionArgs struct {
	title, owner, due Arg
	of                func(*Parsed) *incident.Action
}

// newAction is the action item of action add.
var newAction = newActionArgs("title", "owner", "due", func(w *Parsed) *incident.Action {
	if w.Command.Action == nil {
		w.Command.Action = &incident.Action{}
	}
	return w.Command.Action
})

// requiredAction is an action item of review conclude.
func requiredAction(kind incident.ActionKind) actionArgs {
	return newActionArgs(string(kind), string(kind)+"_owner", string(kind)+"_due", func(w *Parsed) *incident.Action {
		n := slices.IndexFunc(w.Command.Actions, func(a incident.Action) bool { return a.Kind == kind })
		if n < 0 {
			n = len(w.Command.Actions)
			w.Command.Actions = append(w.Command.Actions, incident.Action{Kind: kind})
		}
		return &w.Command.Actions[n]
	})
}

func newActionArgs(title, owner, due string, of func(*Parsed) *incident.Action) actionArgs {
	return actionArgs{
		of: of,
		title: Arg{Name: title, Usage: "TITLE", read: func(p *parser, w *Parsed) (bool, error) {
			if p.field {
				of(w).Title = p.rest()
				return true, nil
			}
			text, ok := p.cut("owner")
			if !ok {
				return false, incident.Invalid("owner", "the owner is missing. Type action add %s TITLE owner PERSON due DATE", of(w).Kind)
			}
			of(w).Title = p.inner(text).freeText()
			return true, nil
		}, value: func(c FormContext) string {
			if c.Given.Action == nil {
				return ""
			}
			return c.Given.Action.Title
		}},
		owner: Arg{Name: owner, Usage: "owner PERSON", read: func(p *parser, w *Parsed) (bool, error) {
			person, err := p.person(owner)
			of(w).Owner = person
			return err == nil, err
		}},
		due: Arg{Name: due, Usage: "due DATE", read: func(p *parser, w *Parsed) (bool, error) {
			if p.take("due") {
				p.take("by", "on")
			} else if !p.take("by", "until") && !p.field {
				return false, incident.Invalid("due", "the due date is missing. Type action add %s TITLE owner PERSON due DATE", of(w).Kind)
			}
			day, ok, err := p.date()
			if err != nil {
				return false, inField(err, due)
			}
			if !ok {
				return false, p.notDate(due)
			}
			of(w).Due = day
			return true, nil
		}},
	}
}

// check returns an error if a form left a part of the action item empty.
func (args actionArgs) check(a *incident.Action) error {
	switch {
	case a == nil || a.Title == "":
		return incident.Invalid(args.title.Name, "describe the action item")
	case a.Owner == "":
		return incident.Invalid(args.owner.Name, "select the owner of the action item")
	case a.Due.IsZero():
		return incident.Invalid(args.due.Name, "select the due date of the action item")
	}
	return nil
}

// actionArg is an action item of the incident.
var actionArg = Arg{Name: "item", Usage: "A1", part: itemPart, read: readActionID, write: func(w *Parsed) string { return quoteWord(w.Command.Item) }}

var actionWord = regexp.MustCompile(`(?i)^#?a(\d+)[,:]?$`)

// readActionID reads the number of an action item.
func readActionID(p *parser, w *Parsed) (bool, error) {
	word, ok := p.next()
	if !ok {
		return false, p.missing("item", "%s done needs the number of an action item. Type %s")
	}
	m := actionWord.FindStringSubmatch(word.text)
	if m == nil {
		return false, incident.Invalid("item", "%q is not the number of an action item. Type it as A1", truncate(word.text))
	}
	w.Command.Item = "A" + m[1]
	if next, ok := p.peek(); ok && actionWord.MatchString(next.text) && !next.quoted {
		return false, incident.Invalid("item", "%q is a second action item. Finish one after the other", truncate(next.text))
	}
	return true, nil
}
