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

// Tx implements response.Store.
func (s *Store) Tx(ctx context.Context, f func(response.Tx) error) error {
	return s.tx(ctx, func(t *tx) error { return f(domainTx{reader{s, t.db, t.queue.rowLock()}, t}) })
}

// View implements response.Store.
func (s *Store) View(ctx context.Context, f func(response.Reader) error) error {
	return s.view(ctx, func(db *gorm.DB) error { return f(reader{s, db, ""}) })
}

// reader implements response.Reader on a snapshot, or within a transaction, where it locks what it reads to change.
type reader struct {
	s    *Store
	db   *gorm.DB
	lock string
}

// domainTx implements response.Tx.
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

// seal encrypts v for one place: as JSON, or in the form that it has itself.
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

// unseal decrypts what seal made for the same place.
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

// hash is the keyed hash by which a value of a column is found again.
func (s *Store) hash(table, column string, parts ...string) string {
	data := associatedData(table, "", column)
	for _, part := range parts {
		data = append(data, associatedData(part, "", "")...)
	}
	return s.keys.Fingerprint(data)
}

// rowKey names a row in the associated data of its ciphertexts.
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

// dbTime brings a time into the zone and precision that both databases return unchanged.
func dbTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// timeOrNil is nil for the zero time.
func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = dbTime(t)
	return &t
}

// timeOrZero is the zero time for nil.
func timeOrZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// canonicalState is the JSON of a state, for comparing two.
func canonicalState(inc incident.Incident) ([]byte, error) {
	data, err := json.Marshal(inc)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", inc.ID, err)
	}
	return data, nil
}

// Backlog is what waits to be done.
type Backlog struct {
	Inbox   int64     // deliveries that nobody handled yet
	Effects int64     // effects that are due or wait for their turn
	Oldest  time.Time // when the oldest of these effects was enqueued; zero if there is none
}

// Backlog counts what waits to be done.
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
		return b, fmt.Errorf("count the backlog: %w", err)
	}
	return b, nil
}
