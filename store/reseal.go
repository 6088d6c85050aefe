package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"tocsin/bot/incident"
)

// sealedColumn is a column that holds ciphertexts. key is an SQL expression for the row part of their associated data,
// which equals the results of rowKey, stateKey and inboxKey. boundTable and boundColumn are
// the names in the associated data, if they differ.
type sealedColumn struct {
	table, id, key, column string
	boundTable             string
	boundColumn            string
}

// associatedData returns the associated data of the ciphertext in the row with a key.
func (c sealedColumn) associatedData(key string) []byte {
	return associatedData(cmp.Or(c.boundTable, c.table), key, cmp.Or(c.boundColumn, c.column))
}

var sealedColumns = []sealedColumn{
	{table: "incidents", id: "id", key: "id || '/' || head_seq", column: "sealed_title"},
	{table: "incidents", id: "id", key: "id || '/' || head_seq", column: "sealed_state"},
	{table: "events", id: "id", key: "incident_id || '/' || seq", column: "sealed_body"},
	{table: "alerts", id: "id", key: "id || ''", column: "sealed_body"},
	{table: "delivery_bodies", id: "inbox_id", key: "(SELECT source || '/' || delivery_hash FROM inbox WHERE id = inbox_id)", column: "sealed_body", boundTable: "inbox"},
	{table: "inbox", id: "id", key: "source || '/' || delivery_hash", column: "sealed_reason"},
	{table: "effects", id: "id", key: "id || ''", column: "sealed_failure"},
	{table: "ledger", id: "effect_id", key: "effect_id || ''", column: "sealed_result"},
	{table: "directory", id: "id", key: "id || ''", column: "sealed_body"},
	{table: "documents", id: "id", key: "incident_id || '/' || revision", column: "sealed_body"},
	{table: "audit", id: "id", key: "id || ''", column: "sealed_detail"},
	{table: "configurations", id: "id", key: "id || ''", column: "sealed_rules"},
	{table: "configurations", id: "id", key: "id || ''", column: "sealed_detection"},
	{table: "maintenance_windows", id: "id", key: "id || ''", column: "sealed_body"},
	{table: "key_values", id: "id", key: "key_hash", column: "sealed_value", boundTable: valuesTable, boundColumn: valuesColumn},
	{table: "keyset", id: "id", key: "id || ''", column: "sealed_mark"},
}

// cell is one ciphertext with the id and key of its row.
type cell struct {
	ID     int64
	Key    string
	Sealed []byte
}

// resealBatch is the maximum number of ciphertexts of one read or update. batchBytes limits a read too.
const resealBatch = 200

// forEachBatch calls fn with all ciphertexts of a column, in batches.
func (s *Store) forEachBatch(ctx context.Context, c sealedColumn, fn func([]cell) error) error {
	for after := int64(-1 << 62); ; {
		cells, err := s.cells(ctx, c, after)
		if err != nil {
			return fmt.Errorf("read %s.%s: %w", c.table, c.column, err)
		}
		if len(cells) == 0 {
			return nil
		}
		if err := fn(cells); err != nil {
			return err
		}
		after = cells[len(cells)-1].ID
	}
}

// cells reads the next batch of ciphertexts of a column after a row.
func (s *Store) cells(ctx context.Context, c sealedColumn, after int64) (out []cell, err error) {
	err = s.view(ctx, func(db *gorm.DB) error {
		out = nil
		rows, err := db.Raw(fmt.Sprintf("SELECT %s, %s, %s FROM %s WHERE %s > ? AND %s IS NOT NULL ORDER BY %s LIMIT %d",
			c.id, c.key, c.column, c.table, c.id, c.column, c.id, resealBatch), after).Rows()
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for size := 0; size < batchBytes && rows.Next(); {
			var one cell
			if err := rows.Scan(&one.ID, &one.Key, &one.Sealed); err != nil {
				return err
			}
			size += len(one.Sealed)
			out = append(out, one)
		}
		return rows.Err()
	})
	return out, err
}

// Reseal encrypts all ciphertexts and signs all timeline heads with the current primary keys, so older keys can be
// pruned. It returns the number of rewritten ciphertexts, and an error if the MAC of a head is invalid.
//
// Reseal may run during other work and may be interrupted. It skips rows that change while it runs, because their
// writers use the current keys too.
func (s *Store) Reseal(ctx context.Context) (rewritten int, err error) {
	for _, c := range sealedColumns {
		err := s.forEachBatch(ctx, c, func(cells []cell) error {
			n, err := s.resealCells(ctx, c, cells)
			rewritten += n
			return err
		})
		if err != nil {
			return rewritten, err
		}
	}
	return rewritten, s.resignHeads(ctx)
}

