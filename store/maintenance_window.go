package store

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
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

func (r reader) MaintenanceWindows(after time.Time) ([]incident.MaintenanceWindow, error) {
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
	if err := r.db.Raw("SELECT * FROM maintenance_windows WHERE id = ?"+r.lockClause, id).Scan(&rows).Error; err != nil {
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
	if m.ID != 0 {
		err := t.db.Exec("UPDATE maintenance_windows SET ends_at = ?, ended_by = ?, confirmed_by = ?, confirmed_at = ? WHERE id = ?",
			dbTime(m.To), string(m.EndedBy), string(m.ConfirmedBy), timeOrNil(m.ConfirmedAt), m.ID).Error
		if err != nil {
			return 0, fmt.Errorf("update maintenance window: %w", err)
		}
		t.tx.note(subjectMaintenance, m.ID, m.ID)
		return m.ID, nil
	}
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
	t.tx.note(subjectMaintenance, row.ID, row.ID)
	return row.ID, nil
}

func (t domainTx) AddSuppressed(window, n, severe int64) error {
	err := t.db.Exec("UPDATE maintenance_windows SET suppressed = suppressed + ?, suppressed_severe = suppressed_severe + ? WHERE id = ?", n, severe, window).Error
	if err != nil {
		return fmt.Errorf("count suppressed alerts: %w", err)
	}
	t.tx.note(subjectMaintenance, window, window)
	return nil
}
