package store

import (
	"bytes"

	lru "github.com/hashicorp/golang-lru/v2"
)

// decodedRows is how many decoded values of one kind a store keeps in memory.
const decodedRows = 128

// decoded holds the values of rows that were decrypted and decoded, or sealed, before. The effects of an incident read
// the same state several times between two changes. A value counts only for exactly the ciphertext that it was decoded
// from, so a change by another replica is never missed. Callers must not modify a value, because all share it.
type decoded[T any] struct {
	rows *lru.Cache[string, decodedRow[T]]
}

type decodedRow[T any] struct {
	sealed []byte
	value  T
}

func newDecoded[T any]() decoded[T] {
	rows, _ := lru.New[string, decodedRow[T]](decodedRows) // fails only for a size below 1
	return decoded[T]{rows}
}

// put remembers the value that was sealed for a row.
func (d decoded[T]) put(row string, sealed []byte, value T) {
	d.rows.Add(row, decodedRow[T]{sealed, value})
}

// forget removes the value of a row whose texts were erased.
func (d decoded[T]) forget(row string) { d.rows.Remove(row) }

// unseal is [Store.unseal] for a value that may be decoded already.
func (d decoded[T]) unseal(s *Store, table, row, column string, sealed []byte) (T, error) {
	if known, ok := d.rows.Get(row); ok && bytes.Equal(known.sealed, sealed) {
		return known.value, nil
	}
	var value T
	if err := s.unseal(table, row, column, sealed, &value); err != nil {
		return value, err
	}
	d.put(row, sealed, value)
	return value, nil
}
