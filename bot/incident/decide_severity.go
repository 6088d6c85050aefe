package incident

import (
	"slices"
	"strconv"
	"time"
)

// ProposalTimeout is the time after which the severity is raised if nobody answers
// the proposal of an alert.
const ProposalTimeout = 5 * time.Minute

// setSeverity changes the severity. It answers the proposal of an alert, also by
// repeating the present severity.
func (d *decider) setSeverity() error {
	parsed, err := ParseSeverity(string(d.cmd.Severity))
	if err != nil {
		return err
	}
	if parsed == d.inc.Severity && d.inc.SeverityProposal != nil {
		return d.keepSeverity()
	}
	return d.severity(parsed, d.cmd.Text)
}

// keepSeverity rejects the proposal of an alert to raise the severity.
func (d *decider) keepSeverity() error {
	p := d.inc.SeverityProposal
	if p == nil {
		return Conflict("no alert proposes to raise the severity of %s. Type severity sev1 to sev4 to change it", d.inc.ID)
	}
	d.emit(EventSeverityKept, fields{"severity": string(d.inc.Severity), "proposed": string(p.Severity)}, texts{"reason": d.cmd.Text})
	d.approve() // a record does not become approved before the answer
	return nil
}

// severity changes the severity. Raising it during the response pages again,
// unless the acknowledgement in force was for a severity at least as severe.
func (d *decider) severity(s Severity, reason string) error {
	parsed, err := ParseSeverity(string(s))
	if err != nil {
		return err
	}
	if parsed == d.inc.Severity {
		return nil
	}
	pages := parsed.MoreSevereThan(d.inc.Severity) && d.inc.Status.Responding() && !d.inc.Paging.covers(parsed)
	f := fields{"severity": string(parsed), "from": string(d.inc.Severity)}
	if p := d.inc.SeverityProposal; p != nil && d.cmd.Verb != VerbMerge {
		f["proposed"] = string(p.Severity) // the command answers the proposal
	}
	if d.inc.Status.Responding() {
		f["update_due"] = d.firstUpdateDue(parsed)
	}
	d.emit(EventSeveritySet, f, texts{"reason": reason})
	if pages {
		d.startPaging()
	}
	d.voidSubmission("the severity changed")
	return nil
}

// covers reports whether an acknowledgement is in force that was given for a
// severity at least as severe as s.
func (p Paging) covers(s Severity) bool {
	return p.Acknowledged() && !s.MoreSevereThan(p.AcknowledgedSeverity)
}

// raiseByAlert raises the severity to the severity of an alert. If a person lowered
// the severity, it only proposes to.
func (d *decider) raiseByAlert(a AlertRef) error {
	s := d.cmd.Severity
	switch {
	case !s.MoreSevereThan(d.inc.Severity):
		return nil
	case d.inc.LoweredFrom == "" || d.cmd.Verb != VerbAttach:
		return d.severity(s, "raised by an alert of kind "+a.Kind)
	}
	d.proposeSeverity(SeverityProposal{Severity: s, Alert: a.Alert, Kind: a.Kind, Until: d.env.Now.Add(ProposalTimeout)})
	return nil
}

// proposeSeverity records a proposal to raise the severity, unless the present one
// is at least as severe. A more severe proposal does not get more time.
func (d *decider) proposeSeverity(p SeverityProposal) {
	if now := d.inc.SeverityProposal; now != nil {
		if !p.Severity.MoreSevereThan(now.Severity) {
			return
		}
		if now.Until.Before(p.Until) {
			p.Until = now.Until
		}
	}
	d.emit(EventSeverityProposed, fields{"severity": string(p.Severity), "from": string(d.inc.Severity), "alert": strconv.FormatInt(p.Alert, 10),
		"kind": p.Kind, "until": instant(p.Until)}, nil)
}

// inheritProposal takes over the proposal of the incident that a merge or split
// took the alert from.
func (d *decider) inheritProposal(source Incident) {
	if p := source.SeverityProposal; p != nil && p.Severity.MoreSevereThan(d.inc.Severity) &&
		slices.ContainsFunc(d.inc.Alerts, func(a AlertRef) bool { return a.Alert == p.Alert }) {
		d.proposeSeverity(*p)
	}
}

// severityTimeout raises the severity as proposed, because nobody answered in time.
func (d *decider) severityTimeout() error {
	p := d.inc.SeverityProposal
	if p == nil || d.env.Now.Before(p.Until) {
		return nil
	}
	return d.severity(p.Severity, "nobody answered the proposal of an alert of kind "+p.Kind)
}
