package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"tocsin/bot/health"
)

// partialPrefix begins the names of files that are not complete. Nothing else reads them.
const partialPrefix = ".partial-"

// folder is a [Destination] in the file system. A file gets its name only when its content
// is on the disk.
type folder struct{ path string }

func (f folder) Label() string { return "dir:" + f.path }

// Put implements [Destination].
func (f folder) Put(ctx context.Context, u Upload) error {
	err := f.put(ctx, u)
	if err == nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	return f.explain(err)
}

func (f folder) put(ctx context.Context, u Upload) error {
	dir := filepath.Join(f.path, path.Dir(u.Key))
	if err := f.makeFolder(dir); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, partialPrefix+"*")
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(file, sum), contextReader{ctx, io.NewSectionReader(u.Content, 0, u.Size)})
	if err == nil && [sha256.Size]byte(sum.Sum(nil)) != u.SHA256 {
		err = errChanged
	}
	if err == nil {
		if root, statErr := os.Stat(f.path); statErr == nil {
			shareWithGroup(root, func(gid int) error { return file.Chown(-1, gid) })
		}
		err = file.Chmod(0o640)
	}
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(f.path, u.Key))
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return err
	}
	return syncFolder(dir)
}

// makeFolder creates a folder of a destination. The destination itself must exist: a file
// system that is not mounted is not a destination. Members of its group can read backups,
// and write reports.
func (f folder) makeFolder(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	root, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	err = os.Mkdir(dir, 0o750)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	mode := os.FileMode(0o750)
	if filepath.Base(dir)+"/" == proofFolder {
		mode |= 0o020
	}
	if err == nil {
		shareWithGroup(root, func(gid int) error { return os.Chown(dir, -1, gid) })
		err = os.Chmod(dir, mode) // without the mask of the process
	}
	if err == nil {
		err = syncFolder(f.path)
	}
	return err
}

// shareWithGroup calls change with the group of the destination. A user can give files only
// to groups that it is a member of. Without this right only the user itself reads them. The
// service of `tocsin init` may not set the set-group-ID bit of a folder.
func shareWithGroup(root fs.FileInfo, change func(gid int) error) {
	if stat, ok := root.Sys().(*syscall.Stat_t); ok {
		_ = change(int(stat.Gid))
	}
}

// removePartial removes the files of writers that were killed, if they did not change since
// a time. The folders of backups have one writer, which passes the present.
func removePartial(dir string, since time.Time) {
	left, _ := filepath.Glob(filepath.Join(dir, partialPrefix+"*")) // the pattern is valid
	for _, file := range left {
		if info, err := os.Stat(file); err == nil && !info.ModTime().After(since) {
			_ = os.Remove(file)
		}
	}
}

// errChanged means that the file in the spool was changed.
var errChanged = &health.Problem{Cause: "The file of the backup changed on the disk before it was copied", Fix: "Check the disk of backup.spool"}

// List implements [Destination].
func (f folder) List(_ context.Context, dir, from string) ([]Stored, error) {
	if _, err := os.Stat(f.path); err != nil {
		return nil, f.explain(err)
	}
	entries, err := os.ReadDir(filepath.Join(f.path, dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, f.explain(err)
	}
	var out []Stored
	for _, entry := range entries {
		key := path.Join(dir, entry.Name())
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(entry.Name(), partialPrefix) || key <= from {
			continue
		}
		out = append(out, Stored{key, info.Size()})
	}
	slices.SortFunc(out, func(a, b Stored) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// Get implements [Destination].
func (f folder) Get(_ context.Context, key string) (io.ReadCloser, error) {
	if !filepath.IsLocal(key) {
		return nil, fmt.Errorf("read %.80q: %w", key, ErrNotFound)
	}
	file, err := os.Open(filepath.Join(f.path, key))
	if errors.Is(err, fs.ErrNotExist) {
		if _, rootErr := os.Stat(f.path); rootErr == nil {
			return nil, fmt.Errorf("read %s/%s: %w", f.Label(), key, ErrNotFound)
		}
	}
	if err != nil {
		return nil, f.explain(err)
	}
	return file, nil
}

// remove deletes an object.
func (f folder) remove(key string) error {
	if err := os.Remove(filepath.Join(f.path, key)); err != nil {
		return f.explain(err)
	}
	return nil
}

// Probe implements [Destination]. It creates a file and removes it.
func (f folder) Probe(context.Context) error {
	file, err := os.CreateTemp(f.path, partialPrefix+"*")
	if err != nil {
		return f.explain(err)
	}
	if err := errors.Join(file.Close(), os.Remove(file.Name())); err != nil {
		return f.explain(err)
	}
	return nil
}

// explain returns why the folder cannot be used.
func (f folder) explain(err error) error {
	if known := new(health.Problem); errors.As(err, &known) {
		return known
	}
	p := &health.Problem{Cause: "The backup folder " + f.path + " does not work", Fix: "Check the folder, its file system and the log of the system", Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.Cause, p.Fix = "The backup folder "+f.path+" does not exist", "Mount its file system, or create it for the user of Tocsin"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		p.Cause, p.Fix = "Tocsin may not use the backup folder "+f.path, "Give the user of Tocsin the right to read and write there"
	case isDiskFull(err):
		p.Cause, p.Fix = "The disk of the backup folder "+f.path+" is full", "Free or add space, or retain fewer backups with backup.keep"
	}
	return p
}

// isDiskFull reports whether an error means that no space is left.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// syncFolder makes a new name in a folder durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// contextReader ends with the error of its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
