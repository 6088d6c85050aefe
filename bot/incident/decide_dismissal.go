package incident

import (
	"slices"
)

// OneMayDismiss reports whether one person alone may dismiss the incident, who
// states in the same command that no personal data is involved. It must never have
// been sev1 or sev2, contained or suspected of personal data. Reopening, lowering
// the severity, merging and splitting undo none of these.
func (i Incident) OneMayDismiss() bool {
	p := i.peakPersonalData()
	return !i.Severity.MoreSevereThan(Sev3) && !i.PeakSeverity.MoreSevereThan(Sev3) && i.ContainedAt.IsZero() &&
		p != PersonalSuspected && p != PersonalConfirmed
}

// peakPersonalData returns the most serious value that the fact personal_data ever
// had. States stored before PeakPersonalData existed have the fact only.
func (i Incident) peakPersonalData() PersonalData {
	if i.Facts.PersonalData.moreSeriousThan(i.PeakPersonalData) {
		return i.Facts.PersonalData
	}
	return i.PeakPersonalData
}

func (d *decider) dismiss() error {
	proposed := d.inc.validProposal(d.env.Directory)
	reason := firstOf(d.cmd.Text, reasonOf(proposed))
	if err := d.requireText("text", reason, "the reason for dismissing %s is missing. Type dismiss because WHY", d.inc.ID); err != nil {
		return err
	}
	if d.inc.OneMayDismiss() {
		if !d.cmd.NoPersonalData {
			return Invalid("no_personal_data", "dismissing %s alone needs the statement that no personal data is involved. Type dismiss no-personal-data because WHY, or fact personal_data suspected because WHY to dismiss it with a second person", d.inc.ID)
		}
		d.stateNoPersonalData(reason)
		d.emit(EventDismissed, fields{"status": string(Dismissed), "personal_data": string(PersonalNo)}, texts{"reason": reason})
		return nil
	}
	if err := d.mayDismissWithAnother(proposed); err != nil {
		return err
	}
	if d.cmd.NoPersonalData {
		d.stateNoPersonalData(reason)
	}
	if proposed == nil {
		d.emit(EventDismissProposed, nil, texts{"reason": reason})
		return nil
	}
	d.emit(EventDismissed, fields{"status": string(Dismissed), "person": string(proposed.By)}, texts{"reason": reason})
	return nil
}

// stateNoPersonalData sets the fact personal_data to no, unless it is no already.
func (d *decider) stateNoPersonalData(reason string) {
	if d.inc.Facts.PersonalData != PersonalNo {
		d.emit(EventFactSet, fields{"fact": string(FactPersonalData), "value": string(PersonalNo)}, texts{"reason": reason})
	}
}

// mayDismissWithAnother checks that the actor may propose a dismissal, or confirm
// the proposal if there is one. It takes two independent people, one from security,
// neither of whom lowered the severity or the suspicion of personal data.
func (d *decider) mayDismissWithAnother(proposed *Dismissal) error {
	actor, dir, id := d.env.Actor, d.env.Directory, d.inc.ID
	security := func(p PersonID) bool { return d.inc.represents(dir, p, Security, d.env.Now) }
	if d.inc.lowered(dir, actor) {
		return Conflict("%s lowered the severity of %s or its suspicion of personal data, so others must dismiss it. Ask two people, one from security", dir.Name(actor), id)
	}
	if p := d.inc.Facts.PersonalData; d.cmd.NoPersonalData && (p == PersonalSuspected || p == PersonalConfirmed) {
		return Conflict("personal data is %s in %s, and the person who rules it out cannot dismiss it. Type dismiss because WHY, without the statement", p, id)
	}
	if proposed == nil {
		return nil
	}
	if err := d.secondPerson(proposed.By, "dismiss "+id.String()+", one of them from security"); err != nil {
		return err
	}
	if !security(proposed.By) && !security(actor) {
		return Forbidden("only security can confirm the dismissal of %s. Ask a member of security", id)
	}
	return nil
}

// lowered reports whether a person lowered the severity or the suspicion of
// personal data, under any of their identities.
func (i Incident) lowered(d Directory, p PersonID) bool {
	return slices.ContainsFunc(i.LoweredBy, func(by PersonID) bool { return d.SameHuman(by, p) })
}

// validProposal returns the proposal to dismiss the incident, or nil. It ignores a
// proposal of a person who left the configuration, or who lowered the severity or
// the suspicion afterwards. Another proposal replaces it.
func (i Incident) validProposal(d Directory) *Dismissal {
	if i.Dismissal == nil || i.lowered(d, i.Dismissal.By) {
		return nil
	}
	if _, known := d.Person(i.Dismissal.By); !known {
		return nil
	}
	return i.Dismissal
}

func reasonOf(d *Dismissal) string {
	if d == nil {
		return ""
	}
	return d.Reason
}
