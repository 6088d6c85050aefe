package store

import (
	"fmt"
	"path/filepath"
	"syscall"
)

// HasDisk reports whether the database is a file on a disk of this machine.
func (s *Store) HasDisk() bool {
	_, ok := s.backend.(*sqliteBackend)
	return ok
}

// FreeDisk returns the free space of the disk with the SQLite database, in bytes.
func (s *Store) FreeDisk() (int64, error) {
	b, ok := s.backend.(*sqliteBackend)
	if !ok {
		return 0, nil
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(b.path), &disk); err != nil {
		return 0, fmt.Errorf("read free disk space: %w", err)
	}
	return int64(disk.Bavail) * int64(disk.Bsize), nil //nolint:unconvert // the types differ between systems
}
