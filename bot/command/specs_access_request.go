package command

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
)

const breakGlassHours = int(incident.BreakGlassTTL / time.Hour)

// accessRequestSpec is the command of people who may not read an incident, and of those
// who let them.
var accessRequestSpec = Spec{Name: "access", NeedsIncident: true,
	Help:     "request access to a restricted incident, endorse a request, or read at once with break-glass (its members see it)",
	Examples: []string{"access request INC-42 because I run the cluster", "access endorse @ada", "access break-glass INC-42 because the regulator is calling"},
	Syntaxes: []Syntax{
		{Verb: incident.VerbRequestAccess, Words: []string{"request", "ask"}, Args: []Arg{incidentArg, requestReasonArg},
			Form: &FormSpec{Title: "Ask for access", Submit: "Ask", Fields: []Field{
				whichIncident,
				requestReasonArg.input(KindProse, "Why do you need to read the incident?").hint("Security or the commander decides. Its members read the reason.")}}},
		{Verb: incident.VerbEndorseAccess, Words: []string{"endorse", "approve"}, Args: []Arg{incidentArg, requesterArg.ask(), mayBecauseArg}, button: []part{personPart}, atOnce: personPart,
			Form: &FormSpec{Title: "Endorse a request", Submit: "Give access", Fields: []Field{
				personArg.input(KindPerson, "Who requested access?"), textArg.input(KindProse, "Why?").optional()}},
			result: endorsed},
		{Verb: incident.VerbBreakGlass, Words: []string{"break-glass", "breakglass"}, Args: []Arg{incidentArg, requestReasonArg}, kind: ResultPrivate,
			Form: &FormSpec{Title: "Break-glass", Submit: "Read now", Fields: []Field{
				whichIncident,
				requestReasonArg.input(KindProse, "Why do you need to read the incident now?").
					hint(fmt.Sprintf("You can read and add notes for %d hours. The members of the incident and the next review agenda see this.", breakGlassHours))}},
			result: func(c change) incident.Sentence {
				return incident.Say("You can read %s and add notes for %d hours. Its members and the next review agenda see this", c.inc.ID, breakGlassHours)
			},
			unchanged: func(i incident.Incident) incident.Sentence {
				return incident.Say("No change: you can read %s already", i.ID)
			}},
	}}

// whichIncident asks for the incident, which a person without access cannot select.
var whichIncident = formIncidentArg.input(KindLine, "Which incident?").hint("Its ID, such as INC-42.")

// requestReasonArg is the reason of a person who has no access.
var requestReasonArg = textArg.named("because REASON").ask()

// requesterArg is personArg for a command that a form completes.
var requesterArg = Arg{Name: "person", Usage: "PERSON", read: newCommanderArg.read, write: personArg.write}
