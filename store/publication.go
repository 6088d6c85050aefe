package store

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// FirstCheckpoint returns the time of the oldest checkpoint, or the zero time.
func (s *Store) FirstCheckpoint(ctx context.Context) (time.Time, error) {
	return s.readTime(ctx, "SELECT at FROM notary_checkpoints ORDER BY size LIMIT 1")
}

// LastPostmortem returns when the newest postmortem was written, or the zero time.
func (s *Store) LastPostmortem(ctx context.Context) (time.Time, error) {
	return s.readTime(ctx, "SELECT at FROM documents ORDER BY at DESC LIMIT 1")
}

func (s *Store) readTime(ctx context.Context, query string) (at time.Time, err error) {
	var rows []struct{ At time.Time }
	if err = s.view(ctx, func(db *gorm.DB) error { return db.Raw(query).Scan(&rows).Error }); err != nil {
		return at, fmt.Errorf("read a time of the database: %w", err)
	}
	if len(rows) > 0 {
		at = rows[0].At.UTC()
	}
	return at, nil
}
