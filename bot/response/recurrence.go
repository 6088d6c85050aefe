package response

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tocsin/bot/incident"
)

// endedIncident finds the incident that had the alert's correlation and ended within
// the rule's window. quiet says that the alert is a copy of what was dismissed
// there as a false alarm, or tells again of a state that was dealt with there,
// and is no graver than that: it wakes nobody again.
func (r *ingestion) endedIncident(g *alertGroup, rule Rule) (id incident.ID, quiet bool, err error) {
	if rule.RecurrenceWindow <= 0 && !g.alert.Ongoing {
		return 0, false, nil
	}
	known := false
	for _, key := range []string{fingerprintKey(g.alert), g.alert.Correlation} {
		if id, known, err = r.tx.EndedIncident(key, g.alert, r.now.Add(-rule.RecurrenceWindow)); err != nil {
			return 0, false, fmt.Errorf("find the incident an alert comes after: %w", err)
		}
		if id != 0 {
			break
		}
	}
	if id == 0 || rule.RecurrenceWindow <= 0 && !known {
		return 0, false, nil
	}
	dr, err := r.draft(id)
	if err != nil {
		return 0, false, err
	}
	dealt := g.alert.Ongoing || dr.inc.Status == incident.Dismissed
	return id, known && dealt && !rule.Open.MoreSevereThan(dr.inc.Severity), nil
}

// suppressRecurrence keeps a copy of what an incident ended with as watched. The first, the
// 10th, the 100th … copy is to be told there.
func (r *ingestion) suppressRecurrence(id incident.ID, g *alertGroup) error {
	g.decision.RecurrenceOf = id
	row, before, err := r.countAlert(WatchedAlerts, g)
	if err != nil {
		return err
	}
	r.setOutcomes(g, DeliveryOutcome{Outcome: outcomeRecurred, Incident: id, Alert: row.ID})
	if mark := milestone(before, row.Count); before == 0 || mark != 0 {
		r.again[id] = append(r.again[id], recurrence{row.ID, row.Count})
	}
	return nil
}

// recurrence is an alert that came again after its incident's end.
type recurrence struct {
	alert int64
	times int64
}

// noteRecurrences says once in the timeline of each incident what of it came again.
func (r *ingestion) noteRecurrences() error {
	for _, id := range slices.Sorted(maps.Keys(r.again)) {
		dr, err := r.draft(id)
		if err != nil {
			return err
		}
		after := "dismissed as a false alarm"
		if dr.inc.Status != incident.Dismissed {
			after = string(dr.inc.Status)
		}
		first, n := r.again[id][0], len(r.again[id])
		text := fmt.Sprintf("The same alert came again after this was %s, %d times by now. It is kept as A%d and wakes nobody; reopen, or promote it, if that is wrong.",
			after, first.times, first.alert)
		if n > 1 {
			text = fmt.Sprintf("%d of the same alerts came again after this was %s, A%d among them. They are kept and wake nobody; reopen, or promote them, if that is wrong.",
				n, after, first.alert)
		}
		if err := r.addNote(id, incident.Alert{Source: "routing"}, text); err != nil {
			return fmt.Errorf("note late alerts in %s: %w", id, err)
		}
	}
	return nil
}

// notePredecessor says in a new incident which one it comes after.
func (r *ingestion) notePredecessor(id, before incident.ID) error {
	dr, err := r.draft(before)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("Alerts of the same correlation belonged to %s, which is %s since %s.", before, dr.inc.Status, dr.inc.UpdatedAt.Format(time.RFC3339))
	if err := r.addNote(id, incident.Alert{Source: "routing"}, text); err != nil {
		return fmt.Errorf("note in %s what it follows: %w", id, err)
	}
	return nil
}

// addNote puts what is known about the alerts of an incident into its timeline
// and its channel.
func (s *session) addNote(id incident.ID, a incident.Alert, text string) error {
	_, err := s.judge(incident.Command{Verb: incident.VerbSourceNote, For: id, By: sourceIdentity(a), Via: incident.ViaSystem, Text: text})
	return err
}
