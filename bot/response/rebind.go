package response

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// rebind keeps the correlation keys with the incidents that are alive.
func (s *session) rebind(dr *draft) error {
	id, live := dr.inc.ID, dr.inc.Status.Live()
	switch {
	case dr.merged:
		if err := s.tx.Move(id, dr.inc.MergedInto); err != nil {
			return fmt.Errorf("move the correlation keys of %s: %w", id, err)
		}
		if err := s.tx.Rehome(id, dr.inc.MergedInto); err != nil {
			return fmt.Errorf("move the alerts of %s: %w", id, err)
		}
	case dr.wasLive && !live:
		if err := s.tx.Release(id); err != nil {
			return fmt.Errorf("release the correlation keys of %s: %w", id, err)
		}
	case !dr.wasLive && live && dr.events[0].Seq > 1: // it came back to life
		if err := s.revive(dr.inc); err != nil {
			return err
		}
		if err := s.tx.Rehome(Watched, id); err != nil { // what came while it was thought to be over
			return fmt.Errorf("bring late alerts back into %s: %w", id, err)
		}
	}
	return nil
}

// revived is how many alerts of an incident that lives again are read at once.
const revived = 500

// revive gives an incident that lives again the keys by which the copies of its
// alerts find it. One that was split off has those of its own alerts; that of
// their correlation it has only where it was the last to have it.
func (s *session) revive(inc incident.Incident) error {
	seen := map[string]bool{}
	for after := int64(0); ; {
		rows, err := s.tx.AlertsAfter(inc.ID, after, revived)
		if err != nil {
			return err
		}
		for _, row := range rows {
			keys, err := s.keysOf(inc, row.Alert, seen)
			if err != nil {
				return err
			}
			for _, key := range keys {
				if err := s.reclaim(key, inc.ID); err != nil {
					return err
				}
			}
			after = row.ID
		}
		if len(rows) < revived {
			return nil
		}
	}
}

// keysOf returns the keys that one alert has an incident reclaim, each of them
// once.
func (s *session) keysOf(inc incident.Incident, a incident.Alert, seen map[string]bool) (keys []string, err error) {
	fresh := func(key string) bool {
		known := seen[key]
		seen[key] = true
		return !known
	}
	shared := correlation(a)
	if inc.SplitFrom == 0 {
		if fresh(shared) {
			keys = append(keys, shared)
		}
		return keys, nil
	}
	if key := own(a); fresh(key) {
		keys = append(keys, key)
	}
	if fresh(shared) {
		last, _, err := s.tx.Ended(shared, incident.Alert{}, time.Time{})
		if err != nil {
			return nil, fmt.Errorf("find who had a correlation key: %w", err)
		}
		if last == inc.ID {
			keys = append(keys, shared)
		}
	}
	return keys, nil
}

// reclaim binds a key again unless another incident has it by now.
func (s *session) reclaim(key string, id incident.ID) error {
	holder, err := s.tx.Correlated(key)
	if err != nil || holder != 0 {
		return err
	}
	return s.tx.Correlate(key, id)
}
