package backup

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestFolder_Group gives the destination to another group, as for the user of the proof.
func TestFolder_Group(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to use another group")
	}
	const group = 4711
	old := syscall.Umask(0o077) // of the service
	defer syscall.Umask(old)
	dir := t.TempDir()
	if err := os.Chown(dir, -1, group); err != nil {
		t.Fatal(err)
	}
	d := folder{dir}
	if err := putSmall(t.Context(), d, proofFolder+"x", []byte("x"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := putSmall(t.Context(), d, "daily/x", []byte("x"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"proofs": 0o770, "daily": 0o750, "proofs/x": 0o640, "daily/x": 0o640} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, gid := info.Mode().Perm(), info.Sys().(*syscall.Stat_t).Gid; got != want || gid != group {
			t.Errorf("%s: got the mode %o of the group %d, want %o of %d", name, got, gid, want, group)
		}
	}
}
