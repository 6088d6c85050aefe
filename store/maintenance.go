package store

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// maintenanceRow is a row of the table maintenance.
type maintenanceRow struct {
	ID         int64 `gorm:"primaryKey"`
	Owner      string
	StartsAt   time.Time
	EndsAt     time.Time
	EndedBy    string
	Matched    int64
	At         time.Time
	SealedBody []byte
}

func (maintenanceRow) TableName() string { return "maintenance" }

// sealedWindow is what of a window somebody wrote.
type sealedWindow struct {
	When   string `json:"when"`
	Reason string `json:"reason"`
}

func (r reader) Maintenance(after time.Time) ([]incident.Maintenance, error) {
	var rows []maintenanceRow
	if err := r.db.Where("ends_at > ?", stamp(after)).Order("ends_at, id").Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list maintenance windows: %w", err)
	}
	out := make([]incident.Maintenance, len(rows))
	for n, row := range rows {
		var w sealedWindow
		if err := r.s.unseal("maintenance", rowKey(row.ID), "sealed_body", row.SealedBody, &w); err != nil {
			return nil, err
		}
		out[n] = incident.Maintenance{ID: row.ID, When: w.When, Reason: w.Reason, Owner: incident.PersonID(row.Owner), From: row.StartsAt.UTC(),
			To: row.EndsAt.UTC(), Matched: row.Matched, EndedBy: incident.PersonID(row.EndedBy)}
	}
	return out, nil
}

func (t domainTx) PutMaintenance(m incident.Maintenance) (int64, error) {
	row := maintenanceRow{Owner: string(m.Owner), StartsAt: stamp(m.From), EndsAt: stamp(m.To), At: t.s.now(), SealedBody: []byte{}}
	if err := t.db.Create(&row).Error; err != nil {
		return 0, fmt.Errorf("keep a maintenance window: %w", err)
	}
	sealed, err := t.s.seal("maintenance", rowKey(row.ID), "sealed_body", sealedWindow{m.When, m.Reason})
	if err != nil {
		return 0, err
	}
	if err := t.db.Exec("UPDATE maintenance SET sealed_body = ? WHERE id = ?", sealed, row.ID).Error; err != nil {
		return 0, fmt.Errorf("keep a maintenance window: %w", err)
	}
	return row.ID, nil
}

func (t domainTx) EndMaintenance(id int64, by incident.PersonID, at time.Time) error {
	ended := t.db.Exec("UPDATE maintenance SET ends_at = ?, ended_by = ? WHERE id = ? AND ends_at > ?", stamp(at), string(by), id, stamp(at))
	if ended.Error != nil {
		return fmt.Errorf("end a maintenance window: %w", ended.Error)
	}
	if ended.RowsAffected == 1 {
		return nil
	}
	known, err := t.exists("SELECT 1 FROM maintenance WHERE id = ?", id)
	switch {
	case err != nil:
		return err
	case known:
		return incident.Conflict("M%d has ended already", id)
	}
	return incident.Unknown("id", "there is no maintenance window M%d", id)
}

func (t domainTx) Kept(window, n int64) error {
	if err := t.db.Exec("UPDATE maintenance SET matched = matched + ? WHERE id = ?", n, window).Error; err != nil {
		return fmt.Errorf("count for a maintenance window: %w", err)
	}
	return nil
}

func (r reader) Openings(since time.Time, limit int) (int, error) {
	var n int
	err := r.db.Raw("SELECT count(*) FROM (SELECT 1 FROM openings WHERE at > ? LIMIT ?) AS o", stamp(since), limit).Scan(&n).Error
	if err != nil {
		return 0, fmt.Errorf("count openings: %w", err)
	}
	return n, nil
}

// openingsForgotten is how many openings go at a time: more than come, and few enough to keep nobody waiting.
const openingsForgotten = 100

func (t domainTx) Opening(at, since time.Time) error {
	if err := t.db.Exec("INSERT INTO openings (at) VALUES (?)", stamp(at)).Error; err != nil {
		return fmt.Errorf("remember an opening: %w", err)
	}
	err := t.db.Exec("DELETE FROM openings WHERE id IN (SELECT id FROM openings WHERE at <= ? ORDER BY at LIMIT ?)", stamp(since), openingsForgotten).Error
	if err != nil {
		return fmt.Errorf("forget openings: %w", err)
	}
	return nil
}

// stormRow is a row of the table storms.
type stormRow struct {
	At       time.Time
	EndedAt  *time.Time
	Round    int
	Gathered int64
}

func (t domainTx) Storm(id incident.ID) (response.Storm, error) {
	var rows []stormRow
	err := t.db.Raw("SELECT at, ended_at, round, gathered FROM storms WHERE incident_id = ?"+t.lock, int64(id)).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return response.Storm{}, err
	}
	row := rows[0]
	return response.Storm{At: row.At.UTC(), Ended: row.EndedAt != nil, Round: row.Round, Gathered: row.Gathered}, nil
}

func (t domainTx) PutStorm(id incident.ID, s response.Storm) error {
	var ended *time.Time
	if s.Ended {
		ended = optional(t.s.now())
	}
	err := t.db.Exec(`INSERT INTO storms (incident_id, at, ended_at, round, gathered) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (incident_id) DO UPDATE SET at = excluded.at, ended_at = excluded.ended_at, round = excluded.round, gathered = excluded.gathered`,
		int64(id), stamp(s.At), ended, s.Round, s.Gathered).Error
	if err != nil {
		return fmt.Errorf("keep a storm: %w", err)
	}
	return nil
}
