package response

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// syncCorrelations keeps the correlation keys with the incidents that are alive.
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
		if err := s.tx.ReleaseCorrelations(id); err != nil {
			return fmt.Errorf("release the correlation keys of %s: %w", id, err)
		}
	case !dr.wasLive && live && dr.events[0].Seq > 1: // it came back to life
		if err := s.restoreCorrelations(dr.inc); err != nil {
			return err
		}
		if err := s.tx.MoveAlerts(WatchedAlerts, id); err != nil { // what came while it was thought to be over
			return fmt.Errorf("bring late alerts back into %s: %w", id, err)
		}
	}
	return nil
}

// restoreBatch is how many alerts of an incident that lives again are read at once.
const restoreBatch = 500

// restoreCorrelations gives an incident that lives again the keys by which the copies of its
// alerts find it. One that was split off has those of its own alerts; that of
// their correlation it has only where it was the last to have it.
func (s *session) restoreCorrelations(inc incident.Incident) error {
	seen := map[string]bool{}
	for after := int64(0); ; {
		rows, err := s.tx.AlertsAfter(inc.ID, after, restoreBatch)
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

// correlationKeys returns the keys that one alert has an incident reclaim, each of them
// once.
func (s *session) correlationKeys(inc incident.Incident, a incident.Alert, seen map[string]bool) (keys []string, err error) {
	fresh := func(key string) bool {
		known := seen[key]
		seen[key] = true
		return !known
	}
	shared := correlationKey(a)
	if inc.SplitFrom == 0 {
		if fresh(shared) {
			keys = append(keys, shared)
		}
		return keys, nil
	}
	if key := fingerprintKey(a); fresh(key) {
		keys = append(keys, key)
	}
	if fresh(shared) {
		last, _, err := s.tx.EndedIncident(shared, incident.Alert{}, time.Time{})
		if err != nil {
			return nil, fmt.Errorf("find who had a correlation key: %w", err)
		}
		if last == inc.ID {
			keys = append(keys, shared)
		}
	}
	return keys, nil
}

// bindCorrelation binds a key again unless another incident has it by now.
func (s *session) bindCorrelation(key string, id incident.ID) error {
	holder, err := s.tx.IncidentByCorrelation(key)
	if err != nil || holder != 0 {
		return err
	}
	return s.tx.Correlate(key, id)
}
