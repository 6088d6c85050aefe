package incident

import (
	"fmt"
	"slices"
	"strconv"
)

// The kinds of events about the severity.
const (
	EventSeveritySet      EventKind = "severity_set"
	EventSeverityProposed EventKind = "severity_proposed" // by an alert, because a person lowered the severity
	EventSeverityKept     EventKind = "severity_kept"     // a person rejected the proposal
)

var severityEvents = eventTable{
	EventSeveritySet: {
		fields:  "from proposed severity update_due",
		apply:   (*Incident).applySeveritySet,
		effects: effects{announceRaised, timeAcknowledgementAgain, timeUpdate, updatePager, postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("%s changed the severity from %s to %s", e.By, e.severity("from"), e.severity("severity"))
		},
		text:         "reason",
		announcement: "The severity of %s is now %s.",
		lane:         laneResponse,
	},
	EventSeverityProposed: {
		fields:  "alert from severity until",
		apply:   (*Incident).applySeverityProposed,
		effects: effects{timeProposal, postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("A new alert (%s) proposes %s. A person lowered the severity to %s, which holds until a responder answers, or until %s",
				e.literal("kind"), e.severity("severity"), e.severity("from"), parseInstant(e.Field("until")))
		},
		lane: laneResponse,
	},
	EventSeverityKept: {
		fields: "proposed severity",
		apply: func(i *Incident, e Event) {
			i.SeverityProposal = nil
			i.recordLowering(e.By)
		},
		effects: effects{refreshCard},
		sentence: func(e Event) Sentence {
			return Say("%s kept the severity at %s, although an alert proposed %s", e.By, e.severity("severity"), e.severity("proposed"))
		},
		text: "reason",
		lane: laneResponse,
	},
}

// announceRaised announces that the severity was raised.
func announceRaised(c effectBuilder) []Effect {
	if !c.event.severity("severity").MoreSevereThan(c.event.severity("from")) {
		return nil
	}
	return announceIncident(c)
}

func (i *Incident) applySeveritySet(e Event) {
	was, s := i.Severity, e.severity("severity")
	i.applySeverity(s)
	i.applyUpdateDue(e)
	switch {
	case e.By != "" && was.MoreSevereThan(s):
		i.recordLowering(e.By)
		if was.MoreSevereThan(i.LoweredFrom) {
			i.LoweredFrom = was
		}
	case e.By == "", !i.LoweredFrom.MoreSevereThan(s):
		i.LoweredFrom = ""
	}
	if p := i.SeverityProposal; p != nil && (e.Field("proposed") != "" || !p.Severity.MoreSevereThan(s)) {
		i.SeverityProposal = nil
	}
}

// applySeverityProposed records a proposal. Its severity counts for the peak
// severity, because two people must dismiss what an alert rates sev1 or sev2.
func (i *Incident) applySeverityProposed(e Event) {
	alert, _ := strconv.ParseInt(e.Field("alert"), 10, 64)
	p := SeverityProposal{Severity: e.severity("severity"), Alert: alert, Kind: e.Field("kind"), At: e.RecordedAt, Until: parseInstant(e.Field("until"))}
	if i.SeverityProposal = &p; p.Severity.MoreSevereThan(i.PeakSeverity) {
		i.PeakSeverity = p.Severity
	}
}

// applySeverity sets the severity and updates the peak severities.
func (i *Incident) applySeverity(s Severity) {
	for _, was := range []Severity{i.Severity, s} { // states stored before PeakSeverity existed have Severity only
		if was.MoreSevereThan(i.PeakSeverity) {
			i.PeakSeverity = was
		}
	}
	i.Severity = s
	if p := &i.Paging; p.Acknowledged() && p.AcknowledgedSeverity != "" && s.MoreSevereThan(p.AcknowledgedSeverity) {
		p.AcknowledgedSeverity = s
	}
}

// recordLowering records that a person lowered the severity or the suspicion of
// personal data. The bot lowers neither.
func (i *Incident) recordLowering(p PersonID) {
	if p != "" && !slices.Contains(i.LoweredBy, p) {
		i.LoweredBy = append(slices.Clone(i.LoweredBy), p)
	}
}

// editSeverityCalls builds an edit of the message about each raised severity, whose button
// asks for a responder.
func editSeverityCalls(c effectBuilder) []Effect {
	var out []Effect
	for _, r := range c.inc.Requests {
		if r.Kind == EventSeveritySet {
			out = append(out, c.retract(r))
		}
	}
	return out
}

// timeProposal builds the deadline that raises the severity unless a person answers
// the proposal of an alert.
func timeProposal(c effectBuilder) []Effect {
	until := parseInstant(c.event.Field("until"))
	if until.IsZero() {
		return nil
	}
	e := c.deadline(Command{Verb: VerbSeverityTimeout}, until, fmt.Sprintf("%s/%d/severity_timer", c.inc.ID, c.event.Seq))
	e.Urgent = true
	return []Effect{e}
}
