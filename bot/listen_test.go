package bot

import (
	"net"
	"strings"
	"syscall"
	"testing"
)

// TestDescribeListen_NamesTheFix checks the errors of addresses that Tocsin cannot use.
func TestDescribeListen_NamesTheFix(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	address := taken.Addr().String()
	_, inUse := net.Listen("tcp", address)
	_, foreign := net.Listen("tcp", "192.0.2.1:8080")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{inUse, "listen: " + address + " is in use by another process. Stop that process, or write another address"},
		{&net.OpError{Op: "listen", Err: syscall.EACCES}, "Write a port above 1023"},
		{foreign, "Write an address of this machine"},
	} {
		if got := describeListen("listen", address, "127.0.0.1:8080", tt.err); tt.err == nil || !strings.Contains(got.Error(), tt.want) {
			t.Errorf("got %v, want %q", got, tt.want)
		}
	}
}
