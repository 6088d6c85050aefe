package command

import (
	"strings"

	"tocsin/bot/incident"
)

// recordSpecs are the commands about the closing record and its signatures.
var recordSpecs = []Spec{
	{Name: "record", Help: "show, edit or submit the closing record that four departments sign", NeedsIncident: true, Common: true,
		Examples: []string{"record", "record confirm summary impact", "record set root_cause the key was in a log line", "record submit"},
		usage:    "[show | confirm PART … | set FIELD TEXT | submit]",
		Syntaxes: []Syntax{
			{Query: QueryRecord, Words: []string{"show", "read"}, Args: []Arg{incidentArg}},
			{Verb: incident.VerbEditRecord, Words: []string{"set"}, Args: []Arg{incidentArg, recordTextArg},
				canonical: func(w *Parsed) bool { return len(w.Command.Record) == 1 && len(w.Command.Confirm) == 0 }},
			{Verb: incident.VerbEditRecord, Words: []string{"confirm"}, Args: []Arg{incidentArg, confirmArg},
				canonical: func(w *Parsed) bool { return len(w.Command.Record) == 0 && len(w.Command.Confirm) > 0 }},
			{Verb: incident.VerbSubmit, Words: []string{"submit"}, Args: []Arg{incidentArg},
				canonical: func(w *Parsed) bool { return len(w.Command.Record)+len(w.Command.Confirm) == 0 }},
			{Verb: incident.VerbEditRecord, result: recordEdited, Words: []string{"edit"}, Bare: true, Args: []Arg{incidentArg, formOnlyArg.ask()}, canonical: func(w *Parsed) bool { return w.Form != "" },
				Form: &FormSpec{Title: "Edit the record", Submit: "Save", NeedsState: true, Edits: true, check: keepRecord, fill: showDraft, Fields: append(recordFields(true), confirmField)}},
		}},

	{Name: "submit", Help: "submit the closing record for signing", NeedsIncident: true,
		Examples: []string{"submit"},
		Syntaxes: []Syntax{{Verb: incident.VerbSubmit, canonical: func(*Parsed) bool { return false },
			Form:   &FormSpec{Title: "Submit the record", Submit: "Submit for signing", NeedsState: true, Edits: true, check: keepRecord, fill: showDraft, Fields: append(recordFields(false), confirmField)},
			result: done("The closing record of %s is frozen. Tocsin requests the signatures of the departments")}}},

	{Name: "sign", Help: "sign the closing record for your department, under the digest you read", NeedsIncident: true, Common: true,
		Examples: []string{"sign", "sign legal sha256:…"},
		Syntaxes: []Syntax{{Verb: incident.VerbSign, button: []part{departmentPart, digestPart}, Args: []Arg{signerArg.ask(), digestArg.ask(), noTextArg},
			Form:   &FormSpec{Title: "Sign the record", Submit: "Sign", NeedsState: true, Reads: true, fill: showSignature, Fields: signFields},
			result: signed}}},

	{Name: "object", Help: "object to the closing record and block approval", NeedsIncident: true, Common: true,
		Examples: []string{"object legal", "object legal sha256:… the impact leaves out the contractors"},
		Syntaxes: []Syntax{{Verb: incident.VerbObject, button: []part{departmentPart, digestPart}, Args: []Arg{signerArg.ask(), digestArg.ask(), textArg.named("[REASON]").ask()},
			Form: &FormSpec{Title: "Object to the record", Submit: "Object", NeedsState: true, Reads: true, fill: showSubmissionToTeams, Fields: []Field{
				{Kind: KindRule},
				departmentArg.choice("Department", names(incident.RequiredDepartments())...),
				textArg.input(KindProse, "What is wrong with the record?"),
			}},
			result: done("You objected to the closing record of %s. Approval waits until you withdraw the objection or the record is amended")}}},

	{Name: "amend", Help: "reopen the closing record for changes and void its signatures", NeedsIncident: true,
		Examples: []string{"amend the impact left out the contractors"},
		Syntaxes: []Syntax{{Verb: incident.VerbAmend, Args: []Arg{happenedAtArg.quiet(), textArg.named("WHY").ask()},
			Form:   &FormSpec{Title: "Amend the record", Submit: "Amend", Fields: []Field{textArg.input(KindProse, "Why must the record change? Amending voids its signatures.")}},
			result: done("You can edit the closing record of %s again. Its signatures are void")}}},

	{Name: "withdraw", Help: "withdraw an objection or your signature", NeedsIncident: true,
		Examples: []string{"withdraw", "withdraw O1", "withdraw legal"},
		Syntaxes: []Syntax{{Verb: incident.VerbWithdraw, result: withdrawn, button: []part{itemPart}, atOnce: itemPart, Args: []Arg{
			{Name: "item", Usage: "[O1 | DEPARTMENT]", Next: departmentArg.Next, read: readWithdrawn, write: writeWithdrawn}, mayBecauseArg},
			Form: &FormSpec{Title: "Withdraw", Submit: "Withdraw", NeedsState: true,
				fill: inOrder(listWithdrawable, explainIfEmpty("item", "%s has no objection or signature to withdraw."), selectOnly("item")), Fields: []Field{
					withdrawnArg.choice("Which objection or signature?"),
					textArg.input(KindProse, "Why?").optional(),
				}}}}},

	{Name: "delegate", Help: "let another person act for your department in this incident, or end that", NeedsIncident: true,
		Examples: []string{"delegate legal @ada until 2026-12-01", "delegate end legal @ada because Grace is back"},
		usage:    "[end] DEPARTMENT PERSON until DATE",
		Syntaxes: []Syntax{
			{Verb: incident.VerbDelegate, result: delegated, Args: []Arg{departmentArg.ask(), skipWords("to"), personArg.ask(), untilArg.ask()},
				Form: &FormSpec{Title: "Delegate", Submit: "Delegate", NeedsState: true, fill: listTeams, Fields: []Field{
					departmentArg.choice("For which department?"),
					personArg.input(KindPerson, "Who acts for it in this incident?"),
					untilArg.input(KindMoment, "Until when?").hint("At most 90 days."),
				}}},
			{Verb: incident.VerbEndDelegation, Words: []string{"end", "revoke"}, Args: []Arg{incidentArg, departmentArg.ask(), skipWords("to"), personArg.ask(), mayBecauseArg},
				Form: &FormSpec{Title: "End a delegation", Submit: "End", NeedsState: true,
					fill: inOrder(listDelegations, explainIfEmpty("department", "%s has no delegation."), selectOnly("department")), Fields: []Field{
						departmentArg.choice("Which department?"),
						personArg.input(KindPerson, "Whose delegation ends?"),
						textArg.input(KindProse, "Why?").optional(),
					}},
				result: delegationEnded}}},

	{Name: "consult", Help: "consult a team before closing (blocking: approval needs its answer)", NeedsIncident: true,
		Examples: []string{"consult payroll blocking"},
		Syntaxes: []Syntax{{Verb: incident.VerbConsult, Args: []Arg{teamArg.ask(), {Name: "blocking", Usage: "[blocking]", read: readBlocking, write: writeBlocking}, becauseArg.quiet()},
			Form: &FormSpec{Title: "Consult a team", Submit: "Consult", NeedsState: true, fill: listTeams, Fields: []Field{
				teamArg.choice("Which team?"),
				tick("blocking", "Approval", "Wait for the answer before the record is approved", func(c *incident.Command) { c.Blocking = true }).optional(),
			}},
			result: consulted}}},

	{Name: "involve", Help: "involve a department now, before sign-off", NeedsIncident: true,
		Examples: []string{"involve legal because a regulator must be notified"},
		Syntaxes: []Syntax{{Verb: incident.VerbInvolve, result: involved, Args: []Arg{departmentArg.ask(), mayBecauseArg},
			Form: &FormSpec{Title: "Involve a department", Submit: "Involve", NeedsState: true, fill: listTeams, Fields: []Field{
				departmentArg.choice("Which department?"),
				textArg.input(KindProse, "Why?").optional(),
			}}}}},

	{Name: "answer", Help: "answer for a consulted team", NeedsIncident: true,
		Examples: []string{"answer payroll no run was affected"},
		Syntaxes: []Syntax{{Verb: incident.VerbAnswer, result: answered, button: []part{departmentPart}, Args: []Arg{teamArg.ask(), textArg.ask()},
			Form: &FormSpec{Title: "Answer for your team", Submit: "Answer", NeedsState: true, fill: inOrder(listConsulted, explainIfEmpty("department", "No team was consulted on %s."), selectOnly("department")), Fields: []Field{
				teamArg.choice("For which team?"),
				textArg.input(KindProse, "How does the incident affect your team, and is anything missing?")}}}}},

	{Name: "revise", Help: "submit a new revision of an approved record for signing", NeedsIncident: true,
		Examples: []string{"revise the forensics report changes the root cause", `revise set root_cause "the key was guessed" because the forensics report says so`},
		Syntaxes: []Syntax{{Verb: incident.VerbRevise, result: revised, Args: []Arg{
			Arg{Name: "record", Usage: "[set FIELD TEXT …] because WHY", Next: []string{"set"}, read: readRevision, write: writeRevision}.ask()},
			Form: &FormSpec{Title: "Revise the record", Submit: "Submit for signing", NeedsState: true, check: keepRecord,
				Fields: append([]Field{textArg.input(KindProse, "Why is the record revised?")}, recordFields(false)...)}}}},
}

