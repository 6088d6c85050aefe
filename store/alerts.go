package store

import (
	"fmt"
	"maps"
	"slices"
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
	Rule            int
	RoutingID       int64
	MaintenanceID   int64
	RecurrenceOf    int64
	Storm           bool
	SealedBody      []byte
}

func (alertRow) TableName() string { return "alerts" }

// clearColumns returns the columns that are not encrypted.
func (row alertRow) clearColumns() response.AlertRow {
	return response.AlertRow{ID: row.ID, Incident: incident.ID(row.IncidentID), Hash: row.Hash, Count: row.Count,
		FirstAt: row.FirstAt.UTC(), LastAt: row.LastAt.UTC(), Decision: response.RoutingDecision{Rule: row.Rule, Routing: row.RoutingID,
			Maintenance: row.MaintenanceID, RecurrenceOf: incident.ID(row.RecurrenceOf), Storm: row.Storm}}
}

func (r reader) alert(row alertRow) (response.AlertRow, error) {
	out := row.clearColumns()
	err := r.s.unseal("alerts", rowKey(row.ID), "sealed_body", row.SealedBody, &out.Alert)
	return out, err
}

func (r reader) Alerts(q response.AlertQuery) ([]response.AlertRow, error) {
	rows, err := r.alertRows(q)
	if err != nil {
		return nil, fmt.Errorf("read alerts: %w", err)
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

func (r reader) alertRows(q response.AlertQuery) (rows []alertRow, err error) {
	if q.ID != 0 {
		return r.alertRow(q.ID)
	}
	find := r.db.Where("incident_id = ?", int64(q.Incident))
	if q.Incident <= 0 { // suppressed alerts
		find = find.Order("last_at DESC, id DESC")
	} else {
		find = find.Order("id")
	}
	if q.Same != nil {
		find = find.Where("hash = ?", r.s.fingerprint(*q.Same))
	}
	if q.After != 0 {
		find = find.Where("id > ?", q.After)
	}
	if q.Limit > 0 {
		find = find.Limit(q.Limit)
	}
	err = find.Find(&rows).Error
	return rows, err
}

// alertRow returns the row of one alert, also after a move, or no row.
func (r reader) alertRow(id int64) (rows []alertRow, err error) {
	for id != 0 {
		if err := r.db.Raw("SELECT * FROM alerts WHERE id = ?", id).Scan(&rows).Error; err != nil || len(rows) > 0 {
			return rows, err
		}
		var next int64
		if err := r.db.Raw("SELECT moved_to FROM moved_alerts WHERE id = ?", id).Scan(&next).Error; err != nil {
			return nil, err
		}
		id = next
	}
	return nil, nil
}

// AlertIncidents scans the alerts for fingerprints, because an index would slow every alert and only exports need it.
func (r reader) AlertIncidents(ids []int64, alerts []incident.Alert) (map[int64]incident.ID, [][]incident.ID, error) {
	byID := map[int64]incident.ID{}
	for chunk := range slices.Chunk(ids, listChunk) {
		if err := r.alertIncidentsByID(chunk, byID); err != nil {
			return nil, nil, err
		}
	}
	byAlert, positions := make([][]incident.ID, len(alerts)), map[string][]int{}
	for n, a := range alerts {
		hash := r.s.fingerprint(a)
		positions[hash] = append(positions[hash], n)
	}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(positions)), listChunk) {
		var rows []alertRow
		if err := r.db.Raw("SELECT incident_id, hash FROM alerts WHERE incident_id > 0 AND hash IN ?", padToPowerOfTwo(chunk)).Scan(&rows).Error; err != nil {
			return nil, nil, fmt.Errorf("find incidents of alerts: %w", err)
		}
		for _, row := range rows {
			for _, n := range positions[row.Hash] {
				byAlert[n] = append(byAlert[n], incident.ID(row.IncidentID))
			}
		}
	}
	return byID, byAlert, nil
}

