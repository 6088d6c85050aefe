package store

import (
	"cmp"
	"context"
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
	{table: "delivery_bodies", id: "inbox_id", key: "COALESCE((SELECT source || '/' || delivery_hash FROM inbox WHERE id = inbox_id), '')", column: "sealed_body", boundTable: "inbox"},
	{table: "inbox", id: "id", key: "source || '/' || delivery_hash", column: "sealed_reason"},
	{table: "effects", id: "id", key: "id || ''", column: "sealed_failure"},
	{table: "ledger", id: "effect_id", key: "effect_id || ''", column: "sealed_result"},
	{table: "directory", id: "id", key: "id || ''", column: "sealed_body"},
	{table: "documents", id: "id", key: "incident_id || '/' || revision", column: "sealed_body"},
	{table: "audit", id: "id", key: "id || ''", column: "sealed_detail"},
	{table: "trust_events", id: "id", key: "id || ''", column: "sealed_details"},
	{table: "web_sessions", id: "id", key: "token_hash", column: "sealed_body"},
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
