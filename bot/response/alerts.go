package response

import (
	"fmt"
	"slices"

	"tocsin/bot/incident"
)

// routeAlert routes one alert and its copies. The live incident of its correlation
// always wins; then a maintenance window; then what the rule says.
func (r *ingestion) routeAlert(g *alertGroup) error {
	if g.undecodable { // what it says is not known, so no rule can be meant for it
		g.decision = RoutingDecision{Routing: r.routing}
		return r.suppress(WatchedAlerts, g, outcomeUndecodable)
	}
	place, rule := r.d.Routing.route(g.alert, r.d.Log)
	g.decision = RoutingDecision{Rule: place, Routing: r.routing}
	if rule.Drop != "" {
		return r.suppress(DroppedAlerts, g, outcomeDropped)
	}
	if !rule.Watch {
		id := g.joins // alerts end no incident
		if id == 0 {  // but one before it in the batch may have opened its own
			var err error
			if id, err = r.tx.IncidentByCorrelation(fingerprintKey(g.alert), g.alert.Correlation); err != nil {
				return fmt.Errorf("find the incident of an alert: %w", err)
			}
		}
		if id != 0 {
			return r.attachAlert(id, g, rule)
		}
	}
	if window := r.maintenanceWindow(g.alert); window != 0 {
		g.decision.Maintenance = window
		r.suppressed[window] += int64(len(g.rows))
		return r.suppress(MaintenanceAlerts, g, outcomeMaintenance)
	}
	if rule.Open == "" {
		return r.suppress(WatchedAlerts, g, outcomeWatched)
	}
	before, quiet, err := r.endedIncident(g, rule)
	switch {
	case err != nil:
		return err
	case quiet:
		return r.suppressRecurrence(before, g)
	}
	stormy, err := r.stormExceeded()
	switch {
	case err != nil:
		return err
	case stormy:
		return r.groupIntoStorm(g, rule)
	}
	return r.openIncident(g, rule, before)
}

// suppress keeps an alert that opens nothing.
func (r *ingestion) suppress(shelf incident.ID, g *alertGroup, outcome string) error {
	row, _, err := r.countAlert(shelf, g)
	if err != nil {
		return err
	}
	r.setOutcomes(g, DeliveryOutcome{Outcome: outcome, Alert: row.ID})
	return nil
}

// countAlert counts the copies where they belong. Those that were counted before are
// moved from their shelf instead; before is 0 where the alert is new there.
func (r *ingestion) countAlert(id incident.ID, g *alertGroup) (row AlertRow, before int64, err error) {
	if g.reprocessed {
		row, known, err := r.tx.MoveAlert(id, g.alert, g.decision)
		if err != nil {
			return row, 0, fmt.Errorf("recall an alert: %w", err)
		}
		if known {
			before = row.Count
		}
		if row.ID != 0 {
			return row, before, nil
		}
	}
	if row, before, err = r.tx.CountAlert(id, g.alert, int64(len(g.rows)), r.now, g.decision); err != nil {
		return row, 0, fmt.Errorf("count an alert: %w", err)
	}
	return row, before, nil
}

func (r *ingestion) setOutcomes(g *alertGroup, s DeliveryOutcome) {
	g.outcome = s
	s.Rule, s.Routing = g.decision.Rule, g.decision.Routing
	for _, row := range g.rows {
		s.Row = row
		r.setOutcome(s)
		if s.Outcome == outcomeOpened || s.Outcome == outcomeAttached || s.Outcome == outcomeGrouped {
			s.Outcome = outcomeCounted // the copies that came with it
		}
	}
}

// openIncident opens an incident for an alert that belongs to none. before is the
// one that had its correlation and ended a while ago, or 0.
func (r *ingestion) openIncident(g *alertGroup, rule Rule, before incident.ID) error {
	id, err := r.tx.NewID()
	if err != nil {
		return fmt.Errorf("take a number: %w", err)
	}
	row, was, err := r.countAlert(id, g)
	if err != nil {
		return err
	}
	alert := alertRef(row)
	preview := incident.Incident{ID: id, Status: incident.Triage, Severity: rule.Open, Title: alert.Title}
	_, err = r.create(id, incident.Command{Verb: incident.VerbOpen, For: id, By: sourceIdentity(g.alert), Via: incident.ViaSource, Title: alert.Title,
		Text: truncate(g.alert.Detail), Severity: rule.Open, Alert: &alert, Runs: r.playbookRuns(preview, g.alert, rule)}, g.alert.Correlation)
	if err != nil {
		return err
	}
	if err := r.tx.MoveAlerts(WatchedAlerts, id); err != nil { // what was only watched so far
		return fmt.Errorf("bring watched alerts into %s: %w", id, err)
	}
	if before != 0 {
		if err := r.notePredecessor(id, before); err != nil {
			return err
		}
	}
	r.setOutcomes(g, DeliveryOutcome{Outcome: outcomeOpened, Incident: id, Alert: row.ID})
	return r.noteMilestone(id, row, was)
}

