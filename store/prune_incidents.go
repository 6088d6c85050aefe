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
)

// suppressedAlerts deletes alerts that never belonged to an incident.
func (p *pruner) suppressedAlerts(ctx context.Context, keep Retention) error {
	before := p.before(keep.Alerts)
	for shelf := 0; shelf >= -2; shelf-- {
		for more := true; more && !p.pastDeadline(); {
			err := p.batch(ctx, before, func(t domainTx, _ *exemptions) ([]deletionBatch, error) {
				var rows []alertRow
				err := t.db.Raw("SELECT id, hash, count FROM alerts WHERE incident_id = ? AND last_at < ? ORDER BY last_at LIMIT ?"+t.lock, shelf, before, pruneBatch).Scan(&rows).Error
				if err != nil {
					return nil, fmt.Errorf("look for old alerts: %w", err)
				}
				more = len(rows) == pruneBatch
				return t.remove(alertTombstone(rows, keep, before), "alerts", "id")
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func alertTombstone(rows []alertRow, keep Retention, before time.Time) deletionBatch {
	g := deletionBatch{tableName: "alerts", policy: policy("alerts", keep.Alerts), before: before}
	for _, row := range rows {
		g.ids, g.held = append(g.ids, row.ID), append(g.held, fmt.Sprintf("%d %s %d", row.ID, row.Hash, row.Count))
	}
	return g
}

// incidents deletes the alerts and the finished work of incidents that ended long ago. What they were stays in their timelines.
func (p *pruner) incidents(ctx context.Context, keep Retention) error {
	before := p.before(keep.Alerts)
	for after := int64(0); !p.pastDeadline(); {
		var ids []int64
		err := p.s.view(ctx, func(db *gorm.DB) error {
			return db.Raw("SELECT id FROM incidents WHERE id > ? AND status IN ? AND updated_at < ? AND NOT legal_hold ORDER BY id LIMIT ?",
				after, ended(), before, pruneBatch).Scan(&ids).Error
		})
		if err != nil {
			return fmt.Errorf("look for ended incidents: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		after = ids[len(ids)-1]
		for _, id := range ids {
			for more := true; more && !p.pastDeadline(); {
				err := p.batch(ctx, before, func(t domainTx, guard *exemptions) ([]deletionBatch, error) {
					free, err := guard.deletable(id)
					if more = false; err != nil || !free {
						return nil, err
					}
					graves, err := t.clearIncident(id, keep, before)
					for _, g := range graves {
						more = more || len(g.ids) == pruneBatch
					}
					return graves, err
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func ended() (out []string) {
	for _, status := range incident.Statuses() {
		if status.Ended() {
			out = append(out, string(status))
		}
	}
	return out
}

func (t domainTx) clearIncident(id int64, keep Retention, before time.Time) ([]deletionBatch, error) {
	var alerts []alertRow
	if err := t.db.Raw("SELECT id, hash, count FROM alerts WHERE incident_id = ? LIMIT ?", id, pruneBatch).Scan(&alerts).Error; err != nil {
		return nil, fmt.Errorf("look for old alerts: %w", err)
	}
	graves, err := t.remove(alertTombstone(alerts, keep, before), "alerts", "id")
	if err != nil {
		return nil, err
	}
	var effects []effectRow
	err = t.db.Raw("SELECT id, key, state FROM effects WHERE incident_id = ? AND NOT refresh AND state IN ('completed', 'discarded') LIMIT ?", id, pruneBatch).Scan(&effects).Error
	if err != nil {
		return nil, fmt.Errorf("look for finished work: %w", err)
	}
	work := deletionBatch{tableName: "effects", policy: policy("alerts", keep.Alerts), before: before}
	for _, row := range effects {
		work.ids, work.held = append(work.ids, row.ID), append(work.held, row.Key+" "+row.State)
	}
	if _, err := t.remove(work, "ledger", "effect_id"); err != nil {
		return nil, err
	}
	gone, err := t.remove(work, "effects", "id")
	if err != nil {
		return nil, err
	}
	keys, err := t.deleteCommandKeys(id, policy("alerts", keep.Alerts), before)
	return slices.Concat(graves, gone, keys), err
}

// deleteCommandKeys deletes the keys of commands that nobody can repeat any more.
func (t domainTx) deleteCommandKeys(id int64, policy string, before time.Time) ([]deletionBatch, error) {
	g := deletionBatch{tableName: "commands", policy: policy, before: before}
	err := t.db.Raw(`DELETE FROM commands WHERE incident_id = ? AND key_hash IN
		(SELECT key_hash FROM commands WHERE incident_id = ? AND at < ? LIMIT ?) RETURNING key_hash`, id, id, before, pruneBatch).Scan(&g.held).Error
	if err != nil {
		return nil, fmt.Errorf("forget commands: %w", err)
	}
	return []deletionBatch{g}, nil
}

// commands deletes the keys of commands that opened incidents.
func (p *pruner) commands(ctx context.Context, keep Retention) error {
	before := p.before(keep.Alerts)
	for more := true; more && !p.pastDeadline(); {
		err := p.batch(ctx, before, func(t domainTx, _ *exemptions) (graves []deletionBatch, err error) {
			graves, err = t.deleteCommandKeys(0, policy("alerts", keep.Alerts), before)
			more = err == nil && len(graves[0].held) == pruneBatch
			return graves, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// auditRow is a row of the table audit, as far as it is deleted.
type auditRow struct {
	ID         int64
	At         time.Time
	Person     string
	Action     string
	IncidentID int64
	Allowed    bool
}

func (p *pruner) audit(ctx context.Context, keep Retention) error {
	before := p.before(keep.Audit)
	for after := int64(0); !p.pastDeadline(); {
		var rows []auditRow
		err := p.s.view(ctx, func(db *gorm.DB) error {
			return db.Raw("SELECT id, at, person, action, incident_id, allowed FROM audit WHERE id > ? ORDER BY id LIMIT ?", after, pruneBatch).Scan(&rows).Error
		})
		if err != nil {
			return fmt.Errorf("look through the audit log: %w", err)
		}
		if len(rows) == 0 || !rows[0].At.Before(before) {
			return nil
		}
		after = rows[len(rows)-1].ID
		err = p.batch(ctx, before, func(t domainTx, guard *exemptions) ([]deletionBatch, error) {
			g := deletionBatch{tableName: "audit", policy: policy("audit", keep.Audit), before: before}
			for _, row := range rows {
				free, err := guard.deletable(row.IncidentID)
				if err != nil {
					return nil, err
				}
				if free && row.At.Before(before) {
					g.ids = append(g.ids, row.ID)
					g.held = append(g.held, strings.Join([]string{strconv.FormatInt(row.ID, 10), row.At.UTC().Format(time.RFC3339Nano), row.Person, row.Action,
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
