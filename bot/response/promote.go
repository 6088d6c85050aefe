package response

import (
	"fmt"
	"slices"

	"tocsin/bot/incident"
)

// promote opens an incident for a suppressed alert, or attaches it to the live
// incident of its correlation key. A repeat changes nothing.
func (s *session) promote(cmd incident.Command) (incident.Result, error) {
	if len(cmd.Alerts) != 1 {
		return incident.Result{}, incident.Invalid("alerts", "name one alert, for example: alerts promote A17")
	}
	person, _ := s.dir.Person(s.env(cmd).Actor)
	if !person.Responder {
		return incident.Result{}, incident.Forbidden("only responders may do this and %s is not one. Ask a responder to do it", s.dir.Name(person.ID))
	}
	row, err := alertByID(s.tx, cmd.Alerts[0])
	if err != nil {
		return incident.Result{}, err
	}
	if row.Incident > 0 {
		return s.promotedResult(cmd, row, person.ID)
	}
	alert, id := alertRef(row), cmd.For
	cmd.Alert, cmd.Text = &alert, truncate(row.Alert.Detail)
	if id == 0 {
		if id, err = firstIncident(s.tx, fingerprintKey(row.Alert), correlationKey(row.Alert)); err != nil {
			return incident.Result{}, fmt.Errorf("find the incident of the alert: %w", err)
		}
	}
	if id == 0 {
		return s.promoteToNew(cmd, row)
	}
	dr, err := s.draft(id)
	switch {
	case err != nil:
		return incident.Result{}, err
	case cmd.For == 0 && !s.mayRead(cmd, dr.inc): // the author named only the alert
		return incident.Result{}, incident.NoAlert(row.ID)
	}
	cmd.For = id
	cmd.Runs, _ = s.playbookRuns(dr.inc, row.Alert, Rule{})
	result, err := s.decide(cmd)
	if err != nil {
		return result, err
	}
	return result, s.moveAlertsIn(id, row)
}

// promoteToNew opens an incident for the alert, opened by the author of the
// command.
func (s *session) promoteToNew(cmd incident.Command, row AlertRow) (incident.Result, error) {
	id, err := s.tx.NewID()
	if err != nil {
		return incident.Result{}, fmt.Errorf("allocate an incident number: %w", err)
	}
	if cmd.Severity == "" {
		cmd.Severity = incident.Sev3
	}
	cmd.Verb, cmd.For, cmd.Title, cmd.Origin = incident.VerbOpen, id, cmd.Alert.Title, cmd.Alert.Origin
	preview := incident.Incident{ID: id, Status: incident.Triage, Severity: cmd.Severity, Title: cmd.Title}
	cmd.Runs, _ = s.playbookRuns(preview, row.Alert, Rule{})
	result, err := s.create(id, cmd, correlationKey(row.Alert))
	if err != nil {
		return result, err
	}
	return result, s.moveAlertsIn(id, row)
}

// promotedResult returns the result for an alert that is already attached to an
// incident. It names the person who promoted it first.
func (s *session) promotedResult(cmd incident.Command, row AlertRow, reader incident.PersonID) (incident.Result, error) {
	dr, err := s.draft(row.Incident)
	switch {
	case err != nil:
		return incident.Result{}, err
	case !dr.inc.MayRead(s.dir, reader, s.now):
		return incident.Result{}, incident.NoAlert(row.ID)
	}
	timeline, err := s.tx.Timeline(row.Incident)
	if err != nil {
		return incident.Result{}, fmt.Errorf("read timeline of %s: %w", row.Incident, err)
	}
	earlier, env := "", s.env(cmd)
	if e, ok := incident.EarlierPromotion(row.ID, timeline, env); ok {
		earlier = incident.EarlierText(e, env)
	}
	if cmd.For != 0 && cmd.For != row.Incident {
		return incident.Result{}, withEarlier(incident.Conflict("A%d is attached to %s. Split it from there first", row.ID, row.Incident), earlier)
	}
	return incident.Result{Incident: dr.inc, Unchanged: true, Earlier: earlier}, nil
}

// moveAlertsIn moves a suppressed alert into an incident, with the watched alerts
// that have its correlation key.
func (s *session) moveAlertsIn(id incident.ID, row AlertRow) error {
	if _, _, err := s.tx.MoveAlert(id, row.Alert, row.Decision); err != nil {
		return fmt.Errorf("attach A%d to %s: %w", row.ID, id, err)
	}
	if err := s.bindCorrelation(correlationKey(row.Alert), id); err != nil {
		return err
	}
	if err := s.bindThread(row.Alert, id); err != nil {
		return err
	}
	if err := s.tx.MoveAlerts(WatchedAlerts, id); err != nil {
		return fmt.Errorf("attach watched alerts to %s: %w", id, err)
	}
	return nil
}

// split moves alerts of an incident to a new one.
func (s *session) split(cmd incident.Command) (incident.Result, error) {
	dr, err := s.draft(cmd.For)
	if err != nil {
		return incident.Result{}, err
	}
	if err := incident.Authorize(cmd, dr.inc, s.env(cmd)); err != nil {
		return incident.Result{}, err
	}
	ids := slices.Compact(slices.Sorted(slices.Values(cmd.Alerts)))
	refs := make([]incident.AlertRef, len(ids))
	rows := make([]AlertRow, len(ids))
	for n, id := range ids {
		rows[n], err = alertByID(s.tx, id)
		if err != nil && incident.CodeOf(err) != incident.CodeUnknown {
			return incident.Result{}, err
		}
		if err != nil || rows[n].Incident != cmd.For { // one answer, because A-numbers of other incidents are not public
			return incident.Result{}, incident.Conflict("A%d is not attached to %s. Name alerts of that incident", id, cmd.For)
		}
		refs[n] = alertRef(rows[n])
	}
	id, err := s.tx.NewID()
	if err != nil {
		return incident.Result{}, fmt.Errorf("allocate an incident number: %w", err)
	}
	if len(rows) > 0 {
		cmd.Runs, _ = s.playbookRuns(incident.Incident{ID: id, Status: incident.Triage, Severity: dr.inc.Severity, Title: cmd.Title}, rows[0].Alert, Rule{})
	}
	ofSource, ofTarget, err := incident.DecideSplit(cmd, dr.inc, incident.New(id), refs, s.env(cmd))
	if err != nil {
		return incident.Result{}, err
	}
	result := s.record(dr, ofSource)
	s.record(s.addDraft(incident.New(id)), ofTarget)
	if err := s.tx.MoveAlerts(cmd.For, id, ids...); err != nil {
		return incident.Result{}, fmt.Errorf("move alerts to %s: %w", id, err)
	}
	for _, row := range rows {
		if err := s.bindCorrelation(fingerprintKey(row.Alert), id); err != nil {
			return incident.Result{}, err
		}
	}
	return result, nil
}
