package backup

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tocsin/bot/incident"
)

// Restored is the result of [ProofOptions.Restore].
type Restored struct {
	UsableAt   time.Time // when the database could be opened
	BackupAt   time.Time
	Rows, Jobs int64
	Leaves     int64
	Checkpoint string
	Problems   []string
}

// ProofOptions configure [Destinations.Prove].
type ProofOptions struct {
	Config
	Origin     string
	Identities Identities
	From       string // label of a destination, or "" for a random one
	Clock      func() time.Time
	// Restore fills a database in a folder with a stream that it reads to its end, and
	// compares its content. It may call open again.
	Restore func(ctx context.Context, folder string, open func() (io.ReadCloser, error)) (Restored, error)
	// Temp is the folder for the restored database.
	Temp string
}

// Prove restores a random copy from a random destination, and returns its report. The
// restored database is removed afterwards. The error is about the proof itself, for example
// if no destination answers. Errors of the copy are in the report.
func (ds Destinations) Prove(ctx context.Context, o ProofOptions) (Report, error) {
	r := Report{Origin: o.Origin, At: o.Clock().UTC().Truncate(time.Second), Problems: []string{}}
	all := ds.Catalogue(ctx, o.Origin, r.At, false)
	newest, ok := all.Newest(1)
	if !ok {
		if err := all.Err(); err != nil {
			return r, err
		}
		return r, incident.Invalid("to", "no destination has a backup of this instance. Run `tocsin backup now`, and check that --keyset is the copy of its keyset")
	}
	r.RPOSeconds = newest.Age.Seconds()
	n, e, err := ds.choose(all, o.From)
	if err != nil {
		return r, err
	}
	d := ds.list[n]
	r.From, r.Key, r.BackupAt = d.Label(), e.Key, e.At
	object, _ := parseKey(e.Key)
	err = ds.prove(ctx, &r, o, func() (io.ReadCloser, error) {
		raw, err := d.Get(ctx, e.Key)
		if err != nil {
			return nil, err
		}
		return openChecked(raw, object, o.Identities)
	})
	return r, err
}

// ProveFile is [Destinations.Prove] for one file or address.
func (ds Destinations) ProveFile(ctx context.Context, where string, o ProofOptions) (Report, error) {
	r := Report{Origin: o.Origin, At: o.Clock().UTC().Truncate(time.Second), From: filepath.Dir(where), Key: filepath.Base(where), Problems: []string{}}
	err := ds.prove(ctx, &r, o, func() (io.ReadCloser, error) { return ds.Open(ctx, where, o.Identities) })
	if !r.BackupAt.IsZero() { // its time is in its content
		r.RPOSeconds = max(r.At.Sub(r.BackupAt).Seconds(), 0)
	}
	return r, err
}

// prove restores a copy and completes the report.
func (ds Destinations) prove(ctx context.Context, r *Report, o ProofOptions, open func() (io.ReadCloser, error)) error {
	folder, remove, err := makeProofFolder(o.Temp)
	if err != nil {
		return err
	}
	defer remove()
	start := o.Clock()
	restored, err := o.Restore(ctx, folder, open)
	if ctx.Err() != nil {
		return fmt.Errorf("the proof was interrupted: %w", ctx.Err())
	}
	if err != nil {
		r.Problems = append(r.Problems, strings.ReplaceAll(err.Error(), "\n", ". "))
		return nil
	}
	r.BackupAt, r.Rows, r.Jobs, r.Leaves, r.Checkpoint = restored.BackupAt, restored.Rows, restored.Jobs, restored.Leaves, restored.Checkpoint
	r.RTOSeconds = max(restored.UsableAt.Sub(start).Seconds(), 0)
	r.Problems = append(r.Problems, restored.Problems...)
	return nil
}

// choose returns a random backup of a random destination, or of the one with a label.
func (ds Destinations) choose(all Catalogue, from string) (destination int, e Entry, err error) {
	candidates := make([][]Entry, len(ds.list))
	var with []int
	for n, d := range ds.list {
		if from != "" && from != d.Label() {
			continue
		}
		for _, e := range all.Backups {
			if state := e.Copies[n].State; state != CopyMissing && state != CopyUnreachable && !e.IsFuture {
				candidates[n] = append(candidates[n], e)
			}
		}
		if len(candidates[n]) > 0 {
			with = append(with, n)
		}
	}
	if len(with) == 0 {
		var labels []string
		for _, d := range ds.list {
			labels = append(labels, d.Label())
		}
		return 0, e, incident.Invalid("from", "%q has no backup of this instance. Use one of: %s", from, strings.Join(labels, ", "))
	}
	n := with[rand.IntN(len(with))]
	return n, candidates[n][rand.IntN(len(candidates[n]))], nil
}

// openChecked decrypts a copy. Its end is an error if its SHA-256 differs from the key.
func openChecked(raw io.ReadCloser, o Object, ids Identities) (io.ReadCloser, error) {
	sum := sha256.New()
	all := io.TeeReader(raw, sum)
	content, err := decrypt(all, ids)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	atEnd := func() error {
		if _, err := io.Copy(io.Discard, all); err != nil {
			return err
		}
		if o.Digest != "" && digestOf([sha256.Size]byte(sum.Sum(nil))) != o.Digest {
			return errDigest
		}
		return io.EOF
	}
	return readCloser{&checkedReader{content, atEnd}, raw}, nil
}

// CheckEnd reads the rest of a stream of [Open], and returns an error if the file is not the
// one that Tocsin wrote. The rest of a whole stream is empty.
func CheckEnd(stream io.Reader) error {
	_, err := io.Copy(io.Discard, stream)
	return err
}

// checkedReader calls a function when its reader ends.
type checkedReader struct {
	r     io.Reader
	atEnd func() error
}

func (c *checkedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err == io.EOF { //nolint:errorlint // the end itself, not an error about it
		err = c.atEnd()
	}
	return n, err
}

// proofPrefix begins the names of folders with a restored database.
const proofPrefix = "tocsin-proof-"

// makeProofFolder creates a folder that only this user can read. It removes the folders of
// proofs that were killed: a living one holds a lock.
func makeProofFolder(temp string) (folder string, remove func(), err error) {
	old, _ := filepath.Glob(filepath.Join(temp, proofPrefix+"*")) // the pattern is valid unless temp has special characters
	for _, dir := range old {
		if unlock, isOurs := lockFolder(dir); isOurs {
			_ = os.RemoveAll(dir)
			unlock()
		}
	}
	if folder, err = os.MkdirTemp(temp, proofPrefix+"*"); err != nil {
		return "", nil, fmt.Errorf("create a folder for the restored database: %w. Choose another with --temp", err)
	}
	unlock, ok := lockFolder(folder)
	if !ok {
		return "", nil, fmt.Errorf("lock %s failed. Choose another folder with --temp", folder)
	}
	return folder, func() { _ = os.RemoveAll(folder); unlock() }, nil
}

// lockFolder locks a folder of this user. It reports false if another process holds the
// lock, or the folder belongs to another user.
func lockFolder(dir string) (unlock func(), ok bool) {
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, false
	}
	info, err := f.Stat()
	if err == nil {
		stat, known := info.Sys().(*syscall.Stat_t)
		ok = known && int(stat.Uid) == os.Getuid() && syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
	}
	if !ok {
		_ = f.Close()
		return nil, false
	}
	return func() { _ = f.Close() }, true
}
