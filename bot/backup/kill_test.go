package backup_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tocsin/bot/backup"
)

// TestRun_EnsureOnce has two replicas with the same job.
func TestRun_EnsureOnce(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	a := newInstance(t, "dir:"+first, "dir:"+second)
	b := *a
	b.spool = filepath.Join(t.TempDir(), "spool")
	ctx, due := context.Background(), a.now
	made, err := a.runner(t, nil).Ensure(ctx, due)
	if err != nil || made.Stored() != 2 {
		t.Fatalf("got %+v, %v", made, err)
	}
	a.now = a.now.Add(time.Minute)
	b.now = a.now
	for _, i := range []*instance{a, &b} {
		if again, err := i.runner(t, nil).Ensure(ctx, due); err != nil || again.Key != "" || i.exports > 1 {
			t.Errorf("got %+v, %v and %d exports, want no other backup", again, err, i.exports)
		}
	}
	// One destination fails. Another replica, which does not have the file, makes no other.
	due, a.now = due.Add(time.Hour), due.Add(time.Hour)
	a.CopiesRequired, b.CopiesRequired, b.now = 1, 1, a.now.Add(time.Minute)
	if err := os.Rename(second, second+".lost"); err != nil {
		t.Fatal(err)
	}
	var copies *backup.CopyError
	if _, err := a.runner(t, nil).Ensure(ctx, due); !errors.As(err, &copies) || copies.IsFailed {
		t.Fatalf("got %v, want an error about one destination", err)
	}
	if _, err := b.runner(t, nil).Ensure(ctx, due); !errors.As(err, &copies) || copies.IsFailed || b.exports != 0 {
		t.Errorf("got %v and %d exports, want the error and no export", err, b.exports)
	}
	if err := os.Rename(second+".lost", second); err != nil {
		t.Fatal(err)
	}
	if done, err := a.runner(t, nil).Ensure(ctx, due); err != nil || done.Stored() != 2 || a.exports != 2 || len(files(t, first)) != 2 || len(files(t, second)) != 2 {
		t.Errorf("got %+v, %v after %d exports, want the same file at both", done, err, a.exports)
	}
	// A backup with a time in the future does not count as the backup of its hour.
	a.now = a.now.Add(-90 * time.Minute)
	if done, err := a.runner(t, nil).Ensure(ctx, a.now); err != nil || done.Stored() != 2 || a.exports != 3 {
		t.Errorf("got %+v, %v after %d exports, want a backup with the right clock", done, err, a.exports)
	}
}

func TestRun_FullDisk(t *testing.T) {
	for _, full := range []string{"spool", "destination"} {
		disk, other := t.TempDir(), t.TempDir()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("mount a small disk: %v", err)
			}
			t.Skipf("mount a small disk: %v (run as root)", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
		i := newInstance(t, "dir:"+disk)
		want := "The disk of the backup folder " + disk + " is full"
		if full == "spool" {
			i.To, i.spool, want = []string{"dir:" + other}, disk, "The disk of "+disk+", where Tocsin prepares a backup, is full"
		}
		large := make([]byte, 3<<20)
		_, _ = rand.Read(large)
		i.content = string(large)
		if _, err := i.runner(t, nil).Run(context.Background(), i.now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", full, err, want)
		}
		if left := files(t, disk, other); left != nil {
			t.Errorf("%s: got %v, want no files", full, left)
		}
		i.content = "small"
		if _, err := i.runner(t, nil).Run(context.Background(), i.now.Add(time.Second)); err != nil {
			t.Errorf("%s: after the disk was freed: %v", full, err)
		}
	}
}

// childFolder is the environment variable that makes TestRun_Killed a process to kill.
const childFolder = "TOCSIN_TEST_BACKUP_CHILD"

// TestRun_Killed kills a process while it exports, and while a destination reads the file.
func TestRun_Killed(t *testing.T) {
	if root := os.Getenv(childFolder); root != "" {
		runChild(root)
		return
	}
	for _, stage := range []string{"export", "copy"} {
		root := t.TempDir()
		for _, dir := range []string{"destination", "spool"} {
			if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestRun_Killed$")
		cmd.Env = append(os.Environ(), childFolder+"="+root, "STAGE="+stage)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len(childReady))); err != nil {
			t.Fatalf("%s: the process did not reach the stage: %v", stage, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		rests := 0
		for _, file := range files(t, root) {
			if rests++; !strings.Contains(file, ".partial-") {
				t.Errorf("%s: %s looks whole after the kill", stage, file)
			}
		}
		if rests == 0 {
			t.Errorf("%s: the kill left no file, so the test shows nothing", stage)
		}
		i := newInstance(t, "dir:"+filepath.Join(root, "destination"))
		i.spool = filepath.Join(root, "spool")
		if _, err := i.runner(t, nil).Run(context.Background(), i.now); err != nil {
			t.Errorf("%s: after the kill: %v", stage, err)
		}
		if left := files(t, root); len(left) != 1 || strings.Contains(left[0], ".partial-") {
			t.Errorf("%s: got %v, want only the backup", stage, left)
		}
	}
}

const childReady = "ready"

// runChild runs until it is killed.
func runChild(root string) {
	wait := func() {
		_, _ = os.Stdout.WriteString(childReady)
		select {}
	}
	c := to("dir:" + filepath.Join(root, "destination"))
	if os.Getenv("STAGE") == "copy" {
		ds, _ := c.Destinations(backup.DestinationDeps{})
		_ = ds.All()[0].Put(context.Background(), backup.Upload{Key: aKey, Content: waitingReader{wait}, Size: 2 << 20})
		return
	}
	c.Recipients = []string{"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"}
	ds, _ := c.Destinations(backup.DestinationDeps{})
	r := backup.NewRunner(c, ds, backup.Deps{Origin: "tocsin/3f2a", SpoolFolder: filepath.Join(root, "spool"), Export: func(_ context.Context, w io.Writer) (backup.Snapshot, error) {
		_, _ = w.Write(bytes.Repeat([]byte("rows"), 1<<20))
		wait()
		return backup.Snapshot{}, nil
	}})
	_, _ = r.Run(context.Background(), time.Now())
}

// waitingReader has one mebibyte, and then waits.
type waitingReader struct{ wait func() }

func (r waitingReader) ReadAt(p []byte, at int64) (int, error) {
	if at >= 1<<20 {
		r.wait()
	}
	return len(p), nil
}
