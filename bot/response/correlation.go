package response

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// syncCorrelations updates the correlation keys of an incident after its status
// changed. Only live incidents have keys: a merge moves them, an end releases
// them and a reopening restores them.
func (s *session) syncCorrelations(dr *draft) error {
	id, live := dr.inc.ID, dr.inc.Status.Live()
	switch {
	case dr.merged:
		if err := s.tx.MoveCorrelations(id, dr.inc.MergedInto); err != nil {
			return fmt.Errorf("move the correlation keys of %s: %w", id, err)
		}
		if err := s.tx.MoveAlerts(id, dr.inc.MergedInto); err != nil {
			return fmt.Errorf("move the alerts of %s: %w", id, err)
		}
	case dr.wasLive && !live:
		if err := s.tx.MoveCorrelations(id, 0); err != nil {
			return fmt.Errorf("release the correlation keys of %s: %w", id, err)
		}
	case !dr.wasLive && live && dr.events[0].Seq > 1: // reopened
		if err := s.restoreCorrelations(dr.inc); err != nil {
			return err
		}
		if err := s.tx.MoveAlerts(WatchedAlerts, id); err != nil { // recurrences since its end
			return fmt.Errorf("attach recurrences to %s: %w", id, err)
		}
	}
	return nil
}

// restoreBatch is the number of alerts of a reopened incident that are read at
// once.
const restoreBatch = 500

// restoreCorrelations binds the correlation keys of a reopened incident again. An
// incident that was split from another one gets the fingerprint keys of its
// alerts. It gets a shared correlation key only if it was the last incident with
// it.
func (s *session) restoreCorrelations(inc incident.Incident) error {
	seen := map[string]bool{}
	for after := int64(0); ; {
		rows, err := s.tx.Alerts(AlertQuery{Incident: inc.ID, After: after, Limit: restoreBatch})
		if err != nil {
			return err
		}
		for _, row := range rows {
			keys, err := s.correlationKeys(inc, row.Alert, seen)
			if err != nil {
				return err
			}
			for _, key := range keys {
				if err := s.bindCorrelation(key, inc.ID); err != nil {
					return err
				}
			}
			after = row.ID
		}
		if len(rows) < restoreBatch {
			return nil
		}
	}
}

// correlationKeys returns the keys of an alert that a reopened incident binds
// again. Keys in seen are skipped, and new ones are added to it.
func (s *session) correlationKeys(inc incident.Incident, a incident.Alert, seen map[string]bool) (keys []string, err error) {
	isNew := func(key string) bool {
		known := seen[key]
		seen[key] = true
		return !known
	}
	shared := correlationKey(a)
	if inc.SplitFrom == 0 {
		if isNew(shared) {
			keys = append(keys, shared)
		}
		if a.Report != nil && a.Report.Thread != "" && isNew(a.Report.Thread) {
			keys = append(keys, a.Report.Thread)
		}
		return keys, nil
	}
	if key := fingerprintKey(a); isNew(key) {
		keys = append(keys, key)
	}
	if isNew(shared) {
		last, _, err := s.tx.EndedIncident(shared, incident.Alert{}, time.Time{})
		if err != nil {
			return nil, fmt.Errorf("find the last incident with a correlation key: %w", err)
		}
		if last == inc.ID {
			keys = append(keys, shared)
		}
	}
	return keys, nil
}

// bindCorrelation binds a key to an incident unless another live incident has it.
func (s *session) bindCorrelation(key string, id incident.ID) error {
	holder, err := firstIncident(s.tx, key)
	if err != nil || holder != 0 {
		return err
	}
	return s.tx.Correlate(key, id)
}

// bindThread binds the thread of a report by mail to the incident of the report.
func (s *session) bindThread(a incident.Alert, id incident.ID) error {
	if a.Report == nil || a.Report.Thread == "" {
		return nil
	}
	return s.bindCorrelation(a.Report.Thread, id)
}