// formOnlyArg stands for the fields of a form that nobody types.
var formOnlyArg = Arg{read: func(*parser, *Parsed) (bool, error) { return false, nil }}

// skipWords accepts a word that carries no meaning.
func skipWords(words ...string) Arg {
	return Arg{read: func(p *parser, _ *Parsed) (bool, error) { return p.take(words...), nil }}
}

// recordTextArg is "FIELD TEXT" of the closing record.
var recordTextArg = Arg{Name: "record", Usage: "FIELD TEXT", read: func(p *parser, w *Parsed) (bool, error) {
	field, err := p.recordField()
	if err != nil {
		return false, err
	}
	w.Command.Record = map[string]string{field: p.freeText()}
	return true, nil
}, write: func(w *Parsed) string { return strings.TrimPrefix(writeEdits(w), "set ") }}

// recordField consumes the name or label of a field of the record.
func (p *parser) recordField() (string, error) {
	known := []string{}
	rest := strings.ToLower(p.text[p.pos:])
	best, size := "", 0
	for _, f := range incident.RecordFields() {
		known = append(known, f.Name)
		trimmed := strings.TrimLeftFunc(rest, isSpace)
		for _, spelling := range []string{f.Name, strings.ReplaceAll(f.Name, "_", " "), strings.ReplaceAll(f.Name, "_", "-"), strings.ToLower(f.Label), strings.ReplaceAll(strings.ToLower(f.Label), " ", "_")} {
			after, ok := strings.CutPrefix(trimmed, spelling)
			if ok && len(spelling) > size && (after == "" || strings.IndexFunc(after, func(r rune) bool { return isSpace(r) || r == ':' || r == '=' || r == ',' }) == 0) {
				best, size = f.Name, len(spelling)
			}
		}
	}
	if best == "" {
		word, ok := p.next()
		if !ok {
			return "", p.missing("field", "%s needs a field. Type %s")
		}
		return "", unknownWord(incident.Invalid, "field", word.text, known, "unknown field %q. Did you mean %s?", "unknown field %q. Use one of: %s")
	}
	p.skip()
	p.pos += size
	p.pos += len(p.text[p.pos:]) - len(strings.TrimLeft(p.text[p.pos:], ":=,"))
	return best, nil
}

// recordFields returns a field for each field of the record. The values may be
// redacted, so only changed ones are submitted, and an untouched field never
// overwrites the full text. If edit is set, no field is required.
func recordFields(edit bool) []Field {
	var out []Field
	for _, f := range incident.RecordFields() {
		arg := Arg{Name: f.Name, value: func(c FormContext) string { return c.Incident.Record.Get(f.Name) }, read: func(p *parser, w *Parsed) (bool, error) {
			if w.Command.Record == nil {
				w.Command.Record = map[string]string{}
			}
			w.Command.Record[f.Name] = p.freeText()
			return true, nil
		}}
		field := arg.input(KindProse, f.Label)
		field.Optional, field.Sparse, field.Command = edit || !f.Required, true, "record set "+f.Name+" TEXT"
		switch f.Name {
		case "audience":
			field.Kind, field.Options, field.Titles = KindRadio, audiences, audienceTitles
		case "language":
			field.Kind, field.Options, field.Titles = KindChoice, languages, languageTitles
		}
		out = append(out, field)
	}
	return out
}
