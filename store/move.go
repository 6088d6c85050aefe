package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/response"
)

// stopGrace is how long a server may take to release the lock of a replica that has just stopped.
const stopGrace = 3 * time.Second

// MoveTo copies all rows into the empty database of target, as [Import] does, and changes nothing here. No process may
// work with this database: the error wraps [ErrInUse] if one runs, and also if one starts before the rows are committed.
func (s *Store) MoveTo(ctx context.Context, target Config, d Deps) (out Imported, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for deadline := time.Now().Add(stopGrace); ; {
		err := s.refuseReplicas(ctx, 0)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrInUse) || time.Now().After(deadline) || !sleep(ctx, 100*time.Millisecond) {
			return out, err
		}
	}
	release, err := s.backend.lockReplicaID(ctx, s.replica, cancel)
	if err != nil {
		return out, err
	}
	defer release()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := s.export(ctx, w)
		_ = w.CloseWithError(err) // always returns nil
		done <- err
	}()
	out, err = Import(ctx, target, d, r, ImportOptions{Amend: func(response.Tx) error { return s.refuseReplicas(ctx, 1) }})
	_ = r.CloseWithError(err) // ends an export that still writes
	if exported := <-done; err == nil {
		err = exported
	}
	return out, err
}

// refuseReplicas returns [ErrInUse] if more replicas than own work with the database.
func (s *Store) refuseReplicas(ctx context.Context, own int64) error {
	query := s.backend.engine().replicas
	if query == "" {
		return nil
	}
	var running int64
	if err := s.view(ctx, func(db *gorm.DB) error { return db.Raw(query, replicaLockKey).Scan(&running).Error }); err != nil {
		return fmt.Errorf("find running replicas: %w", err)
	}
	if running > own {
		return fmt.Errorf("%d replicas run: %w", running-own, ErrInUse)
	}
	return nil
}
