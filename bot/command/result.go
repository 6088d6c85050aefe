package command

import (
	"strings"

	"tocsin/bot/incident"
)

// ResultKind is the kind of a result, for providers that show an icon.
type ResultKind int

// The kinds of results.
const (
	ResultDone    ResultKind = iota
	ResultPaging             // people are paged
	ResultPrivate            // only legal and security see the result
)

// ResultOf tells the author of a command what it did.
func ResultOf(cmd incident.Command, r incident.Result) (incident.Sentence, ResultKind) {
	inc := r.Incident
	if inc.ID == 0 {
		inc.ID = cmd.For
	}
	y, known := syntaxOf(cmd.Verb)
	switch {
	case r.Reported:
		return incident.ReportReceived, ResultDone
	case r.Requested:
		return incident.AccessRequested(inc.ID), ResultDone
	case r.Unchanged && r.Earlier != "" && r.Next != "":
		return incident.Say("No change: %s. The status of %s is %s, its severity %s. %s", incident.Quoted(r.Earlier), inc.ID, inc.Status, inc.Severity, incident.Literal(r.Next)), ResultDone
	case r.Unchanged && r.Earlier != "":
		return incident.Say("No change: %s. The status of %s is %s, its severity %s", incident.Quoted(r.Earlier), inc.ID, inc.Status, inc.Severity), ResultDone
	case r.Unchanged && known && y.unchanged != nil:
		return y.unchanged(inc), y.kind
	case r.Unchanged:
		return incident.Say("No change: the timeline of %s already has this. Its status is %s, its severity %s", inc.ID, inc.Status, inc.Severity), ResultDone
	case len(r.Paged) > 0:
		return incident.Say("Paging for %s: %s", inc.ID, incident.Quoted(strings.Join(r.Paged, ", "))), ResultPaging
	case known && y.result != nil:
		return y.result(change{cmd, inc, r.Events}), y.kind
	}
	return incident.Say("Recorded in %s", inc.ID), ResultDone
}
