package incident

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// promote attaches a suppressed alert on the decision of a responder, who is the
// author of the event.
func (d *decider) promote() error {
	return d.attach()
}

// setLegalHold sets a legal hold. One person from legal or security is enough,
// because a needless hold can be released and a deletion cannot be undone.
func (d *decider) setLegalHold() error {
	if d.inc.LegalHold != nil {
		return nil
	}
	if err := d.requireText("text", d.cmd.Text, "a legal hold needs a reason. Type legal-hold because REASON"); err != nil {
		return err
	}
	d.emit(EventLegalHoldSet, nil, texts{"reason": d.cmd.Text})
	return nil
}

func (d *decider) releaseLegalHold() error {
	if d.inc.LegalHold == nil {
		return nil
	}
	if err := d.requireText("text", d.cmd.Text, "the reason is missing. Type legal-hold release because REASON"); err != nil {
		return err
	}
	d.emit(EventLegalHoldReleased, nil, texts{"reason": d.cmd.Text})
	return nil
}

// DecideSplit decides [VerbSplit], the inverse of a merge. The alerts leave source
// and open target, which must be [New] and excludes everybody whom source excludes.
// The timeline of source stays complete. If source is in review, its signatures are
// voided and it returns to resolved.
func DecideSplit(cmd Command, source, target Incident, alerts []AlertRef, env Env) (sourceEvents, targetEvents []Event, err error) {
	s := newDecider(cmd, source, env)
	if err := s.check(); err != nil {
		return nil, nil, err
	}
	if transition(VerbSplit, source.Status) == nil {
		return nil, nil, s.notAllowed()
	}
	if len(alerts) == 0 {
		return nil, nil, Invalid("alerts", "no alerts given. Type split %s alerts A3,A4 TITLE", source.ID)
	}
	ids := make([]string, len(alerts))
	for n, a := range alerts {
		ids[n] = strconv.FormatInt(a.Alert, 10)
	}
	s.emit(EventSplitInto, fields{"target": target.ID.String(), "alerts": strings.Join(ids, ",")}, texts{"reason": cmd.Text})
	s.voidSubmission("alerts left for another incident")

	opening := cmd
	opening.Origin = source.Origin
	opening.Verb, opening.For, opening.Alert, opening.Runs = VerbOpen, target.ID, nil, cmd.Runs
	opening.Severity, opening.Public = Severity(firstOf(string(cmd.Severity), string(source.Severity))), !source.Restricted
	t := newDecider(opening, target, env)
	if err := t.open(); err != nil {
		return nil, nil, err
	}
	data, _ := json.Marshal(slices.Clone(alerts)) // plain data
	inherited := source.inheritedFields()
	if source.Severity.MoreSevereThan(t.inc.Severity) { // the split lowers the severity
		lowered := source
		lowered.recordLowering(env.Actor)
		inherited["lowered_by"], inherited["lowered_from"] = joinList(lowered.LoweredBy), string(source.Severity)
		if source.LoweredFrom.MoreSevereThan(source.Severity) {
			inherited["lowered_from"] = string(source.LoweredFrom)
		}
	}
	t.emit(EventSplitFrom, inherited, texts{"reason": cmd.Text, "alerts": string(data)})
	t.inheritExclusions(source)
	t.inheritProposal(source)
	if p := source.Facts.PersonalData; p.moreSeriousThan(t.inc.Facts.PersonalData) {
		t.emit(EventFactSet, fields{"fact": string(FactPersonalData), "value": string(p)}, texts{"reason": "split from " + source.ID.String()})
		t.involvePrivacyTeams()
	}
	if source.LegalHold != nil {
		t.emit(EventLegalHoldSet, nil, texts{"reason": firstOf(source.LegalHold.Reason, "split from "+source.ID.String())})
	}
	return s.events, t.events, nil
}
