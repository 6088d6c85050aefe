package store

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// Tombstone is the proof of deletion of one batch by [Store.Prune].
type Tombstone struct {
	ID        int64     `json:"id"`
	TableName string    `json:"table"`
	At        time.Time `json:"at"`
	OlderThan time.Time `json:"older_than"`
	Policy    string    `json:"policy"`
	Deleted   int64     `json:"deleted"`
	FirstID   int64     `json:"first_id"`
	LastID    int64     `json:"last_id"`
	Hash      string    `json:"hash"` // keyed hash of the contents of the rows
}

// content returns the content of the row for the notary, without its MAC.
func (t Tombstone) content() []byte {
	b := appendContent(nil, subjectTombstones, t.ID)
	b = appendColumn(b, "table_name", t.TableName)
	b = appendColumn(b, "at", t.At)
	b = appendColumn(b, "older_than", t.OlderThan)
	b = appendColumn(b, "policy", t.Policy)
	b = appendColumn(b, "deleted", t.Deleted)
	b = appendColumn(b, "first_id", t.FirstID)
	b = appendColumn(b, "last_id", t.LastID)
	return appendColumn(b, "hash", t.Hash)
}

// Tombstones returns up to limit tombstones, newest first.
func (s *Store) Tombstones(ctx context.Context, limit int) ([]Tombstone, error) {
	out := []Tombstone{}
	err := s.view(ctx, func(db *gorm.DB) error {
		return db.Raw("SELECT * FROM tombstones ORDER BY id DESC LIMIT ?", limit).Scan(&out).Error
	})
	if err != nil {
		return nil, fmt.Errorf("list tombstones: %w", err)
	}
	for n := range out {
		out[n].At, out[n].OlderThan = out[n].At.UTC(), out[n].OlderThan.UTC()
	}
	return out, nil
}
