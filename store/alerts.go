package store

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// alertRow is a row of the table alerts.
type alertRow struct {
	ID              int64 `gorm:"primaryKey"`
	IncidentID      int64
	Hash            string
	CorrelationHash string
	Source          string
	Kind            string
	Count           int64
	FirstAt         time.Time
	LastAt          time.Time
	SealedBody      []byte
}

func (alertRow) TableName() string { return "alerts" }

func (r reader) alert(row alertRow) (response.AlertRow, error) {
	out := response.AlertRow{ID: row.ID, Incident: incident.ID(row.IncidentID), Hash: row.Hash, Count: row.Count,
		FirstAt: row.FirstAt.UTC(), LastAt: row.LastAt.UTC()}
	err := r.s.unseal("alerts", rowKey(row.ID), "sealed_body", row.SealedBody, &out.Alert)
	return out, err
}

func (r reader) Alerts(id incident.ID, limit int) ([]response.AlertRow, error) {
	q := r.db.Where("incident_id = ?", int64(id))
	if id == 0 {
		q = q.Order("last_at DESC, id DESC")
	} else {
		q = q.Order("id")
	}
	if limit > 0 {
		q = q.Limit(limit)
	}
	var rows []alertRow
	if err := q.Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	out := make([]response.AlertRow, len(rows))
	for i, row := range rows {
		var err error
		if out[i], err = r.alert(row); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (t domainTx) Tally(id incident.ID, a incident.Alert, n int64, now time.Time) (response.AlertRow, int64, error) {
	var row alertRow
	err := t.db.Raw(`INSERT INTO alerts (incident_id, hash, correlation_hash, source, kind, count, first_at, last_at, sealed_body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (incident_id, hash) DO UPDATE SET count = alerts.count + excluded.count, last_at = excluded.last_at
		RETURNING *`,
		int64(id), t.s.hash("alerts", "fingerprint", a.Source, a.Fingerprint), t.s.hash("correlations", "key", a.Correlation),
		a.Source, a.Kind, n, stamp(now), stamp(now), []byte{}).Scan(&row).Error
	if err != nil {
		return response.AlertRow{}, 0, fmt.Errorf("count an alert: %w", err)
	}
	if before := row.Count - n; before > 0 {
		known, err := t.alert(row)
		return known, before, err
	}
	// The ciphertext is bound to the row's id, which is known only now.
	if row.SealedBody, err = t.s.seal("alerts", rowKey(row.ID), "sealed_body", a); err != nil {
		return response.AlertRow{}, 0, err
	}
	if err := t.db.Exec("UPDATE alerts SET sealed_body = ? WHERE id = ?", row.SealedBody, row.ID).Error; err != nil {
		return response.AlertRow{}, 0, fmt.Errorf("keep an alert: %w", err)
	}
	fresh, err := t.alert(row)
	return fresh, 0, err
}

// Rehome moves the alerts of an incident to another and adds up those that both have. From 0 it moves the watched
// alerts that carry a correlation key of the other incident.
func (t domainTx) Rehome(from, to incident.ID) error {
	moving := "SELECT id FROM alerts WHERE incident_id = ?"
	args := []any{int64(from)}
	if from == 0 {
		moving += " AND correlation_hash IN (SELECT key_hash FROM correlations WHERE live AND incident_id = ?)"
		args = append(args, int64(to))
	}
	var ids []int64
	if err := t.db.Raw(moving+" ORDER BY id"+t.lock, args...).Scan(&ids).Error; err != nil {
		return fmt.Errorf("find alerts to move: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	for _, step := range []struct {
		what  string
		query string
		args  []any
	}{
		{"add up alerts", `UPDATE alerts SET count = alerts.count + f.count,
			first_at = CASE WHEN f.first_at < alerts.first_at THEN f.first_at ELSE alerts.first_at END,
			last_at = CASE WHEN f.last_at > alerts.last_at THEN f.last_at ELSE alerts.last_at END
			FROM alerts AS f WHERE f.id IN ? AND alerts.incident_id = ? AND alerts.hash = f.hash`, []any{ids, int64(to)}},
		{"drop added alerts", `DELETE FROM alerts WHERE id IN ? AND hash IN (SELECT hash FROM alerts WHERE incident_id = ?)`, []any{ids, int64(to)}},
		{"move alerts", `UPDATE alerts SET incident_id = ? WHERE id IN ?`, []any{int64(to), ids}},
	} {
		if err := t.db.Exec(step.query, step.args...).Error; err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}