// resealCells encrypts the cells with the primary key and returns how many it rewrote.
func (s *Store) resealCells(ctx context.Context, c sealedColumn, cells []cell) (n int, err error) {
	type change struct {
		cell
		resealed []byte
	}
	var changes []change
	for _, cell := range cells {
		if s.keys.SealedWithPrimary(cell.Sealed) {
			continue
		}
		aad := c.associatedData(cell.Key)
		plain, err := s.keys.Open(cell.Sealed, aad)
		if err != nil {
			return 0, fmt.Errorf("read %s.%s of row %s: %w", c.table, c.column, cell.Key, err)
		}
		resealed, err := s.keys.Seal(plain, aad)
		if err != nil {
			return 0, err
		}
		changes = append(changes, change{cell, resealed})
	}
	if len(changes) == 0 {
		return 0, nil
	}
	err = s.tx(ctx, func(t *tx) error {
		n = 0
		for _, change := range changes {
			done := t.db.Exec(fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s = ? AND %s = ?", c.table, c.column, c.id, c.column),
				change.resealed, change.ID, change.Sealed)
			if done.Error != nil {
				return fmt.Errorf("rewrite %s.%s: %w", c.table, c.column, done.Error)
			}
			n += int(done.RowsAffected)
		}
		return nil
	})
	return n, err
}

// resignHeads signs all heads with the primary key. It verifies each MAC first.
func (s *Store) resignHeads(ctx context.Context) error {
	return s.forEachHead(ctx, func(row incidentRow) error {
		if s.keys.SignedWithPrimary(row.HeadMac) {
			return nil
		}
		input := row.head().MACInput(incident.ID(row.ID))
		if err := s.keys.VerifyMAC(input, row.HeadMac); err != nil {
			return fmt.Errorf("sign head of %s: %w", incident.ID(row.ID), err)
		}
		return s.tx(ctx, func(t *tx) error {
			return t.db.Exec("UPDATE incidents SET head_mac = ? WHERE id = ? AND head_mac = ?", s.keys.MAC(input), row.ID, row.HeadMac).Error
		})
	})
}

func (r incidentRow) head() incident.Head {
	return incident.Head{Seq: int(r.HeadSeq), Hash: r.HeadHash}
}

