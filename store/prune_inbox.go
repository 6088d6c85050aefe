package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"gorm.io/gorm"
)

// inbox goes through the deliveries in the order in which they came, up to the first batch that is young.
func (p *pruner) inbox(ctx context.Context, keep Retention) error {
	before := p.before(keep.Inbox)
	for after := int64(0); !p.pastDeadline(); {
		var rows []inboxRow
		err := p.s.view(ctx, func(db *gorm.DB) error {
			return db.Raw("SELECT id, source, delivery_hash, received_at, handled_at, incident_id, alert_id FROM inbox WHERE id > ? ORDER BY id LIMIT ?",
				after, pruneBatch).Scan(&rows).Error
		})
		if err != nil {
			return fmt.Errorf("look through the inbox: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		after = rows[len(rows)-1].ID
		rows = slices.DeleteFunc(rows, func(r inboxRow) bool { return !r.ReceivedAt.Before(before) || r.HandledAt == nil })
		if len(rows) == 0 {
			if p.withinRetention(ctx, after, before) {
				return nil
			}
			continue
		}
		if err := p.inboxBatch(ctx, rows, deletionBatch{tableName: "inbox", policy: policy("inbox", keep.Inbox), before: before}); err != nil {
			return err
		}
	}
	return nil
}

// withinRetention reports whether the delivery at which a batch ended is within its time: those after it are, too.
func (p *pruner) withinRetention(ctx context.Context, id int64, before time.Time) bool {
	var row inboxRow
	err := p.s.view(ctx, func(db *gorm.DB) error {
		return db.Raw("SELECT received_at FROM inbox WHERE id = ?", id).Scan(&row).Error
	})
	return err == nil && !row.ReceivedAt.Before(before)
}

func (p *pruner) inboxBatch(ctx context.Context, rows []inboxRow, g deletionBatch) error {
	return p.batch(ctx, g.before, func(t domainTx, guard *exemptions) ([]deletionBatch, error) {
		g := g
		homes, err := t.currentIncidents(rows)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			// The alert may have been moved to another incident since the delivery was handled.
			free, err := guard.deletable(row.IncidentID)
			if err == nil && free {
				free, err = guard.deletable(homes[row.AlertID])
			}
			if err != nil {
				return nil, err
			}
			if !free {
				continue
			}
			var bodies [][]byte // one at a time: a batch of large ones is no reason to need much memory
			if err := t.db.Raw("SELECT sealed_body FROM delivery_bodies WHERE inbox_id = ?", row.ID).Scan(&bodies).Error; err != nil {
				return nil, fmt.Errorf("read the body of a delivery: %w", err)
			}
			if len(bodies) == 0 {
				continue // Verify tells of it
			}
			var d sealedDelivery
			if err := t.s.unseal("inbox", inboxKey(row.Source, row.DeliveryHash), "sealed_body", bodies[0], &d); err != nil {
				return nil, err
			}
			g.ids, g.held = append(g.ids, row.ID), append(g.held, strconv.FormatInt(row.ID, 10)+" "+d.hash())
		}
		if _, err := t.remove(g, "delivery_bodies", "inbox_id"); err != nil {
			return nil, err
		}
		return t.remove(g, "inbox", "id")
	})
}

// currentIncidents says to which incident the alerts of deliveries belong by now.
func (t domainTx) currentIncidents(rows []inboxRow) (map[int64]int64, error) {
	out := map[int64]int64{}
	for _, row := range rows {
		if _, ok := out[row.AlertID]; ok || row.AlertID == 0 {
			continue
		}
		id := row.AlertID
		for id != 0 {
			var found, next []int64
			err := errors.Join(t.db.Raw("SELECT incident_id FROM alerts WHERE id = ?", id).Scan(&found).Error,
				t.db.Raw("SELECT moved_to FROM moved_alerts WHERE id = ?", id).Scan(&next).Error)
			if err != nil {
				return nil, fmt.Errorf("find an alert: %w", err)
			}
			id = 0
			if len(found) > 0 {
				out[row.AlertID] = found[0]
			} else if len(next) > 0 {
				id = next[0]
			}
		}
	}
	return out, nil
}
