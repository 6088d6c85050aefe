package incident

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// promote brings in an alert that was only kept. That it belongs here is a
// responder's word, and stands in the timeline as theirs.
func (j *decider) promote() error {
	if err := j.requireResponder(); err != nil {
		return err
	}
	return j.attach()
}

// setLegalHold sets a legal hold. Legal and security may, each alone: too much kept is
// mended, what is deleted is not.
func (j *decider) setLegalHold() error {
	if err := j.legalOrSecurity(); err != nil {
		return err
	}
	if j.inc.LegalHold != nil {
		return nil
	}
	if err := j.requireText("text", j.cmd.Text, "say why nothing of it may be deleted"); err != nil {
		return err
	}
	j.emit(EventLegalHoldSet, nil, texts{"reason": j.cmd.Text})
	return nil
}

func (j *decider) releaseLegalHold() error {
	if err := j.legalOrSecurity(); err != nil {
		return err
	}
	if j.inc.LegalHold == nil {
		return nil
	}
	if err := j.requireText("text", j.cmd.Text, "say why it may be deleted in its time again"); err != nil {
		return err
	}
	j.emit(EventLegalHoldReleased, nil, texts{"reason": j.cmd.Text})
	return nil
}

func (j *decider) legalOrSecurity() error {
	for _, team := range []Department{Legal, Security} {
		if j.inc.represents(j.env.Directory, j.env.Actor, team, j.env.Now) {
			return nil
		}
	}
	return Forbidden("a legal hold is for somebody from legal or security to set and to release")
}

// DecideSplit judges VerbSplit, the inverse of a merge: alerts leave source
// and open target, which has only its ID and Genesis head. Both histories are
// kept. A record in review that told of them goes back to writing.
func DecideSplit(cmd Command, source, target Incident, alerts []AlertRef, env Env) (ofSource, ofTarget []Event, err error) {
	s := newDecider(cmd, source, env)
	if err := s.authorize(); err != nil {
		return nil, nil, err
	}
	if transition(VerbSplit, source.Status) == nil {
		return nil, nil, s.notAllowed()
	}
	if err := s.requireResponder(); err != nil {
		return nil, nil, err
	}
	if len(alerts) == 0 {
		return nil, nil, Invalid("alerts", "name the alerts that are another incident: split %s alerts A3,A4 TITLE", source.ID)
	}
	ids := make([]string, len(alerts))
	for n, a := range alerts {
		ids[n] = strconv.FormatInt(a.Alert, 10)
	}
	s.emit(EventSplitInto, fields{"target": target.ID.String(), "alerts": strings.Join(ids, ",")}, texts{"reason": cmd.Text})
	s.voidSubmission("alerts left for another incident")

	opening := cmd
	opening.Verb, opening.For, opening.Alert, opening.Runs = VerbOpen, target.ID, nil, cmd.Runs
	opening.Severity, opening.Public = Severity(firstOf(string(cmd.Severity), string(source.Severity))), !source.Restricted
	t := newDecider(opening, target, env)
	if err := t.open(); err != nil {
		return nil, nil, err
	}
	data, _ := json.Marshal(slices.Clone(alerts)) // plain data
	t.emit(EventSplitFrom, source.originFields(), texts{"reason": cmd.Text, "alerts": string(data)})
	if p := source.Facts.PersonalData; p.moreSeriousThan(t.inc.Facts.PersonalData) {
		t.emit(EventFactSet, fields{"fact": string(FactPersonalData), "value": string(p)}, texts{"reason": "split from " + source.ID.String()})
		t.involvePrivacyTeams()
	}
	if source.LegalHold != nil {
		t.emit(EventLegalHoldSet, nil, texts{"reason": firstOf(source.LegalHold.Reason, "split from "+source.ID.String())})
	}
	return s.events, t.events, nil
}
