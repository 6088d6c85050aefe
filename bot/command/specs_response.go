package command

import (
	"cmp"
	"slices"
	"strings"

	"tocsin/bot/incident"
)

// responseSpecs are the commands from the report of an incident to its resolution.
var responseSpecs = []Spec{
	{Name: "open", Aliases: []string{"new", "declare"}, Help: "open an incident, restricted unless --public", Common: true,
		Examples: []string{"open sev2 Leaked AWS key in a public repository"},
		Syntaxes: []Syntax{{Verb: incident.VerbOpen, Args: []Arg{openOptionsArg, titleArg.ask()},
			Form: &FormSpec{Title: "Open an incident", Submit: "Open", Fields: []Field{
				titleArg.input(KindLine, "What happened? One line."),
				severityArg.radio("Severity", severities...).titled(severityTitles),
				tick("public", "Who can read the incident?", "Everyone in the company", func(c *incident.Command) { c.Public = true }).
					optional().hint("If unchecked, only the participants of the incident can read it."),
			}},
			result: opened}}},

	{Name: "list", Aliases: []string{"ls"}, Help: "list live incidents, all incidents, or the incidents with a status", Common: true,
		Examples: []string{"list", "list approved"},
		Syntaxes: []Syntax{{Query: QueryList, Args: []Arg{
			{Name: "status", Usage: "[all | STATUS …]", Next: append([]string{"all"}, names(incident.Statuses())...), read: readStatuses, write: writeStatuses}}}}},

	{Name: "status", Aliases: []string{"show"}, Help: "show the state of an incident", NeedsIncident: true, Common: true,
		Examples: []string{"status INC-42"},
		Syntaxes: []Syntax{{Query: QueryStatus, Args: []Arg{{Name: "incident", Usage: "[INC-42]", read: readStatusIncident, write: nothing}}}}},

	{Name: "ack", Aliases: []string{"acknowledge"}, Help: "acknowledge: stop paging and become commander if there is none", NeedsIncident: true, Common: true,
		Examples: []string{"ack", "ack INC-42 sev2"},
		Syntaxes: []Syntax{{Verb: incident.VerbAcknowledge, Args: []Arg{ackSeverityArg, proseArg.quiet()},
			result: acknowledged}}},

	{Name: "page", Help: "page a person or a team by name, the escalation policy again until somebody acknowledges, or a test page that has no incident", NeedsIncident: true,
		Examples: []string{"page", "page because the database needs a second pair of hands", "page @ada because the export job is hers", "page legal because a regulator must be notified", "page test", "page test list"},
		Syntaxes: []Syntax{testPageSyntax, {Verb: incident.VerbPageAgain, Args: []Arg{pagedArg, proseReasonArg}, kind: ResultPaging,
			Form: &FormSpec{Title: "Page someone", Submit: "Page", NeedsState: true, fill: listTeams, Fields: []Field{
				personArg.input(KindPerson, "Person").optional().hint("Without a person and a team, Tocsin pages the escalation policy again."),
				departmentArg.choice("Department or team").optional(),
				textArg.input(KindProse, "Why is more help needed?").optional().hint("A page to a person or a team needs a reason. They see it in the channel.")}},
			result: done("A new paging round of %s starts. Tocsin pages until a responder acknowledges"),
			unchanged: func(i incident.Incident) incident.Sentence {
				return incident.Say("No change: paging round %d of %s is running already. Tocsin pages until a responder acknowledges", i.PageNumber(i.Paging.Round), i.ID)
			}}}},

	{Name: "here", Help: "mark yourself as here: Tocsin does not page you as absent", NeedsIncident: true, Common: true,
		Examples: []string{"here", "here INC-42"},
		Syntaxes: []Syntax{{Verb: incident.VerbHere, Args: []Arg{incidentArg},
			result: done("Tocsin counts you among the people who are here in %s"),
			unchanged: func(i incident.Incident) incident.Sentence {
				return incident.Say("No change: Tocsin counts you already in %s", i.ID)
			}}}},

	{Name: "who", Help: "list the people who were called, who are here, who show no sign and who cannot be invited", NeedsIncident: true, Common: true,
		Examples: []string{"who", "who INC-42"},
		Syntaxes: []Syntax{{Query: QueryWho, Args: []Arg{incidentArg}}}},

	{Name: "retry", Help: "try again at once what waits for an outside system, such as a channel that Slack refused to create", NeedsIncident: true,
		Examples: []string{"retry", "retry INC-42"},
		Syntaxes: []Syntax{{Verb: incident.VerbRetry, Args: []Arg{incidentArg},
			result: done("Tocsin tries again what waits in %s. The card shows the result"),
			unchanged: func(i incident.Incident) incident.Sentence {
				return incident.Say("No change: nothing waits in %s, or Tocsin is trying it", i.ID)
			}}}},

	{Name: "severity", Aliases: []string{"sev"}, NeedsIncident: true, Common: true,
		Help:     "change the severity, or keep it although an alert proposes another (raising it pages again, unless it was acknowledged at that severity)",
		Examples: []string{"severity sev1 because customers are locked out", "severity keep because it is the same test"},
		Syntaxes: []Syntax{
			{Verb: incident.VerbSetSeverity, Args: []Arg{newSeverityArg.ask(), proseReasonArg}, button: []part{severityPart}, atOnce: severityPart,
				Form: &FormSpec{Title: "Change the severity", Submit: "Change", NeedsState: true, Fields: []Field{
					currentSeverityArg.radio("Severity", severities...).titled(severityTitles),
					textArg.input(KindProse, "Why?").optional(),
				}},
				result: severitySet},
			{Verb: incident.VerbKeepSeverity, Words: []string{"keep", "kept", "stay", "leave", "unchanged"}, Args: []Arg{incidentArg, proseReasonArg},
				result: severityKept},
		}},

	{Name: "role", Aliases: []string{"assign"}, Help: "assign a role to a person, or to yourself with me", NeedsIncident: true, Common: true,
		Examples: []string{"role scribe @ada", "role commander me"},
		Syntaxes: []Syntax{{Verb: incident.VerbAssignRole, Args: []Arg{roleArg.ask(), personArg.ask(), roleReasonArg},
			Form: &FormSpec{Title: "Assign a role", Submit: "Assign", NeedsState: true, fill: listRoles, Fields: []Field{
				roleArg.choice("Role", names(incident.Roles())...),
				personArg.input(KindPerson, "Person"),
				textArg.input(KindProse, "Why?").optional(),
			}},
			result: roleAssigned}}},

	{Name: "fact", NeedsIncident: true, Common: true,
		Help: "set a fact: occurred, detected, aware REGIME, classified, personal_data, affected, time_zone, language",
		Examples: []string{"fact occurred yesterday 23:10 because the log shows the first call", "fact personal_data suspected because the dump held addresses",
			"fact affected \"Example SA\" processor 1200 notified 2026-11-24 10:00", "fact aware gdpr 02:31 because counsel read the report"},
		Syntaxes: []Syntax{{Verb: incident.VerbSetFact, result: factSet, Args: []Arg{factNameArg.ask(), factValueArg.ask(), factReasonArg}, Form: factMenu}}},

	{Name: "step", Help: "mark a playbook step as done, or skip it", NeedsIncident: true, Common: true,
		Examples: []string{"step done rotate-key the old key is gone", "step skip leaked-aws-credentials/ask-aws because there is no support contract"},
		usage:    "done | skip STEP [OUTCOME or REASON]",
		Syntaxes: []Syntax{
			{Verb: incident.VerbStepDone, result: stepFinished, button: []part{stepPart}, Words: []string{"done", "finish", "finished"}, Args: []Arg{incidentArg, stepArg.ask(), happenedAtArg.quiet(), textArg.named("[OUTCOME]")},
				Form: &FormSpec{Title: "Complete a step", Submit: "Complete", NeedsState: true, fill: inOrder(listSteps, explainIfEmpty("step", "All steps of %s are finished.")), Fields: []Field{
					stepArg.choice("Which step?"),
					textArg.input(KindProse, "What was the result?").optional(), whenField()}}},
			{Verb: incident.VerbStepSkip, result: stepFinished, button: []part{stepPart}, Words: []string{"skip", "skipped"}, Args: []Arg{incidentArg, stepArg.ask(), happenedAtArg.quiet(), textArg.named("REASON").ask()},
				Form: &FormSpec{Title: "Skip a step", Submit: "Skip", NeedsState: true, fill: inOrder(listSteps, explainIfEmpty("step", "All steps of %s are finished.")), Fields: []Field{
					stepArg.choice("Which step?"),
					textArg.input(KindProse, "Why is the step not needed?"), whenField()}}},
		}},

	{Name: "note", Help: "add a note to the timeline", NeedsIncident: true, Common: true,
		Examples: []string{"note at 02:31 disabled the key"},
		Syntaxes: []Syntax{{Verb: incident.VerbNote, result: noted, Args: []Arg{happenedAtArg, audienceArg, proseArg.ask()},
			Form: &FormSpec{Title: "Add a note", Submit: "Add", Fields: []Field{
				proseArg.input(KindProse, "Note"),
				whenField(),
				audienceArg.radio("Who can read the note?", audiences...).titled(audienceTitles),
			}}}}},

	{Name: "evidence", Help: "record a piece of evidence with its location and hash", NeedsIncident: true, Common: true,
		Examples: []string{`evidence "disk image of web-1" in s3://evidence/web-1.img sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`},
		Syntaxes: []Syntax{{Verb: incident.VerbEvidence, Args: []Arg{happenedAtArg.quiet(), evidenceArg.ask()},
			Form: &FormSpec{Title: "Add evidence", Submit: "Add", Fields: []Field{
				evidenceNameArg.input(KindLine, "Name of the evidence"),
				evidenceWhereArg.input(KindLine, "Where is the evidence stored?").optional(),
				evidenceHashArg.input(KindLine, "SHA-256").optional().
					hint("64 hexadecimal digits. With the hash, the signatures of the closing record also cover the content of the evidence."),
				whenField(),
			}},
			result: evidenceAdded}}},

	{Name: "contain", Aliases: []string{"contained"}, Help: "mark the incident as contained: the harm no longer spreads", NeedsIncident: true, Common: true,
		Examples: []string{"contain at 02:31 disabled the key"},
		Syntaxes: []Syntax{{Verb: incident.VerbContain, Args: []Arg{happenedAtArg, textArg.named("HOW").ask()},
			Form:   &FormSpec{Title: "Contain the incident", Submit: "Mark as contained", Fields: []Field{textArg.input(KindProse, "How was the harm stopped?"), whenField()}},
			result: done("%s is contained")}}},

	{Name: "resolve", Aliases: []string{"resolved"}, NeedsIncident: true, Common: true,
		Help:     "mark the incident as resolved: service and security are restored (WHY is for required steps that stay open)",
		Examples: []string{"resolve all keys rotated, logins work", "resolve the key was never valid because there is nothing to rotate"},
		Syntaxes: []Syntax{{Verb: incident.VerbResolve, Args: []Arg{happenedAtArg, resolutionArg.ask()},
			Form: &FormSpec{Title: "Resolve the incident", Submit: "Mark as resolved", NeedsState: true, fill: listOpenSteps, Fields: []Field{
				resolutionArg.input(KindProse, "How were service and security restored?"),
				openStepsReasonArg.input(KindProse, "Why can these steps stay open?").hint("The four departments read the reason before they sign."),
				whenField(),
			}},
			result: done("%s is resolved. Next: write the closing record")}}},
}

