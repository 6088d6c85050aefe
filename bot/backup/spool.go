package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"filippo.io/age"

	"tocsin/bot/health"
	"tocsin/bot/incident"
)

// spool is a folder with at most one encrypted backup that is not at every destination yet.
// A backup has its name there only when it is complete.
type spool struct{ folder }

// errRunning means that another process writes a backup of the instance on this machine.
var errRunning = incident.Conflict("another backup is being made on this machine. Wait until it has ended")

// open creates the folder, locks it and removes the rests of killed processes. The caller
// must call close. A process that dies gives up the lock.
func (s spool) open() (unlock func(), err error) {
	if err := os.MkdirAll(s.path, 0o700); err != nil {
		return nil, s.explain(err)
	}
	lock, err := os.OpenFile(filepath.Join(s.path, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, s.explain(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errRunning
		}
		return nil, s.explain(err)
	}
	removePartial(s.path, time.Now())
	return func() { _ = lock.Close() }, nil
}

// spooled is a backup in the spool.
type spooled struct {
	Object
	file   string
	size   int64
	sha256 [sha256.Size]byte
}

// find returns the backup of an earlier attempt that is not older than since, and removes
// all others.
func (s spool) find(ctx context.Context, since time.Time) (found *spooled, err error) {
	for _, class := range classes {
		list, err := s.List(ctx, string(class)+"/", "")
		if err != nil {
			return nil, err
		}
		for _, one := range list {
			b := spooled{file: filepath.Join(s.path, one.Key), size: one.Size}
			var ok bool
			if b.Object, ok = parseKey(one.Key); !ok {
				continue
			}
			if b.sha256, err = sumFile(b.file); err == nil && !b.At.Before(since) && digestOf(b.sha256) == b.Digest && found == nil {
				found = &b
				continue
			}
			if err := s.remove(one.Key); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// sumFile returns the SHA-256 of a file.
func sumFile(name string) (sum [sha256.Size]byte, err error) {
	file, err := os.Open(name)
	if err != nil {
		return sum, err
	}
	defer func() { _ = file.Close() }()
	h := sha256.New()
	_, err = io.Copy(h, file)
	return [sha256.Size]byte(h.Sum(nil)), err
}

// countingHash hashes and counts the bytes that it passes to w.
type countingHash struct {
	w    io.Writer
	hash hash.Hash
	size int64
}

func (c *countingHash) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	_, _ = c.hash.Write(p[:n]) // a hash takes all
	c.size += int64(n)
	return n, err
}

// write encrypts an export to a file of the spool. name returns the object of a snapshot
// without its digest. After an error no file is left.
func (s spool) write(ctx context.Context, export func(context.Context, io.Writer) (Snapshot, error), recipients []age.Recipient, name func(Snapshot) Object) (b *spooled, snapshot Snapshot, err error) {
	file, err := os.CreateTemp(s.path, partialPrefix+"*")
	if err != nil {
		return nil, snapshot, s.explain(err)
	}
	defer func() {
		if err = errors.Join(err, ignoreClosed(file.Close())); err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	buffer := bufio.NewWriterSize(file, 256<<10)
	out := &countingHash{w: buffer, hash: sha256.New()}
	encrypted, err := age.Encrypt(out, recipients...)
	if err != nil {
		return nil, snapshot, s.explain(err)
	}
	if snapshot, err = export(ctx, encrypted); err != nil {
		return nil, snapshot, s.explainExport(err)
	}
	if err := errors.Join(encrypted.Close(), buffer.Flush(), file.Sync(), file.Close()); err != nil {
		return nil, snapshot, s.explain(err)
	}
	b = &spooled{Object: name(snapshot), size: out.size, sha256: [sha256.Size]byte(out.hash.Sum(nil))}
	b.Digest = digestOf(b.sha256)
	b.file = filepath.Join(s.path, b.Key())
	dir := filepath.Dir(b.file)
	if err := errors.Join(s.makeFolder(dir), os.Rename(file.Name(), b.file), syncFolder(dir)); err != nil {
		return nil, snapshot, s.explain(err)
	}
	return b, snapshot, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}

// explainExport returns why an export failed: the disk of the spool, or the database.
func (s spool) explainExport(err error) error {
	var file *fs.PathError
	if isDiskFull(err) || errors.As(err, &file) {
		return s.explain(err)
	}
	return fmt.Errorf("export the database: %w", err)
}

// explain returns why the spool cannot be used.
func (s spool) explain(err error) error {
	p := &health.Problem{Cause: "The folder " + s.path + ", where Tocsin prepares a backup, does not work", Fix: "Check the folder and its disk, or set another with backup.spool", Err: err}
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		p.Cause, p.Fix = "Tocsin may not write to "+s.path+", where it prepares a backup", "Give the user of Tocsin the right to write there, or set another folder with backup.spool"
	case isDiskFull(err):
		p.Cause, p.Fix = "The disk of "+s.path+", where Tocsin prepares a backup, is full", "Free or add space, or set a folder on another disk with backup.spool"
	}
	return p
}
