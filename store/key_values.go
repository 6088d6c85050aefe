package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tocsin/bot/response"
)

// The names in the hashes and in the associated data of the table key_values are those of its first content, correlation
// windows, so values that were stored before it held others remain readable.
const (
	valuesTable  = "correlation_windows"
	valuesColumn = "sealed_window"
)

// valueBatch is the maximum number of values that one statement locks.
const valueBatch = 256

// noExpiry is the stored expiry of a value that does not expire.
var noExpiry = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// valueHash returns the hash of a key. The keys of correlation windows have no namespace, because they had none in
// earlier versions, and the other namespaces were prefixes of keys.
func (s *Store) valueHash(n response.Namespace, key string) string {
	if n != response.NamespaceCorrelation {
		key = string(n) + "/" + key
	}
	return s.hash(valuesTable, "key", key)
}

// Values implements [response.KeyValues]. It inserts the rows of new keys, to lock them like existing ones. All
// transactions lock the keys of one call in the order of their hashes, which prevents deadlocks.
func (t domainTx) Values(n response.Namespace, keys ...string) (map[string][]byte, error) {
	keyOf := make(map[string]string, len(keys)) // key of each hash
	hashes := make([]string, len(keys))
	for i, key := range keys {
		hashes[i] = t.s.valueHash(n, key)
		keyOf[hashes[i]] = key
	}
	slices.Sort(hashes)
	out := make(map[string][]byte, len(keys))
	for rest := slices.Compact(hashes); len(rest) > 0; {
		chunk := rest[:chunkSize(len(rest), valueBatch)]
		rest = rest[len(chunk):]
		var rows []struct {
			KeyHash     string
			SealedValue []byte
		}
		var args []any
		for _, hash := range chunk {
			args = append(args, hash, t.s.now())
		}
		err := t.db.Raw("INSERT INTO key_values (key_hash, expires_at) VALUES "+valuesClause("(?, ?)", len(chunk))+
			" ON CONFLICT (key_hash) DO UPDATE SET expires_at = key_values.expires_at RETURNING key_hash, sealed_value", args...).Scan(&rows).Error
		if err != nil {
			return nil, fmt.Errorf("lock values of %s: %w", n, err)
		}
		for _, row := range rows {
			if len(row.SealedValue) == 0 {
				continue
			}
			var value json.RawMessage
			if err := t.s.unseal(valuesTable, row.KeyHash, valuesColumn, row.SealedValue, &value); err != nil {
				return nil, err
			}
			out[keyOf[row.KeyHash]] = value
		}
	}
	return out, nil
}

func (t domainTx) PutValue(n response.Namespace, key string, value []byte, expires time.Time) error {
	hash := t.s.valueHash(n, key)
	sealed, err := t.s.seal(valuesTable, hash, valuesColumn, json.RawMessage(value))
	if err != nil {
		return err
	}
	if expires.IsZero() {
		expires = noExpiry
	}
	if err := t.db.Exec("UPDATE key_values SET sealed_value = ?, expires_at = ? WHERE key_hash = ?", sealed, dbTime(expires), hash).Error; err != nil {
		return fmt.Errorf("write value of %s: %w", n, err)
	}
	return nil
}
