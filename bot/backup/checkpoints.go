package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/bot/notary"
)

// PutCheckpoint stores a signed checkpoint at every destination. In a bucket its
// lock lasts as long as a monthly backup. If one destination fails, the others still
// receive it.
func (ds Destinations) PutCheckpoint(ctx context.Context, c notary.Checkpoint) error {
	var errs []error
	for _, d := range ds.list {
		if err := putSmall(ctx, d, checkpointKey(c.At, c.Origin, c.Size), []byte(c.Note), c.At.Add(ds.keep.Monthly)); err != nil {
			errs = append(errs, fmt.Errorf("store checkpoint at %s: %w", d.Label(), err))
		}
	}
	return errors.Join(errs...)
}

// putSmall stores a small object.
func putSmall(ctx context.Context, d Destination, key string, content []byte, until time.Time) error {
	return d.Put(ctx, Upload{Key: key, Content: bytes.NewReader(content), Size: int64(len(content)), SHA256: sha256.Sum256(content), Until: until})
}

// maxCheckpoints is how many checkpoints of a destination [Destinations.NewestCheckpoint]
// opens. It opens others only if the newest are not signed by the instance.
const maxCheckpoints = 20

// NewestCheckpoint returns the checkpoint with the most leaves that the verifier accepts.
// It returns an error only if no destination has one: a lost machine can have taken a
// destination along. The error wraps [ErrNotFound] if all destinations answered.
func (ds Destinations) NewestCheckpoint(ctx context.Context, v notary.Verifier) (notary.Checkpoint, error) {
	return ds.CheckpointBefore(ctx, v, time.Time{})
}

// CheckpointBefore is [Destinations.NewestCheckpoint] without checkpoints that are newer
// than a time. Zero is no limit.
func (ds Destinations) CheckpointBefore(ctx context.Context, v notary.Verifier, before time.Time) (notary.Checkpoint, error) {
	var newest notary.Checkpoint
	var errs []error
	for _, d := range ds.list {
		c, err := newestCheckpoint(ctx, d, v, before)
		if err != nil {
			errs = append(errs, fmt.Errorf("find checkpoint at %s: %w", d.Label(), err))
		}
		if c.Note != "" && (newest.Note == "" || c.Size > newest.Size) {
			newest = c
		}
	}
	switch {
	case newest.Note != "":
		return newest, nil
	case len(errs) > 0:
		return newest, errors.Join(errs...)
	}
	return newest, fmt.Errorf("find checkpoint: %w", ErrNotFound)
}

// newestCheckpoint returns the newest valid checkpoint of a destination, or one without a
// note.
func newestCheckpoint(ctx context.Context, d Destination, v notary.Verifier, before time.Time) (notary.Checkpoint, error) {
	list, err := d.List(ctx, checkpointFolder, "")
	if err != nil {
		return notary.Checkpoint{}, err
	}
	name := Origin(v)
	opened := 0
	for _, s := range slices.Backward(list) {
		at, origin, ok := parseSmallKey(s.Key)
		if !ok || origin != shortOrigin(name) || !before.IsZero() && at.After(before) {
			continue
		}
		if opened++; opened > maxCheckpoints {
			break
		}
		raw, err := readSmall(ctx, d, s.Key)
		if err != nil {
			return notary.Checkpoint{}, err
		}
		if c, err := v.Open(string(raw)); err == nil {
			return c, nil
		}
	}
	return notary.Checkpoint{}, nil
}

// Origin returns the name of the instance whose checkpoints a verifier accepts.
func Origin(v notary.Verifier) string {
	name, _, _ := strings.Cut(v.String(), "+")
	return name
}