// alertIncidentsByID adds the incidents of alerts to byID. It follows alerts that were merged into others.
func (r reader) alertIncidentsByID(ids []int64, byID map[int64]incident.ID) error {
	original := map[int64][]int64{} // ids of the request, by the id that replaced them
	for _, id := range ids {
		original[id] = append(original[id], id)
	}
	for len(original) > 0 {
		current := padToPowerOfTwo(slices.Sorted(maps.Keys(original)))
		var rows []alertRow
		if err := r.db.Raw("SELECT id, incident_id FROM alerts WHERE incident_id > 0 AND id IN ?", current).Scan(&rows).Error; err != nil {
			return fmt.Errorf("find incidents of alerts: %w", err)
		}
		for _, row := range rows {
			for _, id := range original[row.ID] {
				byID[id] = incident.ID(row.IncidentID)
			}
		}
		var moved []struct{ ID, MovedTo int64 }
		if err := r.db.Raw("SELECT id, moved_to FROM moved_alerts WHERE id IN ?", current).Scan(&moved).Error; err != nil {
			return fmt.Errorf("find moved alerts: %w", err)
		}
		next := map[int64][]int64{}
		for _, m := range moved {
			next[m.MovedTo] = append(next[m.MovedTo], original[m.ID]...)
		}
		original = next
	}
	return nil
}

func (r reader) CountAlerts(id incident.ID, since time.Time) (counts []incident.AlertCount, err error) {
	err = r.db.Raw("SELECT kind, count(*) AS alerts, sum(count) AS occurrences FROM alerts WHERE incident_id = ? AND last_at >= ? AND (incident_id > 0 OR origin = '') GROUP BY kind ORDER BY kind",
		int64(id), dbTime(since)).Scan(&counts).Error
	if err != nil {
		return nil, fmt.Errorf("count alerts: %w", err)
	}
	return counts, nil
}

// fingerprint returns the hash that all occurrences of an alert share.
func (s *Store) fingerprint(a incident.Alert) string {
	return s.hash("alerts", "fingerprint", a.Source, a.Fingerprint)
}

// unusedAlertID is an SQL expression for the id of a new alert on SQLite, which would use the id of the newest alert again
// after a merge removed its row.
const unusedAlertID = "(SELECT max(id) + 1 FROM (SELECT max(id) AS id FROM alerts UNION ALL SELECT max(id) FROM moved_alerts))"

func (t domainTx) CountAlert(id incident.ID, a incident.Alert, n int64, now time.Time, d response.RoutingDecision) (response.AlertRow, int64, error) {
	column, value := "", ""
	if t.lockClause == "" {
		column, value = "id, ", unusedAlertID+", "
	}
	var row alertRow
	err := t.db.Raw(`INSERT INTO alerts (`+column+`incident_id, hash, correlation_hash, source, kind, count, first_at, last_at,
		rule, routing_id, maintenance_id, recurrence_of, storm, origin, sealed_body) VALUES (`+value+`?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (incident_id, hash) DO UPDATE SET count = alerts.count + excluded.count, last_at = excluded.last_at, rule = excluded.rule,
		routing_id = excluded.routing_id, maintenance_id = excluded.maintenance_id, recurrence_of = excluded.recurrence_of, storm = alerts.storm OR excluded.storm
		RETURNING id, incident_id, hash, count, first_at, last_at, rule, routing_id, maintenance_id, recurrence_of, storm`,
		int64(id), t.s.fingerprint(a), t.s.hash("correlations", "key", a.Correlation),
		a.Source, a.Kind, n, dbTime(now), dbTime(now), d.Rule, d.Routing, d.Maintenance, int64(d.RecurrenceOf), d.Storm, string(a.Origin), []byte{}).Row().
		Scan(&row.ID, &row.IncidentID, &row.Hash, &row.Count, &row.FirstAt, &row.LastAt, &row.Rule, &row.RoutingID, &row.MaintenanceID, &row.RecurrenceOf, &row.Storm)
	if err != nil {
		return response.AlertRow{}, 0, fmt.Errorf("count alert: %w", err)
	}
	t.tx.note(subjectAlerts, row.ID, row.ID)
	out := row.clearColumns()
	if before := row.Count - n; before > 0 {
		return out, before, nil
	}
	// The ciphertext is bound to the row's id, which is known only now.
	sealed, err := t.s.seal("alerts", rowKey(row.ID), "sealed_body", a)
	if err != nil {
		return response.AlertRow{}, 0, err
	}
	if err := t.db.Exec("UPDATE alerts SET sealed_body = ? WHERE id = ?", sealed, row.ID).Error; err != nil {
		return response.AlertRow{}, 0, fmt.Errorf("write alert: %w", err)
	}
	out.Alert = a
	return out, 0, nil
}

