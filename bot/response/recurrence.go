package response

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tocsin/bot/incident"
)

// endedIncident returns the incident with the correlation key of the alert that
// ended within the recurrence window of the rule, or 0. For an ongoing condition
// that an incident dealt with, the end may be any time ago.
//
// suppress reports whether the recurrence pages no one. Three conditions must
// hold: that incident has the alert, it was dismissed or the alert reports an
// ongoing condition, and the rule is not more severe than the incident.
func (r *ingestion) endedIncident(g *alertGroup, rule Rule) (id incident.ID, suppress bool, err error) {
	if rule.RecurrenceWindow <= 0 && !g.alert.Ongoing {
		return 0, false, nil
	}
	known := false
	for _, key := range []string{fingerprintKey(g.alert), g.alert.Correlation} {
		if id, known, err = r.tx.EndedIncident(key, g.alert, r.now.Add(-rule.RecurrenceWindow)); err != nil {
			return 0, false, fmt.Errorf("find the ended incident of an alert: %w", err)
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
	handled := g.alert.Ongoing || dr.inc.Status == incident.Dismissed
	return id, known && handled && !rule.Open.MoreSevereThan(dr.inc.Severity), nil
}

// suppressRecurrence stores a recurrence as a watched alert. The first, 10th,
// 100th … occurrence is noted in the ended incident.
func (r *ingestion) suppressRecurrence(id incident.ID, g *alertGroup) error {
	g.decision.RecurrenceOf = id
	row, before, err := r.countAlert(WatchedAlerts, g)
	if err != nil {
		return err
	}
	r.setOutcomes(g, DeliveryOutcome{Outcome: outcomeRecurred, Incident: id, Alert: row.ID})
	if mark := milestone(before, row.Count); before == 0 || mark != 0 {
		r.recurrences[id] = append(r.recurrences[id], recurrence{row.ID, row.Count})
	}
	return nil
}

// recurrence is an alert that occurred again after its incident ended.
type recurrence struct {
	alert int64
	count int64
}

// noteRecurrences adds one note about the recurrences of the batch to each
// incident.
func (r *ingestion) noteRecurrences() error {
	for _, id := range slices.Sorted(maps.Keys(r.recurrences)) {
		dr, err := r.draft(id)
		if err != nil {
			return err
		}
		after := "dismissed as a false alarm"
		if dr.inc.Status != incident.Dismissed {
			after = string(dr.inc.Status)
		}
		first, n := r.recurrences[id][0], len(r.recurrences[id])
		text := fmt.Sprintf("Alert A%d recurred after this incident was %s (occurrence %d). It is suppressed and pages no one. If that is wrong, reopen this incident or run: alerts promote A%d",
			first.alert, after, first.count, first.alert)
		if n > 1 {
			text = fmt.Sprintf("%d alerts recurred after this incident was %s, A%d among them. They are suppressed and page no one. If that is wrong, reopen this incident or promote an alert with: alerts promote A%d",
				n, after, first.alert, first.alert)
		}
		if err := r.addNote(id, incident.Alert{Source: "routing"}, text); err != nil {
			return fmt.Errorf("note recurrences in %s: %w", id, err)
		}
	}
	return nil
}

// notePredecessor adds a note to a new incident about the ended one before it.
func (r *ingestion) notePredecessor(id, ended incident.ID) error {
	dr, err := r.draft(ended)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("Earlier alerts with this correlation key were attached to %s, which has been %s since %s.", ended, dr.inc.Status, dr.inc.UpdatedAt.Format(time.RFC3339))
	if err := r.addNote(id, incident.Alert{Source: "routing"}, text); err != nil {
		return fmt.Errorf("note the predecessor of %s: %w", id, err)
	}
	return nil
}

// addNote adds a note of the source of a to the timeline of an incident, which
// also posts it in the channel.
func (s *session) addNote(id incident.ID, a incident.Alert, text string) error {
	_, err := s.decide(incident.Command{Verb: incident.VerbSourceNote, For: id, By: sourceIdentity(a), Via: incident.ViaSystem, Text: text})
	return err
}