var severities = names(incident.Severities())

var severityTitles = map[string]string{severities[0]: severities[0] + " (most severe)", severities[len(severities)-1]: severities[len(severities)-1] + " (least severe)"}

// currentSeverityArg is newSeverityArg in a form, which shows the present severity.
var currentSeverityArg = Arg{Name: "severity", read: newSeverityArg.read, value: func(c FormContext) string {
	return string(cmp.Or(c.Given.Severity, c.Incident.Severity))
}}

// openOptionsArg are the options of open before the title, in any order.
var openOptionsArg = Arg{Name: "severity", Usage: "[sev1…sev4] [--public]", Next: append(slices.Clip(severities), "--public"),
	Flags: []Flag{{Name: "public", Help: "let the whole company read the incident"}},
	read: func(p *parser, w *Parsed) (bool, error) {
		for {
			if p.takeFlag("public") {
				w.Command.Public = true
				continue
			}
			if found, err := p.severityOnce(&w.Command); err != nil {
				return false, err
			} else if !found {
				return true, p.noFlag("public")
			}
		}
	}, write: func(w *Parsed) string {
		if w.Command.Public {
			return strings.TrimSpace(string(w.Command.Severity) + " --public")
		}
		return string(w.Command.Severity)
	}}

// titleArg is the title of an incident.
var titleArg = Arg{Name: "title", Usage: "TITLE", part: titlePart, read: func(p *parser, w *Parsed) (given bool, err error) {
	if err := p.misplaced(); err != nil {
		return false, err
	}
	w.Command.Title, err = p.title(&w.Command)
	return w.Command.Title != "", err
}}