// MoveAlerts implements [response.Tx]. Counts of alerts that both incidents have are added up. From
// [response.WatchedAlerts] it moves the alerts with a live correlation key of the target incident, and further
// occurrences of the target's alerts.
func (t domainTx) MoveAlerts(from, to incident.ID, ids ...int64) error {
	if len(ids) > 0 {
		return t.splitAlerts(from, to, ids)
	}
	if from == response.WatchedAlerts {
		// The literal 0 lets the planner use the partial index alerts_watched.
		err := t.moveAlertsWhere(to, "incident_id = 0 AND correlation_hash IN (SELECT key_hash FROM correlations WHERE live AND incident_id = ?)", int64(to))
		if err != nil {
			return err
		}
		return t.moveAlertsWhere(to, "incident_id = 0 AND hash IN (SELECT hash FROM alerts WHERE incident_id = ?)", int64(to))
	}
	return t.moveAlertsWhere(to, "incident_id = ?", int64(from))
}

// moveAlertsWhere moves the alerts that match a condition to an incident or a group of suppressed alerts. If the target
// already has an alert, it adds the counts and records where the removed row went.
func (t domainTx) moveAlertsWhere(to incident.ID, where string, args ...any) error {
	var ids []int64
	if err := t.db.Raw("SELECT id FROM alerts WHERE "+where+" ORDER BY id"+t.lockClause, args...).Scan(&ids).Error; err != nil {
		return fmt.Errorf("find alerts to move: %w", err)
	}
	for chunk := range slices.Chunk(ids, listChunk) {
		if err := t.moveAlertRows(to, chunk); err != nil {
			return err
		}
	}
	return nil
}

// movedAlert is a row of the table moved_alerts.
type movedAlert struct{ ID, MovedTo int64 }

func (t domainTx) moveAlertRows(to incident.ID, ids []int64) error {
	err := t.db.Exec(`UPDATE alerts SET count = alerts.count + f.count,
		first_at = CASE WHEN f.first_at < alerts.first_at THEN f.first_at ELSE alerts.first_at END,
		last_at = CASE WHEN f.last_at > alerts.last_at THEN f.last_at ELSE alerts.last_at END
		FROM alerts AS f WHERE f.id IN ? AND alerts.incident_id = ? AND alerts.hash = f.hash`, ids, int64(to)).Error
	if err != nil {
		return fmt.Errorf("add up alerts: %w", err)
	}
	var merged []movedAlert
	err = t.db.Raw("SELECT f.id, alerts.id AS moved_to FROM alerts AS f JOIN alerts ON alerts.hash = f.hash WHERE f.id IN ? AND alerts.incident_id = ?", ids, int64(to)).Scan(&merged).Error
	if err != nil {
		return fmt.Errorf("find merged alerts: %w", err)
	}
	if err := t.recordMoved(merged); err != nil {
		return err
	}
	if err := t.db.Exec("DELETE FROM alerts WHERE id IN ? AND hash IN (SELECT hash FROM alerts WHERE incident_id = ?)", ids, int64(to)).Error; err != nil {
		return fmt.Errorf("delete merged alerts: %w", err)
	}
	if err := t.db.Exec("UPDATE alerts SET incident_id = ? WHERE id IN ?", int64(to), ids).Error; err != nil {
		return fmt.Errorf("move alerts: %w", err)
	}
	t.tx.noteIDs(subjectAlerts, ids...)
	return nil
}

