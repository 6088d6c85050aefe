package store

import (
	"fmt"
	"maps"
	"time"

	"tocsin/bot/incident"
)

// eventRow is a row of the table events. The whole event is sealed. The other columns are copies for operators.
type eventRow struct {
	ID         int64 `gorm:"primaryKey"`
	IncidentID int64
	Seq        int64
	Kind       string
	RecordedAt time.Time
	Hash       string
	SealedBody []byte
}

func (eventRow) TableName() string { return "events" }

func (r eventRow) key() string { return rowKey(r.IncidentID, r.Seq) }

func (r reader) Timeline(id incident.ID, seq ...int) ([]incident.Event, error) {
	var rows []eventRow
	find := r.db.Where("incident_id = ?", int64(id)).Order("seq")
	if len(seq) > 0 {
		find = find.Where("seq IN ?", seq)
	}
	if err := find.Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("read timeline of %s: %w", id, err)
	}
	events := make([]incident.Event, len(rows))
	for i, row := range rows {
		if err := r.s.unseal("events", row.key(), "sealed_body", row.SealedBody, &events[i]); err != nil {
			return nil, err
		}
	}
	return events, nil
}

func (t domainTx) appendEvents(id incident.ID, events []incident.Event) error {
	if len(events) == 0 {
		return nil
	}
	rows := make([]eventRow, len(events))
	for i, e := range events {
		rows[i] = eventRow{IncidentID: int64(id), Seq: int64(e.Seq), Kind: string(e.Kind), RecordedAt: dbTime(e.RecordedAt), Hash: e.Hash}
		var err error
		if rows[i].SealedBody, err = t.s.seal("events", rows[i].key(), "sealed_body", e); err != nil {
			return err
		}
	}
	if err := t.db.Create(&rows).Error; err != nil {
		return fmt.Errorf("append to timeline of %s: %w", id, err)
	}
	for _, row := range rows {
		if incident.EventKind(row.Kind).Erases() {
			t.tx.note(subjectErasures, row.ID, row.ID)
		}
	}
	return nil
}

// erase removes texts from stored events and rebuilds the state from the remaining events.
func (t domainTx) erase(id incident.ID, refs []incident.TextRef) error {
	events, err := t.Timeline(id)
	if err != nil {
		return err
	}
	changed := map[int]bool{}
	for _, ref := range refs {
		if ref.Seq < 1 || ref.Seq > len(events) {
			return incident.Unknown("erase", "%s has no event %d", id, ref.Seq)
		}
		e := &events[ref.Seq-1]
		text, ok := e.Texts[ref.Name]
		if !ok {
			return incident.Unknown("erase", "event %d of %s has no text %q", ref.Seq, id, ref.Name)
		}
		if !changed[ref.Seq] {
			e.Texts, changed[ref.Seq] = maps.Clone(e.Texts), true
		}
		e.Texts[ref.Name] = incident.Text{Commitment: text.Commitment}
	}
	for seq := range changed {
		row := eventRow{IncidentID: int64(id), Seq: int64(seq)}
		sealed, err := t.s.seal("events", row.key(), "sealed_body", events[seq-1])
		if err != nil {
			return err
		}
		err = t.db.Model(&eventRow{}).Where("incident_id = ? AND seq = ?", row.IncidentID, row.Seq).Update("sealed_body", sealed).Error
		if err != nil {
			return fmt.Errorf("erase text in event %d of %s: %w", seq, id, err)
		}
	}
	row, err := t.s.incidentRow(incident.Fold(id, events))
	if err != nil {
		return err
	}
	rewritten := t.db.Model(&incidentRow{}).Where("id = ? AND head_seq = ?", row.ID, row.HeadSeq).
		Updates(map[string]any{"sealed_title": row.SealedTitle, "sealed_state": row.SealedState, "state_form": row.StateForm})
	if rewritten.Error == nil && rewritten.RowsAffected == 0 {
		return fmt.Errorf("erase text in %s: state and timeline end at different events", id)
	}
	t.s.incidents.forget(row.ID)
	return rewritten.Error
}