// proseArg is a text that may begin with "because".
var proseArg = Arg{Name: "text", Usage: "TEXT", part: textPart, read: func(p *parser, w *Parsed) (bool, error) {
	if err := p.misplaced(); err != nil {
		return false, err
	}
	w.Command.Text = p.freeText()
	return w.Command.Text != "", nil
}}

func writeStatuses(w *Parsed) string {
	out := names(w.Filter.Statuses)
	if w.Filter.All {
		out = append([]string{"all"}, out...)
	}
	return strings.Join(out, " ")
}

func readStatuses(p *parser, w *Parsed) (bool, error) {
	for {
		word, ok := p.next()
		if !ok {
			return true, nil
		}
		name := incident.Status(strings.ReplaceAll(strings.ToLower(strings.Trim(word.text, ",")), "-", "_"))
		switch {
		case name == "all" || name == "--all":
			w.Filter.All = true
		case slices.Contains(incident.Statuses(), name):
			w.Filter.Statuses = append(w.Filter.Statuses, name)
		default:
			return false, unknownWord(incident.Invalid, "status", word.text, append(names(incident.Statuses()), "all"), "unknown status %q. Did you mean %s?", "unknown status %q. Use one of: %s")
		}
	}
}

// readStatusIncident reads an incident that is named by its number alone.
func readStatusIncident(p *parser, w *Parsed) (bool, error) {
	rest := p.rest()
	if rest == "" {
		return true, nil
	}
	id, err := incident.ParseID(Readable(rest))
	if err == nil {
		err = p.nameIncident(w, id)
	}
	return err == nil, err
}