// recordMoved records which alerts were merged into others, with a MAC that proves the reason of the removal.
func (t domainTx) recordMoved(merged []movedAlert) error {
	for len(merged) > 0 {
		n := chunkSize(len(merged), inboxChunk)
		args := make([]any, 0, 3*n)
		for _, one := range merged[:n] {
			args = append(args, one.ID, one.MovedTo, t.s.rowMAC(appendColumn(appendContent(nil, "moved_alerts", one.ID), "moved_to", one.MovedTo)))
			t.tx.note(subjectAlerts, one.MovedTo, one.MovedTo)
		}
		if err := t.db.Exec("INSERT INTO moved_alerts (id, moved_to, mac) VALUES "+valuesClause("(?, ?, ?)", n), args...).Error; err != nil {
			return fmt.Errorf("record moved alerts: %w", err)
		}
		merged = merged[n:]
	}
	return nil
}

// MoveAlert implements [response.Tx]. It looks in every group of suppressed alerts, because each can have a row of the
// alert.
func (t domainTx) MoveAlert(id incident.ID, a incident.Alert, d response.RoutingDecision) (response.AlertRow, bool, error) {
	hash := t.s.fingerprint(a)
	known, err := t.exists("SELECT 1 FROM alerts WHERE incident_id = ? AND hash = ?", int64(id), hash)
	if err != nil {
		return response.AlertRow{}, false, err
	}
	for _, disposition := range []incident.ID{response.WatchedAlerts, response.DroppedAlerts, response.MaintenanceAlerts} {
		if disposition == id {
			continue
		}
		if err := t.moveAlertsWhere(id, "incident_id = ? AND hash = ?", int64(disposition), hash); err != nil {
			return response.AlertRow{}, false, err
		}
	}
	var rows []alertRow
	err = t.db.Raw(`UPDATE alerts SET rule = ?, routing_id = ?, maintenance_id = ?, recurrence_of = ?, storm = storm OR ?
		WHERE incident_id = ? AND hash = ? RETURNING *`,
		d.Rule, d.Routing, d.Maintenance, int64(d.RecurrenceOf), d.Storm, int64(id), hash).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return response.AlertRow{}, false, err
	}
	t.tx.note(subjectAlerts, rows[0].ID, rows[0].ID)
	row, err := t.alert(rows[0])
	return row, known, err
}

func (t domainTx) exists(query string, args ...any) (bool, error) {
	var found []int
	if err := t.db.Raw(query, args...).Scan(&found).Error; err != nil {
		return false, fmt.Errorf("find alert: %w", err)
	}
	return len(found) > 0, nil
}

// splitAlerts moves alerts with the correlation keys that no remaining alert has.
func (t domainTx) splitAlerts(from, to incident.ID, alerts []int64) error {
	err := t.db.Exec(`UPDATE correlations SET incident_id = ? WHERE live AND incident_id = ?
		AND key_hash IN (SELECT correlation_hash FROM alerts WHERE incident_id = ? AND id IN ?)
		AND key_hash NOT IN (SELECT correlation_hash FROM alerts WHERE incident_id = ? AND id NOT IN ?)`,
		int64(to), int64(from), int64(from), alerts, int64(from), alerts).Error
	if err != nil {
		return fmt.Errorf("move correlation keys: %w", err)
	}
	return t.moveAlertsWhere(to, "incident_id = ? AND id IN ?", int64(from), alerts)
}
