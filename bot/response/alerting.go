package response

import (
	"fmt"
	"slices"

	"tocsin/bot/incident"
)

// alert routes one alert and its copies. The live incident of its correlation
// always wins; then a maintenance window; then what the rule says.
func (r *reporting) alert(g *copies) error {
	if g.unread { // what it says is not known, so no rule can be meant for it
		g.made = Decision{Routing: r.routing}
		return r.shelve(Watched, g, outcomeUndecodable)
	}
	place, rule := r.d.Routing.route(g.alert, r.d.Log)
	g.made = Decision{Rule: place, Routing: r.routing}
	if rule.Drop != "" {
		return r.shelve(Dropped, g, outcomeDropped)
	}
	if !rule.Watch {
		id := g.joins // alerts end no incident
		if id == 0 {  // but one before it in the batch may have opened its own
			var err error
			if id, err = r.tx.Correlated(own(g.alert), g.alert.Correlation); err != nil {
				return fmt.Errorf("find the incident of an alert: %w", err)
			}
		}
		if id != 0 {
			return r.join(id, g, rule)
		}
	}
	if window := r.window(g.alert); window != 0 {
		g.made.Maintenance = window
		r.kept[window] += int64(len(g.rows))
		return r.shelve(Maintained, g, outcomeMaintenance)
	}
	if rule.Open == "" {
		return r.shelve(Watched, g, outcomeWatched)
	}
	before, quiet, err := r.before(g, rule)
	switch {
	case err != nil:
		return err
	case quiet:
		return r.late(before, g)
	}
	stormy, err := r.stormy()
	switch {
	case err != nil:
		return err
	case stormy:
		return r.gather(g, rule)
	}
	return r.openFor(g, rule, before)
}

// shelve keeps an alert that opens nothing.
func (r *reporting) shelve(shelf incident.ID, g *copies, outcome string) error {
	row, _, err := r.tally(shelf, g)
	if err != nil {
		return err
	}
	r.settle(g, Settled{Outcome: outcome, Alert: row.ID})
	return nil
}

// tally counts the copies where they belong. Those that were counted before are
// moved from their shelf instead; before is 0 where the alert is new there.
func (r *reporting) tally(id incident.ID, g *copies) (row AlertRow, before int64, err error) {
	if g.again {
		row, known, err := r.tx.Recall(id, g.alert, g.made)
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
	if row, before, err = r.tx.Tally(id, g.alert, int64(len(g.rows)), r.now, g.made); err != nil {
		return row, 0, fmt.Errorf("count an alert: %w", err)
	}
	return row, before, nil
}

func (r *reporting) settle(g *copies, s Settled) {
	g.landed = s
	s.Rule, s.Routing = g.made.Rule, g.made.Routing
	for _, row := range g.rows {
		s.Row = row
		r.become(s)
		if s.Outcome == outcomeOpened || s.Outcome == outcomeAttached || s.Outcome == outcomeGathered {
			s.Outcome = outcomeCounted // the copies that came with it
		}
	}
}

// openFor opens an incident for an alert that belongs to none. before is the
// one that had its correlation and ended a while ago, or 0.
func (r *reporting) openFor(g *copies, rule Rule, before incident.ID) error {
	id, err := r.tx.NewID()
	if err != nil {
		return fmt.Errorf("take a number: %w", err)
	}
	row, was, err := r.tally(id, g)
	if err != nil {
		return err
	}
	alert := ref(row)
	preview := incident.Incident{ID: id, Status: incident.Triage, Severity: rule.Open, Title: alert.Title}
	_, err = r.begin(id, incident.Command{Verb: incident.VerbOpen, For: id, By: source(g.alert), Via: incident.ViaSource, Title: alert.Title,
		Text: clip(g.alert.Detail), Severity: rule.Open, Alert: &alert, Runs: r.runs(preview, g.alert, rule)}, g.alert.Correlation)
	if err != nil {
		return err
	}
	if err := r.tx.Rehome(Watched, id); err != nil { // what was only watched so far
		return fmt.Errorf("bring watched alerts into %s: %w", id, err)
	}
	if before != 0 {
		if err := r.follows(id, before); err != nil {
			return err
		}
	}
	r.settle(g, Settled{Outcome: outcomeOpened, Incident: id, Alert: row.ID})
	return r.counted(id, row, was)
}

// join adds an alert to the live incident of its correlation: a new one is
// attached, copies of a known one are counted.
func (r *reporting) join(id incident.ID, g *copies, rule Rule) error {
	if err := r.hold(id); err != nil {
		return err
	}
	row, before, err := r.tally(id, g)
	if err != nil {
		return err
	}
	outcome := outcomeCounted
	if before == 0 {
		dr, err := r.draft(id)
		if err != nil {
			return err
		}
		alert := ref(row)
		cmd := incident.Command{Verb: incident.VerbAttach, For: id, By: source(g.alert), Via: incident.ViaSource, Alert: &alert,
			Text: clip(g.alert.Detail), Runs: r.runs(dr.inc, g.alert, rule)}
		if rule.Open.Worse(dr.inc.Severity) {
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
	if g.made.Storm && before == 0 {
		outcome = outcomeGathered
	}
	r.settle(g, Settled{Outcome: outcome, Incident: id, Alert: row.ID})
	return r.counted(id, row, before)
}

// hold keeps an incident from being changed by others without reading it: most
// of what joins one is a copy, and changes nothing but a counter beside it.
func (r *reporting) hold(id incident.ID) error {
	if r.drafts[id] != nil || r.held[id] {
		return nil
	}
	if err := r.tx.Hold(id); err != nil {
		return err
	}
	r.held[id] = true
	return nil
}

// counted marks the 10th, 100th, 1000th … copy in the timeline, of an alert that
// is named there.
func (r *reporting) counted(id incident.ID, row AlertRow, before int64) error {
	mark := passed(before, row.Count)
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
	alert := ref(row)
	if _, err := r.judge(incident.Command{Verb: incident.VerbCount, For: id, By: incident.System, Via: incident.ViaSystem, Alert: &alert, Count: mark}); err != nil {
		return fmt.Errorf("count for %s: %w", id, err)
	}
	return nil
}

// passed is the highest of 10, 100, 1000 … that lies behind before and not
// behind after, or 0.
func passed(before, after int64) (mark int64) {
	for n := int64(10); n <= after; n *= 10 {
		if n > before {
			mark = n
		}
	}
	return mark
}

// runs pins the playbooks that an alert starts: the rule's, and those that
// match by themselves, but none that runs already.
func (s *session) runs(inc incident.Incident, a incident.Alert, rule Rule) []incident.Run {
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
