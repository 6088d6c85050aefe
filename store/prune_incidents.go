package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// pruneSuppressedAlerts deletes expired alerts that are not attached to an incident.
func (p *pruner) pruneSuppressedAlerts(ctx context.Context, retention Retention) error {
	before := p.cutoff(retention.Alerts)
	for disposition := response.WatchedAlerts; disposition >= response.MaintenanceAlerts; disposition-- {
		for more := true; more && !p.pastDeadline(); {
			err := p.runBatch(ctx, before, func(t domainTx, _ *exemptions) ([]deletionBatch, error) {
				var rows []alertRow
				err := t.db.Raw("SELECT id, hash, count FROM alerts WHERE incident_id = ? AND last_at < ? ORDER BY last_at LIMIT ?"+t.lockClause, int64(disposition), before, pruneBatch).Scan(&rows).Error
				if err != nil {
					return nil, fmt.Errorf("find old alerts: %w", err)
				}
				more = len(rows) == pruneBatch
				return t.remove(alertTombstone(rows, retention, before), "alerts", "id")
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// alertTombstone returns the deletion batch of alerts.
func alertTombstone(rows []alertRow, retention Retention, before time.Time) deletionBatch {
	g := deletionBatch{tableName: "alerts", policy: policyName("alerts", retention.Alerts), cutoff: before}
	for _, row := range rows {
		g.ids, g.contents = append(g.ids, row.ID), append(g.contents, fmt.Sprintf("%d %s %d", row.ID, row.Hash, row.Count))
	}
	return g
}

// pruneIncidents deletes the alerts, finished effects and command keys of incidents that ended before the cutoff. The
// timelines still contain the alerts.
func (p *pruner) pruneIncidents(ctx context.Context, retention Retention) error {
	before := p.cutoff(retention.Alerts)
	for after := int64(0); !p.pastDeadline(); {
		var ids []int64
		err := p.s.view(ctx, func(db *gorm.DB) error {
			return db.Raw("SELECT id FROM incidents WHERE id > ? AND status IN ? AND updated_at < ? AND NOT legal_hold ORDER BY id LIMIT ?",
				after, endedStatuses(), before, pruneBatch).Scan(&ids).Error
		})
		if err != nil {
			return fmt.Errorf("find ended incidents: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		after = ids[len(ids)-1]
		for _, id := range ids {
			for more := true; more && !p.pastDeadline(); {
				err := p.runBatch(ctx, before, func(t domainTx, exempt *exemptions) ([]deletionBatch, error) {
					deletable, err := exempt.deletable(id)
					if more = false; err != nil || !deletable {
						return nil, err
					}
					batches, err := t.deleteIncidentRows(id, retention, before)
					for _, g := range batches {
						more = more || len(g.ids) == pruneBatch
					}
					return batches, err
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// endedStatuses returns the statuses of incidents that have ended.
func endedStatuses() (out []string) {
	for _, status := range incident.Statuses() {
		if status.Ended() {
			out = append(out, string(status))
		}
	}
	return out
}

// deleteIncidentRows deletes up to pruneBatch rows each of the alerts, finished effects and command keys of an
// incident.
func (t domainTx) deleteIncidentRows(id int64, retention Retention, before time.Time) ([]deletionBatch, error) {
	var alerts []alertRow
	if err := t.db.Raw("SELECT id, hash, count FROM alerts WHERE incident_id = ? LIMIT ?", id, pruneBatch).Scan(&alerts).Error; err != nil {
		return nil, fmt.Errorf("find old alerts: %w", err)
	}
	batches, err := t.remove(alertTombstone(alerts, retention, before), "alerts", "id")
	if err != nil {
		return nil, err
	}
	var effects []effectRow
	err = t.db.Raw("SELECT id, key, state FROM effects WHERE incident_id = ? AND NOT refresh AND state IN ('completed', 'discarded') LIMIT ?", id, pruneBatch).Scan(&effects).Error
	if err != nil {
		return nil, fmt.Errorf("find finished effects: %w", err)
	}
	finished := deletionBatch{tableName: "effects", policy: policyName("alerts", retention.Alerts), cutoff: before}
	for _, row := range effects {
		finished.ids, finished.contents = append(finished.ids, row.ID), append(finished.contents, row.Key+" "+row.State)
	}
	if _, err := t.remove(finished, "ledger", "effect_id"); err != nil {
		return nil, err
	}
	removed, err := t.remove(finished, "effects", "id")
	if err != nil {
		return nil, err
	}
	keys, err := t.deleteCommandKeys(id, policyName("alerts", retention.Alerts), before)
	return slices.Concat(batches, removed, keys), err
}

// deleteCommandKeys deletes command keys that are too old to be repeated. id is 0 for commands that opened incidents.
func (t domainTx) deleteCommandKeys(id int64, policy string, before time.Time) ([]deletionBatch, error) {
	g := deletionBatch{tableName: "commands", policy: policy, cutoff: before}
	err := t.db.Raw(`DELETE FROM commands WHERE incident_id = ? AND key_hash IN
		(SELECT key_hash FROM commands WHERE incident_id = ? AND at < ? LIMIT ?) RETURNING key_hash`, id, id, before, pruneBatch).Scan(&g.contents).Error
	if err != nil {
		return nil, fmt.Errorf("delete command keys: %w", err)
	}
	return []deletionBatch{g}, nil
}

// pruneCommands deletes the expired keys of commands that opened incidents.
func (p *pruner) pruneCommands(ctx context.Context, retention Retention) error {
	before := p.cutoff(retention.Alerts)
	for more := true; more && !p.pastDeadline(); {
		err := p.runBatch(ctx, before, func(t domainTx, _ *exemptions) (batches []deletionBatch, err error) {
			batches, err = t.deleteCommandKeys(0, policyName("alerts", retention.Alerts), before)
			more = err == nil && len(batches[0].contents) == pruneBatch
			return batches, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// auditRow holds the columns of the table audit. A tombstone covers all of them but the sealed one.
type auditRow struct {
	ID           int64
	At           time.Time
	Person       string
	Action       string
	IncidentID   int64
	Allowed      bool
	SealedDetail []byte
}

// pruneAudit deletes expired entries of the audit log.
func (p *pruner) pruneAudit(ctx context.Context, retention Retention) error {
	before := p.cutoff(retention.Audit)
	for after := int64(0); !p.pastDeadline(); {
		var rows []auditRow
		err := p.s.view(ctx, func(db *gorm.DB) error {
			return db.Raw("SELECT id, at, person, action, incident_id, allowed FROM audit WHERE id > ? ORDER BY id LIMIT ?", after, pruneBatch).Scan(&rows).Error
		})
		if err != nil {
			return fmt.Errorf("scan audit log: %w", err)
		}
		if len(rows) == 0 || !rows[0].At.Before(before) {
			return nil
		}
		after = rows[len(rows)-1].ID
		err = p.runBatch(ctx, before, func(t domainTx, exempt *exemptions) ([]deletionBatch, error) {
			g := deletionBatch{tableName: "audit", policy: policyName("audit", retention.Audit), cutoff: before}
			for _, row := range rows {
				deletable, err := exempt.deletable(row.IncidentID)
				if err != nil {
					return nil, err
				}
				if deletable && row.At.Before(before) {
					g.ids = append(g.ids, row.ID)
					g.contents = append(g.contents, strings.Join([]string{strconv.FormatInt(row.ID, 10), row.At.UTC().Format(time.RFC3339Nano), row.Person, row.Action,
						incident.ID(row.IncidentID).String(), strconv.FormatBool(row.Allowed)}, " "))
				}
			}
			return t.remove(g, "audit", "id")
		})
		if err != nil {
			return err
		}
	}
	return nil
}
