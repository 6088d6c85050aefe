package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
)

var (
	_ response.Store = (*Store)(nil)
	_ intake.Store   = (*Store)(nil)
)

// Tx implements [response.Store].
func (s *Store) Tx(ctx context.Context, f func(response.Tx) error) error {
	return s.tx(ctx, func(t *tx) error { return f(domainTx{reader{s, t.db, t.queue.rowLockClause()}, t}) })
}

// View implements [response.Store].
func (s *Store) View(ctx context.Context, f func(response.Reader) error) error {
	return s.view(ctx, func(db *gorm.DB) error { return f(reader{s, db, ""}) })
}

// reader implements [response.Reader] on a snapshot or in a transaction. In a transaction lockClause locks the rows
// that are read for update.
type reader struct {
	s          *Store
	db         *gorm.DB
	lockClause string
}

// domainTx implements [response.Tx].
type domainTx struct {
	reader
	tx *tx
}

// sealedEncoder is implemented by values with their own plaintext encoding. Other values are sealed as JSON.
type sealedEncoder interface {
	encode() ([]byte, error)
}

// sealedDecoder reads the encoding of a [sealedEncoder].
type sealedDecoder interface {
	decode(plain []byte) error
}

var (
	_ sealedEncoder = sealedDelivery{}
	_ sealedDecoder = (*sealedDelivery)(nil)
)

// seal encrypts v for one table, row and column. It encodes v with its [sealedEncoder], or as JSON.
func (s *Store) seal(table, row, column string, v any) ([]byte, error) {
	var plain []byte
	var err error
	if e, ok := v.(sealedEncoder); ok {
		plain, err = e.encode()
	} else {
		plain, err = json.Marshal(v)
	}
	if err != nil {
		return nil, fmt.Errorf("encode %s.%s: %w", table, column, err)
	}
	return s.keys.Seal(plain, associatedData(table, row, column))
}

// unseal decrypts a result of seal into v. The table, row and column must be the ones given to seal.
func (s *Store) unseal(table, row, column string, sealed []byte, v any) error {
	plain, err := s.keys.Open(sealed, associatedData(table, row, column))
	if err != nil {
		return fmt.Errorf("read %s.%s of row %s: %w", table, column, row, err)
	}
	if d, ok := v.(sealedDecoder); ok {
		err = d.decode(plain)
	} else {
		err = json.Unmarshal(plain, v)
	}
	if err != nil {
		return fmt.Errorf("decode %s.%s of row %s: %w", table, column, row, err)
	}
	return nil
}

// hash returns the keyed hash that a column stores instead of a value, to find the row by that value.
func (s *Store) hash(table, column string, parts ...string) string {
	data := associatedData(table, "", column)
	for _, part := range parts {
		data = append(data, associatedData(part, "", "")...)
	}
	return s.keys.Fingerprint(data)
}

// rowKey returns the row part of the associated data of a row's ciphertexts.
func rowKey[N ~int | ~int64](ids ...N) string {
	var b []byte
	for i, id := range ids {
		if i > 0 {
			b = append(b, '/')
		}
		b = strconv.AppendInt(b, int64(id), 10)
	}
	return string(b)
}

// dbTime converts t to UTC and truncates it to microseconds, which both databases return unchanged.
func dbTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// timeOrNil returns nil for the zero time.
func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = dbTime(t)
	return &t
}

// timeOrZero returns the zero time for nil.
func timeOrZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// canonicalState returns the JSON of a state, to compare two states.
func canonicalState(inc incident.Incident) ([]byte, error) {
	data, err := json.Marshal(inc)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", inc.ID, err)
	}
	return data, nil
}

// Backlog is the number of deliveries and effects that wait to be processed.
type Backlog struct {
	Inbox   int64     // deliveries that are not handled yet
	Effects int64     // effects in the states available and pending
	Oldest  time.Time // when the oldest of these effects was first enqueued, or zero
}

// Backlog counts unhandled deliveries and unfinished effects.
func (s *Store) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	err := s.view(ctx, func(db *gorm.DB) error {
		var oldest []effectRow
		err := errors.Join(
			db.Raw("SELECT count(*) FROM inbox WHERE handled_at IS NULL").Scan(&b.Inbox).Error,
			db.Raw("SELECT count(*) FROM effects WHERE state IN ('available', 'pending')").Scan(&b.Effects).Error,
			db.Raw("SELECT * FROM effects WHERE state IN ('available', 'pending') ORDER BY created_at LIMIT 1").Scan(&oldest).Error)
		if len(oldest) > 0 {
			b.Oldest = oldest[0].CreatedAt.UTC()
		}
		return err
	})
	if err != nil {
		return b, fmt.Errorf("count backlog: %w", err)
	}
	return b, nil
}
