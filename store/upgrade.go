package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// moveStorms moves the alert storms and openings that an earlier version stored in tables to [response.KeyValues].
// Values are encrypted, so a migration in SQL cannot do this.
func (s *Store) moveStorms(ctx context.Context) error {
	err := s.Tx(ctx, func(tx response.Tx) error {
		t := tx.(domainTx)
		var storms []struct {
			IncidentID int64
			At         time.Time
			EndedAt    *time.Time
			Round      int
			Grouped    int64
		}
		if err := t.db.Raw("DELETE FROM storms RETURNING *").Scan(&storms).Error; err != nil {
			return err
		}
		for _, row := range storms {
			storm := response.Storm{At: row.At.UTC(), Ended: row.EndedAt != nil, Round: row.Round, Grouped: row.Grouped}
			if err := t.putNewValue(incident.ID(row.IncidentID).String(), storm); err != nil {
				return err
			}
		}
		var openings []time.Time
		if err := t.db.Raw("DELETE FROM incident_openings RETURNING at").Scan(&openings).Error; err != nil || len(openings) == 0 {
			return err
		}
		slices.SortFunc(openings, time.Time.Compare)
		return t.putNewValue(response.OpeningsKey, openings)
	})
	if err != nil {
		return fmt.Errorf("move alert storms: %w", err)
	}
	return nil
}

// putNewValue stores a value of the storm namespace, unless the key has one.
func (t domainTx) putNewValue(key string, v any) error {
	known, err := t.Values(response.NamespaceStorm, key)
	if err != nil || known[key] != nil {
		return err
	}
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return t.PutValue(response.NamespaceStorm, key, value, time.Time{})
}
