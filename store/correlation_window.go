package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// windowBatch is the maximum number of windows that one statement locks.
const windowBatch = 256

// Windows implements [response.Tx]. It inserts the rows of new windows, to lock them like existing ones. All
// transactions lock windows in the order of their hashes, which prevents deadlocks.
func (t domainTx) Windows(keys []string) (map[string][]byte, error) {
	keyOf := make(map[string]string, len(keys)) // key of each hash
	hashes := make([]string, len(keys))
	for n, key := range keys {
		hashes[n] = t.s.hash("correlation_windows", "key", key)
		keyOf[hashes[n]] = key
	}
	slices.Sort(hashes)
	out := make(map[string][]byte, len(keys))
	for rest := slices.Compact(hashes); len(rest) > 0; {
		chunk := rest[:chunkSize(len(rest), windowBatch)]
		rest = rest[len(chunk):]
		var rows []struct {
			KeyHash      string
			SealedWindow []byte
		}
		var args []any
		for _, hash := range chunk {
			args = append(args, hash, t.s.now())
		}
		err := t.db.Raw("INSERT INTO correlation_windows (key_hash, expires_at) VALUES "+valuesClause("(?, ?)", len(chunk))+
			" ON CONFLICT (key_hash) DO UPDATE SET expires_at = correlation_windows.expires_at RETURNING key_hash, sealed_window", args...).Scan(&rows).Error
		if err != nil {
			return nil, fmt.Errorf("lock correlation windows: %w", err)
		}
		for _, row := range rows {
			if len(row.SealedWindow) == 0 {
				continue
			}
			var window json.RawMessage
			if err := t.s.unseal("correlation_windows", row.KeyHash, "sealed_window", row.SealedWindow, &window); err != nil {
				return nil, err
			}
			out[keyOf[row.KeyHash]] = window
		}
	}
	return out, nil
}

func (t domainTx) PutWindow(key string, window []byte, expires time.Time) error {
	hash := t.s.hash("correlation_windows", "key", key)
	sealed, err := t.s.seal("correlation_windows", hash, "sealed_window", json.RawMessage(window))
	if err != nil {
		return err
	}
	if err := t.db.Exec("UPDATE correlation_windows SET sealed_window = ?, expires_at = ? WHERE key_hash = ?", sealed, dbTime(expires), hash).Error; err != nil {
		return fmt.Errorf("write correlation window: %w", err)
	}
	return nil
}
