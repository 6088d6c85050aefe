package control

import (
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// TestListenPrivate_RestoresTheModeMask opens many sockets together. The mode mask of
// the process is the same afterwards.
func TestListenPrivate_RestoresTheModeMask(t *testing.T) {
	umask.Lock()
	before := syscall.Umask(0)
	syscall.Umask(before)
	umask.Unlock()
	dir := t.TempDir()
	var all sync.WaitGroup
	for n := range 200 {
		all.Go(func() {
			l, err := listenPrivate(filepath.Join(dir, strconv.Itoa(n)))
			if err != nil {
				t.Error(err)
				return
			}
			_ = l.Close()
		})
	}
	all.Wait()
	umask.Lock()
	defer umask.Unlock()
	if after := syscall.Umask(before); after != before {
		t.Errorf("got mode mask %o, want %o", after, before)
	}
}