// forEachHead calls fn with the id and head of all incidents.
func (s *Store) forEachHead(ctx context.Context, fn func(incidentRow) error) error {
	for after := int64(0); ; {
		var rows []incidentRow
		err := s.view(ctx, func(db *gorm.DB) error {
			return db.Select("id", "head_seq", "head_hash", "head_mac").Where("id > ?", after).Order("id").Limit(resealBatch).Find(&rows).Error
		})
		if err != nil {
			return fmt.Errorf("read heads: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		for _, row := range rows {
			if err := fn(row); err != nil {
				return err
			}
		}
		after = rows[len(rows)-1].ID
	}
}

// Rotate adds new primary keys to the keyset, saves it and reseals all data. If prune is true, it then removes the
// older keys and saves the keyset again. It returns the number of rewritten ciphertexts.
//
// Other transactions may write during Rotate. If the keyset cannot be saved, it stays unchanged. After a crash all data
// is readable, and another Rotate completes the work. Only the process that works with the database may call it,
// because another process would continue to seal with the keys it loaded.
func (s *Store) Rotate(ctx context.Context, prune bool) (rewritten int, err error) {
	if err := s.changeKeys(s.keys.Rotate); err != nil {
		return 0, err
	}
	if rewritten, err = s.Reseal(ctx); err != nil || !prune {
		return rewritten, err
	}
	return rewritten, s.changeKeys(s.keys.Prune)
}

// changeKeys changes the keyset and its file while no transaction seals data.
func (s *Store) changeKeys(change func() error) error {
	s.sealing.Lock()
	defer s.sealing.Unlock()
	return s.keys.changeAndSave(change)
}

// Verification is the result of [Store.Verify]: the numbers of checked items and the problems.
type Verification struct {
	Incidents   int             `json:"incidents"`
	Events      int             `json:"events"`
	Ciphertexts int             `json:"ciphertexts"`
	Problems    []VerifyProblem `json:"problems"`
}

// VerifyProblem is one integrity problem.
type VerifyProblem struct {
	Incident incident.ID `json:"incident,omitempty"` // 0 if it does not belong to an incident
	Where    string      `json:"where"`              // "event 7", "head", "alerts.sealed_body of row 3"
	Reason   string      `json:"reason"`
}

// String returns the problem in one line.
func (f VerifyProblem) String() string {
	if f.Incident == 0 {
		return f.Where + ": " + f.Reason
	}
	return fmt.Sprintf("%s, %s: %s", f.Incident, f.Where, f.Reason)
}

// Verify checks all timelines against their heads, all heads against their MACs and all states against their timelines.
// It decrypts all ciphertexts and looks for missing incidents and delivery bodies. An error means that Verify did not
// finish. Integrity problems are in the result.
func (s *Store) Verify(ctx context.Context) (Verification, error) {
	v := Verification{Problems: []VerifyProblem{}}
	for _, c := range sealedColumns {
		err := s.forEachBatch(ctx, c, func(cells []cell) error {
			for _, cell := range cells {
				v.Ciphertexts++
				if _, err := s.keys.Open(cell.Sealed, c.associatedData(cell.Key)); err != nil {
					v.Problems = append(v.Problems, VerifyProblem{Where: c.table + "." + c.column + " of row " + cell.Key,
						Reason: "the ciphertext was changed or moved, or its key is missing"})
				}
			}
			return nil
		})
		if err != nil {
			return v, err
		}
	}
	if err := s.verifyNumbers(ctx, &v); err != nil {
		return v, err
	}
	return v, s.forEachHead(ctx, func(row incidentRow) error { return s.verifyIncident(ctx, incident.ID(row.ID), &v) })
}

// verifyNumbers reports missing incidents, because incident numbers have no gaps, and deliveries without a body.
func (s *Store) verifyNumbers(ctx context.Context, v *Verification) error {
	var last, rows, bodiless int64
	err := s.view(ctx, func(db *gorm.DB) error {
		return errors.Join(db.Raw("SELECT value FROM counters WHERE name = 'incident'").Scan(&last).Error,
			db.Raw("SELECT count(*) FROM incidents").Scan(&rows).Error,
			db.Raw("SELECT count(*) FROM inbox WHERE NOT EXISTS (SELECT 1 FROM delivery_bodies WHERE inbox_id = id)").Scan(&bodiless).Error)
	})
	if err == nil && bodiless > 0 {
		v.Problems = append(v.Problems, VerifyProblem{Where: "inbox", Reason: fmt.Sprintf("%d deliveries have no body", bodiless)})
	}
	if err == nil && last != rows {
		v.Problems = append(v.Problems, VerifyProblem{Where: "incidents", Reason: fmt.Sprintf("%d incident numbers were assigned, but %d incidents exist", last, rows)})
	}
	return err
}

func (s *Store) verifyIncident(ctx context.Context, id incident.ID, v *Verification) error {
	return s.view(ctx, func(db *gorm.DB) error {
		addProblem := func(where, reason string) {
			v.Problems = append(v.Problems, VerifyProblem{id, where, reason})
		}
		var row incidentRow
		if err := db.Take(&row, "id = ?", int64(id)).Error; err != nil {
			return fmt.Errorf("read %s: %w", id, err)
		}
		v.Incidents++
		if s.keys.VerifyMAC(row.head().MACInput(id), row.HeadMac) != nil {
			addProblem("head", "invalid MAC: the head was not written by this instance, or its key is missing")
		}
		r := reader{s, db, ""}
		events, err := r.Timeline(id)
		if err != nil {
			if errors.Is(wrapUnavailable(err), ErrUnavailable) {
				return err
			}
			addProblem("timeline", "cannot be read") // Verify reports the ciphertext too
			return nil
		}
		v.Events += len(events)
		problems := incident.Verify(id, events, row.head())
		for _, f := range problems {
			addProblem(fmt.Sprintf("event %d", f.Seq), f.Reason)
		}
		if len(problems) == 0 {
			return s.verifyState(id, row, events, addProblem)
		}
		return nil
	})
}

// verifyState compares the stored state with the state computed from the timeline.
func (s *Store) verifyState(id incident.ID, row incidentRow, events []incident.Event, addProblem func(where, reason string)) error {
	var stored incident.Incident // not from memory
	if err := s.unseal("incidents", row.stateKey(), "sealed_state", row.SealedState, &stored); err != nil {
		addProblem("state", "cannot be read")
		return nil
	}
	var folded incident.Incident // through JSON, like the stored state
	if data, err := canonicalState(incident.Fold(id, events)); err != nil {
		return err
	} else if err := json.Unmarshal(data, &folded); err != nil {
		return fmt.Errorf("decode %s: %w", id, err)
	}
	want, err := canonicalState(folded)
	if err != nil {
		return err
	}
	have, err := canonicalState(stored)
	if err != nil {
		return err
	}
	if !bytes.Equal(want, have) || row.Status != string(stored.Status) || row.Severity != string(stored.Severity) || row.Restricted != stored.Restricted || row.Origin != string(stored.Origin) {
		addProblem("state", "does not match the timeline")
	}
	return nil
}
