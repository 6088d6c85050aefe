package command

import "tocsin/bot/incident"

// Mark is the kind of a result, for providers that show an icon.
type Mark int

// The marks.
const (
	MarkDone    Mark = iota
	MarkPaging       // people are paged
	MarkPrivate      // only legal and security see the result
)

// ResultOf tells the author of a command what it did.
func ResultOf(cmd incident.Command, r incident.Result) (incident.Sentence, Mark) {
	inc := r.Incident
	if inc.ID == 0 {
		inc.ID = cmd.For
	}
	y, known := syntaxOf(cmd.Verb)
	switch {
	case r.Reported:
		return incident.ReportReceived, MarkDone
	case r.Unchanged && known && y.unchanged != nil:
		return y.unchanged(inc), y.mark
	case r.Unchanged:
		return incident.Say("No change: the timeline of %s already has this. Its status is %s, its severity %s", inc.ID, inc.Status, inc.Severity), MarkDone
	case known && y.result != nil:
		return y.result(inc), y.mark
	}
	return incident.Say("Recorded in %s", inc.ID), MarkDone
}

// done returns a result that is one sentence about the incident.
func done(format string) func(incident.Incident) incident.Sentence {
	return func(i incident.Incident) incident.Sentence {
		return incident.Sentence{Format: format, Args: []any{i.ID}}
	}
}
