package store

import (
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// incidentRow is a row of the table incidents.
type incidentRow struct {
	ID          int64 `gorm:"primaryKey;autoIncrement:false"`
	Status      string
	Severity    string
	Restricted  bool
	Commander   string
	OpenedAt    time.Time
	UpdatedAt   time.Time `gorm:"autoUpdateTime:false"`
	ReviewAt    *time.Time
	HeadSeq     int64
	HeadHash    string
	HeadMac     []byte
	LegalHold   bool
	MergedInto  int64
	Origin      string
	SealedTitle []byte
	SealedState []byte
	StateForm   int // see [incident.StateForm]
}

func (incidentRow) TableName() string { return "incidents" }

// stateKey returns the row part of the associated data of the row's ciphertexts. It includes the sequence number, which
// prevents replacing the state with an older one of the same incident.
func (r incidentRow) stateKey() string { return rowKey(r.ID, r.HeadSeq) }

func (r reader) Incident(id incident.ID) (incident.Incident, error) {
	var rows []incidentRow
	err := r.db.Raw("SELECT * FROM incidents WHERE id = ?"+r.lockClause, int64(id)).Scan(&rows).Error
	if err != nil {
		return incident.Incident{}, fmt.Errorf("read %s: %w", id, err)
	}
	if len(rows) == 0 {
		return incident.Incident{}, incident.NoAccess(id)
	}
	return r.s.incidents.unseal(r.s, "incidents", rows[0].ID, rows[0].stateKey(), "sealed_state", rows[0].SealedState)
}

func (r reader) Summaries(f incident.Filter) ([]incident.Summary, error) {
	q := r.db.Model(&incidentRow{}).Omit("sealed_state").Order("id DESC")
	if statuses := filterStatuses(f); statuses != nil {
		q = q.Where("status IN ?", statuses)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	var rows []incidentRow
	if err := q.Limit(limit).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list incidents: %w", err)
	}
	out := make([]incident.Summary, len(rows))
	for i, row := range rows {
		var err error
		if out[i], err = r.s.summary(row); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// summary returns the summary of a row without its state.
func (s *Store) summary(row incidentRow) (incident.Summary, error) {
	out := incident.Summary{ID: incident.ID(row.ID), Status: incident.Status(row.Status), Severity: incident.Severity(row.Severity),
		Commander: incident.PersonID(row.Commander), OpenedAt: row.OpenedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(),
		Restricted: row.Restricted, Origin: incident.Origin(row.Origin), ReviewAt: timeOrZero(row.ReviewAt)}
	err := s.unseal("incidents", row.stateKey(), "sealed_title", row.SealedTitle, &out.Title)
	return out, err
}

// filterStatuses returns the statuses that match f. Nil means all.
func filterStatuses(f incident.Filter) []string {
	if f.All {
		return nil
	}
	wanted := f.Statuses
	if len(wanted) == 0 {
		for _, status := range incident.Statuses() {
			if !status.Ended() {
				wanted = append(wanted, status)
			}
		}
	}
	out := make([]string, len(wanted))
	for i, status := range wanted {
		out[i] = string(status)
	}
	return out
}

func (t domainTx) NewID() (incident.ID, error) {
	var id int64
	err := t.db.Raw("UPDATE counters SET value = value + 1 WHERE name = 'incident' RETURNING value").Scan(&id).Error
	if err == nil && id == 0 {
		err = errors.New("counter is missing")
	}
	if err != nil {
		return 0, fmt.Errorf("assign incident number: %w", err)
	}
	return incident.ID(id), nil
}

func (t domainTx) Save(inc incident.Incident, events []incident.Event, erased ...incident.TextRef) error {
	before := inc.Head.Seq - len(events)
	for i, e := range events {
		if e.Seq != before+1+i {
			return fmt.Errorf("save %s: got event %d, want event %d", inc.ID, e.Seq, before+1+i)
		}
	}
	t.wroteIncident(inc.ID)
	row, err := t.s.incidentRow(inc)
	if err != nil {
		return err
	}
	var saved *gorm.DB
	if before == 0 {
		saved = t.db.Create(&row)
		if errors.Is(saved.Error, gorm.ErrDuplicatedKey) {
			return response.ErrChanged
		}
	} else {
		saved = t.db.Model(&incidentRow{}).Select("*").Omit("id").Where("id = ? AND head_seq = ?", row.ID, before).Updates(&row)
	}
	if saved.Error != nil {
		return fmt.Errorf("save %s: %w", inc.ID, saved.Error)
	}
	if saved.RowsAffected == 0 {
		return response.ErrChanged
	}
	t.s.incidents.put(row.ID, row.stateKey(), row.SealedState, inc)
	t.tx.note(subjectIncidents, row.ID, row.ID)
	if err := t.appendEvents(inc.ID, events); err != nil {
		return err
	}
	if err := t.saveMarks(inc); err != nil {
		return err
	}
	if err := t.saveLinks(inc); err != nil || len(erased) == 0 {
		return err
	}
	return t.erase(inc.ID, erased)
}

// clearIncidentRow returns the row of an incident without its MAC and its ciphertexts.
func clearIncidentRow(inc incident.Incident) incidentRow {
	return incidentRow{ID: int64(inc.ID), Status: string(inc.Status), Severity: string(inc.Severity), Restricted: inc.Restricted,
		Commander: string(inc.Commander), OpenedAt: dbTime(inc.OpenedAt), UpdatedAt: dbTime(inc.UpdatedAt), ReviewAt: timeOrNil(inc.Review.At),
		HeadSeq: int64(inc.Head.Seq), HeadHash: inc.Head.Hash,
		StateForm: incident.StateForm, LegalHold: inc.LegalHold != nil, MergedInto: int64(inc.MergedInto), Origin: string(inc.Origin)}
}

func (s *Store) incidentRow(inc incident.Incident) (incidentRow, error) {
	row := clearIncidentRow(inc)
	row.HeadMac = s.keys.MAC(inc.Head.MACInput(inc.ID))
	var err error
	if row.SealedTitle, err = s.seal("incidents", row.stateKey(), "sealed_title", inc.Title); err != nil {
		return row, err
	}
	row.SealedState, err = s.seal("incidents", row.stateKey(), "sealed_state", inc)
	return row, err
}

func (t domainTx) RecordCommandKey(id incident.ID, key string) (bool, error) {
	inserted := t.db.Exec("INSERT INTO commands (incident_id, key_hash, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
		int64(id), t.s.hash("commands", "key", key), t.s.now())
	if inserted.Error != nil {
		return false, fmt.Errorf("record command key: %w", inserted.Error)
	}
	return inserted.RowsAffected == 1, nil
}
