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

// sealedColumn is one column that holds ciphertexts. key is the SQL for what names the row in their associated data,
// written as rowKey, stateKey and inboxKey do; bound is the table named there, if it is another one.
type sealedColumn struct {
	table, id, key, column string
	bound                  string
}

func (c sealedColumn) place(key string) []byte {
	return associatedData(cmp.Or(c.bound, c.table), key, c.column)
}

var sealedColumns = []sealedColumn{
	{table: "incidents", id: "id", key: "id || '/' || head_seq", column: "sealed_title"},
	{table: "incidents", id: "id", key: "id || '/' || head_seq", column: "sealed_state"},
	{table: "events", id: "id", key: "incident_id || '/' || seq", column: "sealed_body"},
	{table: "alerts", id: "id", key: "id || ''", column: "sealed_body"},
	{table: "delivery_bodies", id: "inbox_id", key: "(SELECT source || '/' || delivery_hash FROM inbox WHERE id = inbox_id)", column: "sealed_body", bound: "inbox"},
	{table: "inbox", id: "id", key: "source || '/' || delivery_hash", column: "sealed_reason"},
	{table: "ledger", id: "effect_id", key: "effect_id || ''", column: "sealed_result"},
	{table: "directory", id: "id", key: "id || ''", column: "sealed_body"},
	{table: "documents", id: "id", key: "incident_id || '/' || revision", column: "sealed_body"},
	{table: "audit", id: "id", key: "id || ''", column: "sealed_detail"},
	{table: "configurations", id: "id", key: "id || ''", column: "sealed_rules"},
	{table: "configurations", id: "id", key: "id || ''", column: "sealed_detection"},
	{table: "maintenance_windows", id: "id", key: "id || ''", column: "sealed_body"},
	{table: "correlation_windows", id: "id", key: "key_hash", column: "sealed_window"},
	{table: "keyset", id: "id", key: "id || ''", column: "sealed_mark"},
}

// cell is one ciphertext and where it stands.
type cell struct {
	ID     int64
	Key    string
	Sealed []byte
}

// resealBatch is how many ciphertexts are read, and rewritten, at a time; if they are large, as many as weigh batchBytes.
const resealBatch = 200

