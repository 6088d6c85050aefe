package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

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

// recomputeStates computes the states of incidents again that an earlier version stored in a smaller form. Otherwise the
// state would lack everything that this version derives from the timeline, and Verify would report it. A timeline with a
// problem keeps its state, and Verify reports both.
func (s *Store) recomputeStates(ctx context.Context) error {
	var ids []incident.ID
	err := s.view(ctx, func(db *gorm.DB) (err error) {
		ids, err = statesToRecompute(db)
		return err
	})
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(ids, recomputeBatch) {
		err := s.Tx(ctx, func(tx response.Tx) error {
			t := tx.(domainTx)
			for _, id := range batch {
				if err := t.recomputeState(id); err != nil {
					return fmt.Errorf("recompute state of %s: %w", id, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(ids) > 0 {
		s.log.Info("states of an earlier version recomputed", "incidents", len(ids))
	}
	return nil
}

// statesToRecompute returns the incidents whose state has a smaller form than those of this version.
func statesToRecompute(db *gorm.DB) (ids []incident.ID, err error) {
	if err := db.Raw("SELECT id FROM incidents WHERE state_form < ? ORDER BY id", incident.StateForm).Scan(&ids).Error; err != nil {
		return nil, fmt.Errorf("find states of an earlier version: %w", err)
	}
	return ids, nil
}

// recomputeBatch is the number of incidents in one transaction.
const recomputeBatch = 100

func (t domainTx) recomputeState(id incident.ID) error {
	var row incidentRow
	if err := t.db.Take(&row, "id = ?", int64(id)).Error; err != nil {
		return err
	}
	events, err := t.Timeline(id)
	if err != nil || t.s.keys.VerifyMAC(row.head().MACInput(id), row.HeadMac) != nil || len(incident.Verify(id, events, row.head())) > 0 {
		t.s.log.Error("state of an earlier version not recomputed, because its timeline has a problem", "incident", id, "err", err)
		return nil
	}
	inc := incident.Fold(id, events)
	next, err := t.s.incidentRow(inc)
	if err != nil {
		return err
	}
	if err := t.saveMarks(inc); err != nil {
		return err
	}
	return t.db.Model(&incidentRow{}).Where("id = ? AND head_seq = ?", next.ID, next.HeadSeq).
		Updates(map[string]any{"sealed_state": next.SealedState, "state_form": next.StateForm}).Error
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
