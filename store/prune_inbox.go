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

// pruneInbox deletes expired, handled deliveries in the order of their ids. It stops at the first batch that has none
// and whose last delivery is within the retention.
func (p *pruner) pruneInbox(ctx context.Context, retention Retention) error {
	before := p.cutoff(retention.Inbox)
	for after := int64(0); !p.pastDeadline(); {
		var rows []inboxRow
		err := p.s.view(ctx, func(db *gorm.DB) error {
			return db.Raw("SELECT id, source, delivery_hash, received_at, handled_at, incident_id, alert_id FROM inbox WHERE id > ? ORDER BY id LIMIT ?",
				after, pruneBatch).Scan(&rows).Error
		})
		if err != nil {
			return fmt.Errorf("scan inbox: %w", err)
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
		if err := p.pruneInboxBatch(ctx, rows, deletionBatch{tableName: "inbox", policy: policyName("inbox", retention.Inbox), cutoff: before}); err != nil {
			return err
		}
	}
	return nil
}

// withinRetention reports whether the last delivery of a batch is too recent to delete. Later deliveries are too.
func (p *pruner) withinRetention(ctx context.Context, id int64, before time.Time) bool {
	var row inboxRow
	err := p.s.view(ctx, func(db *gorm.DB) error {
		return db.Raw("SELECT received_at FROM inbox WHERE id = ?", id).Scan(&row).Error
	})
	return err == nil && !row.ReceivedAt.Before(before)
}

func (p *pruner) pruneInboxBatch(ctx context.Context, rows []inboxRow, g deletionBatch) error {
	return p.runBatch(ctx, g.cutoff, func(t domainTx, exempt *exemptions) ([]deletionBatch, error) {
		g := g
		incidents, err := t.currentIncidents(rows)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			// The alert may have been moved to another incident since the delivery was handled.
			deletable, err := exempt.deletable(row.IncidentID)
			if err == nil && deletable {
				deletable, err = exempt.deletable(incidents[row.AlertID])
			}
			if err != nil {
				return nil, err
			}
			if !deletable {
				continue
			}
			var bodies [][]byte // one body at a time, to limit memory
			if err := t.db.Raw("SELECT sealed_body FROM delivery_bodies WHERE inbox_id = ?", row.ID).Scan(&bodies).Error; err != nil {
				return nil, fmt.Errorf("read delivery body: %w", err)
			}
			if len(bodies) == 0 {
				continue // Verify reports this problem
			}
			var d sealedDelivery
			if err := t.s.unseal("inbox", inboxKey(row.Source, row.DeliveryHash), "sealed_body", bodies[0], &d); err != nil {
				return nil, err
			}
			g.ids, g.contents = append(g.ids, row.ID), append(g.contents, strconv.FormatInt(row.ID, 10)+" "+d.sha256())
		}
		if _, err := t.remove(g, "delivery_bodies", "inbox_id"); err != nil {
			return nil, err
		}
		return t.remove(g, "inbox", "id")
	})
}

// currentIncidents returns the incident that each alert of the deliveries belongs to now.
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
				return nil, fmt.Errorf("find alert: %w", err)
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
