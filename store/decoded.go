package store

import (
	"bytes"

	lru "github.com/hashicorp/golang-lru/v2"
)

// decodedRows is how many decoded values of one kind a store keeps in memory.
const decodedRows = 128

// decoded holds the last value of rows that were decrypted and decoded, or sealed, before. The effects of an incident
// read the same state several times between two changes. A value counts only for exactly the ciphertext that it was
// decoded from, and for its associated data, so a change by another replica is never missed. Callers must not modify a
// value, because all share it.
type decoded[T any] struct {
	rows *lru.Cache[int64, decodedRow[T]]
}

type decodedRow[T any] struct {
	key    string // row part of the associated data
	sealed []byte
	value  T
}

func newDecoded[T any]() decoded[T] {
	rows, _ := lru.New[int64, decodedRow[T]](decodedRows) // fails only for a size below 1
	return decoded[T]{rows}
}

// put remembers the value that was sealed for a row, in place of an earlier one.
func (d decoded[T]) put(id int64, key string, sealed []byte, value T) {
	d.rows.Add(id, decodedRow[T]{key, sealed, value})
}

// forget removes the value of a row whose texts were erased.
func (d decoded[T]) forget(id int64) { d.rows.Remove(id) }

// unseal is [Store.unseal] for a value that may be decoded already.
func (d decoded[T]) unseal(s *Store, table string, id int64, key, column string, sealed []byte) (T, error) {
	if known, ok := d.rows.Get(id); ok && known.key == key && bytes.Equal(known.sealed, sealed) {
		return known.value, nil
	}
	var value T
	if err := s.unseal(table, key, column, sealed, &value); err != nil {
		return value, err
	}
	d.put(id, key, sealed, value)
	return value, nil
}
