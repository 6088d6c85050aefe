package response

import (
	"fmt"
	"maps"
	"slices"

	"tocsin/bot/incident"
)

// routeAlert decides about one alert and its repeats, in this order. A rule may
// drop the alert. Unless the rule only watches, a live incident with the
// correlation key takes it. An active maintenance window suppresses it, at sev1 and
// sev2 only if it is confirmed. Otherwise the rule decides.
func (r *ingestion) routeAlert(g *alertGroup) error {
	rule, position := g.verdict.rule, g.verdict.position
	if g.unreadable {
		rule, position = r.d.unreadableRule(g.alert.Source), unreadPosition
	}
	g.decision = RoutingDecision{Rule: position, Routing: r.routing}
	if rule.Drop != "" {
		return r.suppress(DroppedAlerts, g, outcomeDropped)
	}
	if !rule.Watch {
		id := g.incident // still live: alerts do not end incidents
		if id == 0 {     // an earlier alert of the batch may have opened one
			var err error
			if id, err = firstIncident(r.tx, incidentKeys(g.alert)...); err != nil {
				return fmt.Errorf("find the incident of the alert: %w", err)
			}
		}
		if id != 0 {
			return r.attachAlert(id, g, rule)
		}
	}
	if window := r.maintenanceWindow(g); window != 0 && !g.unreadable {
		g.decision.Maintenance = window
		r.countSuppressed(window, g)
		return r.suppress(MaintenanceAlerts, g, outcomeMaintenance)
	}
	if rule.Open == "" {
		return r.suppress(WatchedAlerts, g, outcomeWatched)
	}
	ended, suppress, err := r.endedIncident(g, rule)
	switch {
	case err != nil:
		return err
	case suppress:
		return r.suppressRecurrence(ended, g)
	}
	exceeded, err := r.stormExceeded(g.alert.Origin)
	switch {
	case err != nil:
		return err
	case exceeded:
		return r.groupIntoStorm(g, rule)
	}
	return r.openIncident(g, rule, ended)
}

// suppress stores an alert that opens no incident. disposition is
// [WatchedAlerts], [DroppedAlerts] or [MaintenanceAlerts].
func (r *ingestion) suppress(disposition incident.ID, g *alertGroup, outcome string) error {
	row, _, err := r.countAlert(disposition, g)
	if err != nil {
		return err
	}
	r.setOutcomes(g, DeliveryOutcome{Outcome: outcome, Alert: row.ID})
	return nil
}

// countAlert adds the occurrences of an alert to an incident or a disposition. It
// moves the alert instead if its deliveries are reprocessed, because they were
// counted the first time. before is the count there until now, 0 if the alert is
// new there.
func (r *ingestion) countAlert(id incident.ID, g *alertGroup) (row AlertRow, before int64, err error) {
	if g.reprocessed {
		row, known, err := r.tx.MoveAlert(id, g.alert, g.decision)
		if err != nil {
			return row, 0, fmt.Errorf("move the alert: %w", err)
		}
		if known {
			before = row.Count
		}
		if row.ID != 0 {
			return row, before, nil
		}
	}
	if row, before, err = r.tx.CountAlert(id, g.alert, int64(len(g.rows)), r.now, g.decision); err != nil {
		return row, 0, fmt.Errorf("count the alert: %w", err)
	}
	return row, before, nil
}

// setOutcomes sets the outcome of every delivery of the group. Only the first
// delivery opens, attaches or groups. The others are counted.
func (r *ingestion) setOutcomes(g *alertGroup, o DeliveryOutcome) {
	g.outcome = o
	o.Rule, o.Routing = g.decision.Rule, g.decision.Routing
	for _, row := range g.rows {
		o.Row = row
		if r.unread[row] && g.unreadable {
			r.setUnreadOutcome(o)
			continue
		}
		r.setOutcome(o)
		if o.Outcome == outcomeOpened || o.Outcome == outcomeAttached || o.Outcome == outcomeGrouped {
			o.Outcome = outcomeCounted
		}
	}
}

// openIncident opens an incident for an alert without a live incident. ended is
// an earlier incident with its correlation key that ended within the recurrence
// window, or 0. Watched alerts with the correlation key are attached as well.
func (r *ingestion) openIncident(g *alertGroup, rule Rule, ended incident.ID) error {
	id, err := r.tx.NewID()
	if err != nil {
		return fmt.Errorf("allocate an incident number: %w", err)
	}
	row, before, err := r.countAlert(id, g)
	if err != nil {
		return err
	}
	alert := alertRef(row)
	preview := incident.Incident{ID: id, Status: incident.Triage, Severity: rule.Open, Title: alert.Title}
	runs, failed := r.playbookRuns(preview, g.alert, rule)
	_, err = r.create(id, incident.Command{Verb: incident.VerbOpen, For: id, By: sourceIdentity(g.alert), Via: incident.ViaSource, Title: alert.Title,
		Text: alertText(g, failed...), Severity: rule.Open, Alert: &alert, Runs: runs, Origin: g.alert.Origin}, g.alert.Correlation)
	if err != nil {
		return err
	}
	if err := r.bindThread(g.alert, id); err != nil {
		return err
	}
	if err := r.tx.MoveAlerts(WatchedAlerts, id); err != nil {
		return fmt.Errorf("attach watched alerts to %s: %w", id, err)
	}
	if ended != 0 {
		if err := r.notePredecessor(id, ended); err != nil {
			return err
		}
	}
	r.setOutcomes(g, DeliveryOutcome{Outcome: outcomeOpened, Incident: id, Alert: row.ID})
	return r.noteMilestone(id, row, before)
}

