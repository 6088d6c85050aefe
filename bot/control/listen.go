package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Listen opens a socket that only its owner and the members of group can
// use. An empty group has no members. Listen replaces the socket of a
// process that was killed. It returns an error if another process accepts
// connections at path, or if path is not a socket.
func Listen(path, group string) (net.Listener, error) {
	l, err := listenPrivate(path)
	if err != nil || group == "" {
		return l, err
	}
	if err := openToGroup(path, group); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// maxSocketPath is the maximum length of the path of a socket in bytes.
const maxSocketPath = 107

// umask protects the mode mask of the process. Two bots of one process that changed it
// together would leave the stricter one behind.
var umask sync.Mutex

// listenPrivate opens a socket that only its owner can use.
func listenPrivate(path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("inspect control socket: %w", err)
	case info.Mode().Type() != os.ModeSocket:
		return nil, fmt.Errorf("control_socket: %s exists and is not a socket. Choose another path or remove the file", path)
	default:
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if conn, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("control_socket: another process listens on %s. Stop it or choose another path", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("replace control socket: %w", err)
		}
	}
	umask.Lock()
	defer umask.Unlock()
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	l, err := net.Listen("unix", path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("control_socket: the folder %s does not exist. Run `mkdir -p %s`, or choose another path: %w", filepath.Dir(path), filepath.Dir(path), err)
	case len(path) > maxSocketPath && err != nil:
		return nil, fmt.Errorf("control_socket: %s is longer than %d characters, the limit of the system. Choose a shorter path, such as /run/tocsin/tocsin.sock", path, maxSocketPath)
	case err != nil:
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	return l, nil
}