// each calls fn with every ciphertext of a column, in batches.
func (s *Store) each(ctx context.Context, c sealedColumn, fn func([]cell) error) error {
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

// cells reads the next ciphertexts of a column behind a row, as many as one batch holds.
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

// Reseal encrypts every ciphertext with the present key and signs every head with it, so that older keys can be pruned.
// It may run beside other work and be interrupted: what changes meanwhile is left to its writer, who has the present
// keys too. It returns how many ciphertexts it rewrote, and refuses to sign a head whose MAC does not hold.
func (s *Store) Reseal(ctx context.Context) (rewritten int, err error) {
	for _, c := range sealedColumns {
		err := s.each(ctx, c, func(cells []cell) error {
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

func (s *Store) resealCells(ctx context.Context, c sealedColumn, cells []cell) (n int, err error) {
	type change struct {
		cell
		fresh []byte
	}
	var changes []change
	for _, cell := range cells {
		if s.keys.SealedWithPrimary(cell.Sealed) {
			continue
		}
		aad := c.place(cell.Key)
		plain, err := s.keys.Open(cell.Sealed, aad)
		if err != nil {
			return 0, fmt.Errorf("read %s.%s of row %s: %w", c.table, c.column, cell.Key, err)
		}
		fresh, err := s.keys.Seal(plain, aad)
		if err != nil {
			return 0, err
		}
		changes = append(changes, change{cell, fresh})
	}
	if len(changes) == 0 {
		return 0, nil
	}
	err = s.tx(ctx, func(t *tx) error {
		n = 0
		for _, change := range changes {
			done := t.db.Exec(fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s = ? AND %s = ?", c.table, c.column, c.id, c.column),
				change.fresh, change.ID, change.Sealed)
			if done.Error != nil {
				return fmt.Errorf("rewrite %s.%s: %w", c.table, c.column, done.Error)
			}
			n += int(done.RowsAffected)
		}
		return nil
	})
	return n, err
}

func (s *Store) resignHeads(ctx context.Context) error {
	return s.eachHead(ctx, func(row incidentRow) error {
		if s.keys.SignedWithPrimary(row.HeadMac) {
			return nil
		}
		input := row.head().MACInput(incident.ID(row.ID))
		if err := s.keys.VerifyMAC(input, row.HeadMac); err != nil {
			return fmt.Errorf("sign the head of %s anew: %w", incident.ID(row.ID), err)
		}
		return s.tx(ctx, func(t *tx) error {
			return t.db.Exec("UPDATE incidents SET head_mac = ? WHERE id = ? AND head_mac = ?", s.keys.MAC(input), row.ID, row.HeadMac).Error
		})
	})
}

func (r incidentRow) head() incident.Head {
	return incident.Head{Seq: int(r.HeadSeq), Hash: r.HeadHash}
}

func (s *Store) eachHead(ctx context.Context, fn func(incidentRow) error) error {
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

// Rotate gives the keyset a new key, saves it, and reseals everything with it; with prune it then removes the older keys
// and saves again. Others may write meanwhile. A crash in between leaves everything readable; running it again finishes
// what is left. A keyset that cannot be saved stays as it was. It belongs into the one process that works with the
// database: another would go on sealing with the keys it has loaded.
func (s *Store) Rotate(ctx context.Context, prune bool) (rewritten int, err error) {
	if err := s.changeKeys(s.keys.Rotate); err != nil {
		return 0, err
	}
	if rewritten, err = s.Reseal(ctx); err != nil || !prune {
		return rewritten, err
	}
	return rewritten, s.changeKeys(s.keys.Prune)
}

// changeKeys changes the keyset and its file while nothing is sealed or on its way into the database.
func (s *Store) changeKeys(change func() error) error {
	s.sealing.Lock()
	defer s.sealing.Unlock()
	return s.keys.changeAndSave(change)
}

// Verification is what Verify looked at and what it found wrong.
type Verification struct {
	Incidents   int             `json:"incidents"`
	Events      int             `json:"events"`
	Ciphertexts int             `json:"ciphertexts"`
	Problems    []VerifyProblem `json:"problems"`
}

// VerifyProblem is one thing that is not as it was written.
type VerifyProblem struct {
	Incident incident.ID `json:"incident,omitempty"` // 0 where it belongs to none
	Where    string      `json:"where"`              // "event 7", "head", "alerts.sealed_body of row 3"
	Reason   string      `json:"reason"`
}

// String says it in one line.
func (f VerifyProblem) String() string {
	if f.Incident == 0 {
		return f.Where + ": " + f.Reason
	}
	return fmt.Sprintf("%s, %s: %s", f.Incident, f.Where, f.Reason)
}

// Verify checks every timeline against its head, every head against its MAC, every state against its timeline, and
// opens every ciphertext. An error means that it could not finish, not that something is wrong.
func (s *Store) Verify(ctx context.Context) (Verification, error) {
	v := Verification{Problems: []VerifyProblem{}}
	for _, c := range sealedColumns {
		err := s.each(ctx, c, func(cells []cell) error {
			for _, cell := range cells {
				v.Ciphertexts++
				if _, err := s.keys.Open(cell.Sealed, c.place(cell.Key)); err != nil {
					v.Problems = append(v.Problems, VerifyProblem{Where: c.table + "." + c.column + " of row " + cell.Key,
						Reason: "the ciphertext was changed, moved from elsewhere, or its key is missing"})
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
	return v, s.eachHead(ctx, func(row incidentRow) error { return s.verifyIncident(ctx, incident.ID(row.ID), &v) })
}

// verifyNumbers notices an incident that is gone altogether, for their numbers have no gaps, and a delivery without a body.
func (s *Store) verifyNumbers(ctx context.Context, v *Verification) error {
	var last, rows, bare int64
	err := s.view(ctx, func(db *gorm.DB) error {
		return errors.Join(db.Raw("SELECT value FROM counters WHERE name = 'incident'").Scan(&last).Error,
			db.Raw("SELECT count(*) FROM incidents").Scan(&rows).Error,
			db.Raw("SELECT count(*) FROM inbox WHERE NOT EXISTS (SELECT 1 FROM delivery_bodies WHERE inbox_id = id)").Scan(&bare).Error)
	})
	if err == nil && bare > 0 {
		v.Problems = append(v.Problems, VerifyProblem{Where: "inbox", Reason: fmt.Sprintf("%d deliveries have no body", bare)})
	}
	if err == nil && last != rows {
		v.Problems = append(v.Problems, VerifyProblem{Where: "incidents", Reason: fmt.Sprintf("%d numbers were given, %d incidents are here", last, rows)})
	}
	return err
}

func (s *Store) verifyIncident(ctx context.Context, id incident.ID, v *Verification) error {
	return s.view(ctx, func(db *gorm.DB) error {
		fault := func(where, what string) { v.Problems = append(v.Problems, VerifyProblem{id, where, what}) }
		var row incidentRow
		if err := db.Take(&row, "id = ?", int64(id)).Error; err != nil {
			return fmt.Errorf("read %s: %w", id, err)
		}
		v.Incidents++
		if s.keys.VerifyMAC(row.head().MACInput(id), row.HeadMac) != nil {
			fault("head", "its MAC does not hold: the head was not written by this house, or its key is missing")
		}
		r := reader{s, db, ""}
		events, err := r.Timeline(id)
		if err != nil {
			if errors.Is(wrapUnavailable(err), ErrUnavailable) {
				return err
			}
			fault("timeline", "it cannot be read") // the ciphertext at fault was named above
			return nil
		}
		v.Events += len(events)
		faults := incident.Verify(id, events, row.head())
		for _, f := range faults {
			fault(fmt.Sprintf("event %d", f.Seq), f.Reason)
		}
		if len(faults) == 0 {
			return s.verifyState(r, id, row, events, fault)
		}
		return nil
	})
}

// verifyState compares the kept state with the one that the timeline adds up to.
func (s *Store) verifyState(r reader, id incident.ID, row incidentRow, events []incident.Event, fault func(where, what string)) error {
	kept, err := r.Incident(id)
	if err != nil {
		if errors.Is(wrapUnavailable(err), ErrUnavailable) {
			return err
		}
		fault("state", "it cannot be read")
		return nil
	}
	var folded incident.Incident // through JSON, as the kept one went
	if data, err := canonicalState(incident.Fold(id, events)); err != nil {
		return err
	} else if err := json.Unmarshal(data, &folded); err != nil {
		return fmt.Errorf("decode %s: %w", id, err)
	}
	want, err := canonicalState(folded)
	if err != nil {
		return err
	}
	have, err := canonicalState(kept)
	if err != nil {
		return err
	}
	if !bytes.Equal(want, have) || row.Status != string(kept.Status) || row.Severity != string(kept.Severity) || row.Restricted != kept.Restricted {
		fault("state", "it is not what the timeline adds up to")
	}
	return nil
}