// attachAlert adds an alert to a live incident. A new alert becomes part of the
// timeline, raises the severity if the rule is more severe, and starts playbooks.
// Repeats only add to the count. So does a new alert beyond maxAttached if it has
// a known kind, changes neither severity nor playbooks, and stands only for itself.
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
		runs, failed := r.playbookRuns(dr.inc, g.alert, rule)
		cmd := incident.Command{Verb: incident.VerbAttach, For: id, By: sourceIdentity(g.alert), Via: incident.ViaSource, Alert: &alert,
			Text: alertText(g, failed...), Runs: runs}
		if rule.Open.MoreSevereThan(dr.inc.Severity) {
			cmd.Severity = rule.Open
		}
		known := slices.ContainsFunc(dr.inc.Alerts, func(a incident.AlertRef) bool { return a.Kind == alert.Kind })
		if !known || len(cmd.Runs) > 0 || cmd.Severity != "" || alert.LeftOut > 0 || len(dr.inc.Alerts) < maxAttached {
			if _, err := r.decide(cmd); err != nil {
				return fmt.Errorf("attach to %s: %w", id, err)
			}
			outcome = outcomeAttached
		}
	}
	if outcome == outcomeCounted {
		r.recounted[id] = true
	}
	if err := r.pageRestored(id, "an alert arrived after the restore"); err != nil {
		return err
	}
	if g.decision.Storm && before == 0 {
		outcome = outcomeGrouped
	}
	r.setOutcomes(g, DeliveryOutcome{Outcome: outcome, Incident: id, Alert: row.ID})
	return r.noteMilestone(id, row, before)
}

// lockIncident locks an incident. Most alerts of an incident are repeats, which
// only change a counter, so it adds no draft.
func (r *ingestion) lockIncident(id incident.ID) error {
	if r.drafts[id] != nil || r.locked[id] {
		return nil
	}
	if _, err := r.tx.Incident(id); err != nil {
		return err
	}
	r.locked[id] = true
	return nil
}

// noteMilestone records the 10th, 100th, 1000th … occurrence of an alert in the
// timeline. It does nothing if the alert is not part of the timeline.
func (r *ingestion) noteMilestone(id incident.ID, row AlertRow, before int64) error {
	mark := milestone(before, row.Count)
	if mark == 0 {
		return nil
	}
	if before > 0 {
		var err error
		if row, err = alertByID(r.tx, row.ID); err != nil {
			return fmt.Errorf("read the counted alert: %w", err)
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
	if _, err := r.decide(incident.Command{Verb: incident.VerbCount, For: id, By: incident.System, Via: incident.ViaSystem, Alert: &alert, Count: mark}); err != nil {
		return fmt.Errorf("count for %s: %w", id, err)
	}
	return nil
}

// milestone returns the highest of 10, 100, 1000 … that is greater than before
// and at most after, or 0.
func milestone(before, after int64) (mark int64) {
	for n := int64(10); n <= after; n *= 10 {
		if n > before {
			mark = n
		}
	}
	return mark
}

// playbookRuns returns the playbooks that an alert starts, pinned. They are the
// playbook of the rule and the matching ones, except playbooks that the incident
// already runs. failed has a line for each playbook whose condition failed.
func (s *session) playbookRuns(inc incident.Incident, a incident.Alert, rule Rule) (out []incident.Run, failed []string) {
	if s.d.Playbooks == nil {
		return nil, nil
	}
	add := func(run incident.Run) {
		if inc.Run(run.Playbook) == nil && !slices.ContainsFunc(out, func(have incident.Run) bool { return have.Playbook == run.Playbook }) {
			out = append(out, run.Fill(inc.ID, a))
		}
	}
	if run, ok := s.d.Playbooks.Pin(rule.Playbook); ok {
		add(run)
	}
	matching, errs := s.d.Playbooks.Match(inc, &a)
	for _, run := range matching {
		add(run)
	}
	for _, name := range slices.Sorted(maps.Keys(errs)) {
		s.d.reportFailure("playbook", name, errs[name], a.Kind)
		failed = append(failed, fmt.Sprintf("Playbook %s was not started, because its condition failed on this alert: %v. Start it by hand if it applies.", name, errs[name]))
	}
	return out, failed
}