// roleArg is the role of a person.
var roleArg = Arg{Name: "role", Usage: "ROLE", Next: names(incident.Roles()), part: rolePart, read: func(p *parser, w *Parsed) (bool, error) {
	word, ok := p.next()
	if !ok {
		return false, nil
	}
	w.Command.Role = incident.Role(strings.ToLower(strings.Trim(word.text, ":=")))
	if w.Command.Role == "" {
		return false, p.missing("role", "%s needs a role. Type %s")
	}
	p.take("to", "is", "=")
	return true, nil
}, write: func(w *Parsed) string {
	if w.Command.Role == "" {
		return ""
	}
	return quoteWord(string(w.Command.Role))
}}

// roleReasonArg is the reason for a role. It needs its "because", because a name
// with an unknown part would leave the part behind.
var roleReasonArg = Arg{Name: "text", read: func(p *parser, w *Parsed) (bool, error) {
	if next, ok := p.peek(); ok && !p.take("because") {
		return false, incident.Invalid("person", "unexpected word %q. Type role %s PERSON because REASON", truncate(next.text), w.Command.Role)
	}
	w.Command.Text = p.freeText()
	return true, nil
}, write: writeBecause}

// stepArg is a step of a playbook.
var stepArg = Arg{Name: "step", Usage: "STEP", read: func(p *parser, w *Parsed) (bool, error) {
	word, ok := p.next()
	if !ok {
		return false, p.missing("step", "%s needs the name of a step. Type %s")
	}
	w.Command.Step = word.text
	if !word.quoted && !p.field {
		w.Command.Step = strings.TrimRight(word.text, ",:;")
	}
	return true, nil
}, part: stepPart, write: func(w *Parsed) string { return quoteWord(w.Command.Step) }}

