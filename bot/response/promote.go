package response

import (
	"fmt"
	"slices"

	"tocsin/bot/incident"
)

// promote makes an incident of an alert that was only kept, or brings it into
// the live one of its correlation. Said twice, it is so already.
func (s *session) promote(cmd incident.Command) (incident.Result, error) {
	if len(cmd.Alerts) != 1 {
		return incident.Result{}, incident.Invalid("alerts", "say which alert: alerts promote A17")
	}
	row, err := s.tx.Alert(cmd.Alerts[0])
	if err != nil {
		return incident.Result{}, err
	}
	person, _ := s.dir.Person(s.env(cmd).Actor)
	if !person.Responder {
		return incident.Result{}, incident.Forbidden("only responders may do this; %s is not one of them", s.dir.Name(person.ID))
	}
	if row.Incident > 0 {
		return s.promotedResult(cmd, row, person.ID)
	}
	alert, into := alertRef(row), cmd.For
	cmd.Alert, cmd.Text = &alert, truncate(row.Alert.Detail)
	if into == 0 {
		if into, err = s.tx.IncidentByCorrelation(fingerprintKey(row.Alert), correlationKey(row.Alert)); err != nil {
			return incident.Result{}, fmt.Errorf("find the incident of an alert: %w", err)
		}
	}
	if into == 0 {
		return s.promoteToNew(cmd, row)
	}
	dr, err := s.draft(into)
	if err != nil {
		return incident.Result{}, err
	}
	cmd.For, cmd.Runs = into, s.playbookRuns(dr.inc, row.Alert, Rule{})
	result, err := s.judge(cmd)
	if err != nil {
		return result, err
	}
	return result, s.moveAlertsIn(into, row)
}

// promoteToNew opens an incident for the alert, in the name of whoever promotes it.
func (s *session) promoteToNew(cmd incident.Command, row AlertRow) (incident.Result, error) {
	id, err := s.tx.NewID()
	if err != nil {
		return incident.Result{}, fmt.Errorf("take a number: %w", err)
	}
	if cmd.Severity == "" {
		cmd.Severity = incident.Sev3
	}
	cmd.Verb, cmd.For, cmd.Title = incident.VerbOpen, id, cmd.Alert.Title
	preview := incident.Incident{ID: id, Status: incident.Triage, Severity: cmd.Severity, Title: cmd.Title}
	cmd.Runs = s.playbookRuns(preview, row.Alert, Rule{})
	result, err := s.create(id, cmd, correlationKey(row.Alert))
	if err != nil {
		return result, err
	}
	return result, s.moveAlertsIn(id, row)
}

// promotedResult answers for an alert that has an incident.
func (s *session) promotedResult(cmd incident.Command, row AlertRow, reader incident.PersonID) (incident.Result, error) {
	dr, err := s.draft(row.Incident)
	switch {
	case err != nil:
		return incident.Result{}, err
	case !dr.inc.MayRead(s.dir, reader, s.now):
		return incident.Result{}, incident.Forbidden("A%d is part of an incident that is restricted", row.ID)
	case cmd.For != 0 && cmd.For != row.Incident:
		return incident.Result{}, incident.Conflict("A%d belongs to %s; split it off there first", row.ID, row.Incident)
	}
	return incident.Result{Incident: dr.inc, Unchanged: true}, nil
}

// moveAlertsIn takes the alert from its shelf, and what else was watched under its
// correlation, into its incident.
func (s *session) moveAlertsIn(id incident.ID, row AlertRow) error {
	if _, _, err := s.tx.MoveAlert(id, row.Alert, row.Decision); err != nil {
		return fmt.Errorf("bring A%d into %s: %w", row.ID, id, err)
	}
	if err := s.bindCorrelation(correlationKey(row.Alert), id); err != nil {
		return err
	}
	if err := s.tx.MoveAlerts(WatchedAlerts, id); err != nil {
		return fmt.Errorf("bring watched alerts into %s: %w", id, err)
	}
	return nil
}

// split lets some alerts of an incident be another one.
func (s *session) split(cmd incident.Command) (incident.Result, error) {
	dr, err := s.draft(cmd.For)
	if err != nil {
		return incident.Result{}, err
	}
	ids := slices.Compact(slices.Sorted(slices.Values(cmd.Alerts)))
	refs := make([]incident.AlertRef, len(ids))
	rows := make([]AlertRow, len(ids))
	for n, id := range ids {
		if rows[n], err = s.tx.Alert(id); err != nil {
			return incident.Result{}, err
		}
		if rows[n].Incident != cmd.For {
			return incident.Result{}, incident.Conflict("A%d is no alert of %s", id, cmd.For)
		}
		refs[n] = alertRef(rows[n])
	}
	id, err := s.tx.NewID()
	if err != nil {
		return incident.Result{}, fmt.Errorf("take a number: %w", err)
	}
	if len(rows) > 0 {
		cmd.Runs = s.playbookRuns(incident.Incident{ID: id, Status: incident.Triage, Severity: dr.inc.Severity, Title: cmd.Title}, rows[0].Alert, Rule{})
	}
	ofSource, ofTarget, err := incident.DecideSplit(cmd, dr.inc, incident.New(id), refs, s.env(cmd))
	if err != nil {
		return incident.Result{}, err
	}
	result := s.record(dr, ofSource)
	s.record(s.addDraft(incident.New(id)), ofTarget)
	if err := s.tx.Split(ids, cmd.For, id); err != nil {
		return incident.Result{}, fmt.Errorf("move alerts to %s: %w", id, err)
	}
	for _, row := range rows {
		if err := s.bindCorrelation(fingerprintKey(row.Alert), id); err != nil {
			return incident.Result{}, err
		}
	}
	return result, nil
}
