package store

import (
	"context"
	"time"

	"gorm.io/gorm"
)

// Born returns when the instance began: the time at which its database was created, or an earlier one from which its rows
// come. It returns the zero time for a restored database.
func (s *Store) Born(ctx context.Context) (at time.Time, err error) {
	var restores int64
	err = s.view(ctx, func(db *gorm.DB) error { return db.Raw("SELECT count(*) FROM restores").Scan(&restores).Error })
	if err != nil || restores > 0 {
		return at, err
	}
	if at, err = s.readTime(ctx, "SELECT tstamp AS at FROM "+ownVersions+" ORDER BY id LIMIT 1"); err != nil {
		return at, err
	}
	first, err := s.FirstCheckpoint(ctx)
	if err == nil && !first.IsZero() && first.Before(at) { // the rows come from another database
		at = first
	}
	return at, err
}
