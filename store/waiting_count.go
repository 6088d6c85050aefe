package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
)

// WaitingCount counts the waiting effects of one system.
type WaitingCount struct {
	System  string
	Blocked int       // that wait for an administrator
	Public  int       // of Blocked, without the effects of secret events
	Failed  int       // others
	Since   time.Time // first failure of the effect that has waited longest
}

// isPublic is the condition for effects that are not of a secret event. Its argument is
// secretKinds.
const isPublic = `NOT EXISTS (SELECT 1 FROM events WHERE events.incident_id = effects.incident_id AND events.seq = effects.seq AND events.kind IN ?)`

// secretKinds are the kinds of events that only legal and security may know.
func secretKinds() []incident.EventKind {
	return slices.DeleteFunc(incident.EventKinds(), func(k incident.EventKind) bool { return !k.Secret() })
}

// CountWaiting returns the number of waiting effects of each system that has some, and the
// effect that has waited longest for an administrator. Its ID is 0 if there is none. It is
// not the effect of a secret event, because its cause shows what the event did.
func (s *Store) CountWaiting(ctx context.Context) (counts []WaitingCount, first incident.WaitingEffect, err error) {
	err = s.view(ctx, func(db *gorm.DB) error {
		var groups []struct {
			WaitingSystem      string
			Blocked, Public, N int
		}
		err := db.Raw(`SELECT waiting_system, sum(CASE WHEN blocked THEN 1 ELSE 0 END) AS blocked, sum(CASE WHEN blocked AND `+isPublic+` THEN 1 ELSE 0 END) AS public,
			count(*) AS n FROM effects WHERE waiting_since IS NOT NULL GROUP BY waiting_system ORDER BY waiting_system`, secretKinds()).Scan(&groups).Error
		if err != nil {
			return err
		}
		public := 0
		counts = make([]WaitingCount, len(groups))
		for n, g := range groups {
			oldest, err := firstWaiting(db, "waiting_system = ?", g.WaitingSystem)
			if err != nil {
				return err
			}
			counts[n] = WaitingCount{System: g.WaitingSystem, Blocked: g.Blocked, Public: g.Public, Failed: g.N - g.Blocked, Since: timeOrZero(oldest.WaitingSince)}
			public += g.Public
		}
		if public == 0 {
			return nil
		}
		row, err := firstWaiting(db, "blocked AND "+isPublic, secretKinds())
		if err != nil || row.ID == 0 {
			return err
		}
		var f failureText
		if err := s.unseal("effects", rowKey(row.ID), "sealed_failure", row.SealedFailure, &f); err != nil {
			return err
		}
		first = incident.WaitingEffect{ID: row.ID, System: row.WaitingSystem, Blocked: true, Cause: f.Cause, Fix: f.Fix, Since: timeOrZero(row.WaitingSince)}
		return nil
	})
	if err != nil {
		return nil, first, fmt.Errorf("count waiting effects: %w", err)
	}
	return counts, first, nil
}

// firstWaiting returns the effect that has waited longest, or a zero row.
func firstWaiting(db *gorm.DB, condition string, value any) (row effectRow, err error) {
	err = db.Raw("SELECT * FROM effects WHERE waiting_since IS NOT NULL AND "+condition+" ORDER BY waiting_since, id LIMIT 1", value).Scan(&row).Error
	return row, err
}
