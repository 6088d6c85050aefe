package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/notary"
)

// checkpointRow is a row of the table notary_checkpoints.
type checkpointRow struct {
	Size        int64
	At          time.Time
	Note        string
	PublishedAt *time.Time
}

// LatestCheckpoint returns the newest checkpoint of the log. Its size is 0 before the first [Store.RecordChanges].
func (s *Store) LatestCheckpoint(ctx context.Context) (c notary.Checkpoint, err error) {
	key, err := s.keys.Notary()
	if err != nil {
		return c, err
	}
	err = s.view(ctx, func(db *gorm.DB) error {
		c, err = newestCheckpoint(db, key.Verifier())
		return err
	})
	return c, err
}

func newestCheckpoint(db *gorm.DB, verifier notary.Verifier) (c notary.Checkpoint, err error) {
	var rows []checkpointRow
	if err := db.Raw("SELECT size, at, note, published_at FROM notary_checkpoints ORDER BY size DESC LIMIT 1").Scan(&rows).Error; err != nil {
		return c, fmt.Errorf("read the newest checkpoint: %w", err)
	}
	if len(rows) == 0 {
		return c, nil
	}
	if c, err = verifier.Open(rows[0].Note); err != nil || c.Note != rows[0].Note || c.Size != rows[0].Size {
		return c, fmt.Errorf("%w: its newest checkpoint is invalid: %w", ErrLogDamaged, err)
	}
	return c, nil
}

// MarkPublished records that a checkpoint left the machine now.
func (s *Store) MarkPublished(ctx context.Context, c notary.Checkpoint) error {
	return s.tx(ctx, func(t *tx) error {
		done := t.db.Exec("UPDATE notary_checkpoints SET published_at = ? WHERE size = ? AND note = ?", s.now(), c.Size, c.Note)
		if done.Error == nil && done.RowsAffected == 0 {
			return errors.New("mark checkpoint published: it does not exist")
		}
		return done.Error
	})
}

// LastPublished returns the newest checkpoint that left the machine, and the time at which it did. Its size is 0 if there
// is none.
func (s *Store) LastPublished(ctx context.Context) (c notary.Checkpoint, at time.Time, err error) {
	key, err := s.keys.Notary()
	if err != nil {
		return c, at, err
	}
	err = s.view(ctx, func(db *gorm.DB) error {
		var rows []checkpointRow
		err := db.Raw("SELECT size, at, note, published_at FROM notary_checkpoints WHERE published_at IS NOT NULL ORDER BY size DESC LIMIT 1").Scan(&rows).Error
		if err != nil || len(rows) == 0 {
			return err
		}
		at = timeOrZero(rows[0].PublishedAt)
		c, err = key.Verifier().Open(rows[0].Note)
		return err
	})
	return c, at, err
}

// OpenCheckpoints returns the checkpoints of this instance in a text, which can be a message or a mail. It returns
// [notary.ErrForeign] if there is none with a valid signature.
func (s *Store) OpenCheckpoints(text string) ([]notary.Checkpoint, error) {
	key, err := s.keys.Notary()
	if err != nil {
		return nil, err
	}
	return key.Verifier().OpenAll(text)
}

// CheckpointFile is a file with published checkpoints.
type CheckpointFile struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// VerifyFiles is [Store.Verify] with the checkpoints in files. It returns an [*incident.Error] for a file without a
// checkpoint of this instance.
func (s *Store) VerifyFiles(ctx context.Context, files []CheckpointFile) (Verification, error) {
	var published []notary.Checkpoint
	for _, file := range files {
		found, err := s.OpenCheckpoints(file.Text)
		if errors.Is(err, notary.ErrForeign) {
			return Verification{}, incident.Invalid("checkpoint", "%s has no checkpoint with a valid signature of this instance. Save the whole note, from the line that begins with tocsin/ to the last line that begins with —", file.Name)
		}
		if err != nil {
			return Verification{}, err
		}
		published = append(published, found...)
	}
	return s.Verify(ctx, published...)
}

// mergeErasures adds the erasures in lines of the log to those of a checkpoint.
func mergeErasures(known []notary.Erasure, lines []notary.Line) []notary.Erasure {
	out := slices.Clone(known)
	for _, line := range lines {
		e, ok := parseErasure(line.Detail)
		if ok && !slices.ContainsFunc(known, func(k notary.Erasure) bool { return k.Incident == e.Incident && k.Event == e.Event }) {
			out = append(out, e)
		}
	}
	return out
}

// parseErasure parses the detail of an erasure.
func parseErasure(detail string) (e notary.Erasure, ok bool) {
	fields := strings.Fields(detail)
	if len(fields) != 3 {
		return e, false
	}
	var errs [2]error
	e.Incident, errs[0] = strconv.ParseInt(fields[0], 10, 64)
	e.Event, errs[1] = strconv.ParseInt(fields[1], 10, 64)
	e.Refs = strings.Split(fields[2], ",")
	return e, errors.Join(errs[:]...) == nil
}