// attachAlert adds an alert to the live incident of its correlation: a new one is
// attached, copies of a known one are counted.
func (r *ingestion) attachAlert(id incident.ID, g *alertGroup, rule Rule) error {
	if err := r.lockIncident(id); err != nil {
		return err
	}
	row, before, err := r.countAlert(id, g)
	if err != nil {
		return err
	}
	outcome := outcomeCounted
	if before == 0 {
		dr, err := r.draft(id)
		if err != nil {
			return err
		}
		alert := alertRef(row)
		cmd := incident.Command{Verb: incident.VerbAttach, For: id, By: sourceIdentity(g.alert), Via: incident.ViaSource, Alert: &alert,
			Text: truncate(g.alert.Detail), Runs: r.playbookRuns(dr.inc, g.alert, rule)}
		if rule.Open.MoreSevereThan(dr.inc.Severity) {
			cmd.Severity = rule.Open
		}
		known := slices.ContainsFunc(dr.inc.Alerts, func(a incident.AlertRef) bool { return a.Kind == alert.Kind })
		if !known || len(cmd.Runs) > 0 || cmd.Severity != "" || len(dr.inc.Alerts) < maxAttached {
			if _, err := r.judge(cmd); err != nil {
				return fmt.Errorf("attach to %s: %w", id, err)
			}
			outcome = outcomeAttached
		}
	}
	if g.decision.Storm && before == 0 {
		outcome = outcomeGrouped
	}
	r.setOutcomes(g, DeliveryOutcome{Outcome: outcome, Incident: id, Alert: row.ID})
	return r.noteMilestone(id, row, before)
}

// lockIncident keeps an incident from being changed by others without reading it: most
// of what joins one is a copy, and changes nothing but a counter beside it.
func (r *ingestion) lockIncident(id incident.ID) error {
	if r.drafts[id] != nil || r.held[id] {
		return nil
	}
	if err := r.tx.LockIncident(id); err != nil {
		return err
	}
	r.held[id] = true
	return nil
}

// noteMilestone marks the 10th, 100th, 1000th … copy in the timeline, of an alert that
// is named there.
func (r *ingestion) noteMilestone(id incident.ID, row AlertRow, before int64) error {
	mark := milestone(before, row.Count)
	if mark == 0 {
		return nil
	}
	if before > 0 {
		var err error
		if row, err = r.tx.Alert(row.ID); err != nil {
			return fmt.Errorf("read the alert that is counted: %w", err)
		}
	}
	dr, err := r.draft(id)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(dr.inc.Alerts, func(a incident.AlertRef) bool { return a.Alert == row.ID }) {
		return nil
	}
	alert := alertRef(row)
	if _, err := r.judge(incident.Command{Verb: incident.VerbCount, For: id, By: incident.System, Via: incident.ViaSystem, Alert: &alert, Count: mark}); err != nil {
		return fmt.Errorf("count for %s: %w", id, err)
	}
	return nil
}

// milestone is the highest of 10, 100, 1000 … that lies behind before and not
// behind after, or 0.
func milestone(before, after int64) (mark int64) {
	for n := int64(10); n <= after; n *= 10 {
		if n > before {
			mark = n
		}
	}
	return mark
}

// playbookRuns pins the playbooks that an alert starts: the rule's, and those that
// match by themselves, but none that runs already.
func (s *session) playbookRuns(inc incident.Incident, a incident.Alert, rule Rule) []incident.Run {
	if s.d.Playbooks == nil {
		return nil
	}
	var out []incident.Run
	add := func(run incident.Run) {
		if inc.Run(run.Playbook) == nil && !slices.ContainsFunc(out, func(have incident.Run) bool { return have.Playbook == run.Playbook }) {
			out = append(out, run)
		}
	}
	if run, ok := s.d.Playbooks.Pin(rule.Playbook); ok {
		add(run)
	}
	for _, run := range s.d.Playbooks.Match(inc, &a) {
		add(run)
	}
	return out
}