// audienceTitles are the audiences as forms show them.
var audienceTitles = map[string]string{string(incident.AudienceAll): "The whole company", string(incident.AudienceResponders): "The people who work on the incident", string(incident.AudienceLegalSecurity): "Legal and security"}

var audiences = names([]incident.Audience{incident.AudienceAll, incident.AudienceResponders, incident.AudienceLegalSecurity})

// audienceArg is the audience of a note, by default the responders.
var audienceArg = Arg{Name: "audience", Usage: "[--audience all|responders|legal_and_security]", Next: []string{"--audience"},
	Flags: []Flag{{Name: "audience", Help: "`audience` of the note: all, responders or legal_and_security"}},
	read: func(p *parser, w *Parsed) (bool, error) {
		if !p.field && !p.takeFlag("audience") {
			return false, p.noFlag("audience")
		}
		word, _ := p.next()
		w.Command.Audience = incident.Audience(strings.ReplaceAll(strings.ToLower(word.text), "-", "_"))
		if !slices.Contains(audiences, string(w.Command.Audience)) {
			return false, unknownWord(incident.Invalid, "audience", word.text, audiences, "unknown audience %q. Did you mean %s?", "unknown audience %q. Use one of: %s")
		}
		if p.field {
			return true, nil
		}
		if w.Command.HappenedAt.IsZero() {
			if _, err := readHappenedAt(p, w); err != nil {
				return false, err
			}
		}
		if p.takeFlag("audience") {
			return false, incident.Invalid("audience", "the flag --audience is given twice. Type it once")
		}
		return true, p.noFlag("audience")
	},
	value: func(c FormContext) string {
		if c.Given.Audience != "" {
			return string(c.Given.Audience)
		}
		return string(incident.AudienceResponders)
	}, write: func(w *Parsed) string {
		if w.Command.Audience == "" {
			return ""
		}
		return "--audience " + string(w.Command.Audience)
	}}

// resolutionArg is "HOW [because WHY]". A form asks for the reason separately.
var resolutionArg = Arg{Name: "text", Usage: "HOW [because WHY]", part: textPart, read: func(p *parser, w *Parsed) (bool, error) {
	if before, ok := p.cut("because"); ok && !p.field && !p.atEnd() {
		w.Command.Text, w.Command.Reason = p.inner(before).reason(), p.freeText()
	} else {
		w.Command.Text = p.reason()
	}
	return w.Command.Text != "", nil
}, write: func(w *Parsed) string {
	return strings.TrimSpace(introduce("", w.Command.Text) + " " + introduce("because", w.Command.Reason))
}}

// openStepsReasonArg is the reason why steps stay open.
var openStepsReasonArg = Arg{Name: "reason", part: reasonPart}

// listOpenSteps asks for a reason only if steps are open.
func listOpenSteps(f *Form, c FormContext) {
	open := c.Incident.OpenSteps()
	if len(open) == 0 {
		f.Fields = slices.Delete(f.Fields, 1, 2)
		return
	}
	f.Fields = slices.Insert(f.Fields, 0, Field{Kind: KindPlain, Label: "Steps are still open: " + strings.Join(open, ", ")})
}
