package store

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// maintenanceWindowRow is a row of the table maintenance_windows.
type maintenanceWindowRow struct {
	ID               int64 `gorm:"primaryKey"`
	Owner            string
	StartsAt         time.Time
	EndsAt           time.Time
	ConfirmedBy      string
	ConfirmedAt      *time.Time
	EndedBy          string
	Suppressed       int64
	SuppressedSevere int64
	At               time.Time
	SealedBody       []byte
}

func (maintenanceWindowRow) TableName() string { return "maintenance_windows" }

// sealedMaintenanceWindow is the encrypted part of a maintenance window, written by a person.
type sealedMaintenanceWindow struct {
	When   string `json:"when"`
	Reason string `json:"reason"`
}

func (r reader) Maintenance(after time.Time) ([]incident.MaintenanceWindow, error) {
	var rows []maintenanceWindowRow
	if err := r.db.Where("ends_at > ?", dbTime(after)).Order("ends_at, id").Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list maintenance windows: %w", err)
	}
	out := make([]incident.MaintenanceWindow, len(rows))
	for n, row := range rows {
		var err error
		if out[n], err = r.maintenanceWindow(row); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (r reader) MaintenanceWindow(id int64) (incident.MaintenanceWindow, error) {
	var rows []maintenanceWindowRow
	if err := r.db.Where("id = ?", id).Find(&rows).Error; err != nil {
		return incident.MaintenanceWindow{}, fmt.Errorf("read maintenance window: %w", err)
	}
	if len(rows) == 0 {
		return incident.MaintenanceWindow{}, incident.Unknown("id", "there is no maintenance window M%d. Type maintenance for a list", id)
	}
	return r.maintenanceWindow(rows[0])
}

func (r reader) maintenanceWindow(row maintenanceWindowRow) (incident.MaintenanceWindow, error) {
	var w sealedMaintenanceWindow
	if err := r.s.unseal("maintenance_windows", rowKey(row.ID), "sealed_body", row.SealedBody, &w); err != nil {
		return incident.MaintenanceWindow{}, err
	}
	return incident.MaintenanceWindow{ID: row.ID, When: w.When, Reason: w.Reason, Owner: incident.PersonID(row.Owner), From: row.StartsAt.UTC(),
		To: row.EndsAt.UTC(), ConfirmedBy: incident.PersonID(row.ConfirmedBy), ConfirmedAt: timeOrZero(row.ConfirmedAt), Suppressed: row.Suppressed,
		SuppressedSevere: row.SuppressedSevere, EndedBy: incident.PersonID(row.EndedBy)}, nil
}

func (t domainTx) PutMaintenance(m incident.MaintenanceWindow) (int64, error) {
	row := maintenanceWindowRow{Owner: string(m.Owner), StartsAt: dbTime(m.From), EndsAt: dbTime(m.To), At: t.s.now(), SealedBody: []byte{}}
	if err := t.db.Create(&row).Error; err != nil {
		return 0, fmt.Errorf("write maintenance window: %w", err)
	}
	sealed, err := t.s.seal("maintenance_windows", rowKey(row.ID), "sealed_body", sealedMaintenanceWindow{m.When, m.Reason})
	if err != nil {
		return 0, err
	}
	if err := t.db.Exec("UPDATE maintenance_windows SET sealed_body = ? WHERE id = ?", sealed, row.ID).Error; err != nil {
		return 0, fmt.Errorf("write maintenance window: %w", err)
	}
	return row.ID, nil
}

func (t domainTx) EndMaintenance(id int64, by incident.PersonID, at time.Time) error {
	ended := t.db.Exec("UPDATE maintenance_windows SET ends_at = ?, ended_by = ? WHERE id = ? AND ends_at > ?", dbTime(at), string(by), id, dbTime(at))
	if ended.Error != nil {
		return fmt.Errorf("end maintenance window: %w", ended.Error)
	}
	if ended.RowsAffected == 1 {
		return nil
	}
	known, err := t.exists("SELECT 1 FROM maintenance_windows WHERE id = ?", id)
	switch {
	case err != nil:
		return err
	case known:
		return incident.Conflict("maintenance window M%d has already ended", id)
	}
	return incident.Unknown("id", "there is no maintenance window M%d", id)
}

func (t domainTx) ConfirmMaintenance(id int64, by incident.PersonID, at time.Time) (bool, error) {
	confirmed := t.db.Exec("UPDATE maintenance_windows SET confirmed_by = ?, confirmed_at = ? WHERE id = ? AND confirmed_by = '' AND ends_at > ?",
		string(by), dbTime(at), id, dbTime(at))
	if confirmed.Error != nil {
		return false, fmt.Errorf("confirm maintenance window: %w", confirmed.Error)
	}
	return confirmed.RowsAffected == 1, nil
}

func (t domainTx) AddSuppressed(window, n, severe int64) error {
	err := t.db.Exec("UPDATE maintenance_windows SET suppressed = suppressed + ?, suppressed_severe = suppressed_severe + ? WHERE id = ?", n, severe, window).Error
	if err != nil {
		return fmt.Errorf("count suppressed alerts: %w", err)
	}
	return nil
}

func (r reader) CountOpenings(since time.Time, limit int) (int, error) {
	var n int
	err := r.db.Raw("SELECT count(*) FROM (SELECT 1 FROM incident_openings WHERE at > ? LIMIT ?) AS o", dbTime(since), limit).Scan(&n).Error
	if err != nil {
		return 0, fmt.Errorf("count openings: %w", err)
	}
	return n, nil
}

// openingsPruneBatch is the maximum number of openings that AddOpening deletes. It exceeds the number added per call,
// and is small enough to be fast.
const openingsPruneBatch = 100

func (t domainTx) AddOpening(at, since time.Time) error {
	if err := t.db.Exec("INSERT INTO incident_openings (at) VALUES (?)", dbTime(at)).Error; err != nil {
		return fmt.Errorf("write opening: %w", err)
	}
	err := t.db.Exec("DELETE FROM incident_openings WHERE id IN (SELECT id FROM incident_openings WHERE at <= ? ORDER BY at LIMIT ?)", dbTime(since), openingsPruneBatch).Error
	if err != nil {
		return fmt.Errorf("delete old openings: %w", err)
	}
	return nil
}

// stormRow is a row of the table storms.
type stormRow struct {
	At      time.Time
	EndedAt *time.Time
	Round   int
	Grouped int64
}

func (t domainTx) Storm(id incident.ID) (response.Storm, error) {
	var rows []stormRow
	err := t.db.Raw("SELECT at, ended_at, round, grouped FROM storms WHERE incident_id = ?"+t.lockClause, int64(id)).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return response.Storm{}, err
	}
	row := rows[0]
	return response.Storm{At: row.At.UTC(), Ended: row.EndedAt != nil, Round: row.Round, Grouped: row.Grouped}, nil
}

func (t domainTx) PutStorm(id incident.ID, s response.Storm) error {
	var ended *time.Time
	if s.Ended {
		ended = timeOrNil(t.s.now())
	}
	err := t.db.Exec(`INSERT INTO storms (incident_id, at, ended_at, round, grouped) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (incident_id) DO UPDATE SET at = excluded.at, ended_at = excluded.ended_at, round = excluded.round, grouped = excluded.grouped`,
		int64(id), dbTime(s.At), ended, s.Round, s.Grouped).Error
	if err != nil {
		return fmt.Errorf("write storm: %w", err)
	}
	return nil
}
